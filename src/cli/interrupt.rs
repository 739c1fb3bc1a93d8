//! Ctrl-C and SIGTERM: the first ends the work, the second ends the process.

use std::future::pending;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// The exit status of a process that was interrupted, as shells have it: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Takes over both signals. Dropping it does not give them back.
pub(super) struct Interrupts(Option<oneshot::Receiver<()>>);

impl Interrupts {
    /// Takes the signals over from now on. For a caller within the runtime.
    pub(super) fn listen() -> io::Result<Self> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (first, received) = oneshot::channel();
        let mut first = Some(first);
        tokio::spawn(async move {
            loop {
                let more = tokio::select! {
                    more = interrupt.recv() => more,
                    more = terminate.recv() => more,
                };
                match (more, first.take()) {
                    (None, _) => return,
                    // Fails only if the command ends anyway.
                    (Some(()), Some(first)) => drop(first.send(())),
                    (Some(()), None) => std::process::exit(INTERRUPTED),
                }
            }
        });
        Ok(Self(Some(received)))
    }

    /// Waits for the first signal. Returns once.
    pub(super) async fn first(&mut self) {
        if let Some(received) = &mut self.0 {
            let signalled = received.await.is_ok();
            self.0 = None;
            if signalled {
                return;
            }
        }
        pending::<()>().await;
    }
}
