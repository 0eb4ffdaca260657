//! Being told to stop: no new step starts, steps in flight finish, what is left is listed.

use std::time::Duration;

use tokio::sync::watch;

/// How long steps in flight may take to finish.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Which signal it was; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A polite kill, as a pipeline sends it.
    Terminate,
}

/// Whether the run was told to stop.
#[derive(Debug, Clone)]
pub struct Stop {
    told: watch::Receiver<Option<Signal>>,
}

impl Stop {
    /// Listens to SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// The system does not let us listen.
    pub fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (tell, told) = watch::channel(None);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            let which = tokio::select! {
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
            };
            let _ = tell.send(Some(which));
            // Keeps the channel open for as long as the process lives.
            std::future::pending::<()>().await;
        });
        Ok(Self { told })
    }

    /// One that nobody can tell.
    pub fn never() -> Self {
        let (tell, told) = watch::channel(None);
        // A closed channel keeps its last value, and `told` below waits for ever on it.
        drop(tell);
        Self { told }
    }

    /// The signal, if there was one.
    pub fn requested(&self) -> Option<Signal> {
        *self.told.borrow()
    }

    /// Comes back when the run is told to stop, and never if it is not.
    pub async fn told(&self) -> Signal {
        let mut told = self.told.clone();
        match told.wait_for(Option::is_some).await.map(|signal| *signal) {
            Ok(Some(signal)) => signal,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}
