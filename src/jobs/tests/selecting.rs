//! Selections, and the errors of invalid ones.

use super::*;

fn names(test: &TestJobs, selection: &Selection) -> Vec<String> {
    selection.resolve(&test.boot).unwrap().iter().map(|asset| asset.name.to_string()).collect()
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn selection_resolves_names_globs_and_groups() {
    let test = TestJobs::new(&[]).await;
    let of = |change: &dyn Fn(&mut Selection)| {
        let mut selection = Selection::default();
        change(&mut selection);
        names(&test, &selection)
    };
    assert_eq!(of(&|it| it.assets = list(&["disk.img", "okd/1/kernel", "disk.img"])), ["disk.img", "okd/1/kernel"]);
    assert_eq!(of(&|it| it.assets = list(&["okd/*/kernel"])), ["okd/1/kernel", "okd/2/kernel"]);
    assert_eq!(of(&|it| it.assets = list(&["*"])), ["disk.img"], "a star matches no slash");
    assert_eq!(of(&|it| it.assets = list(&["**"])).len(), 5);
    assert_eq!(of(&|it| it.assets = list(&["okd/[12]/{kernel,rootfs}"])), NAMES);
    assert_eq!(of(&|it| it.releases = list(&["okd-2"])), ["okd/2/kernel", "okd/2/rootfs"]);
    assert_eq!(of(&|it| it.hosts = list(&["r630-01"])), ["disk.img", "okd/1/kernel", "okd/1/rootfs"]);
    assert_eq!(of(&|it| it.profiles = list(&["worker"])), ["disk.img", "okd/1/kernel", "okd/1/rootfs"]);
    assert_eq!(of(&|it| it.profiles = list(&["spare"])), ["okd/2/kernel"], "a profile without hosts");
    assert_eq!(of(&|it| it.all = true).len(), 5);
}

#[tokio::test]
async fn host_selection_follows_active_release() {
    let test = TestJobs::new(&[]).await;
    let host = Selection { hosts: list(&["r630-01"]), ..Selection::default() };
    assert_eq!(names(&test, &host), ["disk.img", "okd/1/kernel", "okd/1/rootfs"], "no release is live");
    test.boot.releases().activate("okd-2").await.unwrap();
    assert_eq!(names(&test, &host), ["disk.img", "okd/2/kernel", "okd/2/rootfs"]);
}

#[tokio::test]
async fn unknown_names_are_reported_together() {
    let test = TestJobs::new(&[]).await;
    let selection = Selection {
        assets: list(&["okd/1/kernal", "nothing/like/it", "okd/3/*", "[", "disk.img"]),
        releases: list(&["okd-3"]),
        profiles: list(&["workers"]),
        hosts: list(&["r630-02"]),
        all: false,
    };
    let error = selection.resolve(&test.boot).unwrap_err();
    insta::assert_snapshot!(error, @r#"
    there is no asset "okd/1/kernal"; the nearest is "okd/1/kernel"
    there is no asset "nothing/like/it"
    no asset matches "okd/3/*" (* matches anything but a slash, ** matches anything)
    no asset matches "[" (* matches anything but a slash, ** matches anything)
    there is no release "okd-3"; the nearest is "okd-1"
    there is no profile "workers"; the nearest is "worker"
    there is no host "r630-02"; the nearest is "r630-01"
    "#);
    let empty = Selection::default().resolve(&test.boot).unwrap_err();
    insta::assert_snapshot!(empty, @"nothing is selected; name assets, releases, profiles or hosts, or select all");
}

#[tokio::test]
async fn suggestions_are_limited() {
    let test = TestJobs::new(&[]).await;
    let selection = Selection::of_assets((0..100).map(|index| format!("okd/1/kernel{index}")).collect());
    let Err(SelectionError::Unknown(unknown)) = selection.resolve(&test.boot) else { panic!("expected unknown names") };
    let suggested = unknown.iter().filter(|name| name.nearest.as_deref() == Some("okd/1/kernel")).count();
    assert_eq!((unknown.len(), suggested), (100, 16));
}

#[test]
fn selection_is_described() {
    let words = |assets: &[&str], releases: &[&str], all| {
        Selection { assets: list(assets), releases: list(releases), all, ..Selection::default() }.describe()
    };
    assert_eq!(words(&["a"], &[], false), "a");
    assert_eq!(words(&["a", "b", "c"], &["okd-1", "okd-2"], false), "release okd-1, release okd-2, a and 2 more");
    assert_eq!(words(&["a"], &[], true), "all assets");
}
