//! Fills that resume after a restart.

use super::*;

#[tokio::test]
async fn stopped_fill_resumes() {
    let mut test = TestDepot::with(&[&[Fault::HoldFrom { at: 2_000_000 }]], |h| h.asset.size = Some(SIZE as u64)).await;
    let depot = test.depot.clone();
    let reading = tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
    wait_until(|| test.origins[0].sent("disk.img") >= 1_900_000).await;
    wait_until(|| test.depot.active_fills().values().any(|fill| fill.progress().written() >= 1_800_000)).await;
    test.depot.close().await;
    let (_, end) = reading.await.unwrap();
    assert!(matches!(end, Err(ReadError::Closing)));
    test.origins[0].heal();
    test.reopen().await;
    let before = test.origins[0].sent("disk.img");
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
    assert!(test.origins[0].sent("disk.img") - before < 1_700_000, "written parts are not fetched again");
}

#[tokio::test]
async fn corrupt_partial_is_detected_on_resume() {
    let mut test = TestDepot::with(&[&[Fault::HoldFrom { at: 2_000_000 }]], |h| h.asset.size = Some(SIZE as u64)).await;
    let depot = test.depot.clone();
    tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
    wait_until(|| test.depot.active_fills().values().any(|fill| fill.progress().written() >= 1_800_000)).await;
    test.depot.close().await;
    // The disk corrupts one byte of the partial blob.
    let partial = test.dir.path().join("partial").join(test.asset.digest.to_string());
    let mut data = std::fs::read(&partial).unwrap();
    data[77] ^= 1;
    std::fs::write(&partial, data).unwrap();
    test.origins[0].heal();
    test.reopen().await;
    // A reader that has sent the corrupt byte fails; one that has not gets the refetched bytes.
    match test.get_all().await {
        (got, Ok(_)) => assert!(got == test.data),
        (_, Err(error)) => assert_eq!(error.outcome(), Outcome::DigestMismatch),
    }
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data, "the source is used again");
}

/// Copies a directory, as a process that is killed now would leave it.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A fill makes progress even if each run is interrupted before its first part is complete.
#[tokio::test]
async fn written_chunks_survive_kill() {
    for size in [None, Some(SIZE as u64)] {
        let mut test = TestDepot::with(&[&[Fault::HoldFrom { at: 2_900_000 }]], |h| {
            h.asset.size = size;
            h.settings.part_size = 8 << 20;
        })
        .await;
        let depot = test.depot.clone();
        tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
        wait_until(|| test.depot.active_fills().values().any(|fill| fill.progress().written() >= 2_800_000)).await;
        // The log is written after the progress.
        let log = test.dir.path().join("partial").join(format!("{}.map", test.asset.digest));
        wait_until(|| std::fs::read_to_string(&log).unwrap().contains("{\"written\":10}")).await;
        let killed = tempfile::tempdir().unwrap();
        copy(test.dir.path(), killed.path());
        test.depot.close().await;
        test.origins[0].heal();
        for dir in [killed, std::mem::replace(&mut test.dir, tempfile::tempdir().unwrap())] {
            test.dir = dir;
            test.reopen().await;
            let (got, end) = test.get_all().await;
            end.unwrap();
            assert!(got == test.data);
            test.wait_for_fills().await;
            let came = test.depot.past_fills()[0].received;
            assert_eq!(came, SIZE as u64 - 11 * (256 << 10), "only missing bytes are fetched");
        }
    }
}
