//! Releases over a real cache directory. Their assets come from files that each test creates.

mod replace;

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::record::Record;
use super::settings::ReconcileSettings;
use super::*;
use crate::asset::{AssetName, Digest};
use crate::backoff::BackoffPolicy;
use crate::boot::not_live::NotLive;
use crate::cache::{Cache, CacheSettings};
use crate::catalog::{Asset, Catalog, Release};
use crate::depot::{Depot, FillSettings, RetentionReason};
use crate::origin::{Origins, Timeouts};

/// Fails a test that waits in vain, however slow the machine is.
const DEADLINE: Duration = Duration::from_mins(1);
const NAMES: [&str; 5] = ["okd/1/kernel", "okd/1/rootfs", "okd/2/kernel", "okd/2/rootfs", "memtest"];

/// A directory with source files, a cache and a record.
struct TestSite {
    dir: tempfile::TempDir,
    /// The limit of the cache, in bytes.
    max_size: u64,
}

/// Releases with a running reconciler.
struct TestReleases {
    releases: Releases,
    cache: Cache,
    stop: CancellationToken,
    reconciling: JoinHandle<()>,
}

impl TestSite {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), max_size: 1 << 20 }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name.replace('/', "_"))
    }

    /// Creates the source files of assets.
    fn put(&self, names: &[&str]) {
        for name in names {
            std::fs::write(self.path(name), content(name)).unwrap();
        }
    }

    fn record(&self) -> std::path::PathBuf {
        self.dir.path().join("cache/releases.json")
    }

    async fn depot(&self) -> (Depot, Cache) {
        let asset = |name: &&str| Asset {
            name: AssetName::parse(name).unwrap(),
            digest: Digest::of(content(name).as_bytes()),
            sources: vec![format!("file://{}", self.path(name).display()).parse().unwrap()],
            size: None,
            content_type: "application/octet-stream".into(),
            pin: false,
            blocks: None,
            last_modified: SystemTime::UNIX_EPOCH,
        };
        let settings = CacheSettings {
            dir: self.dir.path().join("cache"),
            max_size: self.max_size,
            min_free: 0,
            seal: crate::cache::SealPolicy::Off,
        };
        // Tasks of an earlier depot may hold the lock for a moment after it was closed.
        let opening = async {
            loop {
                match Cache::open(settings.clone()) {
                    Err(crate::cache::CacheError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                    opened => break opened.unwrap(),
                }
            }
        };
        let cache = tokio::time::timeout(DEADLINE, opening).await.expect("the lock of the cache is released");
        let catalog = Catalog::new(NAMES.iter().map(asset).collect()).unwrap();
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        // Missing assets are requested again at once.
        let settings = FillSettings { negative_ttl: Duration::ZERO, retries: 0, ..FillSettings::default() };
        (Depot::new(catalog, origins, cache.clone(), settings), cache)
    }

    /// Releases 1 and 2 of the channel okd, and memtest without a channel; `active` is active.
    async fn open(&self, active: &str) -> TestReleases {
        let release = |name: &str, channel: Option<&str>, assets: &[&str]| Release {
            name: name.to_owned(),
            channel: channel.map(str::to_owned),
            assets: assets.iter().map(|name| AssetName::parse(name).unwrap()).collect(),
            active: name == active,
        };
        let releases = vec![
            release("okd-1", Some("okd"), &NAMES[..2]),
            release("okd-2", Some("okd"), &NAMES[2..4]),
            release("memtest", None, &NAMES[4..]),
        ];
        let (depot, cache) = self.depot().await;
        let settings = ReconcileSettings {
            backoff: BackoffPolicy { first: Duration::from_millis(1), max: Duration::from_millis(20), jitter: 0.25 },
            check_interval: Duration::from_millis(5),
        };
        let releases = Releases::open_with(releases, depot, self.record(), settings);
        let stop = CancellationToken::new();
        let (reconciler, stopped) = (releases.clone(), stop.clone());
        let reconciling = tokio::spawn(async move { reconciler.reconcile(stopped).await });
        TestReleases { releases, cache, stop, reconciling }
    }
}

/// Polls until `condition` holds.
async fn wait_for(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("the condition holds in time");
}

fn content(name: &str) -> String {
    format!("the bytes of {name}")
}

impl TestReleases {
    fn named(&self, reference: &str) -> Result<String, NotLive> {
        self.releases.resolve(reference).map(|name| name.to_string())
    }

