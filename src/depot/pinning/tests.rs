//! Pins across restarts, power cuts and new catalogs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;
use crate::asset::{AssetName, Digest};
use crate::cache::{Cache, CacheSettings};
use crate::catalog::{Asset, Catalog};
use crate::depot::pins::PINS_FILE;
use crate::depot::pins::file::{PinFile, PinnedDigests};
use crate::depot::tests::wait_until;
use crate::depot::{DepotConfig, FillSettings, RetentionReason};
use crate::fault_points::FaultPoints;
use crate::origin::{Origins, Timeouts};

/// Long enough for a busy machine; a test that works never waits for it.
const DEADLINE: Duration = Duration::from_mins(1);

fn digest(seed: u8) -> Digest {
    Digest::from_bytes([seed; 32])
}

fn asset(name: &str, seed: u8) -> Asset {
    let source = format!("file:///nowhere/{name}").parse().unwrap();
    Asset::new(AssetName::parse(name).unwrap(), digest(seed), vec![source])
}

fn catalog(assets: &[(&str, u8)]) -> Catalog {
    Catalog::new(assets.iter().map(|(name, seed)| asset(name, *seed)).collect()).unwrap()
}

fn depot(dir: &Path, assets: &[(&str, u8)]) -> Depot {
    let settings =
        CacheSettings { dir: dir.to_owned(), max_size: 1 << 20, min_free: 0, seal: crate::cache::SealPolicy::Off };
    let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
    Depot::new(catalog(assets), origins, Cache::open(settings).unwrap(), FillSettings::default())
}

/// Switches to another catalog.
fn reconfigure(depot: &Depot, catalog: Catalog) {
    depot.reconfigure(DepotConfig { catalog, origins: None, settings: FillSettings::default() });
    depot.save_pins();
}

/// Pins a name, on this thread.
fn change(depot: &Depot, name: &str) -> Result<bool, PinError> {
    depot.shared.pins.change(name, true, &|| depot.catalog())
}

/// The pinned names; those that are not in the catalog in parentheses.
fn pinned(depot: &Depot) -> Vec<String> {
    let name = |pin: Pin| if pin.known { pin.name } else { format!("({})", pin.name) };
    depot.pins().into_iter().map(name).collect()
}

fn is_retained(depot: &Depot, seed: u8) -> bool {
    let held = depot.cache().is_pinned(&digest(seed));
    assert_eq!(held, depot.retention_reasons(&digest(seed)).contains(&RetentionReason::Operator));
    held
}

#[tokio::test]
async fn pin_survives_restart_without_blob() {
    let dir = tempfile::tempdir().unwrap();
    let all = [("okd/kernel", 1), ("okd/rootfs.img", 2)];
    let before = depot(dir.path(), &all);
    assert!(before.pin("okd/rootfs.img").await.unwrap());
    assert!(!before.pin("okd/rootfs.img").await.unwrap(), "already pinned");
    assert!(is_retained(&before, 2) && !is_retained(&before, 1));
    insta::assert_snapshot!(fs::read_to_string(dir.path().join(PINS_FILE)).unwrap(), @r#"
    {
      "version": 1,
      "pins": {
        "okd/rootfs.img": {
          "sha256": "0202020202020202020202020202020202020202020202020202020202020202"
        }
      }
    }
    "#);
    drop(before);
    let after = depot(dir.path(), &all);
    assert_eq!(pinned(&after), ["okd/rootfs.img"]);
    assert!(is_retained(&after, 2));
    assert!(after.unpin("okd/rootfs.img").await.unwrap());
    assert!(!after.unpin("okd/rootfs.img").await.unwrap());
    assert!(!is_retained(&after, 2));
    drop(after);
    assert!(pinned(&depot(dir.path(), &all)).is_empty());
}

#[tokio::test]
async fn pin_survives_removal_from_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let first = depot(dir.path(), &[("a", 1), ("b", 2)]);
    first.pin("a").await.unwrap();
    drop(first);
    let without = depot(dir.path(), &[("b", 2)]);
    assert_eq!(pinned(&without), ["(a)"]);
    assert!(is_retained(&without, 1), "its blob stays pinned");
    without.pin("b").await.unwrap();
    drop(without);
    let again = depot(dir.path(), &[("a", 1), ("b", 2)]);
    assert_eq!(pinned(&again), ["a", "b"]);
    drop(again);
    let without = depot(dir.path(), &[("b", 2)]);
    assert!(without.unpin("a").await.unwrap(), "it can be unpinned by name");
    assert_eq!(pinned(&without), ["b"]);
}

#[tokio::test]
async fn pin_follows_name_to_new_digest() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(dir.path(), &[("a", 1)]);
    depot.pin("a").await.unwrap();
    reconfigure(&depot, catalog(&[("a", 9)]));
    assert!(is_retained(&depot, 9) && !is_retained(&depot, 1));
    reconfigure(&depot, catalog(&[]));
    assert!(is_retained(&depot, 9));
    let text = fs::read_to_string(dir.path().join(PINS_FILE)).unwrap();
    assert!(text.contains(&digest(9).to_string()), "{text}");
}

