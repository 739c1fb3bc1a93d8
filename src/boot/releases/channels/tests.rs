use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::asset::AssetName;

fn release(name: &str, channel: Option<&str>, active: bool) -> Release {
    let assets = vec![AssetName::parse(&format!("{name}/kernel")).unwrap()];
    Release { name: name.to_owned(), channel: channel.map(str::to_owned), assets, active }
}

/// The releases 4.18, 4.19 and 4.20 of one channel, of which `active` is active, and one without a channel.
fn settings(active: &str, alone: bool) -> Vec<Release> {
    let okd = |name: &str| release(name, Some("okd"), name == active);
    vec![okd("4.18"), okd("4.19"), release("tools", None, alone), okd("4.20")]
}

fn no_record() -> Record {
    Record::default()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn names<'r>(releases: impl Iterator<Item = &'r Arc<Release>>) -> Vec<&'r str> {
    let mut names: Vec<_> = releases.map(|release| release.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The live, active and held releases.
fn status(channels: &Channels) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
    let live = channels.all().filter(|release| channels.is_live(release));
    (names(live), names(channels.active()), names(channels.held()))
}

const ALL: fn(&Release) -> bool = |_| true;
const NONE: fn(&Release) -> bool = |_| false;

#[test]
fn active_release_goes_live_when_cached() {
    let mut okd = Channels::new(settings("4.19", true), no_record(), at(0));
    assert!(okd.advance(NONE, at(0)).is_empty());
    assert_eq!(status(&okd), (vec![], vec!["4.19", "tools"], vec!["4.19", "tools"]));
    let went_live = okd.advance(|release| release.name == "tools", at(0));
    assert_eq!(names(went_live.iter()), ["tools"]);
    let went_live = okd.advance(ALL, at(0));
    assert_eq!(names(went_live.iter()), ["4.19"]);
    assert_eq!(status(&okd), (vec!["4.19", "tools"], vec!["4.19", "tools"], vec!["4.19", "tools"]));
    assert!(okd.advance(NONE, at(1)).is_empty(), "a missing blob does not end a live release");
    assert_eq!(names(okd.all().filter(|release| okd.is_live(release))), ["4.19", "tools"]);
}

#[test]
fn replaced_release_is_live_then_kept() {
    let mut okd = Channels::new(settings("4.19", false), no_record(), at(0));
    okd.advance(ALL, at(0));
    assert_eq!(okd.activate("4.20").unwrap().name, "4.20");
    okd.advance(NONE, at(10));
    assert_eq!(status(&okd), (vec!["4.19"], vec!["4.20"], vec!["4.19", "4.20"]));
    okd.advance(ALL, at(20));
    assert_eq!(status(&okd), (vec!["4.20"], vec!["4.20"], vec!["4.19", "4.20"]));
    assert_eq!(okd.next_expiry(), Some(at(20) + KEEP));
    okd.advance(ALL, at(19) + KEEP);
    assert_eq!(names(okd.held()), ["4.19", "4.20"]);
    okd.advance(ALL, at(20) + KEEP);
    assert_eq!(names(okd.held()), ["4.20"]);
}

