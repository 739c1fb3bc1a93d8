//! Releases over a real cache directory, whose assets come from files that each test puts there when it wants to.

mod swap;

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::asset::Digest;
use crate::cache::{Cache, CacheSettings};
use crate::catalog::Catalog;
use crate::depot::{FillSettings, Holder};
use crate::origin::{Origins, Timeouts};

const NAMES: [&str; 5] = ["okd/1/kernel", "okd/1/rootfs", "okd/2/kernel", "okd/2/rootfs", "memtest"];

/// A directory with sources, a cache and a record.
struct House {
    dir: tempfile::TempDir,
    /// How large the cache may grow, in bytes.
    max_size: u64,
}

/// Releases that are kept.
struct Running {
    releases: Releases,
    cache: Cache,
    stop: CancellationToken,
    keeping: JoinHandle<()>,
}

impl House {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), max_size: 1 << 20 }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name.replace('/', "_"))
    }

    /// Puts the source of an asset there.
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
        let settings = CacheSettings { dir: self.dir.path().join("cache"), max_size: self.max_size, min_free: 0 };
        // The lock of an earlier one goes with its last clone, which ended tasks may hold for a moment.
        let cache = loop {
            match Cache::open(settings.clone()) {
                Err(crate::cache::CacheError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                opened => break opened.unwrap(),
            }
        };
        let catalog = Catalog::new(NAMES.iter().map(asset).collect()).unwrap();
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        // What is missing is asked for again at once.
        let settings = FillSettings { negative_ttl: Duration::ZERO, retries: 0, ..FillSettings::default() };
        (Depot::new(catalog, origins, cache.clone(), settings), cache)
    }

    /// Releases 1 and 2 of the channel okd, of which the settings want `active`, and memtest alone.
    async fn open(&self, active: &str) -> Running {
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
        let pace = Pace {
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(20),
            look: Duration::from_millis(5),
        };
        let releases = Releases::open_with(releases, depot, self.record(), pace);
        let stop = CancellationToken::new();
        let (keeper, stopped) = (releases.clone(), stop.clone());
        let keeping = tokio::spawn(async move { keeper.keep(stopped).await });
        Running { releases, cache, stop, keeping }
    }
}

fn content(name: &str) -> String {
    format!("the bytes of {name}")
}

impl Running {
    fn named(&self, reference: &str) -> Result<String, NotLive> {
        self.releases.find(reference).map(|asset| asset.name.to_string())
    }

    fn view(&self, name: &str) -> ReleaseStatus {
        self.releases.list().into_iter().find(|view| view.name == name).unwrap()
    }

    /// Waits until a release is seen so. Not a matter of time: the bound is for a test that fails.
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
        let found = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        found.unwrap_or_else(|_| panic!("{:?}", self.releases.list()))
    }

    async fn until_live(&self, name: &str) {
        self.until(name, |view| view.state == ReleaseState::Live).await;
    }

    fn is_pinned(&self, name: &str) -> bool {
        self.cache.is_pinned(&Digest::of(content(name).as_bytes()))
    }

    /// Ends it, so that its directory can be opened again.
    async fn close(self) {
        self.stop.cancel();
        self.keeping.await.unwrap();
        self.releases.shared.depot.close().await;
    }
}

#[tokio::test]
async fn what_is_active_is_fetched_and_named_only_as_a_whole() {
    let house = House::new();
    house.put(&["okd/1/kernel"]);
    let okd = house.open("okd-1").await;
    let failed = okd.until("okd-1", |view| view.proven == 1 && view.state == ReleaseState::Failed).await;
    let reason = failed.reason.unwrap();
    assert!(reason.starts_with("okd/1/rootfs: no source has it: "), "{reason}");
    let fetching = NotLive::Fetching { release: "okd-1".to_owned(), proven: 1, total: 2 };
    for reference in ["okd:kernel", "okd:rootfs", "okd/1/kernel"] {
        assert_eq!(okd.named(reference), Err(fetching.clone()), "{reference}");
    }
    assert_eq!(fetching.to_string(), "the release okd-1 is not here yet: 1 of 2 assets are proven");
    let [trouble] = &okd.releases.troubles()[..] else { panic!("there is one") };
    assert!(trouble.starts_with("release okd-1: okd/1/rootfs is not proven (1 of 2)"), "{trouble}");
    // What is in no active release is served when it is asked for.
    assert_eq!(okd.named("okd/2/kernel").unwrap(), "okd/2/kernel");
    assert_eq!(okd.named("memtest").unwrap(), "memtest");

    house.put(&["okd/1/rootfs"]);
    okd.until_live("okd-1").await;
    assert_eq!(okd.named("okd:rootfs").unwrap(), "okd/1/rootfs");
    assert_eq!(okd.named("okd/1/kernel").unwrap(), "okd/1/kernel");
    assert!(okd.releases.troubles().is_empty());
    assert!(okd.is_pinned("okd/1/kernel") && okd.is_pinned("okd/1/rootfs") && !okd.is_pinned("okd/2/kernel"));
    let view = okd.view("okd-1");
    let bytes = (content("okd/1/kernel").len() + content("okd/1/rootfs").len()) as u64;
    assert_eq!((view.active, view.reason, view.bytes, view.size), (true, None, bytes, Some(bytes)));
    okd.close().await;
}