/// A slow disk must not delay a new catalog, which machines wait for; and the pin that was being written follows the new
/// catalog.
#[test]
fn reconfigure_does_not_wait_for_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut depot = depot(dir.path(), &[("a", 1), ("b", 2)]);
    change(&depot, "b").unwrap();
    let (at_disk, on_disk) = std::sync::mpsc::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let slow = FaultPoints::with_hook(move |step, _| {
        if step == "fsync" {
            // Fails at once if the other end is gone.
            let _ = at_disk.send(());
            let _ = goes_on.lock().unwrap().recv_timeout(DEADLINE);
        }
        Ok(())
    });
    let file = PinFile::new(dir.path().join(PINS_FILE)).with_faults(slow);
    Arc::get_mut(&mut depot.shared).unwrap().pins.file = file;
    std::thread::scope(|threads| {
        let pinning = threads.spawn(|| change(&depot, "a"));
        on_disk.recv_timeout(DEADLINE).unwrap();
        let catalog = catalog(&[("a", 9), ("b", 8)]);
        depot.reconfigure(DepotConfig { catalog, origins: None, settings: FillSettings::default() });
        assert!(is_retained(&depot, 8) && !is_retained(&depot, 2), "while the disk is busy");
        drop(go_on);
        assert!(pinning.join().unwrap().unwrap());
    });
    assert!(is_retained(&depot, 9) && !is_retained(&depot, 1));
    depot.save_pins();
    let kept = PinFile::new(dir.path().join(PINS_FILE)).read().unwrap();
    let kept: Vec<_> = kept.into_values().map(|pinned| pinned.digest).collect();
    assert_eq!(kept, [digest(9), digest(8)]);
}

#[tokio::test]
async fn configured_and_operator_pins_are_independent() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(dir.path(), &[("a", 1)]);
    depot.pin("a").await.unwrap();
    let by_settings = Catalog::new(vec![Asset { pin: true, ..asset("a", 1) }]).unwrap();
    reconfigure(&depot, by_settings);
    assert_eq!(depot.retention_reasons(&digest(1)), [RetentionReason::Configuration, RetentionReason::Operator]);
    depot.unpin("a").await.unwrap();
    assert_eq!(depot.retention_reasons(&digest(1)), [RetentionReason::Configuration]);
    reconfigure(&depot, catalog(&[("a", 1)]));
    assert_eq!(depot.retention_reasons(&digest(1)), []);
    assert!(!depot.cache().is_pinned(&digest(1)));
}

#[tokio::test]
async fn pin_file_is_rewritten_after_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let first = depot(&cache, &[("a", 1), ("b", 2)]);
    first.pin("a").await.unwrap();
    fs::remove_dir_all(&cache).unwrap();
    first.save_pins();
    assert!(!cache.exists(), "only the cache creates its directory");

    first.cache().probe().unwrap();
    let stop = CancellationToken::new();
    let maintaining = tokio::spawn({
        let (depot, stop) = (first.clone(), stop.clone());
        async move { depot.maintain_pins_every(Duration::from_millis(1), stop).await }
    });
    wait_until(|| cache.join(PINS_FILE).exists()).await;
    stop.cancel();
    maintaining.await.unwrap();

    // The file is also written when the server stops at once.
    fs::remove_dir_all(&cache).unwrap();
    first.cache().probe().unwrap();
    first.maintain_pins(stop).await;
    drop(first);
    assert_eq!(pinned(&depot(&cache, &[("a", 1), ("b", 2)])), ["a"]);
}

#[tokio::test]
async fn unknown_name_cannot_be_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(dir.path(), &[("a", 1)]);
    for refused in [depot.pin("b").await, depot.unpin("b").await] {
        assert_eq!(refused.unwrap_err().to_string(), "the catalog has no asset \"b\"");
    }
    assert!(!dir.path().join(PINS_FILE).exists());
}

#[tokio::test]
async fn invalid_pin_file_is_not_overwritten() {
    for bad in ["", "{", r#"{"version":2,"pins":{}}"#, r#"{"version":1,"pins":{"/a":{"sha256":""}}}"#] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(PINS_FILE);
        fs::write(&path, bad).unwrap();
        let depot = depot(dir.path(), &[("a", 1), ("b", 2)]);
        let problem = depot.pin_problem().unwrap();
        assert!(problem.contains("cannot read the pins") && problem.contains("repair the file"), "{problem}");
        assert!(matches!(depot.pin("a").await, Err(PinError::Unreadable { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        let repaired = format!(r#"{{"version":1,"pins":{{"b":{{"sha256":"{}"}}}}}}"#, digest(2));
        fs::write(&path, repaired).unwrap();
        depot.pin("a").await.unwrap();
        assert_eq!(pinned(&depot), ["a", "b"]);
        assert_eq!(depot.pin_problem(), None);
    }
}

#[tokio::test]
async fn unwritable_pin_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(dir.path(), &[("a", 1)]);
    // Root can write whatever the mode is, but not to a directory.
    fs::create_dir(dir.path().join("pins.json.new")).unwrap();
    let error = depot.pin("a").await.unwrap_err();
    assert!(error.to_string().starts_with("nothing was changed: "), "{error}");
    assert!(!is_retained(&depot, 1) && pinned(&depot).is_empty());
}

/// [`crate::durable_file`] tests each step; this tests that the pins go through it.
#[test]
fn failed_write_keeps_old_pins() {
    let pin = |seed| PinnedDigests { digest: digest(seed), block_list: Some(digest(seed + 100)) };
    let old = BTreeMap::from([("a".to_owned(), pin(1)), ("b".to_owned(), pin(2))]);
    let new = BTreeMap::from([("c".to_owned(), pin(3))]);
    let dir = tempfile::tempdir().unwrap();
    let file = || PinFile::new(dir.path().join(PINS_FILE));
    file().write(&old).unwrap();
    let faults = FaultPoints::default();
    faults.fail(2..usize::MAX, libc::EIO);
    let error = file().with_faults(faults).write(&new).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(file().read().unwrap(), old);
    file().write(&new).unwrap();
    assert_eq!(file().read().unwrap(), new);
}
