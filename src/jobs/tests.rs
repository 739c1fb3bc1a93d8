//! Jobs with a real cache directory. The assets are files of the test, and one object of a fake HTTP origin, which can hold
//! it back.

mod checking;
mod selecting;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::limits::MAX_RUNNING;
use super::*;
use crate::asset::{AssetName, ByteRange, Digest};
use crate::boot::{
    Boot, FileSettings, HostSettings, Keys, Ledger, ProfileSettings, Releases, Roster, RosterSettings, TemplateText,
};
use crate::cache::{Cache, CacheSettings};
use crate::catalog::{Asset, Catalog, Release};
use crate::depot::tests::origin::{FakeOrigin, Fault};
use crate::depot::tests::wait_until;
use crate::depot::{Delivery, Depot, FillOutcome, FillSettings, RetentionReason};
use crate::origin::{Origins, Timeouts};

const NAMES: [&str; 4] = ["okd/1/kernel", "okd/1/rootfs", "okd/2/kernel", "okd/2/rootfs"];
/// The asset that comes over HTTP, and how large it is.
const IMAGE: &str = "disk.img";
const IMAGE_SIZE: usize = 3_000_000;
/// Bytes of each of the others.
const SIZE: usize = 1000;

/// A preload to be started.
struct Preload {
    selection: Selection,
    verify: bool,
    keep_going: bool,
}

/// The longest time without an event of a running job, which publishes its progress twice a second.
const DEADLINE: Duration = Duration::from_mins(2);

struct TestJobs {
    dir: tempfile::TempDir,
    origin: FakeOrigin,
    boot: Boot,
    jobs: Jobs,
}

fn content(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(SIZE).collect()
}

fn image() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| random.u8(..)).take(IMAGE_SIZE).collect()
}

impl TestJobs {
    /// Jobs whose image has these faults.
    async fn new(faults: &[Fault]) -> Self {
        Self::sized(faults, 1 << 30, 4).await
    }

    async fn sized(faults: &[Fault], max_size: u64, max_fills: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let origin = FakeOrigin::start(image(), faults).await;
        let path = |name: &str| dir.path().join(name.replace('/', "_"));
        let name = |name: &str| AssetName::parse(name).unwrap();
        let mut assets: Vec<_> = NAMES
            .iter()
            .map(|asset| {
                fs::write(path(asset), content(asset)).unwrap();
                let source = format!("file://{}", path(asset).display()).parse().unwrap();
                Asset::new(name(asset), Digest::of(&content(asset)), vec![source])
            })
            .collect();
        assets.push(Asset::new(name(IMAGE), Digest::of(&image()), vec![origin.url(IMAGE)]));
        let catalog = Catalog::new(assets).unwrap();
        let release = |version: &str, active| Release {
            name: format!("okd-{version}"),
            channel: Some("okd".to_owned()),
            assets: ["kernel", "rootfs"].map(|short| name(&format!("okd/{version}/{short}"))).to_vec(),
            active,
        };
        let releases = vec![release("1", true), release("2", false)];
        let roster = Roster::new(roster(), &catalog, &releases).unwrap();
        let cache = Cache::open(CacheSettings {
            dir: dir.path().join("cache"),
            max_size,
            min_free: 0,
            seal: crate::cache::SealPolicy::Off,
        })
        .unwrap();
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let settings = FillSettings { part_size: 256 << 10, max_fills, retries: 0, ..FillSettings::default() };
        let depot = Depot::new(catalog, origins, cache, settings);
        let releases = Releases::open(releases, depot.clone(), dir.path().join("releases.json"));
        let boot = Boot::new(roster, releases, Ledger::in_memory(), depot);
        Self { jobs: Jobs::new(boot.clone()), boot, origin, dir }
    }

    fn depot(&self) -> &Depot {
        self.boot.depot()
    }

    fn source(&self, name: &str) -> PathBuf {
        self.dir.path().join(name.replace('/', "_"))
    }