    fn view(&self, name: &str) -> ReleaseStatus {
        self.releases.list().into_iter().find(|view| view.name == name).unwrap()
    }

    /// Waits until `wanted` holds for a release.
    async fn until(&self, name: &str, wanted: impl Fn(&ReleaseStatus) -> bool) -> ReleaseStatus {
        let waiting = async {
            loop {
                let view = self.view(name);
                if wanted(&view) {
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, waiting).await;
        found.unwrap_or_else(|_| panic!("{:?}", self.releases.list()))
    }

    async fn until_live(&self, name: &str) {
        self.until(name, |view| view.state == ReleaseState::Live).await;
    }

    fn is_pinned(&self, name: &str) -> bool {
        self.cache.is_pinned(&Digest::of(content(name).as_bytes()))
    }

    /// Stops everything, so that the directory can be opened again.
    async fn close(self) {
        self.stop.cancel();
        self.reconciling.await.unwrap();
        self.releases.shared.depot.close().await;
    }
}

#[tokio::test]
async fn active_release_goes_live_as_a_whole() {
    let site = TestSite::new();
    site.put(&["okd/1/kernel"]);
    let okd = site.open("okd-1").await;
    let failed = okd.until("okd-1", |view| view.cached == 1 && view.state == ReleaseState::Failed).await;
    let reason = failed.reason.unwrap();
    assert!(reason.starts_with("okd/1/rootfs: no source has it: "), "{reason}");
    let fetching = NotLive::Fetching { release: "okd-1".to_owned(), cached: 1, total: 2 };
    for reference in ["okd:kernel", "okd:rootfs", "okd/1/kernel"] {
        assert_eq!(okd.named(reference), Err(fetching.clone()), "{reference}");
    }
    assert_eq!(fetching.to_string(), "the release okd-1 is not cached yet: 1 of 2 assets are cached");
    let [problem] = &okd.releases.problems()[..] else { panic!("there is one") };
    assert!(problem.starts_with("release okd-1: okd/1/rootfs is not cached (1 of 2)"), "{problem}");
    // Assets in no active release resolve, and are fetched on request.
    assert_eq!(okd.named("okd/2/kernel").unwrap(), "okd/2/kernel");
    assert_eq!(okd.named("memtest").unwrap(), "memtest");

    site.put(&["okd/1/rootfs"]);
    okd.until_live("okd-1").await;
    assert_eq!(okd.named("okd:rootfs").unwrap(), "okd/1/rootfs");
    assert_eq!(okd.named("okd/1/kernel").unwrap(), "okd/1/kernel");
    assert!(okd.releases.problems().is_empty());
    assert!(okd.is_pinned("okd/1/kernel") && okd.is_pinned("okd/1/rootfs") && !okd.is_pinned("okd/2/kernel"));
    let view = okd.view("okd-1");
    let bytes = (content("okd/1/kernel").len() + content("okd/1/rootfs").len()) as u64;
    assert_eq!((view.active, view.reason, view.bytes, view.size), (true, None, bytes, Some(bytes)));
    okd.close().await;
}

#[tokio::test]
async fn reference_unknown_returns_reason() {
    let site = TestSite::new();
    let okd = site.open("").await;
    for reference in ["okd/3/kernel", "ocp:kernel", "okd", ":", "okd/1/kernel:x"] {
        assert_eq!(okd.named(reference), Err(NotLive::Unknown(reference.to_owned())));
    }
    assert_eq!(okd.named("okd:kernel"), Err(NotLive::Inactive("okd".to_owned())));
    site.put(&["okd/1/kernel", "okd/1/rootfs"]);
    okd.releases.activate("okd-1").await.unwrap();
    okd.until_live("okd-1").await;
    assert_eq!(okd.named("okd:initrd"), Err(NotLive::Unknown("okd:initrd".to_owned())));
    okd.close().await;
}

#[tokio::test]
async fn activation_switches_when_last_asset_is_cached() {
    let site = TestSite::new();
    site.put(&["okd/1/kernel", "okd/1/rootfs", "okd/2/kernel"]);
    let okd = site.open("okd-1").await;
    okd.until_live("okd-1").await;
    let view = okd.releases.activate("okd-2").await.unwrap();
    // The first fetch may have failed by now.
    assert!(view.active && matches!(view.state, ReleaseState::Fetching | ReleaseState::Failed), "{view:?}");
    okd.until("okd-2", |view| view.cached == 1 && view.state == ReleaseState::Failed).await;
    // The kernel of okd-2 is cached, but new scripts still use okd-1.
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/1/kernel");
    assert_eq!(okd.view("okd-1").state, ReleaseState::Live);
    // Machines boot, so the server is ready.
    assert_eq!(okd.releases.problems(), Vec::<String>::new());
    let [warning] = &okd.releases.warnings()[..] else { panic!("there is one") };
    let expected = "release okd-2 is not live yet, and okd-1 stays live: okd/2/rootfs is not cached (1 of 2): no source has it: file://";
    assert!(warning.starts_with(expected), "{warning}");
    assert_eq!(okd.releases.count().into_iter().map(|(_, count)| count).collect::<Vec<_>>(), [1, 0, 1, 1]);

    site.put(&["okd/2/rootfs"]);
    okd.until_live("okd-2").await;
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/2/kernel");
    assert_eq!(okd.named("okd:rootfs").unwrap(), "okd/2/rootfs");
    let before = okd.view("okd-1");
    assert_eq!((before.state, before.active), (ReleaseState::Idle, false));
    let holders = |name: &str| okd.releases.shared.depot.retention_reasons(&Digest::of(content(name).as_bytes()));
    let until = before.kept_until.unwrap();
    assert_eq!(holders("okd/1/rootfs"), [RetentionReason::PreviousRelease { release: "okd-1".to_owned(), until }]);
    assert!(okd.is_pinned("okd/1/rootfs"), "machines that began with it must finish");

    // The rollback is immediate: everything is cached.
    let view = okd.releases.activate("okd-1").await.unwrap();
    assert_eq!((view.state, view.kept_until), (ReleaseState::Live, None));
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/1/kernel");
    assert_eq!(holders("okd/1/rootfs"), [RetentionReason::Release("okd-1".to_owned())]);
    assert!(
        matches!(&holders("okd/2/rootfs")[..], [RetentionReason::PreviousRelease { release, .. }] if release == "okd-2")
    );
    okd.close().await;
}

#[tokio::test]
async fn restart_keeps_activation_and_live_release() {
    let site = TestSite::new();
    site.put(&["okd/1/kernel", "okd/1/rootfs"]);
    let okd = site.open("okd-1").await;
    okd.until_live("okd-1").await;
    okd.releases.activate("okd-2").await.unwrap();
    okd.close().await;

    let okd = site.open("okd-1").await;
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/1/kernel", "live before anything is fetched");
    assert!(okd.view("okd-2").active);
    site.put(&["okd/2/kernel", "okd/2/rootfs"]);
    okd.until_live("okd-2").await;
    okd.close().await;

    let okd = site.open("okd-1").await;
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/2/kernel");
    assert!(okd.view("okd-1").kept_until.is_some() && okd.is_pinned("okd/1/kernel"), "still kept");
    okd.close().await;

    // The changed configuration overrides the command.
    let okd = site.open("okd-2").await;
    assert!(okd.view("okd-2").active);
    okd.close().await;
    let okd = site.open("okd-1").await;
    assert_eq!(okd.view("okd-1").state, ReleaseState::Live, "everything is cached, so it is live at once");
    okd.close().await;
}

#[tokio::test]
async fn invalid_record_falls_back_to_configuration() {
    let site = TestSite::new();
    site.put(&NAMES);
    std::fs::create_dir(site.dir.path().join("cache")).unwrap();
    std::fs::write(site.record(), "{\"channels\": nonsense").unwrap();
    let okd = site.open("okd-1").await;
    okd.until_live("okd-1").await;
    okd.close().await;
    let aside = site.dir.path().join("cache/releases.json.bad");
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "{\"channels\": nonsense");
    assert_eq!(Record::read(&site.record()).channels["okd"].live.as_deref(), Some("okd-1"));
}

#[tokio::test]
async fn record_write_failure_is_retried() {
    let site = TestSite::new();
    site.put(&NAMES);
    let okd = site.open("okd-1").await;
    okd.until_live("okd-1").await;
    // A directory in place of the temporary file.
    let new = site.dir.path().join("cache/releases.json.new");
    wait_for(|| std::fs::create_dir(&new).is_ok()).await;
    okd.releases.activate("okd-2").await.unwrap();
    okd.until_live("okd-2").await;
    std::fs::remove_dir(&new).unwrap();
    let recorded = || Record::read(&site.record()).channels["okd"].live.clone();
    wait_for(|| recorded().as_deref() == Some("okd-2")).await;
    okd.close().await;
}

#[test]
fn record_write_survives_cancellation() {
    // One thread for blocking work, which the test occupies.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    for fails in [false, true] {
        runtime.block_on(async {
            let site = TestSite::new();
            let (depot, _) = site.depot().await;
            let release = Release { name: "a".to_owned(), channel: None, assets: vec![], active: false };
            let releases = Releases::open(vec![release], depot, site.record());
            // It was written when it was opened.
            std::fs::remove_file(site.record()).unwrap();
            releases.state().unrecorded = true;
            if fails {
                // A directory that is not empty is not replaced.
                std::fs::create_dir_all(site.dir.path().join("cache/releases.json.new/kept")).unwrap();
            }
            let (free, occupied) = std::sync::mpsc::channel::<()>();
            let occupying = tokio::task::spawn_blocking(move || occupied.recv());
            let mut waiting = Box::pin(releases.write_record());
            assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
            drop(waiting);
            assert!(releases.shared.writing.try_lock().is_err(), "a second write must wait");
            drop(free);
            occupying.await.unwrap().unwrap_err();
            let _written = releases.shared.writing.lock().await;
            let written = std::fs::read_to_string(site.record()).is_ok_and(|text| text.contains("\"alone\""));
            assert_eq!(written, !fails, "the record is on the disk");
            // A write that failed is due again.
            assert_eq!(releases.state().unrecorded, fails);
        });
    }
}

