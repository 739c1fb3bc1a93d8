//! Blobs that the disk gives no bytes of while they are open.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;

/// A test that has the blob, open, and the blob's file.
async fn test() -> (TestDepot, PathBuf) {
    let test = TestDepot::new(&[&[]]).await;
    test.get_all().await.1.unwrap();
    test.settle().await;
    let hex = test.asset.digest.to_string();
    let path = test.dir.path().join("blobs/sha256").join(&hex[..2]).join(&hex);
    (test, path)
}

fn truncate(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_len(100_000).unwrap();
}

/// What a client is told that asks for bytes which are not there any more. What is mapped of them is not touched.
async fn fault(test: &TestDepot, delivery: Delivery) -> String {
    let reader = test.depot.read(&test.found()).await.unwrap();
    let mut stream = reader.stream(ByteRange::new(1_000_000, SIZE as u64), delivery).await.unwrap();
    stream.next().await.unwrap().unwrap_err().to_string()
}

#[tokio::test]
async fn a_blob_that_lost_bytes_while_it_was_open_is_fetched_again() {
    for (delivery, mapped, frame, why) in [
        (Delivery::Copied, false, "1000000-1048575", "unexpected end of file"),
        (Delivery::Mapped, false, "1000000-2999999", "unexpected end of file"),
        (Delivery::Mapped, true, "1000000-2999999", "Input/output error (os error 5)"),
    ] {
        let (test, path) = test().await;
        if mapped {
            let reader = test.depot.read(&test.found()).await.unwrap();
            let mut stream = reader.stream(ByteRange::whole(SIZE as u64), Delivery::Mapped).await.unwrap();
            stream.next().await.unwrap().unwrap();
        }
        truncate(&path);
        let told = fault(&test, delivery).await;
        assert_eq!(told, format!("the cache cannot be read: bytes {frame} of a blob: {why}"));
        let given_up = async {
            while test.blob_is_here() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), given_up).await.expect("it is given up");
        let (got, end) = test.get_all().await;
        assert!(got == test.data);
        assert_eq!(end.unwrap(), CacheState::Miss);
        assert!(test.dir.path().join("quarantine").join(path.file_name().unwrap()).exists());
    }
}

#[tokio::test]
async fn a_blob_whose_open_file_alone_is_bad_is_opened_again() {
    let (test, path) = test().await;
    let copy = test.dir.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    truncate(&path);
    fs::rename(&copy, &path).unwrap();
    let requests = test.origins[0].requests();
    fault(&test, Delivery::Mapped).await;
    let (got, end) = test.get_all().await;
    assert!(got == test.data);
    assert_eq!(end.unwrap(), CacheState::Hit);
    test.depot.close().await;
    assert!(test.blob_is_here(), "what is there now is as it should be");
    assert_eq!(test.origins[0].requests(), requests);
}
