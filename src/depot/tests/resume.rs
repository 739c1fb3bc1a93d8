//! Fills that go on after a restart.

use super::*;

#[tokio::test]
async fn a_stopped_fill_goes_on_where_it_was() {
    let mut house = House::with(&[&[Fault::HoldFrom { at: 2_000_000 }]], |h| h.asset.size = Some(SIZE as u64)).await;
    let depot = house.depot.clone();
    let reading = tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
    while house.shelves[0].sent("disk.img") < 1_900_000 {
        tokio::task::yield_now().await;
    }
    while !house.depot.filling().values().any(|fill| fill.board().written() >= 1_800_000) {
        tokio::task::yield_now().await;
    }
    house.depot.close().await;
    let (_, end) = reading.await.unwrap();
    assert!(matches!(end, Err(ReadError::Closing)));
    house.shelves[0].heal();
    house.reopen().await;
    let before = house.shelves[0].sent("disk.img");
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
    assert!(house.shelves[0].sent("disk.img") - before < 1_700_000, "whole parts were not asked for again");
}

#[tokio::test]
async fn what_an_earlier_run_left_is_proven_anew() {
    let mut house = House::with(&[&[Fault::HoldFrom { at: 2_000_000 }]], |h| h.asset.size = Some(SIZE as u64)).await;
    let depot = house.depot.clone();
    tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
    while !house.depot.filling().values().any(|fill| fill.board().written() >= 1_800_000) {
        tokio::task::yield_now().await;
    }
    house.depot.close().await;
    // The disk lies: a byte of the partial is not what was written.
    let partial = house.dir.path().join("partial").join(house.asset.digest.to_string());
    let mut data = std::fs::read(&partial).unwrap();
    data[77] ^= 1;
    std::fs::write(&partial, data).unwrap();
    house.shelves[0].heal();
    house.reopen().await;
    let (_, first) = house.get_all().await;
    if let Err(error) = first {
        assert_eq!(error.outcome(), Outcome::DigestMismatch, "the reader had been given bytes of the lying disk");
    }
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data, "the source was not blamed for the disk's fault");
}
