//! Reads an open file in pieces on blocking threads.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::error::OriginError;
use super::validator::Validator;
use crate::task;

/// Bytes read at a time: enough for a disk to stream; eight fills of eight parts still stay within 64 MiB.
const PIECE: u64 = 1 << 20;

/// Returns the pieces of an open file, in order.
pub(super) struct FileReader(State);

enum State {
    Idle(Box<Remainder>),
    /// The read in progress. Stored here rather than in a future, so that a cancelled caller loses no piece.
    Reading(JoinHandle<io::Result<(Box<Remainder>, Step)>>),
    /// A read failed or panicked.
    Failed,
}

/// The part of a file that is still to be read.
struct Remainder {
    file: File,
    left: u64,
    validator: Validator,
}

/// The result of one read.
enum Step {
    Piece(Bytes),
    End,
    /// The file has changed since it was opened.
    Changed,
}

impl FileReader {
    /// Reads `length` bytes from the file's position. `validator` is the file's validator when it was opened.
    pub(super) fn new(file: File, length: u64, validator: Validator) -> Self {
        Self(State::Idle(Box::new(Remainder { file, left: length, validator })))
    }

    /// Returns the next piece, or `None` at the end. Checks before the last piece that the file has not changed since it
    /// was opened.
    pub(super) async fn next(&mut self, source_url: &str) -> Result<Option<Bytes>, OriginError> {
        loop {
            match &mut self.0 {
                State::Reading(reading) => {
                    let read = task::join_or_panic(reading).await;
                    self.0 = State::Failed;
                    let (remainder, step) = read.map_err(|error| OriginError::Io {
                        source_url: source_url.to_owned(),
                        reason: error.to_string(),
                        source: Some(Arc::new(error)),
                    })?;
                    self.0 = State::Idle(remainder);
                    return match step {
                        Step::Piece(piece) => Ok(Some(piece)),
                        Step::End => Ok(None),
                        Step::Changed => Err(OriginError::Changed {
                            source_url: source_url.to_owned(),
                            seen: format!("{source_url} changed while it was read"),
                        }),
                    };
                }
                State::Idle(_) => {
                    if let State::Idle(remainder) = std::mem::replace(&mut self.0, State::Failed) {
                        self.0 = State::Reading(tokio::task::spawn_blocking(move || remainder.read()));
                    }
                }
                State::Failed => {
                    let reason = "an earlier read failed".to_owned();
                    return Err(OriginError::Io { source_url: source_url.to_owned(), reason, source: None });
                }
            }
        }
    }
}

impl Remainder {
    fn read(mut self: Box<Self>) -> io::Result<(Box<Self>, Step)> {
        let wanted = self.left.min(PIECE);
        // PIECE fits any usize.
        let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
        (&self.file).take(wanted).read_to_end(&mut piece)?;
        let short = (piece.len() as u64) < wanted;
        self.left -= piece.len() as u64;
        if (short || self.left == 0) && Validator::from_file(&self.file.metadata()?) != self.validator {
            return Ok((self, Step::Changed));
        }
        let step = if piece.is_empty() { Step::End } else { Step::Piece(piece.into()) };
        Ok((self, step))
    }
}
