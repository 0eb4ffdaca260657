//! A question to whoever sits at the terminal.

use super::{context::Context, output};
use crate::{report::error::Trouble, verdict::Verdict};

/// What is typed in answer to a question; nothing where the run is told to stop meanwhile.
///
/// # Errors
/// Standard input cannot be read.
pub(super) async fn ask(context: &Context, question: &str) -> Result<Option<String>, Trouble> {
    output::tell(question);
    let (to, answer) = tokio::sync::oneshot::channel();
    // A thread of its own, for the runtime would wait for its end, and so would Ctrl-C.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        let _ = to.send(read.map(|_| line));
    });
    tokio::select! {
        answer = answer => match answer {
            Ok(Ok(line)) => Ok(context.stop.requested().is_none().then(|| line.trim().to_owned())),
            Ok(Err(error)) => Err(unread(&error.to_string())),
            Err(_) => Err(unread("nobody answered")),
        },
        _ = context.stop.told() => {
            // The question's line is not ended by anybody else.
            output::tell("\n");
            Ok(None)
        }
    }
}

fn unread(why: &str) -> Trouble {
    Trouble::new(Verdict::Failed, format!("no answer could be read: {why}; nothing was changed"))
}