    fn blob(&self, name: &str) -> PathBuf {
        let hex = self.depot().find(name).unwrap().digest.to_string();
        self.depot().cache().dir().join("blobs/sha256").join(&hex[..2]).join(hex)
    }

    /// Corrupts the blob in the cache.
    fn corrupt(&self, name: &str) {
        let mut bytes = fs::read(self.blob(name)).unwrap();
        bytes[SIZE / 2] ^= 1;
        fs::set_permissions(self.blob(name), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(self.blob(name), bytes).unwrap();
    }

    fn is_cached(&self, name: &str) -> bool {
        self.depot().is_cached(&self.depot().find(name).unwrap().digest)
    }

    fn preload(&self, assets: &[&str], change: impl FnOnce(&mut Preload)) -> JobStatus {
        let assets = assets.iter().map(|name| (*name).to_owned()).collect();
        let mut order = Preload { selection: Selection::of_assets(assets), verify: false, keep_going: true };
        change(&mut order);
        let Preload { selection, verify, keep_going } = order;
        self.jobs.start(Task::Preload { selection, verify, keep_going }).unwrap()
    }

    /// Waits for the end of the job.
    async fn ended(&self, id: u64) -> JobStatus {
        let mut events = self.jobs.subscribe();
        loop {
            let view = self.jobs.get(id).unwrap();
            // The end is published after the job is among the ended ones.
            if view.state != JobState::Running && self.jobs.is_ended(id) {
                return view;
            }
            tokio::time::timeout(DEADLINE, events.recv()).await.expect("the job ends").unwrap();
        }
    }

    /// Waits until the fill of the image has written some bytes.
    async fn wait_for_image_bytes(&self) {
        wait_until(|| self.depot().fills().iter().any(|fill| fill.name.as_str() == IMAGE && fill.bytes >= 500_000))
            .await;
    }
}

/// A worker that boots the live release of the channel okd, with a file that uses the image.
fn roster() -> RosterSettings {
    let template = |text: &str| TemplateText { file: "t.j2".to_owned(), text: text.to_owned() };
    let profile = ProfileSettings {
        name: "worker".to_owned(),
        kernel: Some("okd:kernel".to_owned()),
        args: vec!["root={{ asset_url('okd:rootfs') }}".to_owned()],
        ..ProfileSettings::default()
    };
    let spare = ProfileSettings {
        name: "spare".to_owned(),
        kernel: Some("okd/2/kernel".to_owned()),
        ..ProfileSettings::default()
    };
    let file = FileSettings { template: template("url={{ asset_url('disk.img') }}"), ..FileSettings::default() };
    let host = HostSettings {
        name: "r630-01".to_owned(),
        keys: Keys { macs: vec!["24:6e:96:00:00:01".parse().unwrap()], ..Keys::default() },
        profile: "worker".to_owned(),
        files: BTreeMap::from([("config.txt".to_owned(), file)]),
        ..HostSettings::default()
    };
    RosterSettings { hosts: vec![host], profiles: vec![profile, spare], ..RosterSettings::default() }
}

fn states(job: &JobStatus) -> Vec<(&str, ItemState)> {
    job.items.iter().map(|item| (item.name.as_str(), item.state)).collect()
}

#[tokio::test]
async fn preload_fetches_missing_assets_once() {
    let test = TestJobs::new(&[]).await;
    let mut events = test.jobs.subscribe();
    let begun = test.preload(&[], |order| order.selection.all = true);
    assert_eq!((begun.id, begun.state, begun.assets.total), (1, JobState::Running, 5));
    let ended = test.ended(1).await;
    assert_eq!(ended.state, JobState::Done);
    assert!(ended.items.iter().all(|item| item.state == ItemState::Done && item.size == Some(item.bytes)), "{ended:?}");
    let all = (IMAGE_SIZE + 4 * SIZE) as u64;
    assert_eq!(ended.bytes, ByteCounts { total: Some(all), done: all });
    assert!(ended.ended.unwrap() >= ended.began && ended.rate == 0);
    assert!(NAMES.iter().chain([&IMAGE]).all(|name| test.is_cached(name)));
    assert_eq!(
        test.depot().retention_reasons(&test.depot().find(IMAGE).unwrap().digest),
        [],
        "the retention ends with the job"
    );

    let JobEvent::Job(first) = events.try_recv().unwrap() else { panic!("expected the start") };
    assert_eq!(first, JobStatus { items: Vec::new(), ..begun });
    let mut changes = Vec::new();
    let last = loop {
        match events.try_recv() {
            Ok(JobEvent::Item { job: 1, item }) => changes.push((item.name, item.state)),
            Ok(JobEvent::Job(view)) if view.state == JobState::Done => break view,
            Ok(_) => {}
            Err(error) => panic!("expected the end: {error}"),
        }
    };
    assert_eq!(last, JobStatus { items: Vec::new(), ..ended });
    for name in NAMES.iter().chain([&IMAGE]) {
        let of_it: Vec<_> = changes.iter().filter(|(changed, _)| changed == name).map(|(_, state)| *state).collect();
        assert_eq!(of_it, [ItemState::Running, ItemState::Done], "{name}");
    }

    let requests = test.origin.requests();
    let again = test.preload(&[], |order| order.selection.all = true);
    assert_eq!((again.id, again.assets.done, again.bytes.done), (2, 5, all), "done before it starts");
    assert_eq!(test.ended(2).await.state, JobState::Done);
    assert_eq!(test.origin.requests(), requests);
    let listed: Vec<_> = test.jobs.list().iter().map(|job| (job.id, job.items.len())).collect();
    assert_eq!(listed, [(2, 0), (1, 0)], "newest first, without items");
}

#[tokio::test]
async fn keep_going_decides_after_failure() {
    let test = TestJobs::new(&[Fault::HoldFrom { at: 0 }]).await;
    fs::remove_file(test.source("okd/1/kernel")).unwrap();
    // Half of four fills run at a time: the image, which never comes, and the kernel, which fails.
    let stopped = test.preload(&[], |order| (order.selection.all, order.keep_going) = (true, false)).id;
    let stopped = test.ended(stopped).await;
    assert_eq!(stopped.state, JobState::Failed);
    let cut =
        [ItemState::Cancelled, ItemState::Failed, ItemState::Cancelled, ItemState::Cancelled, ItemState::Cancelled];
    assert_eq!(stopped.items.iter().map(|item| item.state).collect::<Vec<_>>(), cut);
    let error = stopped.items[1].error.as_ref().unwrap();
    assert!(error.starts_with("no source has it: "), "{error}");
    wait_until(|| test.depot().fills().is_empty()).await;
    assert_eq!(test.depot().past_fills()[0].outcome, FillOutcome::Cancelled, "only the job needed it");

    test.origin.heal();
    let went_on = test.preload(&[], |order| order.selection.all = true).id;
    let went_on = test.ended(went_on).await;
    assert_eq!((went_on.state, went_on.assets), (JobState::Failed, AssetCounts { total: 5, done: 4, failed: 1 }));

    // A new job ignores the cached failure.
    fs::write(test.source("okd/1/kernel"), content("okd/1/kernel")).unwrap();
    let repaired = test.preload(&["okd/1/kernel"], |_| {}).id;
    assert_eq!(test.ended(repaired).await.state, JobState::Done);
}

#[tokio::test]
async fn cancel_stops_fills_of_job() {
    let test = TestJobs::new(&[Fault::HoldFrom { at: 1_000_000 }]).await;
    let id = test.preload(&[], |order| order.selection.all = true).id;
    test.wait_for_image_bytes().await;
    let flowing = test.jobs.get(id).unwrap();
    let image = flowing.items.iter().find(|item| item.name == IMAGE).unwrap();
    assert!(image.state == ItemState::Running && image.bytes >= 500_000 && image.size == Some(IMAGE_SIZE as u64));
    let digest = test.depot().find(IMAGE).unwrap().digest;
    assert_eq!(test.depot().retention_reasons(&digest), [RetentionReason::Job(id)]);
    let mut events = test.jobs.subscribe();
    let cancelled = test.jobs.cancel(id).unwrap();
    assert_eq!(cancelled.state, JobState::Cancelled);
    let mut published = std::iter::from_fn(|| events.try_recv().ok());
    let cut = |event| matches!(event, JobEvent::Item { item, .. } if item.name == IMAGE && item.state == ItemState::Cancelled);
    assert!(published.any(cut), "the cancelled item is published");
    let refused = test.jobs.cancel(id).unwrap_err();
    assert_eq!(refused.to_string(), "job 1 has already ended: it is cancelled");
    assert_eq!(test.jobs.cancel(7), Err(CancelError::Unknown(7)));
    let ended = test.ended(id).await;
    let image = ended.items.iter().find(|item| item.name == IMAGE).unwrap();
    assert_eq!(image.state, ItemState::Cancelled);
    wait_until(|| test.depot().fills().is_empty()).await;
    assert!(
        test.depot()
            .past_fills()
            .iter()
            .any(|fill| fill.name.as_str() == IMAGE && fill.outcome == FillOutcome::Cancelled)
    );
    assert_eq!(test.depot().retention_reasons(&digest), []);
    test.origin.heal();
    let again = test.preload(&[IMAGE], |_| {}).id;
    assert_eq!(test.ended(again).await.state, JobState::Done);
    assert!(test.origin.sent(IMAGE) < 2 * IMAGE_SIZE as u64, "the fill resumed");
}

#[tokio::test]
async fn running_jobs_are_limited() {
    let test = TestJobs::new(&[Fault::HoldFrom { at: 0 }]).await;
    for _ in 0..MAX_RUNNING {
        test.preload(&[IMAGE], |_| {});
    }
    let task =
        || Task::Preload { selection: Selection::of_assets(vec![IMAGE.to_owned()]), verify: false, keep_going: true };
    let refused = test.jobs.start(task()).unwrap_err();
    assert_eq!(refused.to_string(), "64 jobs are running, which is the limit; wait for one of them, or cancel it");
    let digest = test.depot().find(IMAGE).unwrap().digest;
    assert_eq!(test.depot().retention_reasons(&digest).len(), MAX_RUNNING, "a refused job retains nothing");
    test.jobs.cancel(1).unwrap();
    test.ended(1).await;
    test.jobs.start(task()).unwrap();
}

#[tokio::test]
async fn client_survives_job_cancel() {
    let test = TestJobs::new(&[Fault::HoldFrom { at: 1_000_000 }]).await;
    let id = test.preload(&[IMAGE], |_| {}).id;
    test.wait_for_image_bytes().await;
    let reader = test.depot().read(&test.depot().find(IMAGE).unwrap()).await.unwrap();
    let stream = reader.stream(ByteRange::whole(IMAGE_SIZE as u64), Delivery::Copied).await.unwrap();
    test.jobs.cancel(id).unwrap();
    test.ended(id).await;
    test.origin.heal();
    let pieces: Vec<_> = futures_util::StreamExt::collect(stream).await;
    let got: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.unwrap().read().unwrap()).collect();
    assert!(got == image());
    assert_eq!(test.origin.sent(IMAGE), IMAGE_SIZE as u64, "every byte is sent once");
}

