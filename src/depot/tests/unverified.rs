//! Blobs whose file is not the one that was verified: they are hashed before they are served to the end.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;

use super::*;

/// Larger than what is hashed before the first byte is sent.
const LARGE: usize = 65 << 20;

impl TestDepot {
    /// A depot in a new run whose blob has no record, as in a restored backup.
    async fn restored(size: usize) -> Self {
        let mut test = Self::with(&[&[]], |test| {
            test.data.resize(size, 7);
            test.asset.digest = Digest::of(&test.data);
            test.origins[0].put("disk.img", test.data.clone());
        })
        .await;
        test.get_all().await.1.unwrap();
        test.wait_for_fills().await;
        test.reopen_without_records().await;
        assert!(test.depot.is_unverified(&test.asset.digest) && !test.is_cached());
        test
    }

    fn records(&self) -> PathBuf {
        self.dir.path().join("verified.log")
    }

    /// Closing the cache records its blobs; this takes the record away before the next run.
    async fn reopen_without_records(&mut self) {
        self.reopen().await;
        // Nothing is added to it in a run without a fill.
        fs::remove_file(self.records()).unwrap();
        self.reopen().await;
    }

    fn blob_path(&self) -> PathBuf {
        let hex = self.asset.digest.to_string();
        self.dir.path().join("blobs/sha256").join(&hex[..2]).join(&hex)
    }

    /// Overwrites one byte of the blob's file in place.
    fn damage(&self, at: usize) {
        let path = self.blob_path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[!self.data[at]], at as u64).unwrap();
    }

    fn stop_origin(&self) {
        self.origins[0].set_faults(&[Fault::Status(503)]);
    }
}

#[tokio::test]
async fn unverified_blob_needs_no_origin() {
    for size in [SIZE, LARGE] {
        let test = TestDepot::restored(size).await;
        test.stop_origin();
        let requests = test.origins[0].requests();
        let (got, end) = test.get_all().await;
        assert!(got == test.data, "{} of {size} bytes, {end:?}", got.len());
        assert_eq!(end.unwrap(), CacheState::Miss);
        test.wait_for_fills().await;
        assert!(test.is_cached());
        assert_eq!(test.get_all().await.1.unwrap(), CacheState::Hit);
        assert_eq!(test.depot.size(&test.found()).await.unwrap(), size as u64);
        assert_eq!(test.origins[0].requests(), requests);
    }
}

#[tokio::test]
async fn size_of_unverified_blob_is_verified() {
    let test = TestDepot::restored(SIZE).await;
    test.stop_origin();
    assert_eq!(test.depot.size(&test.found()).await.unwrap(), SIZE as u64);
    assert!(test.is_cached());
}

#[tokio::test]
async fn preload_verifies_without_origin() {
    let test = TestDepot::restored(SIZE).await;
    test.stop_origin();
    let progress = test.depot.progress(&test.asset);
    assert_eq!((progress.cached, progress.unverified, progress.bytes), (false, true, SIZE as u64));
    test.depot.fetch(&test.found()).await.unwrap();
    assert!(test.is_cached() && !test.depot.is_unverified(&test.asset.digest));
}

#[tokio::test]
async fn small_corrupt_blob_costs_a_wait() {
    let test = TestDepot::restored(SIZE).await;
    test.damage(SIZE - 9);
    let (got, end) = test.get_all().await;
    assert!(got == test.data);
    end.unwrap();
    assert!(test.dir.path().join("quarantine").join(test.asset.digest.to_string()).exists());
}

#[tokio::test]
async fn large_corrupt_blob_never_ends_complete() {
    let test = TestDepot::restored(LARGE).await;
    let old = fs::File::open(test.blob_path()).unwrap();
    test.damage(1_000_000);
    let depot = test.depot.clone();
    // A client of the damaged bytes, and one of bytes that it has not got yet when the damage is found.
    let (cut, late) = tokio::join!(
        get(&depot, ByteRange::whole(u64::MAX)),
        get(&depot, ByteRange::new(LARGE as u64 - 9, LARGE as u64))
    );
    let (got, end) = cut;
    assert!(end.is_err() || got == test.data, "wrong bytes are complete");
    assert!(got.len() < LARGE || end.is_ok());
    let (got, end) = late;
    end.unwrap();
    assert!(got == test.data[LARGE - 9..]);
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
    // The fill wrote to another file: readers that have the old one mapped keep its bytes.
    let mut byte = [0];
    old.read_exact_at(&mut byte, 1_000_000).unwrap();
    assert_eq!(byte[0], !test.data[1_000_000]);
}

