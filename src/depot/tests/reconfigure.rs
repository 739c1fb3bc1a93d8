//! Other assets, origins and settings under a depot that is in use.

use super::*;
use crate::asset::SourceUrl;

impl House {
    /// The same asset with these sources, in the place of all that there was.
    fn restock(&self, sources: Vec<SourceUrl>) {
        let asset = Asset { sources, ..self.asset.clone() };
        let assets = if asset.sources.is_empty() { Vec::new() } else { vec![asset] };
        let catalog = Catalog::new(assets).unwrap();
        self.depot.restock(Stock { catalog, origins: None, settings: self.settings.clone() });
    }

    fn source(&self, index: usize) -> SourceUrl {
        self.shelves[index].url("disk.img")
    }
}

#[tokio::test]
async fn whoever_reads_goes_on_with_what_the_catalog_has_no_more() {
    let house = House::new(&[&[Fault::HoldFrom { at: 1_000_000 }]]).await;
    let asset = house.found();
    let reader = house.depot.read(&asset).await.unwrap();
    let mut stream = reader.stream(ByteRange::whole(SIZE as u64), Delivery::Copied).await.unwrap();
    let mut got = stream.next().await.unwrap().unwrap().to_vec();
    for round in 0..100 {
        house.restock(if round % 2 == 0 { Vec::new() } else { vec![house.source(0)] });
    }
    house.restock(Vec::new());
    assert!(house.depot.find("disk.img").is_none() && house.depot.find_digest(&asset.digest).is_none());
    house.shelves[0].heal();
    while let Some(piece) = stream.next().await {
        got.extend_from_slice(&piece.unwrap());
    }
    assert!(got == house.data);
    house.settle().await;
    assert!(house.blob_is_here(), "the fill went on to its end");
    assert_eq!(house.shelves[0].sent("disk.img"), SIZE as u64, "every byte crossed once");
}

#[tokio::test]
async fn a_failure_is_held_against_its_sources_alone() {
    let house = House::new(&[&[Fault::Status(404)], &[]]).await;
    house.restock(vec![house.source(0)]);
    let missing = async || house.get_all().await.1.unwrap_err().outcome() == Outcome::NotFound;
    assert!(missing().await);
    house.settle().await;
    let requests = house.shelves[0].requests();
    house.restock(vec![house.source(0)]);
    assert!(missing().await);
    assert_eq!(house.shelves[0].requests(), requests, "nothing has changed for it");
    house.restock(vec![house.source(1)]);
    assert_eq!(house.depot.size(&house.found()).await.unwrap(), SIZE as u64);
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

#[tokio::test]
async fn other_origins_are_asked_again() {
    let house = House::new(&[&[Fault::Status(404)]]).await;
    assert!(house.get_all().await.1.is_err());
    house.settle().await;
    let requests = house.shelves[0].requests();
    let origins = Some(Origins::new(Vec::new(), Timeouts::default()).unwrap());
    let catalog = Catalog::new(vec![house.asset.clone()]).unwrap();
    house.depot.restock(Stock { catalog, origins, settings: house.settings.clone() });
    assert!(house.get_all().await.1.is_err());
    assert!(house.shelves[0].requests() > requests);
}

#[tokio::test]
async fn what_is_held_is_found_by_its_name_until_it_is_let_go() {
    let house = House::new(&[&[]]).await;
    let asset = house.found();
    let (first, second) = (house.depot.hold(&asset, Holder::Operator), house.depot.hold(&asset, Holder::Job(1)));
    house.restock(Vec::new());
    assert!(Arc::ptr_eq(&house.found(), &asset));
    assert_eq!(house.depot.find_digest(&asset.digest).unwrap().name, asset.name);
    drop(first);
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
    house.restock(vec![house.source(0)]);
    assert!(!Arc::ptr_eq(&house.found(), &asset), "the catalog's word goes first");
    house.restock(Vec::new());
    drop(second);
    assert!(house.depot.find("disk.img").is_none());
}

#[tokio::test]
async fn pins_of_the_settings_come_and_go() {
    let house = House::new(&[&[]]).await;
    let cache = &house.depot.shared.cache;
    for pin in [true, false, true, true, false] {
        let asset = Asset { pin, ..house.asset.clone() };
        let catalog = Catalog::new(vec![asset]).unwrap();
        house.depot.restock(Stock { catalog, origins: None, settings: house.settings.clone() });
        assert_eq!(cache.is_pinned(&house.asset.digest), pin);
    }
}

#[tokio::test]
async fn a_thousand_changes_leave_nothing_behind() {
    let house = House::new(&[&[]]).await;
    for _ in 0..1000 {
        let origins = Some(house.depot.supply().origins.clone());
        let catalog = Catalog::new(vec![Asset { pin: true, ..house.asset.clone() }]).unwrap();
        house.depot.restock(Stock { catalog, origins, settings: house.settings.clone() });
    }
    let (catalog, asset) = (house.depot.catalog(), house.found());
    house.restock(vec![house.source(0)]);
    assert_eq!((Arc::strong_count(&catalog), Arc::strong_count(&asset)), (1, 3), "ours, and the catalog's two");
    assert!(!house.depot.shared.cache.is_pinned(&house.asset.digest));
}
