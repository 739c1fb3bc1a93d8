use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::asset::AssetName;

fn release(name: &str, channel: Option<&str>, active: bool) -> Release {
    let assets = vec![AssetName::parse(&format!("{name}/kernel")).unwrap()];
    Release { name: name.to_owned(), channel: channel.map(str::to_owned), assets, active }
}

/// The releases 4.18, 4.19 and 4.20 of one channel, of which the settings want `active`, and one that stands alone.
fn settings(active: &str, alone: bool) -> Vec<Release> {
    let okd = |name: &str| release(name, Some("okd"), name == active);
    vec![okd("4.18"), okd("4.19"), release("tools", None, alone), okd("4.20")]
}

fn nothing() -> Record {
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

/// What is live, what is wanted, and what is held.
fn standing(of: &Standing) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
    (names(of.all().filter(|release| of.is_live(release))), names(of.wanted()), names(of.held()))
}

const ALL: fn(&Release) -> bool = |_| true;
const NONE: fn(&Release) -> bool = |_| false;

#[test]
fn what_the_settings_want_goes_live_when_it_is_proven() {
    let mut okd = Standing::new(settings("4.19", true), nothing(), at(0));
    assert!(okd.advance(NONE, at(0)).is_empty());
    assert_eq!(standing(&okd), (vec![], vec!["4.19", "tools"], vec!["4.19", "tools"]));
    let went_live = okd.advance(|release| release.name == "tools", at(0));
    assert_eq!(names(went_live.iter()), ["tools"]);
    let went_live = okd.advance(ALL, at(0));
    assert_eq!(names(went_live.iter()), ["4.19"]);
    assert_eq!(standing(&okd), (vec!["4.19", "tools"], vec!["4.19", "tools"], vec!["4.19", "tools"]));
    assert!(okd.advance(NONE, at(1)).is_empty(), "what went away does not make it less live");
    assert_eq!(names(okd.all().filter(|release| okd.is_live(release))), ["4.19", "tools"]);
}

#[test]
fn the_one_before_stays_live_until_the_new_one_is_proven_and_is_kept_for_a_while() {
    let mut okd = Standing::new(settings("4.19", false), nothing(), at(0));
    okd.advance(ALL, at(0));
    assert_eq!(okd.activate("4.20").unwrap().name, "4.20");
    okd.advance(NONE, at(10));
    assert_eq!(standing(&okd), (vec!["4.19"], vec!["4.20"], vec!["4.19", "4.20"]));
    okd.advance(ALL, at(20));
    assert_eq!(standing(&okd), (vec!["4.20"], vec!["4.20"], vec!["4.19", "4.20"]));
    assert_eq!(okd.next_end(), Some(at(20) + KEEP));
    okd.advance(ALL, at(19) + KEEP);
    assert_eq!(names(okd.held()), ["4.19", "4.20"]);
    okd.advance(ALL, at(20) + KEEP);
    assert_eq!(names(okd.held()), ["4.20"]);
}