#[tokio::test]
async fn change_while_cached_is_noticed() {
    for size in [1_000, SIZE] {
        let test = TestDepot::with(&[&[]], |test| {
            test.data.truncate(size);
            test.asset.digest = Digest::of(&test.data);
            test.origins[0].put("disk.img", test.data.clone());
        })
        .await;
        test.get_all().await.1.unwrap();
        test.wait_for_fills().await;
        assert_eq!(test.get_all().await.1.unwrap(), CacheState::Hit);
        test.damage(size / 2);
        for _ in 0..2 {
            let (got, end) = test.get_all().await;
            assert!(got == test.data);
            end.unwrap();
        }
    }
}

#[tokio::test]
async fn change_while_sent_cuts_transfer() {
    for delivery in [Delivery::Copied, Delivery::Mapped] {
        let test = TestDepot::new(&[&[]]).await;
        test.get_all().await.1.unwrap();
        test.wait_for_fills().await;
        let reader = test.depot.read(&test.found()).await.unwrap();
        let mut stream = reader.stream(ByteRange::whole(SIZE as u64), delivery).await.unwrap();
        stream.next().await.unwrap().unwrap();
        test.damage(SIZE - 1);
        let mut received = 0;
        let error = loop {
            match stream.next().await.unwrap() {
                Ok(bytes) => received += bytes.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), "the cache cannot be read: the blob's file was changed while it was read");
        assert!(received < SIZE);
        assert!(test.depot.is_unverified(&test.asset.digest));
        let (got, end) = test.get_all().await;
        assert!(got == test.data);
        end.unwrap();
    }
}

#[tokio::test]
async fn removed_file_ends_no_transfer() {
    let test = TestDepot::new(&[&[]]).await;
    test.get_all().await.1.unwrap();
    test.wait_for_fills().await;
    let reader = test.depot.read(&test.found()).await.unwrap();
    let mut stream = reader.stream(ByteRange::whole(SIZE as u64), Delivery::Copied).await.unwrap();
    let mut received = stream.next().await.unwrap().unwrap().read().unwrap().to_vec();
    fs::remove_file(test.blob_path()).unwrap();
    while let Some(bytes) = stream.next().await {
        received.extend_from_slice(&bytes.unwrap().read().unwrap());
    }
    assert!(received == test.data);
    assert_eq!(test.get_all().await.1.unwrap(), CacheState::Miss, "the next transfer looks for the file");
}

#[tokio::test]
async fn wrong_bytes_never_stay_in_memory() {
    let mut test = TestDepot::restored(1_000).await;
    test.get_all().await.1.unwrap();
    test.reopen().await;
    test.damage(500);
    let digest = test.asset.digest;
    assert!(test.depot.cache().get(&digest).is_none());
    test.depot.cache().claim_verified(&digest);
    let (got, end) = test.get_all().await;
    assert_eq!(end.unwrap(), CacheState::Bypass);
    assert!(got == test.data);
    wait_until(|| !test.is_cached()).await;
    for expected in [CacheState::Miss, CacheState::Hit] {
        let (got, end) = test.get_all().await;
        assert_eq!(end.unwrap(), expected);
        assert!(got == test.data);
        test.wait_for_fills().await;
    }
}

#[tokio::test]
async fn hot_bytes_survive_change_on_disk() {
    let test = TestDepot::with(&[&[]], |test| {
        test.data.truncate(1_000);
        test.asset.digest = Digest::of(&test.data);
        test.origins[0].put("disk.img", test.data.clone());
    })
    .await;
    test.get_all().await.1.unwrap();
    test.wait_for_fills().await;
    test.get_all().await.1.unwrap();
    let requests = test.origins[0].requests();
    let mut file = fs::File::create(test.dir.path().join("other")).unwrap();
    file.write_all(b"other bytes").unwrap();
    fs::rename(test.dir.path().join("other"), test.blob_path()).unwrap();
    let (got, end) = test.get_all().await;
    assert!(got == test.data);
    assert_eq!(end.unwrap(), CacheState::Hit);
    assert_eq!(test.origins[0].requests(), requests);
}