#[tokio::test]
async fn missing_blob_of_live_release_is_refetched() {
    let site = TestSite::new();
    site.put(&NAMES);
    let okd = site.open("okd-1").await;
    okd.until_live("okd-1").await;
    std::fs::remove_file(site.path("okd/1/rootfs")).unwrap();
    let digest = Digest::of(content("okd/1/rootfs").as_bytes());
    let cache = okd.cache.clone();
    assert!(tokio::task::spawn_blocking(move || cache.quarantine(&digest)).await.unwrap());
    // With the reason, if it was looked for again already.
    let problems = okd.releases.problems();
    assert!(problems[0].starts_with("release okd-1: okd/1/rootfs is not cached (1 of 2)"), "{problems:?}");
    assert_eq!(okd.named("okd:rootfs").unwrap(), "okd/1/rootfs");
    assert_eq!(okd.view("okd-1").state, ReleaseState::Live);
    site.put(&["okd/1/rootfs"]);
    okd.until("okd-1", |view| view.cached == 2).await;
    assert!(okd.releases.problems().is_empty());
    okd.close().await;
}

#[tokio::test]
async fn release_without_channel_is_independent() {
    let site = TestSite::new();
    site.put(&NAMES);
    let okd = site.open("okd-1").await;
    okd.until_live("okd-1").await;
    okd.releases.activate("memtest").await.unwrap();
    okd.until_live("memtest").await;
    assert_eq!(okd.view("okd-1").state, ReleaseState::Live);
    assert!(okd.is_pinned("memtest"));
    okd.close().await;
}

