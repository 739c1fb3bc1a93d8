//! Fills and transfers as operators see them, active and ended.

use super::*;
use crate::depot::{EvictRefusal, FillEvent, FillOutcome, FillPhase, RetentionReason};

#[tokio::test]
async fn fill_publishes_start_progress_and_end() {
    let test = TestDepot::new(&[&[Fault::HoldFrom { at: 1_000_000 }]]).await;
    let mut events = test.depot.fill_events();
    let (depot, asset) = (test.depot.clone(), test.found());
    let fetching = tokio::spawn(async move { depot.fetch(&asset).await });
    let FillEvent::Began(began) = events.recv().await.unwrap() else { panic!("expected the start") };
    assert_eq!((began.name.as_str(), began.phase), ("disk.img", FillPhase::Waiting));
    wait_until(|| test.depot.fills().iter().any(|fill| fill.bytes >= 500_000)).await;
    let active = test.depot.fills().remove(0);
    assert_eq!(active.phase, FillPhase::Filling);
    assert_eq!(active.size, Some(SIZE as u64));
    assert!(active.received >= active.bytes && active.bytes < SIZE as u64);
    assert_eq!(active.digest, test.asset.digest);
    test.origins[0].heal();
    fetching.await.unwrap().unwrap();
    assert!(test.depot.fills().is_empty());
    let past = test.depot.past_fills();
    assert_eq!(past.len(), 1);
    assert_eq!((past[0].outcome, past[0].received, &past[0].detail), (FillOutcome::Complete, SIZE as u64, &None));
    assert_eq!(events.recv().await.unwrap(), FillEvent::Ended(past[0].clone()));
}

#[tokio::test]
async fn failed_fills_keep_reason_and_limit() {
    let test = TestDepot::with(&[&[Fault::Status(404)]], |test| test.settings.negative_ttl = Duration::ZERO).await;
    for _ in 0..205 {
        test.depot.fetch(&test.found()).await.unwrap_err();
        test.wait_for_fills().await;
    }
    let past = test.depot.past_fills();
    assert_eq!(past.len(), 200);
    assert_eq!(past[0].outcome, FillOutcome::OriginFailed);
    assert!(past[0].detail.as_ref().unwrap().contains("no source has it"), "{:?}", past[0].detail);
    assert!(past[0].ended >= past[199].ended, "newest first");
}

#[tokio::test]
async fn active_transfer_shows_sent_bytes() {
    let test = TestDepot::new(&[&[]]).await;
    let peer = "192.0.2.7:4000".parse().unwrap();
    let mut first = test.depot.transfer(Protocol::Http, peer, "disk.img");
    let second = test.depot.transfer(Protocol::Tftp, peer, "snponly.efi");
    first.set_cache(CacheState::Miss);
    first.add_sent(1000);
    first.add_sent(24);
    second.set_sent(512);
    let open = test.depot.open_transfers();
    assert_eq!(open.iter().map(|open| open.sent).collect::<Vec<_>>(), [1024, 512], "oldest first");
    assert_eq!(
        (open[0].name.as_str(), open[0].cache, open[0].protocol),
        ("disk.img", Some(CacheState::Miss), Protocol::Http)
    );
    assert_eq!(test.depot.sent_so_far()[&open[1].id], 512);
    first.finish(Outcome::Complete, None);
    drop(second);
    assert!(test.depot.open_transfers().is_empty());
    let past = test.depot.past_transfers();
    assert_eq!(past.iter().map(|past| past.outcome).collect::<Vec<_>>(), [Outcome::Aborted, Outcome::Complete]);
    assert_eq!((past[0].transfer.sent, past[1].transfer.sent), (512, 1024));
}

#[tokio::test]
async fn past_transfers_are_limited() {
    let test = TestDepot::new(&[&[]]).await;
    for port in 1..=510 {
        let peer = std::net::SocketAddr::from(([192, 0, 2, 7], port));
        test.depot.transfer(Protocol::Http, peer, "x").finish(Outcome::NotFound, None);
    }
    let past = test.depot.past_transfers();
    assert_eq!((past.len(), past[0].transfer.peer.port(), past[499].transfer.peer.port()), (500, 510, 11));
}

#[tokio::test]
async fn eviction_refusal_lists_reasons() {
    let test = TestDepot::new(&[&[]]).await;
    let asset = test.found();
    let refused = test.depot.evict(&asset).await.unwrap_err();
    assert!(matches!(refused, EvictRefusal::Absent(_)), "{refused}");
    test.depot.fetch(&asset).await.unwrap();
    let retention = test.depot.retain(&asset, RetentionReason::Release("okd-1".to_owned()));
    test.depot.pin("disk.img").await.unwrap();
    let EvictRefusal::Retained { reasons, .. } = test.depot.evict(&asset).await.unwrap_err() else {
        panic!("the blob is retained")
    };
    assert_eq!(reasons, [RetentionReason::Operator, RetentionReason::Release("okd-1".to_owned())]);
    drop(retention);
    test.depot.unpin("disk.img").await.unwrap();
    let reader = test.depot.read(&asset).await.unwrap();
    let refused = test.depot.evict(&asset).await.unwrap_err();
    assert!(matches!(refused, EvictRefusal::InUse(_)), "{refused}");
    drop(reader);
    assert_eq!(test.depot.evict(&asset).await.unwrap(), SIZE as u64);
    assert!(!test.is_cached());
}