#[tokio::test]
async fn job_never_evicts_own_items() {
    // One fill at a time: only the job retains the first blob while the second is filled.
    let test = TestJobs::sized(&[], 3 * SIZE as u64 + 500, 1).await;
    let id = test.preload(&["okd/1/*"], |_| {}).id;
    assert_eq!(test.ended(id).await.state, JobState::Done, "the active release retains it");
    let plan = test.jobs.plan(&Selection::of_assets(vec!["okd/2/*".to_owned()])).await.unwrap();
    let room = Room { available: SIZE as u64 + 500, fits: false };
    assert_eq!((plan.missing.bytes, plan.room), (2 * SIZE as u64, room));
    let id = test.preload(&["okd/2/*"], |_| {}).id;
    let ended = test.ended(id).await;
    assert_eq!((ended.state, ended.assets), (JobState::Failed, AssetCounts { total: 2, done: 1, failed: 1 }));
    let error = ended.items[1].error.as_ref().unwrap();
    assert!(error.starts_with("the cache cannot store it: no space for 1000 bytes"), "{error}");
    assert!(test.is_cached("okd/2/kernel") && !test.is_cached("okd/2/rootfs"));
    // After the end of the job the blob is not retained.
    let id = test.preload(&["okd/2/rootfs"], |_| {}).id;
    assert_eq!(test.ended(id).await.state, JobState::Done);
    assert!(!test.is_cached("okd/2/kernel") && test.is_cached("okd/1/kernel"));
}

