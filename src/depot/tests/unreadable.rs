//! Cached blobs that the disk cannot read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;

/// A depot with the blob cached and open, and the blob's file.
async fn cached() -> (TestDepot, PathBuf) {
    let test = TestDepot::new(&[&[]]).await;
    test.get_all().await.1.unwrap();
    test.wait_for_fills().await;
    let hex = test.asset.digest.to_string();
    let path = test.dir.path().join("blobs/sha256").join(&hex[..2]).join(&hex);
    (test, path)
}

fn truncate(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_len(100_000).unwrap();
}

/// Reads bytes that the file no longer has. Mapped pages of them are not touched.
async fn read_lost_bytes(test: &TestDepot, delivery: Delivery) -> (Vec<u8>, CacheState) {
    let reader = test.depot.read(&test.found()).await.unwrap();
    let mut stream = reader.stream(ByteRange::new(1_000_000, SIZE as u64), delivery).await.unwrap();
    let mut got = Vec::new();
    while let Some(piece) = stream.next().await {
        got.extend_from_slice(&piece.unwrap());
    }
    (got, stream.cache_state())
}

#[tokio::test]
async fn truncated_blob_is_quarantined_and_bypassed() {
    for (delivery, mapped) in [(Delivery::Copied, false), (Delivery::Mapped, false), (Delivery::Mapped, true)] {
        let (test, path) = cached().await;
        if mapped {
            let reader = test.depot.read(&test.found()).await.unwrap();
            let mut stream = reader.stream(ByteRange::whole(SIZE as u64), Delivery::Mapped).await.unwrap();
            stream.next().await.unwrap().unwrap();
        }
        truncate(&path);
        let (got, state) = read_lost_bytes(&test, delivery).await;
        assert!(got == test.data[1_000_000..], "the other bytes come from the origin");
        assert_eq!(state, CacheState::Bypass);
        wait_until(|| !test.is_cached()).await;
        let (got, end) = test.get_all().await;
        assert!(got == test.data);
        assert_eq!(end.unwrap(), CacheState::Miss);
        assert!(test.dir.path().join("quarantine").join(path.file_name().unwrap()).exists());
    }
}

/// The bytes that were sent before may be wrong too.
#[tokio::test]
async fn blob_truncated_while_sent_is_cut() {
    let (test, path) = cached().await;
    let reader = test.depot.read(&test.found()).await.unwrap();
    let mut stream = reader.stream(ByteRange::whole(SIZE as u64), Delivery::Copied).await.unwrap();
    stream.next().await.unwrap().unwrap();
    truncate(&path);
    let error = loop {
        match stream.next().await.expect("it does not complete") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.to_string().ends_with("of a blob: unexpected end of file"), "{error}");
}

#[tokio::test]
async fn replaced_blob_file_is_reopened() {
    let (test, path) = cached().await;
    let copy = test.dir.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    truncate(&path);
    fs::rename(&copy, &path).unwrap();
    let (got, _) = read_lost_bytes(&test, Delivery::Mapped).await;
    assert!(got == test.data[1_000_000..]);
    let requests = test.origins[0].requests();
    let (got, end) = test.get_all().await;
    assert!(got == test.data);
    assert_eq!(end.unwrap(), CacheState::Hit);
    test.depot.close().await;
    assert!(test.is_cached(), "the replaced file is valid");
    assert_eq!(test.origins[0].requests(), requests);
}