#[tokio::test]
async fn references_that_lead_nowhere_say_so() {
    let house = House::new();
    let okd = house.open("").await;
    for reference in ["okd/3/kernel", "ocp:kernel", "okd", ":", "okd/1/kernel:x"] {
        assert_eq!(okd.named(reference), Err(NotLive::Unknown(reference.to_owned())));
    }
    assert_eq!(okd.named("okd:kernel"), Err(NotLive::Inactive("okd".to_owned())));
    house.put(&["okd/1/kernel", "okd/1/rootfs"]);
    okd.releases.activate("okd-1").await.unwrap();
    okd.until_live("okd-1").await;
    assert_eq!(okd.named("okd:initrd"), Err(NotLive::Unknown("okd:initrd".to_owned())));
    okd.close().await;
}

#[tokio::test]
async fn new_scripts_go_over_when_the_last_blob_is_proven_and_not_before() {
    let house = House::new();
    house.put(&["okd/1/kernel", "okd/1/rootfs", "okd/2/kernel"]);
    let okd = house.open("okd-1").await;
    okd.until_live("okd-1").await;
    let view = okd.releases.activate("okd-2").await.unwrap();
    // The first try may have failed by now.
    assert!(view.active && matches!(view.state, ReleaseState::Fetching | ReleaseState::Failed), "{view:?}");
    okd.until("okd-2", |view| view.proven == 1 && view.state == ReleaseState::Failed).await;
    // The kernel of 2 is here, and still nobody is sent to it.
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/1/kernel");
    assert_eq!(okd.view("okd-1").state, ReleaseState::Live);
    let [trouble] = &okd.releases.troubles()[..] else { panic!("there is one") };
    assert!(
        trouble.starts_with("release okd-2: okd/2/rootfs is not proven (1 of 2): no source has it: file://"),
        "{trouble}"
    );

    house.put(&["okd/2/rootfs"]);
    okd.until_live("okd-2").await;
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/2/kernel");
    assert_eq!(okd.named("okd:rootfs").unwrap(), "okd/2/rootfs");
    let before = okd.view("okd-1");
    assert_eq!((before.state, before.active), (ReleaseState::Idle, false));
    let holders = |name: &str| okd.releases.shared.depot.holders(&Digest::of(content(name).as_bytes()));
    let until = before.kept_until.unwrap();
    assert_eq!(holders("okd/1/rootfs"), [Holder::Kept { release: "okd-1".to_owned(), until }]);
    assert!(okd.is_pinned("okd/1/rootfs"), "who began with it has to come to its end");

    // Back again, at once: nothing has to be fetched.
    let view = okd.releases.activate("okd-1").await.unwrap();
    assert_eq!((view.state, view.kept_until), (ReleaseState::Live, None));
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/1/kernel");
    assert_eq!(holders("okd/1/rootfs"), [Holder::Release("okd-1".to_owned())]);
    assert!(matches!(&holders("okd/2/rootfs")[..], [Holder::Kept { release, .. }] if release == "okd-2"));
    okd.close().await;
}

#[tokio::test]
async fn a_restart_keeps_what_was_chosen_and_what_is_live() {
    let house = House::new();
    house.put(&["okd/1/kernel", "okd/1/rootfs"]);
    let okd = house.open("okd-1").await;
    okd.until_live("okd-1").await;
    okd.releases.activate("okd-2").await.unwrap();
    okd.close().await;

    let okd = house.open("okd-1").await;
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/1/kernel", "live before anything is fetched");
    assert!(okd.view("okd-2").active);
    house.put(&["okd/2/kernel", "okd/2/rootfs"]);
    okd.until_live("okd-2").await;
    okd.close().await;

    let okd = house.open("okd-1").await;
    assert_eq!(okd.named("okd:kernel").unwrap(), "okd/2/kernel");
    assert!(okd.view("okd-1").kept_until.is_some() && okd.is_pinned("okd/1/kernel"), "still kept");
    okd.close().await;

    // The settings say something else than they did: that is newer.
    let okd = house.open("okd-2").await;
    assert!(okd.view("okd-2").active);
    okd.close().await;
    let okd = house.open("okd-1").await;
    assert_eq!(okd.view("okd-1").state, ReleaseState::Live, "all of it is here, so it is live at once");
    okd.close().await;
}

