//! Loading again, without a server around it.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::api::ReloadOutcome;
use crate::app::catalog;
use crate::cache::{Cache, CacheSettings};
use crate::config::{Flags, Inputs};
use crate::depot::Depot;
use crate::origin::Timeouts;

/// A directory with a settings file and a cache.
struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// Settings with the shared catalog and the cache of this house.
    fn sharing(&self) -> String {
        format!("catalog_url = \"{}\"\n[cache]\ndir = \"{}\"\n", self.url(), self.path("cache").display())
    }

    fn url(&self) -> String {
        format!("file://{}", self.path("catalog.toml").display())
    }

    /// The initial state of a server that starts with the current settings.
    async fn start(&self) -> (Reloader, ReloadTask, Boot) {
        let flags = Flags { config: Some(self.path("bootdepot.toml")), ..Flags::default() };
        let loaded = catalog::load(&Inputs::new(&flags, [])).await.unwrap_or_else(|errors| panic!("{errors}"));
        let initial = InitialState::of(&loaded);
        let settings = CacheSettings {
            dir: self.path("cache"),
            max_size: 1 << 20,
            min_free: 0,
            seal: crate::cache::SealPolicy::Off,
        };
        let (cache, origins) = (Cache::open(settings).unwrap(), Origins::new(Vec::new(), Timeouts::default()).unwrap());
        let depot = Depot::new(loaded.config.catalog, origins.clone(), cache, loaded.config.fill);
        let boot = Boot::assets_only(depot);
        let (reloader, reloads) = Reloader::new(initial, boot.clone(), origins);
        (reloader, reloads, boot)
    }
}

fn assets(names: &[&str]) -> String {
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let asset = |name| format!("[[asset]]\nname = \"{name}\"\nsources = [\"s3://b/{name}\"]\nsha256 = \"{digest}\"\n");
    names.iter().map(asset).collect()
}

#[tokio::test]
async fn who_asks_meanwhile_is_answered_by_one_load() {
    let house = House::new();
    house.write("bootdepot.toml", &assets(&["a"]));
    let (reloader, reloads, boot) = house.start().await;
    house.write("bootdepot.toml", &assets(&["b", "c"]));
    let all = (0..8).map(|_| reloader.reload(ReloadTrigger::Api));
    let stop = CancellationToken::new();
    let asking = async {
        let outcomes = futures_util::future::join_all(all).await;
        stop.cancel();
        outcomes
    };
    let (outcomes, ()) = tokio::join!(asking, reloads.run(stop.clone()));
    let wanted = ReloadView { outcome: ReloadOutcome::Ok, added: 2, removed: 1, changed: 0, warnings: Vec::new() };
    assert!(outcomes.iter().all(|outcome| outcome.as_ref() == Ok(&wanted)), "{outcomes:?}");
    assert_eq!(reloader.status().generation, 2);
    assert!(boot.depot().find("c").is_some() && boot.depot().find("a").is_none());
    let stopped = reloader.reload(ReloadTrigger::Api).await.unwrap_err();
    assert_eq!(stopped.errors, ["the server is stopping"]);
}

#[tokio::test]
async fn catalog_copy_survives_lost_directory() {
    let house = House::new();
    house.write("bootdepot.toml", &house.sharing());
    house.write("catalog.toml", &assets(&["a"]));
    let (_reloader, reloads, boot) = house.start().await;
    let copy = house.path("cache/catalog.json");
    let text = std::fs::read_to_string(&copy).unwrap();
    std::fs::remove_dir_all(house.path("cache")).unwrap();
    reloads.keep_copy().await;
    assert!(!house.path("cache").exists(), "that is the cache's to make");
    boot.depot().cache().probe().unwrap();
    // An immediate stop loses nothing.
    let stop = CancellationToken::new();
    stop.cancel();
    reloads.run(stop).await;
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), text);
}

#[tokio::test]
async fn a_failure_changes_nothing_and_is_told_everywhere() {
    let house = House::new();
    house.write("bootdepot.toml", &(house.sharing() + &assets(&["a"])));
    house.write("catalog.toml", &assets(&["b"]));
    let (reloader, mut reloads, boot) = house.start().await;
    let before = boot.depot().catalog();
    house.write("catalog.toml", "[[asset]]\nname = \"b\"\n[cache]\n");
    let failure = reloads.reload(ReloadTrigger::Signal, None).await.unwrap_err();
    let url = house.url();
    assert!(failure.errors.iter().any(|error| error.starts_with(&format!("{url} line 1: asset[0].sha256 (b): "))));
    assert!(failure.errors.iter().any(|error| error.starts_with(&format!("{url} line 3: cache: "))));
    assert!(Arc::ptr_eq(&before, &boot.depot().catalog()));
    let status = reloader.status();
    let last = status.last_reload.unwrap();
    assert_eq!((status.generation, last.errors, last.trigger), (1, failure.errors, ReloadTrigger::Signal));
    let source = status.sources.last().unwrap();
    assert!(source.place == url && source.error.as_ref().unwrap().contains("line 3: cache: "), "{source:?}");
    // A check finds nothing new in it, and does not take it either.
    reloads.check_catalog().await;
    assert_eq!(reloader.status().last_reload.unwrap().trigger, ReloadTrigger::Signal);

    house.write("catalog.toml", &assets(&["b", "c"]));
    reloads.check_catalog().await;
    let status = reloader.status();
    assert_eq!((status.assets, status.generation), (3, 2));
    assert_eq!(status.last_reload.unwrap().trigger, ReloadTrigger::Poll);
    assert_eq!(status.sources.last().unwrap().error, None);
}

