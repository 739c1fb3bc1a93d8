//! Ctrl-C and SIGTERM: the first is told to whoever waits, the second ends the process.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// The exit status of a process that was interrupted, as shells have it: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Hears of interrupts from its making on.
pub(super) struct Interrupts(Receiver<()>);

impl Interrupts {
    /// Takes the signals over, on a thread of its own.
    pub(super) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut interrupt, mut terminate) = {
            let _within = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let (told, heard) = mpsc::channel();
        let wait = move || {
            runtime.block_on(async {
                let mut first = true;
                loop {
                    let more = tokio::select! {
                        more = interrupt.recv() => more,
                        more = terminate.recv() => more,
                    };
                    if more.is_none() {
                        return;
                    }
                    if !std::mem::replace(&mut first, false) {
                        std::process::exit(INTERRUPTED);
                    }
                    // Whoever waited may have ended.
                    let _ = told.send(());
                }
            });
        };
        thread::Builder::new().name("interrupts".to_owned()).spawn(wait)?;
        Ok(Self(heard))
    }

    /// Waits so long for an interrupt. Whether there was one.
    pub(super) fn within(&self, time: Duration) -> bool {
        match self.0.recv_timeout(time) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(time);
                false
            }
        }
    }
}