#[test]
fn rollback_switches_and_keeps() {
    let mut okd = Channels::new(settings("4.19", false), no_record(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.20");
    okd.advance(ALL, at(1));
    okd.activate("4.19");
    okd.advance(ALL, at(2));
    assert_eq!(status(&okd), (vec!["4.19"], vec!["4.19"], vec!["4.19", "4.20"]));
    okd.advance(ALL, at(2) + KEEP);
    assert_eq!(names(okd.held()), ["4.19"]);
}

#[test]
fn reactivation_drops_release_never_live() {
    let mut okd = Channels::new(settings("4.18", false), no_record(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.19");
    okd.advance(NONE, at(1));
    okd.activate("4.20");
    okd.advance(NONE, at(2));
    assert_eq!(status(&okd), (vec!["4.18"], vec!["4.20"], vec!["4.18", "4.20"]));
    okd.activate("4.18");
    assert!(okd.advance(NONE, at(3)).is_empty(), "the release is live already");
    assert_eq!(status(&okd), (vec!["4.18"], vec!["4.18"], vec!["4.18"]));
    assert_eq!(okd.activate("4.21"), None);
}

#[test]
fn clock_ahead_does_not_extend_keep() {
    let year = Duration::from_hours(24 * 365);
    let mut okd = Channels::new(settings("4.18", false), no_record(), at(0) + year);
    okd.advance(ALL, at(0) + year);
    okd.activate("4.19");
    okd.advance(ALL, at(0) + year);
    let again = Channels::new(settings("4.18", false), okd.record(), at(0));
    assert_eq!((names(again.held()), again.next_expiry()), (vec!["4.18", "4.19"], Some(at(0) + KEEP)));
}

#[test]
fn restart_restores_channels() {
    let mut okd = Channels::new(settings("4.18", false), no_record(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.19");
    okd.activate("tools");
    okd.advance(ALL, at(1));
    okd.activate("4.20");
    okd.advance(NONE, at(2));
    let again = Channels::new(settings("4.18", false), okd.record(), at(3));
    assert_eq!(status(&again), status(&okd));
    assert_eq!(again.next_expiry(), okd.next_expiry());
    assert_eq!(again.record(), okd.record());
}

#[test]
fn changed_configuration_overrides_command() {
    let mut okd = Channels::new(settings("4.18", false), no_record(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.19");
    okd.activate("tools");
    okd.advance(ALL, at(1));
    let mut again = Channels::new(settings("4.20", true), okd.record(), at(2));
    assert_eq!(status(&again).1, ["4.20", "tools"]);
    again.advance(NONE, at(2));
    assert_eq!(status(&again), (vec!["4.19", "tools"], vec!["4.20", "tools"], vec!["4.18", "4.19", "4.20", "tools"]));
    // The command came after the change of the configuration.
    again.activate("4.18");
    let third = Channels::new(settings("4.20", true), again.record(), at(3));
    assert_eq!(status(&third).1, ["4.18", "tools"]);
}

#[test]
fn deactivated_release_is_kept() {
    let mut okd = Channels::new(settings("4.19", true), no_record(), at(0));
    okd.advance(ALL, at(0));
    let mut again = Channels::new(settings("", false), okd.record(), at(5));
    again.advance(ALL, at(5));
    assert_eq!(status(&again), (vec![], vec![], vec!["4.19", "tools"]));
    again.advance(ALL, at(5) + KEEP);
    assert_eq!(status(&again), (vec![], vec![], vec![]));
}

#[test]
fn removed_release_record_is_dropped() {
    let mut okd = Channels::new(settings("4.18", false), no_record(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.19");
    okd.advance(ALL, at(1));
    okd.activate("4.20");
    let left = vec![release("4.20", Some("okd"), false), release("4.17", Some("okd"), true)];
    let again = Channels::new(left, okd.record(), at(2));
    assert_eq!(status(&again), (vec![], vec!["4.17"], vec!["4.17"]), "the configuration changed too");
    let left = vec![release("4.19", Some("okd"), false), release("4.18", Some("okd"), true)];
    let again = Channels::new(left, okd.record(), at(2));
    assert_eq!(status(&again), (vec!["4.19"], vec!["4.18"], vec!["4.18", "4.19"]), "4.20 is not active any more");
}

#[test]
fn channels_are_independent() {
    let both = vec![release("a1", Some("a"), true), release("b1", Some("b"), true), release("a2", Some("a"), false)];
    let mut channels = Channels::new(both, no_record(), at(0));
    channels.activate("a2");
    channels.advance(|release| release.name == "b1", at(0));
    let ChannelStatus { live, active } = channels.channel("b").unwrap();
    assert_eq!((live.unwrap().name.as_str(), active.unwrap().name.as_str()), ("b1", "b1"));
    let ChannelStatus { live, active } = channels.channel("a").unwrap();
    assert_eq!((live, active.unwrap().name.as_str()), (None, "a2"));
    assert!(channels.channel("c").is_none());
}

#[derive(Debug, Clone)]
enum Step {
    Activate(&'static str),
    /// A check while the releases of these bits are cached.
    Check(u8),
    Wait(u64),
    /// A restart with this active release.
    Restart(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop::sample::select(vec!["4.18", "4.19", "4.20", "tools"]);
    let step = prop_oneof![
        name().prop_map(Step::Activate),
        any::<u8>().prop_map(Step::Check),
        (0u64..10_000).prop_map(Step::Wait),
        name().prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #[test]
    fn random_steps_keep_one_complete_live(steps in steps()) {
        let mut okd = Channels::new(settings("4.18", false), no_record(), at(0));
        let (mut now, mut complete) = (at(0), std::collections::HashSet::new());
        for step in steps {
            let before: Vec<String> = okd.all().filter(|it| okd.is_live(it)).map(|it| it.name.clone()).collect();
            match step {
                Step::Activate(name) => {
                    okd.activate(name);
                    let live: Vec<_> = okd.all().filter(|it| okd.is_live(it)).map(|it| it.name.clone()).collect();
                    prop_assert_eq!(&live, &before, "an activation alone switches nothing");
                }
                Step::Check(bits) => {
                    let names = ["4.18", "4.19", "4.20", "tools"];
                    let is_cached = |name: &str| names.iter().position(|it| *it == name).is_some_and(|at| bits >> at & 1 == 1);
                    for switched in okd.advance(|release| is_cached(&release.name), now) {
                        prop_assert!(is_cached(&switched.name));
                        complete.insert(switched.name.clone());
                    }
                    // Machines that boot from the release that was live before find it held.
                    let held = names_of(okd.held());
                    prop_assert!(before.iter().all(|name| held.contains(name)));
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Restart(active) => okd = Channels::new(settings(active, active == "tools"), okd.record(), now),
            }
            let live: Vec<_> = okd.all().filter(|it| okd.is_live(it)).collect();
            prop_assert!(live.iter().all(|it| complete.contains(&it.name)), "{:?} was never complete", live);
            prop_assert!(live.iter().filter(|it| it.channel.is_some()).count() <= 1);
            prop_assert!(okd.active().filter(|it| it.channel.is_some()).count() <= 1);
        }
    }
}

fn names_of<'r>(releases: impl Iterator<Item = &'r Arc<Release>>) -> Vec<String> {
    releases.map(|release| release.name.clone()).collect()
}

fn okd(names: &[&str], active: &str) -> Vec<Release> {
    names.iter().map(|name| release(name, Some("okd"), *name == active)).collect()
}

impl Channels {
    fn change(&mut self, releases: Vec<Release>, now: SystemTime) {
        let record = self.record();
        self.replace(releases, record, now);
    }
}

#[test]
fn removed_release_live_until_successor_cached() {
    let mut it = Channels::new(okd(&["4.19"], "4.19"), no_record(), at(0));
    it.advance(ALL, at(0));
    it.change(okd(&["4.20"], "4.20"), at(10));
    it.advance(NONE, at(10));
    assert_eq!(it.channel("okd").unwrap().live.unwrap().name, "4.19");
    assert_eq!(names(it.held()), ["4.19", "4.20"]);
    assert_eq!(it.activate("4.19"), None, "it was removed");
    // The same configuration again, and another one without the release.
    it.change(okd(&["4.20"], "4.20"), at(11));
    it.change(okd(&["4.21", "4.20"], "4.21"), at(12));
    assert_eq!(it.channel("okd").unwrap().live.unwrap().name, "4.19");
    assert_eq!(names(it.former()), ["4.19"]);
    it.advance(ALL, at(20));
    assert_eq!(status(&it), (vec!["4.21"], vec!["4.21"], vec!["4.19", "4.21"]));
    it.change(okd(&["4.21"], "4.21"), at(21));
    assert_eq!(names(it.held()), ["4.19", "4.21"], "kept like a replaced release");
    it.advance(ALL, at(20) + KEEP);
    assert_eq!((names(it.held()), it.removed.len()), (vec!["4.21"], 0));
}

#[test]
fn removed_release_without_successor_is_kept() {
    let mut it =
        Channels::new(vec![release("tools", None, true), release("4.19", Some("okd"), true)], no_record(), at(0));
    it.advance(ALL, at(0));
    it.change(Vec::new(), at(1));
    assert_eq!(status(&it), (vec![], vec![], vec!["4.19", "tools"]));
    it.change(vec![release("tools", None, true)], at(2));
    it.advance(ALL, at(2));
    assert_eq!(status(&it), (vec!["tools"], vec!["tools"], vec!["4.19", "tools"]));
    assert_eq!(it.next_expiry(), Some(at(1) + KEEP));
    it.advance(ALL, at(1) + KEEP);
    assert_eq!(names(it.held()), ["tools"]);
}

#[test]
fn absent_release_state_is_restored() {
    let all = || [okd(&["4.18", "4.19"], "4.18"), vec![release("tools", None, false)]].concat();
    let mut it = Channels::new(all(), no_record(), at(0));
    it.advance(ALL, at(0));
    it.activate("4.19");
    it.activate("tools");
    it.advance(ALL, at(1));
    // Their catalog is unreadable during two starts.
    let other = || vec![release("other", None, true)];
    let without = Channels::new(other(), it.record(), at(2));
    let without = Channels::new(other(), without.record(), at(3));
    assert_eq!(status(&without), (vec![], vec!["other"], vec!["other"]));
    let mut back = Channels::default();
    back.replace([all(), other()].concat(), without.record(), at(4));
    assert_eq!(
        status(&back),
        (vec!["4.19", "tools"], vec!["4.19", "other", "tools"], vec!["4.18", "4.19", "other", "tools"])
    );
    assert_eq!(back.next_expiry(), it.next_expiry());
    // A configuration that changed in the meantime overrides the command.
    let changed = Channels::new(okd(&["4.18", "4.19"], "4.19"), without.record(), at(4));
    assert_eq!(names(changed.active()), ["4.19"]);
    // Records of idle releases do not accumulate.
    let later = Channels::new(vec![release("new", None, false)], no_record(), at(5));
    assert_eq!(Channels::new(Vec::new(), later.record(), at(5)).record(), no_record());
}

#[test]
fn activation_survives_unrelated_change() {
    let mut it = Channels::new(settings("4.18", false), no_record(), at(0));
    it.advance(ALL, at(0));
    it.activate("4.19");
    it.advance(ALL, at(1));
    it.change(okd(&["4.18", "4.19", "4.21"], "4.18"), at(2));
    it.advance(ALL, at(2));
    assert_eq!(names(it.active()), ["4.19"]);
    it.change(okd(&["4.18", "4.19", "4.21"], "4.21"), at(3));
    it.advance(ALL, at(3));
    assert_eq!(status(&it), (vec!["4.21"], vec!["4.21"], vec!["4.18", "4.19", "4.21"]));
}

#[test]
fn release_moved_to_channel_is_kept() {
    let mut it = Channels::new(okd(&["4.19"], "4.19"), no_record(), at(0));
    it.advance(ALL, at(0));
    it.change(vec![release("4.19", Some("old"), false), release("4.20", Some("okd"), true)], at(1));
    it.advance(NONE, at(1));
    assert_eq!(status(&it), (vec![], vec!["4.20"], vec!["4.19", "4.20"]));
}
