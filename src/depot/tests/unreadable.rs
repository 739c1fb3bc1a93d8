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

#[tokio::test]
async fn truncation_while_read_cuts_transfer() {
    for delivery in [Delivery::Copied, Delivery::Mapped] {
        let (test, path) = cached().await;
        let reader = test.depot.read(&test.found()).await.unwrap();
        let mut stream = reader.stream(ByteRange::whole(SIZE as u64), delivery).await.unwrap();
        stream.next().await.unwrap().unwrap();
        truncate(&path);
        let mut received = 0;
        let error = loop {
            match stream.next().await.unwrap() {
                Ok(bytes) => received += bytes.len(),
                Err(error) => break error.to_string(),
            }
        };
        assert!(received < SIZE && error.starts_with("the cache cannot be read: "), "{error}");
        let (got, end) = test.get_all().await;
        assert!(got == test.data);
        assert_eq!(end.unwrap(), CacheState::Miss);
        assert!(test.dir.path().join("quarantine").join(path.file_name().unwrap()).exists());
    }
}

#[tokio::test]
async fn replaced_blob_file_is_reopened() {
    let (test, path) = cached().await;
    let copy = test.dir.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    truncate(&path);
    fs::rename(&copy, &path).unwrap();
    let requests = test.origins[0].requests();
    let (got, end) = test.get_all().await;
    assert!(got == test.data);
    end.unwrap();
    test.depot.close().await;
    assert!(test.is_cached(), "the replaced file is valid");
    assert_eq!(test.origins[0].requests(), requests);
}
