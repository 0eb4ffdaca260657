//! A terminal with a command in it: what asks people does so only where somebody could answer.

use std::{
    io::Read,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long a command may take to say something, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that believes that a person sits before it.
pub(super) struct Terminal {
    child: Child,
    /// Held, for at its end the terminal would hang up.
    _keyboard: ChildStdin,
    screen: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a command under util-linux's `script`, which gives it a terminal of its own.
    pub(super) fn start(command: &Command) -> Self {
        let mut line = "stty cols 120 rows 40; exec".to_owned();
        for word in std::iter::once(command.get_program()).chain(command.get_args()) {
            line.push_str(" '");
            line.push_str(&word.to_str().unwrap().replace('\'', "'\\''"));
            line.push('\'');
        }
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"])
            .env_clear()
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .envs([("NO_COLOR", "1"), ("TERM", "xterm"), ("SHELL", "/bin/sh")])
            .current_dir(command.get_current_dir().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("script, of util-linux");
        let keyboard = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length) = output.read(&mut bytes)
                && length > 0
            {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Self { child, _keyboard: keyboard, screen, reader: Some(reader) }
    }

    /// The address of the page that the command opened.
    pub(super) fn address(&self) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen.lock().unwrap().clone();
            let found = screen.find("http://localhost:").map(|at| &screen[at..]);
            if let Some((address, _)) = found.and_then(|text| text.split_once(char::is_whitespace))
            {
                return address.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no address on the screen:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the command's end: its exit code, and its screen with every gap one space.
    pub(super) fn end(mut self) -> (i32, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let screen = self.screen.lock().unwrap().clone();
            assert!(begun.elapsed() < PATIENCE, "the command does not end:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        };
        self.reader.take().unwrap().join().unwrap();
        let screen = self.screen.lock().unwrap().clone();
        let words: Vec<_> = screen.split_whitespace().collect();
        (status.code().unwrap_or(-1), words.join(" "))
    }
}

impl Drop for Terminal {
    /// The terminal goes, and with it whoever was in it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
