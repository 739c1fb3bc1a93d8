//! A disk that fails while an asset is filled: every client gets the right bytes.

use std::sync::atomic::{AtomicBool, Ordering};

use bootdepot_test_support::deadline::stretch;
use tokio::time::timeout;

use super::*;

/// Fault points that fail with `errno` where `hits` says so, while the returned switch is on.
fn faults(errno: i32, hits: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> (FaultPoints, Arc<AtomicBool>) {
    let failing = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&failing);
    let faults = FaultPoints::with_hook(move |action, path| {
        let fails = switch.load(Ordering::SeqCst) && hits(action, &path.to_string_lossy());
        if fails { Err(std::io::Error::from_raw_os_error(errno)) } else { Ok(()) }
    });
    (faults, failing)
}

/// Whether this is the path of the log of a partial's parts.
fn is_log(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "map")
}

#[tokio::test]
async fn failed_admission_serves_whole_asset() {
    for (action, errno) in [
        ("rename", libc::EIO),
        ("rename", libc::EROFS),
        ("rename", libc::ESTALE),
        ("fsync", libc::EIO),
        ("fsync", libc::ENOSPC),
        ("seal", libc::EPERM),
        ("create", libc::EACCES),
        ("create", libc::ENOSPC),
    ] {
        let hex = Digest::of(&bytes(1)).to_string();
        let (faults, _) = faults(errno, move |failing, path| {
            let is_shard = path.ends_with(&format!("sha256/{}", &hex[..2]));
            failing == action && if action == "create" { is_shard } else { path.ends_with(&hex) }
        });
        let test = TestDepot::with(&[&[]], |test| test.faults = faults).await;
        let ends = futures_util::future::join_all((0..20).map(|_| test.get_all())).await;
        for (got, end) in ends {
            end.unwrap_or_else(|error| panic!("{action} {errno}: {error}"));
            assert!(got == test.data, "{action} {errno}");
        }
        assert_eq!(test.origins[0].sent("disk.img"), SIZE as u64, "{action} {errno}: every byte is sent once");
        test.wait_for_fills().await;
        assert!(!test.is_cached());
        assert_eq!(test.depot.cache().stats().partial_bytes, 0, "{action} {errno}");
        assert_eq!(test.depot.cache().probe(), Ok(()), "one bad path is no bad cache");
        let (got, end) = test.get_all().await;
        assert_eq!(end.unwrap(), CacheState::Bypass);
        assert!(got == test.data);
    }
}

#[tokio::test]
async fn failed_admission_is_no_preload() {
    let (faults, failing) = faults(libc::EIO, |action, path| action == "rename" && !path.ends_with("probe"));
    let test = TestDepot::with(&[&[]], |test| test.faults = faults).await;
    let error = test.depot.fetch(&test.found()).await.unwrap_err();
    assert!(matches!(&error, FetchError::NotStored(reason) if reason.contains("rename")), "{error}");
    failing.store(false, Ordering::SeqCst);
    test.wait_for_fills().await;
    test.depot.fetch(&test.found()).await.unwrap();
    assert!(test.is_cached());
}

/// A depot whose origin holds back bytes from the middle on, and a reader that has sent the first bytes.
async fn half_read(test: &TestDepot) -> (ByteStream, Vec<u8>) {
    let reader = test.depot.read(&test.found()).await.unwrap();
    let mut stream = reader.stream(ByteRange::whole(SIZE as u64), Delivery::Copied).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 200_000 {
        got.extend_from_slice(&stream.next().await.unwrap().unwrap().read().unwrap());
    }
    (stream, got)
}

async fn finish(mut stream: ByteStream, mut got: Vec<u8>) -> (Vec<u8>, Result<(), ReadError>) {
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => got.extend_from_slice(&piece.read().unwrap()),
            Err(error) => return (got, Err(error)),
        }
    }
    (got, Ok(()))
}

#[tokio::test]
async fn disk_failure_mid_fill_continues_from_origin() {
    for errno in [libc::EIO, libc::EROFS, libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::ESTALE] {
        let (faults, failing) = faults(errno, |action, path| action == "write" && !is_log(path));
        failing.store(false, Ordering::SeqCst);
        let test = TestDepot::with(&[&[Fault::HoldFrom { at: 1_000_000 }]], |test| test.faults = faults).await;
        let readers = futures_util::future::join_all((0..10).map(|_| half_read(&test))).await;
        failing.store(true, Ordering::SeqCst);
        test.origins[0].heal();
        let ends = futures_util::future::join_all(readers.into_iter().map(|(stream, got)| finish(stream, got))).await;
        for (got, end) in ends {
            end.unwrap_or_else(|error| panic!("errno {errno}: {error}"));
            assert!(got == test.data, "errno {errno}");
        }
        test.wait_for_fills().await;
        assert!(!test.is_cached());
        let sent = test.origins[0].sent("disk.img");
        assert!(sent <= 3 * SIZE as u64, "errno {errno}: {sent} bytes were sent for ten readers");
    }
}