#[tokio::test]
async fn without_a_legible_record_the_settings_have_the_word() {
    let house = House::new();
    house.put(&NAMES);
    std::fs::create_dir(house.dir.path().join("cache")).unwrap();
    std::fs::write(house.record(), "{\"channels\": nonsense").unwrap();
    let okd = house.open("okd-1").await;
    okd.until_live("okd-1").await;
    okd.close().await;
    let aside = house.dir.path().join("cache/releases.json.bad");
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "{\"channels\": nonsense");
    assert_eq!(Record::read(&house.record()).channels["okd"].live.as_deref(), Some("okd-1"));
}

#[tokio::test]
async fn a_record_that_cannot_be_written_is_written_later() {
    let house = House::new();
    house.put(&NAMES);
    let okd = house.open("okd-1").await;
    okd.until_live("okd-1").await;
    // A directory in the place of the new file.
    let new = house.dir.path().join("cache/releases.json.new");
    while std::fs::create_dir(&new).is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    okd.releases.activate("okd-2").await.unwrap();
    okd.until_live("okd-2").await;
    std::fs::remove_dir(&new).unwrap();
    let recorded = || Record::read(&house.record()).channels["okd"].live.clone();
    while recorded().as_deref() != Some("okd-2") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    okd.close().await;
}

#[tokio::test]
async fn a_record_is_written_to_its_end_though_nobody_waits_for_it() {
    let house = House::new();
    let (depot, _) = house.depot().await;
    let release = Release { name: "a".to_owned(), channel: None, assets: vec![], active: false };
    let releases = Releases::open(vec![release], depot, house.record());
    releases.state().unrecorded = true;
    // The writing waits until somebody reads.
    let new = house.dir.path().join("cache/releases.json.new");
    rustix::fs::mkfifoat(rustix::fs::CWD, &new, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let mut waiting = Box::pin(releases.write_record());
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())).await);
    drop(waiting);
    let held = releases.shared.writing.try_lock().is_err();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(new)).await.unwrap().unwrap();
    assert!(read.contains("\"alone\""), "{read}");
    assert!(held, "no other may write beside it");
    // A pipe is no file that lasts, so it is to be written again.
    let _written = releases.shared.writing.lock().await;
    assert!(releases.state().unrecorded);
}

#[tokio::test]
async fn a_blob_that_goes_away_is_fetched_again_while_scripts_go_on_naming_it() {
    let house = House::new();
    house.put(&NAMES);
    let okd = house.open("okd-1").await;
    okd.until_live("okd-1").await;
    std::fs::remove_file(house.path("okd/1/rootfs")).unwrap();
    let digest = Digest::of(content("okd/1/rootfs").as_bytes());
    let cache = okd.cache.clone();
    assert!(tokio::task::spawn_blocking(move || cache.quarantine(&digest)).await.unwrap());
    assert_eq!(okd.releases.troubles(), ["release okd-1: okd/1/rootfs is not proven (1 of 2)"]);
    assert_eq!(okd.named("okd:rootfs").unwrap(), "okd/1/rootfs");
    assert_eq!(okd.view("okd-1").state, ReleaseState::Live);
    house.put(&["okd/1/rootfs"]);
    okd.until("okd-1", |view| view.proven == 2).await;
    assert!(okd.releases.troubles().is_empty());
    okd.close().await;
}

#[tokio::test]
async fn a_release_without_a_channel_stands_for_itself() {
    let house = House::new();
    house.put(&NAMES);
    let okd = house.open("okd-1").await;
    okd.until_live("okd-1").await;
    okd.releases.activate("memtest").await.unwrap();
    okd.until_live("memtest").await;
    assert_eq!(okd.view("okd-1").state, ReleaseState::Live);
    assert!(okd.is_pinned("memtest"));
    okd.close().await;
}

#[tokio::test]
async fn a_cache_without_room_is_said_to_be_the_trouble() {
    let house = House { max_size: 10, ..House::new() };
    house.put(&NAMES);
    let okd = house.open("okd-1").await;
    let view = okd.until("okd-1", |view| view.reason.is_some()).await;
    let reason = view.reason.unwrap();
    assert!(reason.contains("the cache cannot take it: ") && reason.contains("max_size is 10"), "{reason}");
    assert_eq!(view.state, ReleaseState::Failed);
    okd.close().await;
}

#[tokio::test]
async fn an_unknown_release_is_told_from_those_there_are() {
    let house = House::new();
    let okd = house.open("").await;
    let error = okd.releases.activate("okd-3").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no release \"okd-3\"; there are okd-1, okd-2, memtest");
    okd.close().await;
    let (depot, _) = house.depot().await;
    let error = Releases::none(depot).activate("x").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no release \"x\"; the settings have none");
}

#[tokio::test]
async fn no_releases_leave_no_record() {
    let house = House::new();
    let (depot, _) = house.depot().await;
    let releases = Releases::open(Vec::new(), depot, house.record());
    releases.write_record().await;
    assert!(releases.list().is_empty() && releases.troubles().is_empty());
    assert!(!Path::new(&house.record()).exists());
}
