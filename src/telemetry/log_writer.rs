//! Writes log lines to standard error without blocking the threads that log.
//!
//! A thread writes the lines from a buffer. If standard error is a pipe that its reader does not empty, the thread blocks,
//! the buffer fills, and further lines are dropped and counted: a log that is not read must not stall a transfer.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::lost_lines::LostLines;

/// The most lines in the buffer. A rack of 500 machines logs some 5,000 lines during a boot, so a reader may pause for
/// seconds. At 400 bytes a line this is 3 MiB.
const BUFFERED: usize = 8192;
/// How long process exit waits for a blocked reader: longer than the guard's own 1.1 seconds.
const FLUSH: Duration = Duration::from_millis(1500);

/// Standard error behind a buffer. Dropping it writes the buffered lines, unless the reader is blocked.
#[derive(Debug)]
pub(super) struct LogWriter {
    guard: Option<WorkerGuard>,
    writer: NonBlocking,
    lost: LostLines,
}

impl LogWriter {
    /// Writes to standard error.
    pub(super) fn to_stderr() -> io::Result<Self> {
        // A separate descriptor: a blocked write must not hold std's lock on standard error.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self::to(stderr))
    }

    fn to(file: File) -> Self {
        let refused = Arc::<AtomicU64>::default();
        let out = LineWriter { file, refused: Arc::clone(&refused) };
        let builder = NonBlockingBuilder::default().buffered_lines_limit(BUFFERED).thread_name("log");
        let (writer, guard) = builder.finish(out);
        let lost = LostLines::new(writer.error_counter(), refused);
        Self { guard: Some(guard), writer, lost }
    }

    /// Returns the non-blocking writer.
    pub(super) fn non_blocking(&self) -> NonBlocking {
        self.writer.clone()
    }

    /// Returns the count of lost lines.
    pub(super) fn lost(&self) -> LostLines {
        self.lost.clone()
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        let guard = self.guard.take();
        let (flushing, flushed) = mpsc::channel::<()>();
        // On a thread, because the guard prints to standard output when its time is up, which may block, too. If no thread
        // can be started, the guard is dropped here.
        let _ = thread::Builder::new().name("log-flush".to_owned()).spawn(move || {
            drop(guard);
            drop(flushing);
        });
        // Returns when the sender is dropped.
        let _ = flushed.recv_timeout(FLUSH);
    }
}

/// A file that receives whole lines. Counts the lines that it refuses.
struct LineWriter {
    file: File,
    refused: Arc<AtomicU64>,
}

impl LineWriter {
    fn write_line(&mut self, mut line: &[u8]) -> io::Result<()> {
        while !line.is_empty() {
            match self.file.write(line) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => line = &line[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process that shares the pipe or terminal may have made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.write_line(line).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _, pipe};
    use std::os::fd::OwnedFd;
    use std::time::Instant;

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    fn to_pipe() -> (PipeReader, File) {
        let (reader, writer) = pipe().unwrap();
        (reader, File::from(OwnedFd::from(writer)))
    }

    #[test]
    fn unread_lines_are_dropped_and_counted() {
        let (reader, writer) = to_pipe();
        let log = LogWriter::to(writer);
        let mut out = log.non_blocking();
        let line = [b'x'; 64];
        // The pipe holds 1,024 lines, the thread one, and the buffer the rest.
        let capacity = 65536 / line.len() + 1 + BUFFERED;
        for _ in 0..capacity + 100 {
            out.write_all(&line).unwrap();
        }
        assert!(log.lost().count() >= 100, "{}", log.lost().count());
        let lost = usize::try_from(log.lost().count()).unwrap();

        let reading = thread::spawn(move || {
            let mut reader = reader;
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text.len() / line.len()
        });
        drop(out);
        drop(log);
        assert_eq!(reading.join().unwrap() + lost, capacity + 100, "all lines but the lost ones were written");
    }

    #[test]
    fn blocked_reader_does_not_delay_exit() {
        let (reader, writer) = to_pipe();
        let log = LogWriter::to(writer);
        for _ in 0..2 * BUFFERED {
            log.non_blocking().write_all(&[b'x'; 64]).unwrap();
        }
        let began = Instant::now();
        drop(log);
        // A blocking write would never return.
        assert!(began.elapsed() < 20 * FLUSH);
        drop(reader);
    }

    #[test]
    fn closed_pipe_counts_lines_as_lost() {
        let (reader, writer) = to_pipe();
        drop(reader);
        let log = LogWriter::to(writer);
        let lost = log.lost();
        log.non_blocking().write_all(b"a line\n").unwrap();
        drop(log);
        assert_eq!(lost.count(), 1);
    }

    #[test]
    fn nonblocking_pipe_receives_whole_lines() {
        let (mut reader, writer) = to_pipe();
        fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        let log = LogWriter::to(writer);
        let line = [b'x'; 4000];
        for _ in 0..100 {
            log.non_blocking().write_all(&line).unwrap();
        }
        let lost = log.lost();
        let mut length = 0;
        while length < 100 * line.len() {
            let mut piece = [0; 10_000];
            length += reader.read(&mut piece).unwrap();
        }
        drop(log);
        assert_eq!(lost.count(), 0);
    }
}