#[tokio::test]
async fn full_cache_fails_release_with_reason() {
    let site = TestSite { max_size: 10, ..TestSite::new() };
    site.put(&NAMES);
    let okd = site.open("okd-1").await;
    let view = okd.until("okd-1", |view| view.reason.is_some()).await;
    let reason = view.reason.unwrap();
    assert!(reason.contains("the cache cannot store it: ") && reason.contains("max_size is 10"), "{reason}");
    assert_eq!(view.state, ReleaseState::Failed);
    okd.close().await;
}

#[tokio::test]
async fn unknown_release_error_lists_known() {
    let site = TestSite::new();
    let okd = site.open("").await;
    let error = okd.releases.activate("okd-3").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no release \"okd-3\"; there are okd-1, okd-2, memtest");
    okd.close().await;
    let (depot, _) = site.depot().await;
    let error = Releases::empty(depot).activate("x").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no release \"x\"; the configuration has none");
}

#[tokio::test]
async fn no_releases_write_no_record() {
    let site = TestSite::new();
    let (depot, _) = site.depot().await;
    let releases = Releases::open(Vec::new(), depot, site.record());
    releases.write_record().await;
    assert!(releases.list().is_empty() && releases.problems().is_empty());
    assert!(!Path::new(&site.record()).exists());
}
