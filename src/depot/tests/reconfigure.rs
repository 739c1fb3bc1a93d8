//! New catalogs, origins and settings while a depot is in use.

use super::*;
use crate::asset::SourceUrl;

impl TestDepot {
    /// Switches to a catalog that has the asset with these sources, or no asset without sources.
    fn reconfigure(&self, sources: Vec<SourceUrl>) {
        let asset = Asset { sources, ..self.asset.clone() };
        let assets = if asset.sources.is_empty() { Vec::new() } else { vec![asset] };
        let catalog = Catalog::new(assets).unwrap();
        self.depot.reconfigure(DepotConfig { catalog, origins: None, settings: self.settings.clone() });
    }

    fn source(&self, index: usize) -> SourceUrl {
        self.origins[index].url("disk.img")
    }
}

#[tokio::test]
async fn stream_survives_removal_from_catalog() {
    let test = TestDepot::new(&[&[Fault::HoldFrom { at: 1_000_000 }]]).await;
    let asset = test.found();
    let reader = test.depot.read(&asset).await.unwrap();
    let mut stream = reader.stream(ByteRange::whole(SIZE as u64), Delivery::Copied).await.unwrap();
    let mut got = stream.next().await.unwrap().unwrap().read().unwrap().to_vec();
    for round in 0..100 {
        test.reconfigure(if round % 2 == 0 { Vec::new() } else { vec![test.source(0)] });
    }
    test.reconfigure(Vec::new());
    assert!(test.depot.find("disk.img").is_none() && test.depot.find_digest(&asset.digest).is_none());
    test.origins[0].heal();
    while let Some(piece) = stream.next().await {
        got.extend_from_slice(&piece.unwrap().read().unwrap());
    }
    assert!(got == test.data);
    test.wait_for_fills().await;
    assert!(test.is_cached(), "the fill completes");
    assert_eq!(test.origins[0].sent("disk.img"), SIZE as u64, "every byte is sent once");
}

#[tokio::test]
async fn cached_failure_applies_to_its_sources() {
    let test = TestDepot::new(&[&[Fault::Status(404)], &[]]).await;
    test.reconfigure(vec![test.source(0)]);
    let missing = async || test.get_all().await.1.unwrap_err().outcome() == Outcome::NotFound;
    assert!(missing().await);
    test.wait_for_fills().await;
    let requests = test.origins[0].requests();
    test.reconfigure(vec![test.source(0)]);
    assert!(missing().await);
    assert_eq!(test.origins[0].requests(), requests, "the failure is still cached");
    test.reconfigure(vec![test.source(1)]);
    assert_eq!(test.depot.size(&test.found()).await.unwrap(), SIZE as u64);
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn new_origins_discard_cached_failure() {
    let test = TestDepot::new(&[&[Fault::Status(404)]]).await;
    assert!(test.get_all().await.1.is_err());
    test.wait_for_fills().await;
    let requests = test.origins[0].requests();
    let origins = Some(Origins::new(Vec::new(), Timeouts::default()).unwrap());
    let catalog = Catalog::new(vec![test.asset.clone()]).unwrap();
    test.depot.reconfigure(DepotConfig { catalog, origins, settings: test.settings.clone() });
    assert!(test.get_all().await.1.is_err());
    assert!(test.origins[0].requests() > requests);
}

#[tokio::test]
async fn retained_asset_is_found_by_name() {
    let test = TestDepot::new(&[&[]]).await;
    let asset = test.found();
    let (first, second) =
        (test.depot.retain(&asset, RetentionReason::Operator), test.depot.retain(&asset, RetentionReason::Job(1)));
    test.reconfigure(Vec::new());
    assert!(Arc::ptr_eq(&test.found(), &asset));
    assert_eq!(test.depot.find_digest(&asset.digest).unwrap().name, asset.name);
    drop(first);
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
    test.reconfigure(vec![test.source(0)]);
    assert!(!Arc::ptr_eq(&test.found(), &asset), "the catalog takes precedence");
    test.reconfigure(Vec::new());
    drop(second);
    assert!(test.depot.find("disk.img").is_none());
}

#[tokio::test]
async fn configured_pins_follow_catalog() {
    let test = TestDepot::new(&[&[]]).await;
    let cache = &test.depot.shared.cache;
    for pin in [true, false, true, true, false] {
        let asset = Asset { pin, ..test.asset.clone() };
        let catalog = Catalog::new(vec![asset]).unwrap();
        test.depot.reconfigure(DepotConfig { catalog, origins: None, settings: test.settings.clone() });
        assert_eq!(cache.is_pinned(&test.asset.digest), pin);
    }
}

#[tokio::test]
async fn reconfiguring_leaks_nothing() {
    let test = TestDepot::new(&[&[]]).await;
    for _ in 0..1000 {
        let origins = Some(test.depot.snapshot().origins.clone());
        let catalog = Catalog::new(vec![Asset { pin: true, ..test.asset.clone() }]).unwrap();
        test.depot.reconfigure(DepotConfig { catalog, origins, settings: test.settings.clone() });
    }
    let (catalog, asset) = (test.depot.catalog(), test.found());
    test.reconfigure(vec![test.source(0)]);
    assert_eq!((Arc::strong_count(&catalog), Arc::strong_count(&asset)), (1, 3), "one here, two in the catalog");
    assert!(!test.depot.shared.cache.is_pinned(&test.asset.digest));
}
