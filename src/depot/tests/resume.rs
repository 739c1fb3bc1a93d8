//! Fills that go on after a restart.

use super::*;

#[tokio::test]
async fn a_stopped_fill_goes_on_where_it_was() {
    let mut test = TestDepot::with(&[&[Fault::HoldFrom { at: 2_000_000 }]], |h| h.asset.size = Some(SIZE as u64)).await;
    let depot = test.depot.clone();
    let reading = tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
    while test.origins[0].sent("disk.img") < 1_900_000 {
        tokio::task::yield_now().await;
    }
    while !test.depot.active_fills().values().any(|fill| fill.progress().written() >= 1_800_000) {
        tokio::task::yield_now().await;
    }
    test.depot.close().await;
    let (_, end) = reading.await.unwrap();
    assert!(matches!(end, Err(ReadError::Closing)));
    test.origins[0].heal();
    test.reopen().await;
    let before = test.origins[0].sent("disk.img");
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
    assert!(test.origins[0].sent("disk.img") - before < 1_700_000, "whole parts were not asked for again");
}

#[tokio::test]
async fn what_an_earlier_run_left_is_proven_anew() {
    let mut test = TestDepot::with(&[&[Fault::HoldFrom { at: 2_000_000 }]], |h| h.asset.size = Some(SIZE as u64)).await;
    let depot = test.depot.clone();
    tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
    while !test.depot.active_fills().values().any(|fill| fill.progress().written() >= 1_800_000) {
        tokio::task::yield_now().await;
    }
    test.depot.close().await;
    // The disk lies: a byte of the partial is not what was written.
    let partial = test.dir.path().join("partial").join(test.asset.digest.to_string());
    let mut data = std::fs::read(&partial).unwrap();
    data[77] ^= 1;
    std::fs::write(&partial, data).unwrap();
    test.origins[0].heal();
    test.reopen().await;
    let (_, first) = test.get_all().await;
    if let Err(error) = first {
        assert_eq!(error.outcome(), Outcome::DigestMismatch, "the reader had been given bytes of the lying disk");
    }
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data, "the source was not blamed for the disk's fault");
}

/// Copies a directory as it is: what a process that is killed in this moment leaves behind.
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

/// Parts may be larger than all that comes before a fill is cut short: it gets somewhere nevertheless.
#[tokio::test]
async fn what_came_of_a_part_outlives_the_process() {
    for size in [None, Some(SIZE as u64)] {
        let mut test = TestDepot::with(&[&[Fault::HoldFrom { at: 2_900_000 }]], |h| {
            h.asset.size = size;
            h.settings.part_size = 8 << 20;
        })
        .await;
        let depot = test.depot.clone();
        tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
        while !test.depot.active_fills().values().any(|fill| fill.progress().written() >= 2_800_000) {
            tokio::task::yield_now().await;
        }
        // The log is written after the books.
        let log = test.dir.path().join("partial").join(format!("{}.map", test.asset.digest));
        while !std::fs::read_to_string(&log).unwrap().contains("{\"written\":10}") {
            tokio::task::yield_now().await;
        }
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
            test.settle().await;
            let came = test.depot.past_fills()[0].received;
            assert_eq!(came, SIZE as u64 - 11 * (256 << 10), "only what was not here was read");
        }
    }
}