#[tokio::test]
async fn verify_finds_and_preload_replaces_corrupt() {
    let test = TestJobs::new(&[]).await;
    let id = test.preload(&["okd/**"], |_| {}).id;
    test.ended(id).await;
    test.corrupt("okd/1/rootfs");
    let id = test.preload(&["okd/1/*"], |order| order.verify = true).id;
    let mended = test.ended(id).await;
    assert_eq!((mended.state, mended.bytes.done), (JobState::Done, 2 * SIZE as u64));
    let rotted = mended.items.iter().filter(|item| item.rotted).map(|item| item.name.as_str());
    assert_eq!(rotted.collect::<Vec<_>>(), ["okd/1/rootfs"]);
    assert_eq!(fs::read(test.blob("okd/1/rootfs")).unwrap(), content("okd/1/rootfs"));

    test.corrupt("okd/2/rootfs");
    let id = test.jobs.start(Task::Verify { assets: vec!["**".to_owned()] }).unwrap().id;
    let verified = test.ended(id).await;
    assert_eq!((verified.kind, verified.state), (JobKind::Verify, JobState::Failed));
    assert_eq!(
        verified.assets,
        AssetCounts { total: 4, done: 3, failed: 1 },
        "a glob skips the image, which is not cached"
    );
    let rotted = verified.items.iter().find(|item| item.name == "okd/2/rootfs").unwrap();
    assert!(rotted.error.as_ref().unwrap().contains("in quarantine"), "{rotted:?}");
    assert!(!test.is_cached("okd/2/rootfs"));
    let id = test.jobs.start(Task::Verify { assets: vec![IMAGE.to_owned()] }).unwrap().id;
    let absent = test.ended(id).await;
    assert_eq!(
        absent.items[0].error.as_deref(),
        Some("it is not in the cache"),
        "a named asset that is not cached is a failure"
    );
}

