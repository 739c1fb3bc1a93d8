use std::time::{Duration, SystemTime};

use crate::asset::{ByteRange, SourceUrl};
use crate::origin::{OriginError, Origins, Timeouts, Validator};

struct TestFile {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    source: SourceUrl,
    origins: Origins,
}

fn test_file(content: &[u8]) -> TestFile {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::write(&path, content).unwrap();
    let source = format!("file://{}", path.display()).parse().unwrap();
    TestFile { _dir: dir, path, source, origins: Origins::new(Vec::new(), Timeouts::default()).unwrap() }
}

impl TestFile {
    async fn read(&self, range: Option<(u64, u64)>, expect: Option<&Validator>) -> Result<Vec<u8>, OriginError> {
        let range = range.map(|(start, end)| ByteRange::new(start, end));
        let mut reply = self.origins.read(&self.source, range, expect).await?;
        let mut read = Vec::new();
        while let Some(piece) = reply.body.chunk().await? {
            read.extend_from_slice(&piece);
        }
        assert_eq!(read.len() as u64, reply.range.len());
        Ok(read)
    }
}

#[tokio::test]
async fn file_ranges_read_in_pieces() {
    let content: Vec<u8> = (0..(2 << 20) + 77).map(|i: u32| i.to_le_bytes()[i as usize % 3]).collect();
    let file = test_file(&content);
    let total = content.len();
    assert!(file.read(None, None).await.unwrap() == content);
    assert!(file.read(Some((5, 1_500_000)), None).await.unwrap() == content[5..1_500_000]);
    assert!(file.read(Some((2 << 20, 9 << 20)), None).await.unwrap() == content[2 << 20..total]);
    assert!(file.read(Some((9 << 20, 10 << 20)), None).await.unwrap().is_empty());
    assert!(file.read(Some((5, 5)), None).await.unwrap().is_empty());
    let reply = file.origins.read(&file.source, None, None).await.unwrap();
    assert_eq!((reply.total, reply.ignored_range), (Some(content.len() as u64), false));
    assert_eq!(reply.last_modified, std::fs::metadata(&file.path).unwrap().modified().ok());
}

#[tokio::test]
async fn empty_file_gives_empty_body() {
    let file = test_file(b"");
    assert!(file.read(None, None).await.unwrap().is_empty());
    assert!(file.read(Some((0, 1)), None).await.unwrap().is_empty());
}

#[tokio::test]
async fn replaced_file_fails_as_changed() {
    let file = test_file(b"first");
    let seen = file.origins.read(&file.source, None, None).await.unwrap().validator;
    assert_eq!(file.read(None, seen.as_ref()).await.unwrap(), b"first");
    std::fs::remove_file(&file.path).unwrap();
    std::fs::write(&file.path, b"other").unwrap();
    let error = file.read(None, seen.as_ref()).await.unwrap_err();
    assert!(matches!(error, OriginError::Changed { .. }));
    assert_eq!(error.to_string(), format!("{} changed while it was read", file.source));
}

#[tokio::test]
async fn modified_file_fails_before_last_piece() {
    let file = test_file(&vec![7; 3 << 20]);
    for change in ["touch", "truncate"] {
        let mut reply = file.origins.read(&file.source, None, None).await.unwrap();
        let first = reply.body.chunk().await.unwrap().unwrap();
        assert_eq!(first.len(), 1 << 20);
        let opened = std::fs::File::options().write(true).open(&file.path).unwrap();
        match change {
            "touch" => opened.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap(),
            _ => opened.set_len((1 << 20) + 5).unwrap(),
        }
        let error = loop {
            match reply.body.chunk().await {
                Ok(piece) => assert!(piece.is_some(), "{change}: the body ended without an error"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, OriginError::Changed { .. }), "{change}: {error}");
        let again = reply.body.chunk().await.unwrap_err();
        assert!(matches!(again, OriginError::Changed { .. }), "an error must not turn into an end: {again}");
    }
}

#[tokio::test]
async fn cancelled_chunk_loses_no_bytes() {
    let content: Vec<u8> = (0..3_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let file = test_file(&content);
    let mut reply = file.origins.read(&file.source, None, None).await.unwrap();
    let mut read = Vec::new();
    loop {
        // Polled once and dropped: the read continues on its thread.
        let polled = futures_util::future::poll_immediate(reply.body.chunk()).await;
        let piece = match polled {
            Some(piece) => piece,
            None => reply.body.chunk().await,
        };
        match piece.unwrap() {
            Some(piece) => read.extend_from_slice(&piece),
            None => break,
        }
    }
    assert!(read == content);
}

#[tokio::test]
async fn unreadable_file_names_reason() {
    let dir = tempfile::tempdir().unwrap();
    let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    std::fs::write(dir.path().join("file"), b"x").unwrap();
    for (name, message) in [
        ("none", "{} does not exist"),
        ("file/below", "{} does not exist"),
        (".", "{} cannot be served: it is a directory"),
        ("pipe", "{} cannot be served: it is not a regular file"),
    ] {
        let source: SourceUrl = format!("file://{}/{name}", dir.path().display()).parse().unwrap();
        let error = origins.read(&source, None, None).await.err().unwrap();
        assert_eq!(error.to_string(), message.replace("{}", &source.to_string()));
    }
}

#[tokio::test]
async fn confined_source_stays_in_directory() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = dir.path().join("shelf");
    std::fs::create_dir(&shelf).unwrap();
    std::fs::write(dir.path().join("secret"), b"hush").unwrap();
    std::fs::write(shelf.join("image"), b"image").unwrap();
    std::os::unix::fs::symlink("../secret", shelf.join("link")).unwrap();
    let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
    let source = |name: &str| format!("file://{}", shelf.join(name).display()).parse::<SourceUrl>().unwrap();
    assert_eq!(origins.read(&source("image").confined_to(&shelf), None, None).await.unwrap().total, Some(5));
    assert_eq!(origins.read(&source("link"), None, None).await.unwrap().total, Some(4), "the node's own catalog may");
    let error = origins.read(&source("link").confined_to(&shelf), None, None).await.err().unwrap();
    assert!(matches!(error, OriginError::OutsideDirectory { .. }) && !error.is_transient());
    assert_eq!(
        error.to_string(),
        format!(
            "{} leads out of {} (a symbolic link or '..'), and nothing else may be read; put the file itself there, or, for a shared \
             catalog, list a directory that holds both in catalog_files",
            source("link"),
            shelf.display()
        )
    );
}

#[test]
fn permission_error_names_user() {
    let error = super::classify(std::io::ErrorKind::PermissionDenied.into(), "file:///srv/a.img", None, "file://");
    assert!(matches!(error, OriginError::AccessDenied { .. }));
    let user = rustix::process::geteuid().as_raw();
    assert!(
        error
            .to_string()
            .starts_with(&format!("file:// refused file:///srv/a.img to user id {user} (permission denied)"))
    );
}
