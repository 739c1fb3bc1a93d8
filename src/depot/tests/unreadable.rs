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

/// The error of a read of bytes that the file no longer has. Mapped pages of them are not touched.
async fn read_error(test: &TestDepot, delivery: Delivery) -> String {
    let reader = test.depot.read(&test.found()).await.unwrap();
    let mut stream = reader.stream(ByteRange::new(1_000_000, SIZE as u64), delivery).await.unwrap();
    stream.next().await.unwrap().unwrap_err().to_string()
}

#[tokio::test]
async fn truncated_blob_is_quarantined_and_refetched() {
    for (delivery, mapped, frame, why) in [
        (Delivery::Copied, false, "1000000-1048575", "unexpected end of file"),
        (Delivery::Mapped, false, "1000000-2999999", "unexpected end of file"),
        (Delivery::Mapped, true, "1000000-2999999", "Input/output error (os error 5)"),
    ] {
        let (test, path) = cached().await;
        if mapped {
            let reader = test.depot.read(&test.found()).await.unwrap();
            let mut stream = reader.stream(ByteRange::whole(SIZE as u64), Delivery::Mapped).await.unwrap();
            stream.next().await.unwrap().unwrap();
        }
        truncate(&path);
        let error = read_error(&test, delivery).await;
        assert_eq!(error, format!("the cache cannot be read: bytes {frame} of a blob: {why}"));
        wait_until(|| !test.is_cached()).await;
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
    read_error(&test, Delivery::Mapped).await;
    let (got, end) = test.get_all().await;
    assert!(got == test.data);
    assert_eq!(end.unwrap(), CacheState::Hit);
    test.depot.close().await;
    assert!(test.is_cached(), "the replaced file is valid");
    assert_eq!(test.origins[0].requests(), requests);
}