#[tokio::test]
async fn scrub_verifies_every_blob() {
    let test = TestJobs::new(&[]).await;
    let id = test.preload(&["okd/**"], |_| {}).id;
    test.ended(id).await;
    let unlisted = Digest::of(b"unlisted");
    let partial = test.depot().cache().partial(&unlisted, 8, 1 << 20).unwrap();
    partial.write_at(0, &[bytes::Bytes::from_static(b"unlisted")]).unwrap();
    partial.finish_parts(&[0]).unwrap();
    let mut verifier = crate::asset::Verifier::new();
    verifier.update(b"unlisted");
    drop(partial.admit(verifier.verify(&unlisted).unwrap()).unwrap());
    // The scrub waits while another job verifies.
    let turn = Arc::clone(&test.jobs.shared.verifying).acquire_owned().await.unwrap();
    let id = test.jobs.start(Task::Scrub).unwrap().id;
    assert_eq!(test.jobs.start(Task::Scrub).unwrap().id, id, "one scrub at a time");
    drop(turn);
    let scrubbed = test.ended(id).await;
    assert_eq!((scrubbed.state, scrubbed.assets.done), (JobState::Done, 5));
    assert_eq!(scrubbed.bytes, ByteCounts { total: Some(4008), done: 4008 });
    let names: std::collections::BTreeSet<_> = scrubbed.items.iter().map(|item| item.name.clone()).collect();
    assert!(names.contains("okd/1/kernel") && names.contains(&unlisted.to_string()), "{names:?}");
}

