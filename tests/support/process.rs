//! Child processes in tests: every wait for one has a deadline, so that a test fails instead of hanging.

use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::stretch;

/// How long a program may run, before it stretches on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// Waits for a child process that have a deadline, [`LIMIT`] if none is given. A child that exceeds it is killed, and the test
/// fails.
pub trait CommandExt {
    /// Runs the program to its end and returns its status and output. Its standard input is empty unless set.
    fn run_to_end(&mut self) -> Output;

    /// Runs the program as [`run_to_end`](Self::run_to_end) does, but within `limit`, which stretches on a busy machine.
    fn run_within(&mut self, limit: Duration) -> Output;
}

impl CommandExt for Command {
    fn run_to_end(&mut self) -> Output {
        self.run_within(LIMIT)
    }

    fn run_within(&mut self, limit: Duration) -> Output {
        let child = self.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {self:?}: {error}"));
        output_within(child, limit).unwrap_or_else(|output| panic!("{self:?} did not end within {limit:?}: {output:?}"))
    }
}

/// Waits in tests for a child process that is already running.
pub trait ChildExt {
    /// Waits until the program ends and returns its status and the output that was not read yet.
    fn finish(self) -> Output;

    /// Waits until the program ends.
    fn wait_for_exit(&mut self) -> ExitStatus;
}

impl ChildExt for Child {
    fn finish(self) -> Output {
        let pid = self.id();
        output_within(self, LIMIT).unwrap_or_else(|output| panic!("process {pid} did not end in time: {output:?}"))
    }

    fn wait_for_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + stretch(LIMIT);
        loop {
            if let Some(status) = self.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() > deadline {
                // Fails if it has just ended.
                let _ = self.kill();
                panic!("process {} did not end in time", self.id());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Returns the output of `child`; as an error, what it printed until it was killed at the deadline. That is `None` if a process
/// that it started still holds its output open.
fn output_within(child: Child, limit: Duration) -> Result<Output, Option<Output>> {
    let pid = Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let output = |result: std::io::Result<Output>| result.expect("a program's output can be read");
    if let Ok(result) = receiver.recv_timeout(stretch(limit)) {
        return Ok(output(result));
    }
    // Fails if it has just ended.
    let _ = kill_process(pid, Signal::KILL);
    Err(receiver.recv_timeout(Duration::from_secs(5)).ok().map(output))
}

/// Kills a child at a deadline unless it is dropped before: a read of the child's output then ends instead of hanging.
pub struct Watchdog {
    /// Dropping it ends the thread.
    _cancel: mpsc::Sender<()>,
}

impl Watchdog {
    /// Starts a watchdog for a child that may take as long as other programs may.
    pub fn new(child: &Child) -> Self {
        Self::with_limit(child, LIMIT)
    }

    /// Starts a watchdog for a child that may take `limit`, which stretches on a busy machine. Drop it before the child is waited
    /// for: afterwards the system may give the process id to another process.
    pub fn with_limit(child: &Child, limit: Duration) -> Self {
        let pid = Pid::from_child(child);
        let (cancel, cancelled) = mpsc::channel::<()>();
        thread::spawn(move || {
            if cancelled.recv_timeout(stretch(limit)) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Fails if it has ended.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Self { _cancel: cancel }
    }
}
