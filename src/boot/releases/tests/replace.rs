//! Replacing releases while they are in use: afterwards, exactly the assets that the new configuration needs are held.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::asset::Verifier;
use crate::depot::DepotConfig;

const ASSETS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A configuration of the assets a to e and the releases r0 to r3.
#[derive(Debug, Clone)]
struct TestConfig {
    /// Which of four contents each asset has, and whether it is pinned.
    assets: BTreeMap<&'static str, (u8, bool)>,
    /// The channel of each release, its assets, and which release of the channel is active.
    releases: Vec<(Option<&'static str>, Vec<&'static str>, bool)>,
}

fn test_config() -> impl Strategy<Value = TestConfig> {
    let assets = proptest::collection::btree_map(proptest::sample::select(&ASSETS[..]), (0..4_u8, any::<bool>()), 1..5);
    assets.prop_flat_map(|assets| {
        let names: Vec<&'static str> = assets.keys().copied().collect();
        let channel = proptest::option::of(proptest::sample::select(vec!["x", "y"]));
        let some = proptest::sample::subsequence(names.clone(), 1..=names.len());
        let releases = proptest::collection::vec((channel, some, any::<bool>()), 0..4);
        releases.prop_map(move |releases| TestConfig { assets: assets.clone(), releases })
    })
}

impl TestConfig {
    fn catalog(&self) -> Catalog {
        let asset = |(name, (content, pin)): (&&str, &(u8, bool))| {
            let source = "file:///nowhere".parse().unwrap();
            Asset { pin: *pin, ..Asset::new(AssetName::parse(name).unwrap(), digest(*content), vec![source]) }
        };
        Catalog::new(self.assets.iter().map(asset).collect()).unwrap()
    }

    fn releases(&self) -> Vec<Release> {
        let mut taken = HashSet::new();
        let releases = self.releases.iter().enumerate().map(|(index, (channel, assets, active))| Release {
            name: format!("r{index}"),
            channel: channel.map(str::to_owned),
            assets: assets.iter().map(|name| AssetName::parse(name).unwrap()).collect(),
            // At most one in each channel.
            active: *active && channel.is_none_or(|channel| taken.insert(channel)),
        });
        releases.collect()
    }

    fn active(&self) -> Vec<Release> {
        self.releases().into_iter().filter(|release| release.active).collect()
    }

    /// The digests of a release's assets.
    fn contents<'w>(&'w self, release: &'w Release) -> impl Iterator<Item = Digest> + 'w {
        release.assets.iter().map(|name| digest(self.assets[name.as_str()].0))
    }
}

fn digest(content: u8) -> Digest {
    Digest::of(&[content])
}

/// The pins after `after` replaced `before`. The active releases of `before` were live if all blobs are `cached`.
fn expected(before: &TestConfig, after: &TestConfig, cached: bool) -> BTreeMap<Digest, usize> {
    let pinned = after.assets.values().filter(|(_, pin)| *pin).map(|(content, _)| digest(*content));
    let mut held: Vec<Digest> = pinned.collect();
    let now = after.active();
    held.extend(now.iter().flat_map(|release| after.contents(release)));
    // Live releases are kept for machines that began with them.
    for release in before.active().iter().filter(|it| cached && now.iter().all(|now| now.name != it.name)) {
        match after.releases().iter().find(|it| it.name == release.name) {
            Some(still) => held.extend(after.contents(still)),
            None => held.extend(before.contents(release)),
        }
    }
    let mut pins = BTreeMap::new();
    for digest in held {
        *pins.entry(digest).or_default() += 1;
    }
    pins
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn replace_leaves_pins_of_new_configuration(before in test_config(), after in test_config(), cached: bool) {
        let dir = tempfile::tempdir().unwrap();
        let settings = CacheSettings { dir: dir.path().join("cache"), max_size: 1 << 20, min_free: 0, seal: crate::cache::SealPolicy::Off };
        let cache = Cache::open(settings).unwrap();
        for content in (0..4_u8).filter(|_| cached) {
            let partial = cache.partial(&digest(content), 1, 1 << 20).unwrap();
            partial.write_at(0, &[bytes::Bytes::from(vec![content])]).unwrap();
            let mut verifier = Verifier::default();
            verifier.update(&[content]);
            partial.admit(verifier.verify(&digest(content)).unwrap()).unwrap();
        }
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let depot = Depot::new(before.catalog(), origins, cache.clone(), FillSettings::default());
        let releases = Releases::open(before.releases(), depot.clone(), dir.path().join("releases.json"));
        let change = |catalog, listed| {
            depot.reconfigure(DepotConfig { catalog, origins: None, settings: FillSettings::default() });
            releases.replace(listed);
        };
        // The second time, nothing changes.
        for _ in 0..2 {
            change(after.catalog(), after.releases());
            prop_assert_eq!(cache.pins(), expected(&before, &after, cached));
        }
        change(Catalog::default(), Vec::new());
        drop((depot, releases));
        prop_assert_eq!(cache.pins(), BTreeMap::new());
    }
}

#[tokio::test]
async fn removed_release_stays_resolvable() {
    let site = TestSite::new();
    site.put(&NAMES[..3]);
    let okd = site.open("okd-1").await;
    okd.until_live("okd-1").await;
    let depot = okd.releases.shared.depot.clone();
    let newer = Release { active: true, ..okd.listed().into_iter().find(|it| it.name == "okd-2").unwrap() };
    let assets =
        depot.catalog().assets().filter(|it| newer.assets.contains(&it.name)).map(|it| Asset::clone(&it)).collect();
    let (catalog, settings) = (Catalog::new(assets).unwrap(), FillSettings::default());
    depot.reconfigure(DepotConfig {
        catalog,
        origins: None,
        settings: FillSettings { negative_ttl: Duration::ZERO, ..settings },
    });
    okd.releases.replace(vec![newer]);
    // The new release cannot be fetched yet: new scripts use the old one.
    okd.until("okd-2", |view| view.reason.is_some()).await;
    assert_eq!(okd.named("okd:rootfs").unwrap(), "okd/1/rootfs");
    assert_eq!(okd.view("okd-1").state, ReleaseState::Live);
    assert!(depot.find("okd/1/rootfs").is_some() && depot.find("memtest").is_none());
    site.put(&["okd/2/rootfs"]);
    okd.until_live("okd-2").await;
    assert_eq!(okd.named("okd:rootfs").unwrap(), "okd/2/rootfs");
    let found = depot.find("okd/1/rootfs").expect("machines that began with it can finish");
    assert!(depot.is_cached(&found.digest) && okd.is_pinned("okd/1/rootfs"));
    okd.close().await;
}

#[tokio::test]
async fn late_releases_restore_recorded_state() {
    let site = TestSite::new();
    site.put(&NAMES);
    let okd = site.open("okd-1").await;
    okd.releases.activate("okd-2").await.unwrap();
    okd.until_live("okd-2").await;
    let all = okd.listed();
    okd.close().await;
    let (depot, cache) = site.depot().await;
    let releases = Releases::open(Vec::new(), depot, site.record());
    assert!(releases.list().is_empty() && cache.pins().is_empty());
    releases.replace(all);
    let live: Vec<_> = releases.list().into_iter().filter(|view| view.state == ReleaseState::Live).collect();
    assert_eq!(live.iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), ["okd-2"]);
}

impl TestReleases {
    /// The configured releases.
    fn listed(&self) -> Vec<Release> {
        self.releases.state().channels.all().map(|release| Release::clone(release)).collect()
    }
}