/// The fill's source has sent a wrong byte, which no hash has shown when the disk fails.
#[tokio::test]
async fn wrong_bytes_before_disk_failure_never_complete() {
    let (faults, failing) = faults(libc::EIO, |action, path| action == "write" && !is_log(path));
    failing.store(false, Ordering::SeqCst);
    let origin: &[Fault] = &[Fault::Flip { at: 10 }, Fault::HoldFrom { at: 1_000_000 }];
    let test = TestDepot::with(&[origin], |test| test.faults = faults).await;
    let (stream, got) = half_read(&test).await;
    failing.store(true, Ordering::SeqCst);
    test.origins[0].heal();
    let (got, end) = finish(stream, got).await;
    assert!(got.len() < SIZE, "the end is held back");
    let error = end.unwrap_err().to_string();
    assert!(error.contains("which were sent before, are not those of the origin"), "{error}");
}

#[tokio::test]
async fn unwritable_log_does_not_stop_fill() {
    for errno in [libc::ENOSPC, libc::EIO] {
        let (faults, _) = faults(errno, |action, path| action != "remove" && is_log(path));
        let test = TestDepot::with(&[&[]], |test| test.faults = faults).await;
        let (got, end) = test.get_all().await;
        end.unwrap();
        assert!(got == test.data);
        test.wait_for_fills().await;
        assert!(test.is_cached(), "the log is only for a restart");
        assert_eq!(test.depot.cache().probe(), Ok(()));
    }
}

#[tokio::test]
async fn bypassing_readers_share_one_read() {
    let test = TestDepot::with(&[&[Fault::HoldFrom { at: 1_000_000 }]], |test| test.max_size = 1 << 20).await;
    let readers = futures_util::future::join_all((0..50).map(|_| half_read(&test))).await;
    test.origins[0].heal();
    let ends = futures_util::future::join_all(readers.into_iter().map(|(stream, got)| finish(stream, got))).await;
    for (got, end) in ends {
        end.unwrap();
        assert!(got == test.data);
    }
    let sent = test.origins[0].sent("disk.img");
    // The fill's first request, which learns the size, and one read for all.
    assert!(sent <= 2 * SIZE as u64, "{sent} bytes were sent");
}

#[tokio::test]
async fn later_range_wakes_paused_bypass() {
    let test = TestDepot::with(&[&[]], |test| test.max_size = 1 << 20).await;
    let reader = test.depot.read(&test.found()).await.unwrap();
    let mut paused = reader.stream(ByteRange::whole(SIZE as u64), Delivery::Copied).await.unwrap();
    let first = paused.next().await.unwrap().unwrap().read().unwrap().to_vec();
    // It reads ahead, and then waits for this reader.
    wait_until(|| test.origins[0].sent("disk.img") > 1 << 20).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let end = ByteRange::new(SIZE as u64 - 1000, SIZE as u64);
    let later = async { finish(reader.stream(end, Delivery::Copied).await.unwrap(), Vec::new()).await };
    let (got, ended) = timeout(stretch(Duration::from_mins(1)), later).await.expect("it hangs");
    ended.unwrap();
    assert!(got == test.data[SIZE - 1000..]);
    let (got, ended) = finish(paused, first).await;
    ended.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn slow_bypassing_reader_is_left_behind_and_completes() {
    let test = TestDepot::with(&[&[]], |test| {
        test.max_size = 1 << 20;
        let image = test.data.repeat(4);
        test.asset.digest = Digest::of(&image);
        test.origins[0].put("disk.img", image.clone());
        test.data = image;
    })
    .await;
    let whole = ByteRange::whole(test.data.len() as u64);
    let reader = test.depot.read(&test.found()).await.unwrap();
    let mut slow = reader.stream(whole, Delivery::Copied).await.unwrap();
    let first = slow.next().await.unwrap().unwrap().read().unwrap().to_vec();
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data, "a fast reader does not wait for a slow one for ever");
    let (got, end) = finish(slow, first).await;
    end.unwrap();
    assert!(got == test.data);
}