#[tokio::test]
async fn ended_jobs_are_limited() {
    let test = TestJobs::new(&[]).await;
    for id in 1..=103 {
        assert_eq!(test.preload(&["okd/1/kernel"], |_| {}).id, id);
        test.ended(id).await;
    }
    let listed: Vec<_> = test.jobs.list().iter().map(|job| job.id).collect();
    assert_eq!(listed, (4..=103).rev().collect::<Vec<_>>());
    assert!(test.jobs.get(3).is_none() && test.jobs.get(4).is_some());
    // The last ten keep every item, all keep the totals, and older ones keep failed items.
    let items = |id| test.jobs.get(id).unwrap().items.len();
    assert_eq!((items(94), items(93), test.jobs.get(4).unwrap().assets.done), (1, 0, 1));
    fs::remove_file(test.dir.path().join("okd_2_kernel")).unwrap();
    let failing = test.preload(&["okd/2/kernel", "okd/1/kernel"], |order| order.keep_going = true).id;
    test.ended(failing).await;
    for _ in 0..10 {
        test.ended(test.preload(&["okd/1/kernel"], |_| {}).id).await;
    }
    assert_eq!(states(&test.jobs.get(failing).unwrap()), [("okd/2/kernel", ItemState::Failed)]);
}

#[tokio::test]
async fn equal_assets_are_fetched_once() {
    let dir = tempfile::tempdir().unwrap();
    let origin = FakeOrigin::start(image(), &[]).await;
    let name = |name: &str| AssetName::parse(name).unwrap();
    let twins = ["a", "b", "c"].map(|twin| Asset::new(name(twin), Digest::of(&image()), vec![origin.url(IMAGE)]));
    let cache = Cache::open(CacheSettings {
        dir: dir.path().to_owned(),
        max_size: 1 << 30,
        min_free: 0,
        seal: crate::cache::SealPolicy::Off,
    })
    .unwrap();
    let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
    let depot = Depot::new(Catalog::new(twins.into()).unwrap(), origins, cache, FillSettings::default());
    let jobs = Jobs::new(Boot::assets_only(depot));
    let selection = Selection { all: true, ..Selection::default() };
    let plan = jobs.plan(&selection).await.unwrap();
    assert_eq!(
        plan.missing,
        Missing { assets: 3, bytes: IMAGE_SIZE as u64, unknown_sizes: 0 },
        "the origin was queried"
    );
    let mut events = jobs.subscribe();
    let id = jobs.start(Task::Preload { selection, verify: false, keep_going: true }).unwrap().id;
    while jobs.get(id).unwrap().state == JobState::Running {
        tokio::time::timeout(DEADLINE, events.recv()).await.expect("the job ends").unwrap();
    }
    let ended = jobs.get(id).unwrap();
    assert_eq!(ended.bytes, ByteCounts { total: Some(IMAGE_SIZE as u64), done: IMAGE_SIZE as u64 });
    assert_eq!(states(&ended), ["a", "b", "c"].map(|name| (name, ItemState::Done)));
    // One more byte for the size.
    assert!(origin.sent(IMAGE) <= IMAGE_SIZE as u64 + 1);
}
