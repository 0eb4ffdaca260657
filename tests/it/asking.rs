//! People at the other end of `consent --paste`: they open the link that was printed, and paste the
//! address that their browser ended on.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStderr, ChildStdin, Stdio},
};

use tenantry::sandbox::Opened;

use crate::stage::{Ran, Stage, Watch};

/// A `consent --paste` that waits for people.
pub(crate) struct Asking {
    arguments: String,
    child: Child,
    /// Closed when nobody answers any more.
    stdin: Option<ChildStdin>,
    stderr: BufReader<ChildStderr>,
    stdout: std::thread::JoinHandle<String>,
    watch: Watch,
    /// All of stderr so far.
    said: String,
    /// The links that it printed.
    pub(crate) links: Vec<String>,
}

impl Asking {
    /// Starts it.
    pub(crate) fn start(stage: &Stage, arguments: &[&str]) -> Self {
        let mut command = stage.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        Self {
            arguments: arguments.join(" "),
            stdin: child.stdin.take(),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            stdout: std::thread::spawn(move || {
                let mut text = String::new();
                stdout.read_to_string(&mut text).unwrap();
                text
            }),
            watch: Watch::over(&child),
            child,
            said: String::new(),
            links: Vec::new(),
        }
    }

    /// The next link that a person must open and come back from; nothing where it is over.
    pub(crate) fn next_link(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.stderr.read_line(&mut line).unwrap() > 0 {
            self.said.push_str(&line);
            let link = line.split_whitespace().find(|word| word.contains("state="));
            if let Some(link) = link {
                self.links.push(link.to_owned());
                return Some(link.to_owned());
            }
            line.clear();
        }
        None
    }

    /// Pastes an address.
    pub(crate) fn paste(&mut self, address: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{address}").unwrap();
    }

    /// Nobody answers any more; how it ended.
    pub(crate) fn finish(mut self) -> Ran {
        drop(self.stdin.take());
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        self.said.push_str(&rest);
        let status = self.child.wait().unwrap();
        Ran {
            arguments: self.arguments,
            code: status.code().unwrap_or(-1),
            stdout: self.stdout.join().unwrap(),
            stderr: self.said,
            seen_as: self.watch.end(),
        }
    }
}

/// How a round of asking went, and the links that people opened.
pub(crate) struct Asked {
    pub(crate) ran: Ran,
    pub(crate) links: Vec<String>,
    /// Where their browsers ended.
    pub(crate) landed: Vec<String>,
}

/// Runs `consent`, in which the sandbox's people do as the world says.
pub(crate) fn asked(stage: &Stage, arguments: &[&str]) -> Asked {
    let mut asking = Asking::start(stage, arguments);
    let mut landed = Vec::new();
    while let Some(link) = asking.next_link() {
        match stage.sandbox.open(&link) {
            Opened::Landed(address) => {
                asking.paste(&address);
                landed.push(address);
            }
            Opened::Shown(_) | Opened::Nobody => break,
        }
    }
    let links = asking.links.clone();
    Asked { ran: asking.finish(), links, landed }
}