#[test]
fn going_back_is_the_same_the_other_way() {
    let mut okd = Standing::new(settings("4.19", false), nothing(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.20");
    okd.advance(ALL, at(1));
    okd.activate("4.19");
    okd.advance(ALL, at(2));
    assert_eq!(standing(&okd), (vec!["4.19"], vec!["4.19"], vec!["4.19", "4.20"]));
    okd.advance(ALL, at(2) + KEEP);
    assert_eq!(names(okd.held()), ["4.19"]);
}

#[test]
fn a_change_of_mind_drops_what_never_went_live() {
    let mut okd = Standing::new(settings("4.18", false), nothing(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.19");
    okd.advance(NONE, at(1));
    okd.activate("4.20");
    okd.advance(NONE, at(2));
    assert_eq!(standing(&okd), (vec!["4.18"], vec!["4.20"], vec!["4.18", "4.20"]));
    okd.activate("4.18");
    assert!(okd.advance(NONE, at(3)).is_empty(), "it is live already");
    assert_eq!(standing(&okd), (vec!["4.18"], vec!["4.18"], vec!["4.18"]));
    assert_eq!(okd.activate("4.21"), None);
}

#[test]
fn a_clock_that_was_ahead_keeps_nothing_for_years() {
    let year = Duration::from_hours(24 * 365);
    let mut okd = Standing::new(settings("4.18", false), nothing(), at(0) + year);
    okd.advance(ALL, at(0) + year);
    okd.activate("4.19");
    okd.advance(ALL, at(0) + year);
    let again = Standing::new(settings("4.18", false), okd.record(), at(0));
    assert_eq!((names(again.held()), again.next_end()), (vec!["4.18", "4.19"], Some(at(0) + KEEP)));
}

#[test]
fn a_restart_changes_nothing() {
    let mut okd = Standing::new(settings("4.18", false), nothing(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.19");
    okd.activate("tools");
    okd.advance(ALL, at(1));
    okd.activate("4.20");
    okd.advance(NONE, at(2));
    let again = Standing::new(settings("4.18", false), okd.record(), at(3));
    assert_eq!(standing(&again), standing(&okd));
    assert_eq!(again.next_end(), okd.next_end());
    assert_eq!(again.record(), okd.record());
}

#[test]
fn settings_that_name_another_release_overrule_the_command() {
    let mut okd = Standing::new(settings("4.18", false), nothing(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.19");
    okd.activate("tools");
    okd.advance(ALL, at(1));
    let mut again = Standing::new(settings("4.20", true), okd.record(), at(2));
    assert_eq!(standing(&again).1, ["4.20", "tools"]);
    again.advance(NONE, at(2));
    assert_eq!(standing(&again), (vec!["4.19", "tools"], vec!["4.20", "tools"], vec!["4.18", "4.19", "4.20", "tools"]));
    // They said so, and the command came after it.
    again.activate("4.18");
    let third = Standing::new(settings("4.20", true), again.record(), at(3));
    assert_eq!(standing(&third).1, ["4.18", "tools"]);
}

#[test]
fn settings_that_want_nothing_any_more_leave_nothing_live_and_keep_it_for_who_began() {
    let mut okd = Standing::new(settings("4.19", true), nothing(), at(0));
    okd.advance(ALL, at(0));
    let mut again = Standing::new(settings("", false), okd.record(), at(5));
    again.advance(ALL, at(5));
    assert_eq!(standing(&again), (vec![], vec![], vec!["4.19", "tools"]));
    again.advance(ALL, at(5) + KEEP);
    assert_eq!(standing(&again), (vec![], vec![], vec![]));
}

#[test]
fn what_the_settings_no_longer_have_is_forgotten() {
    let mut okd = Standing::new(settings("4.18", false), nothing(), at(0));
    okd.advance(ALL, at(0));
    okd.activate("4.19");
    okd.advance(ALL, at(1));
    okd.activate("4.20");
    let left = vec![release("4.20", Some("okd"), false), release("4.17", Some("okd"), true)];
    let again = Standing::new(left, okd.record(), at(2));
    assert_eq!(standing(&again), (vec![], vec!["4.17"], vec!["4.17"]), "the settings changed their mind, too");
    let left = vec![release("4.19", Some("okd"), false), release("4.18", Some("okd"), true)];
    let again = Standing::new(left, okd.record(), at(2));
    assert_eq!(standing(&again), (vec!["4.19"], vec!["4.18"], vec!["4.18", "4.19"]), "4.20 is wanted no more");
}

#[test]
fn channels_do_not_touch_each_other() {
    let both = vec![release("a1", Some("a"), true), release("b1", Some("b"), true), release("a2", Some("a"), false)];
    let mut standing = Standing::new(both, nothing(), at(0));
    standing.activate("a2");
    standing.advance(|release| release.name == "b1", at(0));
    let InChannel { live, wanted } = standing.channel("b").unwrap();
    assert_eq!((live.unwrap().name.as_str(), wanted.unwrap().name.as_str()), ("b1", "b1"));
    let InChannel { live, wanted } = standing.channel("a").unwrap();
    assert_eq!((live, wanted.unwrap().name.as_str()), (None, "a2"));
    assert!(standing.channel("c").is_none());
}

#[derive(Debug, Clone)]
enum Step {
    Activate(&'static str),
    /// Some blobs are here now, and it is looked.
    Look(u8),
    Wait(u64),
    /// A restart, with these settings.
    Restart(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop::sample::select(vec!["4.18", "4.19", "4.20", "tools"]);
    let step = prop_oneof![
        name().prop_map(Step::Activate),
        any::<u8>().prop_map(Step::Look),
        (0u64..10_000).prop_map(Step::Wait),
        name().prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #[test]
    fn whatever_happens_live_is_only_what_was_whole_and_one_of_a_channel(steps in steps()) {
        let mut okd = Standing::new(settings("4.18", false), nothing(), at(0));
        let (mut now, mut whole) = (at(0), std::collections::HashSet::new());
        for step in steps {
            let before: Vec<String> = okd.all().filter(|it| okd.is_live(it)).map(|it| it.name.clone()).collect();
            match step {
                Step::Activate(name) => {
                    okd.activate(name);
                    let live: Vec<_> = okd.all().filter(|it| okd.is_live(it)).map(|it| it.name.clone()).collect();
                    prop_assert_eq!(&live, &before, "an order alone switches nothing");
                }
                Step::Look(bits) => {
                    let names = ["4.18", "4.19", "4.20", "tools"];
                    let here = |name: &str| names.iter().position(|it| *it == name).is_some_and(|at| bits >> at & 1 == 1);
                    for switched in okd.advance(|release| here(&release.name), now) {
                        prop_assert!(here(&switched.name));
                        whole.insert(switched.name.clone());
                    }
                    // Who began with what was live a moment ago finds it still held.
                    let held = names_of(okd.held());
                    prop_assert!(before.iter().all(|name| held.contains(name)));
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Restart(active) => okd = Standing::new(settings(active, active == "tools"), okd.record(), now),
            }
            let live: Vec<_> = okd.all().filter(|it| okd.is_live(it)).collect();
            prop_assert!(live.iter().all(|it| whole.contains(&it.name)), "{:?} was never whole", live);
            prop_assert!(live.iter().filter(|it| it.channel.is_some()).count() <= 1);
            prop_assert!(okd.wanted().filter(|it| it.channel.is_some()).count() <= 1);
        }
    }
}

fn names_of<'r>(releases: impl Iterator<Item = &'r Arc<Release>>) -> Vec<String> {
    releases.map(|release| release.name.clone()).collect()
}

fn okd(names: &[&str], active: &str) -> Vec<Release> {
    names.iter().map(|name| release(name, Some("okd"), *name == active)).collect()
}

impl Standing {
    fn change(&mut self, releases: Vec<Release>, now: SystemTime) {
        let record = self.record();
        self.replace(releases, record, now);
    }
}

#[test]
fn what_the_settings_drop_stays_live_until_what_they_want_instead_is_proven() {
    let mut it = Standing::new(okd(&["4.19"], "4.19"), nothing(), at(0));
    it.advance(ALL, at(0));
    it.change(okd(&["4.20"], "4.20"), at(10));
    it.advance(NONE, at(10));
    assert_eq!(it.channel("okd").unwrap().live.unwrap().name, "4.19");
    assert_eq!(names(it.held()), ["4.19", "4.20"]);
    assert_eq!(it.activate("4.19"), None, "it is no more");
    // The same again, and by other settings that do not have it either.
    it.change(okd(&["4.20"], "4.20"), at(11));
    it.change(okd(&["4.21", "4.20"], "4.21"), at(12));
    assert_eq!(it.channel("okd").unwrap().live.unwrap().name, "4.19");
    assert_eq!(names(it.former()), ["4.19"]);
    it.advance(ALL, at(20));
    assert_eq!(standing(&it), (vec!["4.21"], vec!["4.21"], vec!["4.19", "4.21"]));
    it.change(okd(&["4.21"], "4.21"), at(21));
    assert_eq!(names(it.held()), ["4.19", "4.21"], "kept as any that was replaced");
    it.advance(ALL, at(20) + KEEP);
    assert_eq!((names(it.held()), it.gone.len()), (vec!["4.21"], 0));
}

#[test]
fn what_the_settings_drop_without_another_is_kept_and_can_come_back() {
    let mut it =
        Standing::new(vec![release("tools", None, true), release("4.19", Some("okd"), true)], nothing(), at(0));
    it.advance(ALL, at(0));
    it.change(Vec::new(), at(1));
    assert_eq!(standing(&it), (vec![], vec![], vec!["4.19", "tools"]));
    it.change(vec![release("tools", None, true)], at(2));
    it.advance(ALL, at(2));
    assert_eq!(standing(&it), (vec!["tools"], vec!["tools"], vec!["4.19", "tools"]));
    assert_eq!(it.next_end(), Some(at(1) + KEEP));
    it.advance(ALL, at(1) + KEEP);
    assert_eq!(names(it.held()), ["tools"]);
}

#[test]
fn what_the_settings_do_not_have_for_a_while_comes_back_as_it_was() {
    let all = || [okd(&["4.18", "4.19"], "4.18"), vec![release("tools", None, false)]].concat();
    let mut it = Standing::new(all(), nothing(), at(0));
    it.advance(ALL, at(0));
    it.activate("4.19");
    it.activate("tools");
    it.advance(ALL, at(1));
    // The catalog that has them cannot be read at two starts, and then it can.
    let other = || vec![release("other", None, true)];
    let without = Standing::new(other(), it.record(), at(2));
    let without = Standing::new(other(), without.record(), at(3));
    assert_eq!(standing(&without), (vec![], vec!["other"], vec!["other"]));
    let mut back = Standing::default();
    back.replace([all(), other()].concat(), without.record(), at(4));
    assert_eq!(
        standing(&back),
        (vec!["4.19", "tools"], vec!["4.19", "other", "tools"], vec!["4.18", "4.19", "other", "tools"])
    );
    assert_eq!(back.next_end(), it.next_end());
    // Settings that changed their mind meanwhile overrule the command, as ever.
    let other_mind = Standing::new(okd(&["4.18", "4.19"], "4.19"), without.record(), at(4));
    assert_eq!(names(other_mind.wanted()), ["4.19"]);
    // What nobody speaks of any more does not grow.
    let later = Standing::new(vec![release("new", None, false)], nothing(), at(5));
    assert_eq!(Standing::new(Vec::new(), later.record(), at(5)).record(), nothing());
}

#[test]
fn what_was_activated_outlives_a_change_that_does_not_speak_of_it() {
    let mut it = Standing::new(settings("4.18", false), nothing(), at(0));
    it.advance(ALL, at(0));
    it.activate("4.19");
    it.advance(ALL, at(1));
    it.change(okd(&["4.18", "4.19", "4.21"], "4.18"), at(2));
    it.advance(ALL, at(2));
    assert_eq!(names(it.wanted()), ["4.19"]);
    it.change(okd(&["4.18", "4.19", "4.21"], "4.21"), at(3));
    it.advance(ALL, at(3));
    assert_eq!(standing(&it), (vec!["4.21"], vec!["4.21"], vec!["4.18", "4.19", "4.21"]));
}

#[test]
fn a_release_that_moves_to_another_channel_is_kept() {
    let mut it = Standing::new(okd(&["4.19"], "4.19"), nothing(), at(0));
    it.advance(ALL, at(0));
    it.change(vec![release("4.19", Some("old"), false), release("4.20", Some("okd"), true)], at(1));
    it.advance(NONE, at(1));
    assert_eq!(standing(&it), (vec![], vec!["4.20"], vec!["4.19", "4.20"]));
}
