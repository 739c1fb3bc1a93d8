use std::time::{Duration, SystemTime};

use crate::asset::{ByteRange, SourceUrl};
use crate::origin::{OriginError, Origins, Timeouts, Validator};

struct Fixture {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    source: SourceUrl,
    origins: Origins,
}

fn fixture(content: &[u8]) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::write(&path, content).unwrap();
    let source = format!("file://{}", path.display()).parse().unwrap();
    Fixture { _dir: dir, path, source, origins: Origins::new(Vec::new(), Timeouts::default()).unwrap() }
}

impl Fixture {
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
async fn reads_ranges_in_pieces() {
    let content: Vec<u8> = (0..(2 << 20) + 77).map(|i: u32| i.to_le_bytes()[i as usize % 3]).collect();
    let file = fixture(&content);
    let total = content.len();
    assert!(file.read(None, None).await.unwrap() == content);
    assert!(file.read(Some((5, 1_500_000)), None).await.unwrap() == content[5..1_500_000]);
    assert!(file.read(Some((2 << 20, 9 << 20)), None).await.unwrap() == content[2 << 20..total]);
    assert!(file.read(Some((9 << 20, 10 << 20)), None).await.unwrap().is_empty());
    assert!(file.read(Some((5, 5)), None).await.unwrap().is_empty());
    let reply = file.origins.read(&file.source, None, None).await.unwrap();
    assert_eq!((reply.total, reply.ignored_range), (content.len() as u64, false));
    assert_eq!(reply.last_modified, std::fs::metadata(&file.path).unwrap().modified().ok());
}

#[tokio::test]
async fn an_empty_file_is_an_empty_object() {
    let file = fixture(b"");
    assert!(file.read(None, None).await.unwrap().is_empty());
    assert!(file.read(Some((0, 1)), None).await.unwrap().is_empty());
}

#[tokio::test]
async fn notices_another_file_of_the_same_name() {
    let file = fixture(b"first");
    let seen = file.origins.read(&file.source, None, None).await.unwrap().validator;
    assert_eq!(file.read(None, seen.as_ref()).await.unwrap(), b"first");
    std::fs::remove_file(&file.path).unwrap();
    std::fs::write(&file.path, b"other").unwrap();
    let error = file.read(None, seen.as_ref()).await.unwrap_err();
    assert!(matches!(error, OriginError::Changed { .. }));
    assert_eq!(error.to_string(), format!("{} changed while it was read", file.source));
}

#[tokio::test]
async fn notices_a_change_before_the_last_piece() {
    let file = fixture(&vec![7; 3 << 20]);
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
                Ok(piece) => assert!(piece.is_some(), "{change}: the body ended well"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, OriginError::Changed { .. }), "{change}: {error}");
        let again = reply.body.chunk().await.unwrap_err();
        assert!(matches!(again, OriginError::Changed { .. }), "an error must not turn into an end: {again}");
    }
}

#[tokio::test]
async fn loses_no_bytes_when_a_caller_lets_go() {
    let content: Vec<u8> = (0..3_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let file = fixture(&content);
    let mut reply = file.origins.read(&file.source, None, None).await.unwrap();
    let mut read = Vec::new();
    loop {
        // Polled once and dropped: the read goes on without a caller.
        let first_look = futures_util::future::poll_immediate(reply.body.chunk()).await;
        let piece = match first_look {
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
async fn says_what_is_wrong_with_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    std::fs::write(dir.path().join("file"), b"x").unwrap();
    for (name, message) in [
        ("none", "{} does not exist"),
        ("file/below", "{} does not exist"),
        (".", "{} gave an answer that cannot be used: it is a directory"),
        ("pipe", "{} gave an answer that cannot be used: it is not a regular file"),
    ] {
        let source: SourceUrl = format!("file://{}/{name}", dir.path().display()).parse().unwrap();
        let error = origins.read(&source, None, None).await.err().unwrap();
        assert_eq!(error.to_string(), message.replace("{}", &source.to_string()));
    }
}

#[test]
fn says_who_may_not_read_a_file() {
    let source: SourceUrl = "file:///srv/a.img".parse().unwrap();
    let asked = super::Asked { source: &source, path: source.as_file().unwrap(), range: None, expect: None };
    let error = super::explain(&std::io::ErrorKind::PermissionDenied.into(), asked, "file://");
    assert!(matches!(error, OriginError::AccessDenied { .. }));
    let user = rustix::process::geteuid().as_raw();
    assert!(
        error
            .to_string()
            .starts_with(&format!("file:// refused file:///srv/a.img to user id {user} (permission denied)"))
    );
}
