//! Files of this machine as sources. All IO happens on blocking threads, a piece at a time.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use rustix::fs::OFlags;
use tokio::task::JoinHandle;

use super::body::within;
use super::{Body, OriginError, Reply, Validator};
use crate::asset::{ByteRange, SourceUrl};

/// Bytes read at a time: large enough that a disk streams, small enough that eight fills of eight parts stay in 64 MiB.
const PIECE: u64 = 1 << 20;

/// What was asked of a file.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) source: &'a SourceUrl,
    pub(super) path: &'a Path,
    pub(super) range: Option<ByteRange>,
    pub(super) expect: Option<&'a Validator>,
}

/// The pieces of an open file's range, in order.
pub(super) struct FilePieces(State);

enum State {
    Idle(Box<Rest>),
    /// Kept here rather than in a future, so that a caller who lets go in between finds the piece when it comes back.
    Reading(JoinHandle<io::Result<(Box<Rest>, Step)>>),
    /// A read failed, or the thread that read died.
    Lost,
}

/// What is still to be read of a file.
struct Rest {
    file: File,
    left: u64,
    validator: Validator,
}

/// What one read gave.
enum Step {
    Piece(Bytes),
    End,
    /// The file is not the one that was opened.
    Changed,
}

/// Opens the file and promises the bytes of the asked range.
pub(super) async fn read(asked: Asked<'_>, label: &str, stall: Duration) -> Result<Reply, OriginError> {
    let reply = open(asked, label, stall).await;
    let status = reply.as_ref().err().map_or("ok", OriginError::word);
    counter!("bootdepot_origin_requests_total", "origin" => label.to_owned(), "status" => status).increment(1);
    reply
}

async fn open(asked: Asked<'_>, label: &str, stall: Duration) -> Result<Reply, OriginError> {
    let source_url = asked.source.to_string();
    let path = asked.path.to_owned();
    let range = asked.range;
    let opening = tokio::task::spawn_blocking(move || {
        // O_NONBLOCK: to open a pipe that nobody writes to must not hold the thread for ever.
        let nonblock = OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
        let metadata = file.metadata()?;
        let total = metadata.len();
        let range = range.map_or(ByteRange::whole(total), |range| {
            let start = range.start.min(total);
            ByteRange::new(start, range.end.min(total))
        });
        if metadata.is_file() {
            file.seek(SeekFrom::Start(range.start))?;
        }
        Ok((file, metadata, range))
    });
    let (file, metadata, range) = match within(stall, &source_url, opening).await? {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return Err(explain(&error, asked, label)),
        Err(error) => return Err(OriginError::Io { source_url, reason: error.to_string() }),
    };
    if !metadata.is_file() {
        return Err(OriginError::BadReply { source_url, reason: kind(&metadata).to_owned() });
    }
    let validator = Validator::of_file(&metadata);
    if asked.expect.is_some_and(|expect| *expect != validator) {
        return Err(OriginError::Changed { source_url });
    }
    let rest = Rest { file, left: range.len(), validator: validator.clone() };
    let pieces = FilePieces(State::Idle(Box::new(rest)));
    Ok(Reply {
        range,
        total: metadata.len(),
        validator: Some(validator),
        last_modified: metadata.modified().ok(),
        ignored_range: false,
        advertised: None,
        body: Body::of_file(pieces, source_url, range.len(), stall, label),
    })
}

impl FilePieces {
    /// The next piece, `None` at the end. The last one is given only if the file is still what it was when opened.
    pub(super) async fn next(&mut self, source_url: &str) -> Result<Option<Bytes>, OriginError> {
        loop {
            match &mut self.0 {
                State::Reading(reading) => {
                    let read = reading.await.unwrap_or_else(|e| Err(io::Error::other(e)));
                    self.0 = State::Lost;
                    let (rest, read) = read.map_err(|e| lost(source_url, &e.to_string()))?;
                    self.0 = State::Idle(rest);
                    return match read {
                        Step::Piece(piece) => Ok(Some(piece)),
                        Step::End => Ok(None),
                        Step::Changed => Err(OriginError::Changed { source_url: source_url.to_owned() }),
                    };
                }
                State::Idle(_) => {
                    if let State::Idle(rest) = std::mem::replace(&mut self.0, State::Lost) {
                        self.0 = State::Reading(tokio::task::spawn_blocking(move || rest.read()));
                    }
                }
                State::Lost => return Err(lost(source_url, "an earlier read failed")),
            }
        }
    }
}

impl Rest {
    fn read(mut self: Box<Self>) -> io::Result<(Box<Self>, Step)> {
        let wanted = self.left.min(PIECE);
        // PIECE fits any usize.
        let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
        (&self.file).take(wanted).read_to_end(&mut piece)?;
        let short = (piece.len() as u64) < wanted;
        self.left -= piece.len() as u64;
        if (short || self.left == 0) && Validator::of_file(&self.file.metadata()?) != self.validator {
            return Ok((self, Step::Changed));
        }
        let read = if piece.is_empty() { Step::End } else { Step::Piece(piece.into()) };
        Ok((self, read))
    }
}

fn lost(source_url: &str, reason: &str) -> OriginError {
    OriginError::Io { source_url: source_url.to_owned(), reason: reason.to_owned() }
}

fn explain(error: &io::Error, asked: Asked<'_>, label: &str) -> OriginError {
    let source_url = asked.source.to_string();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OriginError::NotFound { source_url },
        io::ErrorKind::PermissionDenied => OriginError::AccessDenied {
            source_url,
            origin: label.to_owned(),
            identity: format!("user id {}", rustix::process::geteuid().as_raw()),
            code: "permission denied".to_owned(),
        },
        _ => OriginError::Io { source_url, reason: error.to_string() },
    }
}

fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "it is a directory" } else { "it is not a regular file" }
}

#[cfg(test)]
mod tests;
