//! The bytes to publish: a file or standard input, read once on a thread of its own.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Bytes that are read at a time.
const PIECE: usize = 512 << 10;

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// The identity of one state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileIdentity {
    /// Its length in bytes.
    pub(super) size: u64,
    /// When it was modified, in nanoseconds since the Unix epoch.
    pub(super) modified: i128,
    pub(super) inode: u64,
    pub(super) device: u64,
}

/// Why an input cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be opened or read.
    #[error("{input} cannot be read: {source}")]
    Read {
        /// The file, or `standard input`.
        input: String,
        /// The system's error.
        source: io::Error,
    },
    /// It is no file.
    #[error("{0} is not a regular file; to publish a directory, name its files")]
    NotFile(String),
    /// It changed while it was read.
    #[error("{0} changed while it was read; nothing was published: run it again when the file is complete")]
    Changed(String),
}

/// An input that is being read.
pub(super) struct Reader {
    pieces: mpsc::Receiver<Result<Bytes, InputError>>,
    identity: Option<FileIdentity>,
}

impl Input {
    /// The input, as shown.
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    /// The length in bytes. `None` for standard input. Blocks.
    pub fn size(&self) -> Result<Option<u64>, InputError> {
        match self {
            Self::File(path) => Ok(Some(self.open(path)?.1.size)),
            Self::Stdin => Ok(None),
        }
    }

    /// Opens it and begins to read. Blocks for opening a file.
    pub(super) fn read(&self) -> Result<Reader, InputError> {
        let (sender, pieces) = mpsc::channel(2);
        let shown = self.shown();
        let identity = match self {
            Self::File(path) => {
                let (file, identity) = self.open(path)?;
                tokio::task::spawn_blocking(move || pump(file, Some(identity), &shown, &sender));
                Some(identity)
            }
            Self::Stdin => {
                // A thread that waits for standard input must not hold up the end of the runtime.
                std::thread::spawn(move || pump(Stdin, None, &shown, &sender));
                None
            }
        };
        Ok(Reader { pieces, identity })
    }

    fn open(&self, path: &Path) -> Result<(File, FileIdentity), InputError> {
        let failed = |source| InputError::Read { input: self.shown(), source };
        // Does not wait for the writer of a FIFO.
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(InputError::NotFile(self.shown()));
        }
        let file = File::open(path).map_err(failed)?;
        let identity = FileIdentity::of(&file.metadata().map_err(failed)?);
        Ok((file, identity))
    }
}

impl Reader {
    /// Which state of which file it reads. `None` for standard input.
    pub(super) fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }

    /// Returns the next bytes, or `None` at the end. Fails if the file changed since it was opened.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, InputError> {
        self.pieces.recv().await.transpose()
    }
}

impl FileIdentity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            modified: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }
}

/// Standard input. Reads as large as ours pass its buffer by.
struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::stdin().lock().read(buffer)
    }
}

/// A source whose state can be compared at the end.
trait Source: Read {
    fn identity(&self) -> io::Result<Option<FileIdentity>>;
}

impl Source for File {
    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        Ok(Some(FileIdentity::of(&self.metadata()?)))
    }
}

impl Source for Stdin {
    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        Ok(None)
    }
}

/// Reads to the end. Ends early if the receiver is gone.
fn pump(
    mut source: impl Source,
    begun: Option<FileIdentity>,
    shown: &str,
    pieces: &mpsc::Sender<Result<Bytes, InputError>>,
) {
    let mut read = 0;
    let end = loop {
        let mut piece = vec![0; PIECE];
        match source.read(&mut piece) {
            Ok(0) => break source.identity(),
            Ok(length) => {
                piece.truncate(length);
                read += length as u64;
                if pieces.blocking_send(Ok(piece.into())).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    let failed = match end {
        Err(source) => InputError::Read { input: shown.to_owned(), source },
        Ok(ended) if ended != begun || begun.is_some_and(|begun| begun.size != read) => {
            InputError::Changed(shown.to_owned())
        }
        Ok(_) => return,
    };
    // Fails if the receiver is gone.
    let _ = pieces.blocking_send(Err(failed));
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn drain(mut reader: Reader) -> Result<u64, InputError> {
        let mut length = 0;
        while let Some(piece) = reader.next().await? {
            length += piece.len() as u64;
        }
        Ok(length)
    }

    #[tokio::test]
    async fn whole_file_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 3 * PIECE + 1]).unwrap();
        let input = Input::File(file.path().to_owned());
        assert_eq!(drain(input.read().unwrap()).await.unwrap(), 3 * PIECE as u64 + 1);
    }

    #[tokio::test]
    async fn file_that_grows_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 8 * PIECE]).unwrap();
        let mut reader = Input::File(file.path().to_owned()).read().unwrap();
        // The thread is at most three pieces ahead.
        reader.next().await.unwrap();
        std::fs::write(file.path(), vec![8; 9 * PIECE]).unwrap();
        let error = drain(reader).await.unwrap_err();
        assert!(matches!(error, InputError::Changed(_)), "{error}");
    }

    #[test]
    fn only_regular_files_are_inputs() {
        let dir = tempfile::tempdir().unwrap();
        let error = Input::File(dir.path().to_owned()).size().unwrap_err();
        assert!(matches!(error, InputError::NotFile(_)), "{error}");
        let error = Input::File(dir.path().join("none")).size().unwrap_err();
        assert!(matches!(error, InputError::Read { .. }), "{error}");
    }
}
