//! Reads the members of a `.tar.gz` that streams past. They are proven only when the whole archive is.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc;

use crate::proof::sums::file_path;

/// How much of a member is handed over at a time.
const PIECE: usize = 1 << 20;

/// A step of unpacking, in the order of the archive.
#[derive(Debug)]
pub(super) enum Unpacked {
    /// A member that is wanted begins.
    Member {
        /// Its path in the archive.
        path: String,
        /// Its length in bytes.
        size: u64,
    },
    /// The next bytes of that member.
    Bytes(Bytes),
}

/// Unpacks the archive whose bytes come through `packed`, and sends the members that `takes` wants. Reads to the end of the
/// stream, so that every byte of the archive is taken. Blocks.
pub(super) fn unpack(
    packed: mpsc::Receiver<Bytes>,
    unpacked: &mpsc::Sender<Unpacked>,
    takes: impl Fn(&str) -> bool,
) -> io::Result<()> {
    let mut source = Pieces { packed, current: Bytes::new() };
    let gone = |_| io::Error::other("the upload has ended");
    let mut archive = tar::Archive::new(MultiGzDecoder::new(&mut source));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes().into_owned();
        // A name that leads out of the archive is not wanted by anything.
        let path = std::str::from_utf8(&path).ok().and_then(file_path).filter(|path| takes(path));
        let Some(path) = path.map(str::to_owned) else { continue };
        let size = entry.size();
        unpacked.blocking_send(Unpacked::Member { path, size }).map_err(gone)?;
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            (&mut entry).take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            unpacked.blocking_send(Unpacked::Bytes(piece.into())).map_err(gone)?;
        }
    }
    drop(archive);
    // The end of the archive may come before the end of the file.
    io::copy(&mut source, &mut io::sink())?;
    Ok(())
}

/// A stream of pieces as a reader.
struct Pieces {
    packed: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.packed.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn tar_gz(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            // Without the checks of the builder, which refuses names such as ../x.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn members(packed: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let (to_unpack, from_download) = mpsc::channel(1024);
        let (to_upload, mut from_unpack) = mpsc::channel(1024);
        for piece in packed.chunks(100) {
            to_unpack.blocking_send(Bytes::copy_from_slice(piece)).unwrap();
        }
        drop(to_unpack);
        unpack(from_download, &to_upload, |path| path.starts_with("boot/"))?;
        drop(to_upload);
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        while let Some(unpacked) = from_unpack.blocking_recv() {
            match unpacked {
                Unpacked::Member { path, .. } => members.push((path, Vec::new())),
                Unpacked::Bytes(bytes) => members.last_mut().unwrap().1.extend_from_slice(&bytes),
            }
        }
        Ok(members)
    }

    #[test]
    fn wanted_members_are_unpacked() {
        let packed = tar_gz(&[("./boot/vmlinuz-lts", b"kernel"), ("apks/x", b"no"), ("boot/modloop-lts", &[7; 3000])]);
        let found = members(&packed).unwrap();
        assert_eq!(found[0], ("boot/vmlinuz-lts".to_owned(), b"kernel".to_vec()));
        assert_eq!((found[1].0.as_str(), found[1].1.len()), ("boot/modloop-lts", 3000));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn member_outside_of_archive_is_ignored() {
        assert_eq!(members(&tar_gz(&[("boot/../../etc/passwd", b"x"), ("/boot/y", b"z")])).unwrap(), []);
    }

    #[test]
    fn broken_archive_is_error() {
        let packed = tar_gz(&[("boot/vmlinuz-lts", &[1; 5000])]);
        assert!(members(&packed[..packed.len() / 2]).is_err());
        assert!(members(b"<html>").is_err());
    }
}
