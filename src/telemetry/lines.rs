//! The way of log lines out of the process, and the count of those that did not make it. It knows no formats.
//!
//! Lines are handed to a thread that writes them. Where nobody reads what it writes, it waits, the buffer before it fills
//! up, and further lines are dropped and counted: a log that is not read must stall no transfer.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use metrics::counter;
use rustix::event::{PollFd, PollFlags, poll};
use tracing::warn;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait to be written. A rack of 500 machines writes some 5,000 within a boot, so a reader may pause for
/// seconds; with 400 bytes a line this is 3 MiB.
const BUFFERED: usize = 8192;
/// How long the end of the process waits for a reader that takes nothing: longer than the guard's own 1.1 seconds.
const FLUSH: Duration = Duration::from_millis(1500);

/// Standard error behind a buffer. When it is dropped, what is in the buffer is written, if anybody takes it.
#[derive(Debug)]
pub(super) struct Lines {
    guard: Option<WorkerGuard>,
    writer: NonBlocking,
    lost: LostLines,
}

/// How many log lines were lost. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct LostLines {
    /// Those for which there was no room.
    dropped: ErrorCounter,
    /// Those that standard error refused.
    refused: Arc<AtomicU64>,
    told: Arc<Mutex<Told>>,
}

/// What the log knows of its losses.
#[derive(Debug, Default)]
struct Told {
    /// As of the last look.
    seen: u64,
    /// As of the last line that told of them.
    told: u64,
}

impl Lines {
    /// Standard error.
    pub(super) fn to_stderr() -> io::Result<Self> {
        // A descriptor of its own: while a write waits, nobody who prints waits for std's lock.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self::to(stderr))
    }

    fn to(file: File) -> Self {
        let refused = Arc::<AtomicU64>::default();
        let out = Out { file, refused: Arc::clone(&refused) };
        let builder = NonBlockingBuilder::default().buffered_lines_limit(BUFFERED).thread_name("log");
        let (writer, guard) = builder.finish(out);
        let lost = LostLines { dropped: writer.error_counter(), refused, told: Arc::default() };
        Self { guard: Some(guard), writer, lost }
    }

    /// What takes lines, and never waits.
    pub(super) fn writer(&self) -> NonBlocking {
        self.writer.clone()
    }

    pub(super) fn lost(&self) -> LostLines {
        self.lost.clone()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let guard = self.guard.take();
        let (flushing, flushed) = mpsc::channel::<()>();
        // On a thread, because the guard prints to standard output when its time is up, where perhaps nobody reads
        // either. Without a thread to be had, the guard is dropped here.
        let _ = thread::Builder::new().name("log-flush".to_owned()).spawn(move || {
            drop(guard);
            drop(flushing);
        });
        // Ends when the other side is dropped.
        let _ = flushed.recv_timeout(FLUSH);
    }
}

impl LostLines {
    /// How many since the process began.
    pub(super) fn count(&self) -> u64 {
        self.dropped.dropped_lines() as u64 + self.refused.load(Ordering::Relaxed)
    }

    /// Sets the counter `bootdepot_log_lines_dropped_total`.
    pub(super) fn report(&self) {
        counter!("bootdepot_log_lines_dropped_total").absolute(self.count());
    }

    /// Says how many lines are missing, once the log is read again; to be called every few seconds.
    pub(super) fn tell(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.count();
        // While more are being lost, this one would be, too.
        if count == told.seen && count > told.told {
            let lines = count - told.told;
            warn!(target: "bootdepot::log", lines, "log lines were lost, because nobody read the log for a while");
            if self.count() == count {
                told.told = count;
            }
        }
        told.seen = count;
    }
}

/// A file, written to as a whole line or not at all, as far as that can be.
struct Out {
    file: File,
    refused: Arc<AtomicU64>,
}

impl Out {
    fn put(&mut self, mut line: &[u8]) -> io::Result<()> {
        while !line.is_empty() {
            match self.file.write(line) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => line = &line[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Whoever shares the pipe or the terminal may have set it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Write for Out {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.put(line).inspect_err(|_| {
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
    fn lines_are_taken_though_nobody_reads_and_the_loss_is_counted() {
        let (reader, writer) = to_pipe();
        let lines = Lines::to(writer);
        let mut out = lines.writer();
        let line = [b'x'; 64];
        // The pipe takes 1,024 of them, one is in the writer's hands, and the buffer has room for so many.
        let room = 65536 / line.len() + 1 + BUFFERED;
        for _ in 0..room + 100 {
            out.write_all(&line).unwrap();
        }
        assert!(lines.lost().count() >= 100, "{}", lines.lost().count());
        let lost = usize::try_from(lines.lost().count()).unwrap();

        let reading = thread::spawn(move || {
            let mut reader = reader;
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text.len() / line.len()
        });
        drop(out);
        drop(lines);
        assert_eq!(reading.join().unwrap() + lost, room + 100, "all that was not lost came out before the end");
    }

    #[test]
    fn nobody_who_reads_keeps_the_process_from_ending() {
        let (reader, writer) = to_pipe();
        let lines = Lines::to(writer);
        for _ in 0..2 * BUFFERED {
            lines.writer().write_all(&[b'x'; 64]).unwrap();
        }
        let began = Instant::now();
        drop(lines);
        // It would be for ever.
        assert!(began.elapsed() < 20 * FLUSH);
        drop(reader);
    }

    #[test]
    fn a_log_that_is_closed_counts_its_lines_as_lost() {
        let (reader, writer) = to_pipe();
        drop(reader);
        let lines = Lines::to(writer);
        let lost = lines.lost();
        lines.writer().write_all(b"a line\n").unwrap();
        drop(lines);
        assert_eq!(lost.count(), 1);
    }

    #[test]
    fn a_reader_that_does_not_wait_gets_whole_lines_all_the_same() {
        let (mut reader, writer) = to_pipe();
        fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        let lines = Lines::to(writer);
        let line = [b'x'; 4000];
        for _ in 0..100 {
            lines.writer().write_all(&line).unwrap();
        }
        let lost = lines.lost();
        let mut length = 0;
        while length < 100 * line.len() {
            let mut piece = [0; 10_000];
            length += reader.read(&mut piece).unwrap();
        }
        drop(lines);
        assert_eq!(lost.count(), 0);
    }
}