#[tokio::test]
async fn bad_catalog_without_validator_reported_once() {
    let house = House::new();
    house.write("bootdepot.toml", &house.sharing());
    house.write("catalog.toml", &assets(&["a"]));
    let (reloader, mut reloads, _boot) = house.start().await;
    let mut check = async || {
        reloads.seen = None;
        reloads.check_catalog().await;
        let status = reloader.status();
        (status.generation, status.last_reload.map(|last| (last.at, last.outcome)))
    };
    house.write("catalog.toml", "[[asset]]\n");
    let told = check().await;
    assert_eq!((told.0, told.1.unwrap().1), (1, crate::api::LastReloadOutcome::Failed));
    assert_eq!(check().await, told);
    // Another is looked at, and the bad one again when it comes again.
    house.write("catalog.toml", &assets(&["b"]));
    assert_eq!(check().await.0, 2);
    house.write("catalog.toml", "[[asset]]\n");
    let again = check().await;
    assert_eq!((again.0, again.1.unwrap().1), (2, crate::api::LastReloadOutcome::Failed));
}

#[tokio::test]
async fn catalog_applies_after_file_is_corrected() {
    let house = House::new();
    house.write("bootdepot.toml", &house.sharing());
    house.write("catalog.toml", &assets(&["a"]));
    let (reloader, mut reloads, boot) = house.start().await;
    house.write("bootdepot.toml", &(house.sharing() + "max_sice = 1\n"));
    house.write("catalog.toml", &assets(&["a", "b"]));
    for _ in 0..3 {
        reloads.check_catalog().await;
    }
    let status = reloader.status();
    assert_eq!((status.generation, status.sources.last().unwrap().error.clone()), (1, None));
    assert!(status.last_reload.unwrap().errors[0].contains("max_sice"));
    house.write("bootdepot.toml", &house.sharing());
    reloads.check_catalog().await;
    assert!(boot.depot().find("b").is_some());
    // One that is as it was before it was bad is no trouble any more.
    house.write("catalog.toml", "[[asset]]\n");
    reloads.check_catalog().await;
    assert!(reloader.status().sources.last().unwrap().error.is_some());
    house.write("catalog.toml", &assets(&["a", "b"]));
    reloads.check_catalog().await;
    let status = reloader.status();
    assert_eq!(status.sources.last().unwrap().error, None);
    let last = status.last_reload.unwrap();
    assert_eq!((last.outcome, last.errors.len()), (crate::api::LastReloadOutcome::Unchanged, 0));
    // An error that a command found in the files stays until a later load succeeds.
    house.write("bootdepot.toml", &(house.sharing() + "max_sice = 1\n"));
    assert!(reloads.reload(ReloadTrigger::Signal, None).await.is_err());
    reloads.check_catalog().await;
    assert_eq!(reloader.status().last_reload.unwrap().outcome, crate::api::LastReloadOutcome::Failed);
}

#[tokio::test]
async fn restored_catalog_clears_problem() {
    let house = House::new();
    house.write("bootdepot.toml", &house.sharing());
    house.write("catalog.toml", &assets(&["b"]));
    let (reloader, mut reloads, _boot) = house.start().await;
    let error = || reloader.status().sources.last().unwrap().error.clone();
    std::fs::rename(house.path("catalog.toml"), house.path("away")).unwrap();
    reloads.check_catalog().await;
    assert!(error().unwrap().ends_with("catalog.toml does not exist"), "{:?}", error());
    std::fs::rename(house.path("away"), house.path("catalog.toml")).unwrap();
    reloads.check_catalog().await;
    assert_eq!((error(), reloader.status().generation), (None, 1));
}

#[tokio::test]
async fn missing_catalog_keeps_last_version() {
    let house = House::new();
    let settings = house.sharing();
    house.write("bootdepot.toml", &settings);
    house.write("catalog.toml", &assets(&["b"]));
    let (_reloader, mut reloads, boot) = house.start().await;
    std::fs::remove_file(house.path("catalog.toml")).unwrap();
    house.write("bootdepot.toml", &format!("{settings}{}", assets(&["a"])));
    let view = reloads.reload(ReloadTrigger::Api, None).await.unwrap();
    assert_eq!((view.added, view.removed), (1, 0));
    assert!(view.warnings[0].starts_with("the shared catalog, as it was last read, cannot be read: "), "{view:?}");
    assert!(boot.depot().find("b").is_some() && boot.problems().is_empty());
    // Another URL is another catalog, of which nothing is known: that is no reason to lose this one.
    house.write("bootdepot.toml", &settings.replace("catalog.toml", "other.toml"));
    let failure = reloads.reload(ReloadTrigger::Api, None).await.unwrap_err();
    assert!(failure.errors[0].contains("other.toml does not exist"), "{failure:?}");
    assert!(boot.depot().find("b").is_some());
}
