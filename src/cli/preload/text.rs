//! The texts of a preload. Pure.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::api::{ItemView, JobView, Plan};
use crate::cli::format::{bytes, count, plain, rate, took};
use crate::jobs::{ItemState, JobState, PlannedState};

/// Characters of a name that stand before a bar, where there is room.
pub(super) const NAME: usize = 32;

/// The cached and the missing assets.
pub(super) fn plan(plan: &Plan, verify: bool) -> String {
    if plan.assets == 0 {
        return "no assets selected: nothing to do\n".to_owned();
    }
    let mut text = format!("{}, ", assets(plan.assets));
    let (cached, missing) = (plan.cached, plan.missing);
    let _ = match (cached.assets, missing.assets) {
        (here, 0) if plan.unverified.assets == 0 => {
            write!(text, "{}cached ({})", if here == 1 { "" } else { "all " }, bytes(cached.bytes))
        }
        (0, _) => write!(text, "none cached"),
        (here, _) => write!(text, "{here} cached ({})", bytes(cached.bytes)),
    };
    if plan.unverified.assets > 0 {
        let _ = write!(text, "; {} to hash: {}", plan.unverified.assets, bytes(plan.unverified.bytes));
    }
    if missing.assets > 0 {
        let _ = write!(text, "; {} to fetch: {}", missing.assets, to_fetch(plan));
    }
    text.push('\n');
    if verify && cached.assets > 0 {
        let _ = writeln!(text, "cached assets are hashed again");
    }
    if !plan.room.fits {
        let _ = writeln!(
            text,
            "there is room for {} of them (limits: cache.max_size, cache.min_free, pinned assets): the last ones will fail",
            bytes(plan.room.available)
        );
    }
    text
}

fn to_fetch(plan: &Plan) -> String {
    match (plan.missing.bytes, plan.missing.unknown_sizes) {
        (known, 0) => bytes(known),
        (0, _) => "size unknown".to_owned(),
        (known, unknown) => format!("{} and {unknown} of unknown size", bytes(known)),
    }
}

fn assets(number: usize) -> String {
    count(number, "asset")
}

/// Each asset that is missing, a line each.
pub(super) fn missing(plan: &Plan) -> String {
    let lines = plan.items.iter().filter(|item| item.state != PlannedState::Cached).map(|item| {
        let size = item.size.map_or_else(|| "?".to_owned(), bytes);
        let how = match item.state {
            PlannedState::Filling => " (being fetched)",
            PlannedState::Unverified => " (on the disk, unverified)",
            PlannedState::Cached | PlannedState::Missing => "",
        };
        format!("  {size:>10}  {}{how}\n", plain(&item.name))
    });
    lines.collect()
}

/// How far all of it is.
pub(super) fn total(job: &JobView) -> String {
    let settled = job.assets.done + job.assets.failed;
    let mut text = format!("{settled} of {}  ", assets(job.assets.total));
    let _ = match job.bytes.total {
        Some(total) => write!(text, "{} of {}", bytes(job.bytes.done), bytes(total)),
        None => write!(text, "{}", bytes(job.bytes.done)),
    };
    if job.rate > 0 {
        let _ = write!(text, "  {}", rate(job.rate));
    }
    if let Some(left) = left(job) {
        let _ = write!(text, "  {} left", took(left));
    }
    if job.assets.failed > 0 {
        let _ = write!(text, "  {} failed", job.assets.failed);
    }
    text
}

/// How long it still takes at this rate, in whole seconds.
fn left(job: &JobView) -> Option<Duration> {
    let left = job.bytes.total?.checked_sub(job.bytes.done)?.checked_div(job.rate)?;
    (left > 0).then(|| Duration::from_secs(left))
}

/// How far an asset is, beside its bar.
pub(super) fn item(item: &ItemView) -> String {
    match item.size {
        Some(size) => format!("{} of {}", bytes(item.bytes), bytes(size)),
        None => "waiting for the origin".to_owned(),
    }
}

/// A name before a bar, `width` characters wide. A longer one is cut at its beginning: names differ at their ends.
pub(super) fn name(name: &str, width: usize) -> String {
    let name = plain(name);
    let length = name.chars().count();
    if length <= width {
        return format!("{name:<width$}");
    }
    let end: String = name.chars().skip(length + 1 - width).collect();
    format!("…{end}")
}

/// The result of an asset; `None` while it has none.
pub(super) fn ended(item: &ItemView) -> Option<String> {
    let name = plain(&item.name);
    match item.state {
        ItemState::Done if item.rotted => Some(format!(
            "done    {name} ({}), fetched again: the cached copy was corrupt or unreadable",
            bytes(item.bytes)
        )),
        ItemState::Done => Some(format!("done    {name} ({})", bytes(item.bytes))),
        ItemState::Failed => {
            Some(format!("failed  {name}: {}", plain(item.error.as_deref().unwrap_or("no reason given"))))
        }
        ItemState::Waiting | ItemState::Running | ItemState::Cancelled => None,
    }
}

/// How it ended.
pub(super) fn summary(job: &JobView, plan: &Plan) -> String {
    let rotted = job.items.iter().filter(|item| item.state == ItemState::Done && item.rotted).count();
    let here = kept(job, plan, PlannedState::Cached);
    let hashed = kept(job, plan, PlannedState::Unverified);
    let brought = job.assets.done - here - hashed;
    let seconds = job.ended.map(|ended| ended.duration_since(job.began));
    let time = Duration::try_from(seconds.unwrap_or_default()).unwrap_or_default();
    let (amount, cut) = fetched(job, plan);
    let mut text = match job.state {
        JobState::Running | JobState::Done => "done: ",
        JobState::Failed => "failed: ",
        JobState::Cancelled => "cancelled: ",
    }
    .to_owned();
    let _ = match (brought, cut) {
        (0, 0) => write!(text, "nothing was fetched"),
        (0, cut) => write!(text, "no asset was fetched in full, {} received in {}", bytes(cut), took(time)),
        (brought, 0) => write!(text, "{} fetched ({}) in {}", assets(brought), bytes(amount), took(time)),
        (brought, cut) => {
            let (amount, cut) = (bytes(amount), bytes(cut));
            write!(text, "{} fetched ({amount}), and {cut} of others, in {}", assets(brought), took(time))
        }
    };
    if rotted > 0 {
        let _ = write!(text, ", {rotted} of them again: the cached copy was corrupt or unreadable");
    }
    if here > 0 {
        let _ = write!(text, ", {here} cached before");
    }
    if hashed > 0 {
        let _ = write!(text, ", {hashed} verified on the disk");
    }
    let left = job.assets.total - job.assets.done - job.assets.failed;
    if job.assets.failed > 0 {
        let _ = write!(text, ", {} failed", job.assets.failed);
    }
    if left > 0 {
        let _ = write!(text, ", {left} not done");
    }
    text.push('\n');
    text.push_str(match (job.state, left) {
        (JobState::Cancelled, 1..) => "run it again to resume\n",
        // Failed assets prevented the rest.
        (JobState::Failed, 1..) => {
            "fix the cause and run it again; with --keep-going the other assets are fetched all the same\n"
        }
        (_, _) if job.assets.failed > 0 => "fix the cause and run it again\n",
        _ => "",
    });
    text
}

/// How many of the assets in this state before the preload are done with the bytes that were on the disk.
fn kept(job: &JobView, plan: &Plan, before: PlannedState) -> usize {
    let planned: HashSet<_> =
        plan.items.iter().filter(|item| item.state == before).map(|item| item.name.as_str()).collect();
    let is_kept = |item: &&ItemView| item.state == ItemState::Done && !item.rotted;
    job.items.iter().filter(is_kept).filter(|item| planned.contains(item.name.as_str())).count()
}

/// The bytes of assets that were fetched in full, and of those that a cancellation cut short. Bytes that several assets share
/// count once, as they do in the sums.
fn fetched(job: &JobView, plan: &Plan) -> (u64, u64) {
    let was_here: HashSet<_> = {
        let on_disk = |state| matches!(state, PlannedState::Cached | PlannedState::Unverified);
        let here = plan.items.iter().filter(|item| on_disk(item.state));
        here.map(|item| item.name.as_str()).collect()
    };
    let (mut again, mut cut, mut failed) = (0, 0, 0);
    for item in &job.items {
        match item.state {
            ItemState::Done if item.rotted => again += item.bytes,
            // That much of it was hashed.
            _ if was_here.contains(item.name.as_str()) && !item.rotted => {}
            ItemState::Failed => failed += item.bytes,
            ItemState::Cancelled => cut += item.bytes,
            _ => {}
        }
    }
    ((job.bytes.done + again).saturating_sub(plan.cached.bytes + plan.unverified.bytes + cut + failed), cut)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::api::{Assets, Bytes, Cached, Missing, PlanItem, Room};
    use crate::jobs::JobKind;

    const GIB: u64 = 1 << 30;

    fn plan_of(items: &[(&str, Option<u64>, PlannedState)], available: u64) -> Plan {
        let (mut cached, mut unverified, mut missing) = (Cached::default(), Cached::default(), Missing::default());
        for (_, size, state) in items {
            let here = match state {
                PlannedState::Cached => &mut cached,
                PlannedState::Unverified => &mut unverified,
                PlannedState::Filling | PlannedState::Missing => {
                    missing.assets += 1;
                    missing.bytes += size.unwrap_or(0);
                    missing.unknown_sizes += usize::from(size.is_none());
                    continue;
                }
            };
            here.assets += 1;
            here.bytes += size.unwrap_or(0);
        }
        let item =
            |(name, size, state): &(&str, _, _)| PlanItem { name: (*name).to_owned(), size: *size, state: *state };
        let room = Room { available, fits: missing.bytes <= available };
        Plan { assets: items.len(), cached, unverified, missing, room, items: items.iter().map(item).collect() }
    }

    fn item(name: &str, state: ItemState, bytes: u64, error: Option<&str>) -> ItemView {
        ItemView {
            name: name.to_owned(),
            state,
            bytes,
            size: Some(GIB),
            error: error.map(str::to_owned),
            rotted: false,
        }
    }

    fn job(state: JobState, items: Vec<ItemView>) -> JobView {
        let count = |state| items.iter().filter(|item| item.state == state).count();
        let began = Timestamp::UNIX_EPOCH;
        JobView {
            id: 1,
            kind: JobKind::Preload,
            what: "all assets".to_owned(),
            state,
            began,
            ended: (state != JobState::Running).then(|| began + SignedDuration::from_millis(35_200)),
            assets: Assets { total: items.len(), done: count(ItemState::Done), failed: count(ItemState::Failed) },
            bytes: Bytes {
                total: Some(items.iter().map(|_| GIB).sum()),
                done: items.iter().map(|item| item.bytes).sum(),
            },
            rate: if state == JobState::Running { 117 << 20 } else { 0 },
            items,
            checks: Vec::new(),
        }
    }

    use PlannedState::{Cached as Here, Filling, Missing as Absent};

    #[test]
    fn plan_counts_cached_and_missing() {
        let some = [("a", Some(GIB), Here), ("b", Some(GIB), Absent), ("c", None, Filling)];
        insta::assert_snapshot!(plan(&plan_of(&some, 2 * GIB), false), @"3 assets, 1 cached (1.0 GiB); 2 to fetch: 1.0 GiB and 1 of unknown size");
        insta::assert_snapshot!(missing(&plan_of(&some, GIB)), @"
             1.0 GiB  b
                   ?  c (being fetched)
        ");
        insta::assert_snapshot!(plan(&plan_of(&some[..1], 0), true), @"
        1 asset, cached (1.0 GiB)
        cached assets are hashed again
        ");
        insta::assert_snapshot!(plan(&plan_of(&some[1..2], 1 << 20), false), @"
        1 asset, none cached; 1 to fetch: 1.0 GiB
        there is room for 1.0 MiB of them (limits: cache.max_size, cache.min_free, pinned assets): the last ones will fail
        ");
        insta::assert_snapshot!(plan(&plan_of(&some[2..], GIB), false), @"1 asset, none cached; 1 to fetch: size unknown");
        insta::assert_snapshot!(plan(&plan_of(&[some[0], some[0]], GIB), false), @"2 assets, all cached (2.0 GiB)");
        let unverified = [("a", Some(GIB), Here), ("b", Some(GIB), PlannedState::Unverified)];
        insta::assert_snapshot!(plan(&plan_of(&unverified, GIB), false), @"2 assets, 1 cached (1.0 GiB); 1 to hash: 1.0 GiB");
        insta::assert_snapshot!(plan(&plan_of(&unverified[1..], GIB), false), @"1 asset, none cached; 1 to hash: 1.0 GiB");
        insta::assert_snapshot!(missing(&plan_of(&unverified, GIB)), @"     1.0 GiB  b (on the disk, unverified)");
        insta::assert_snapshot!(plan(&plan_of(&[], GIB), false), @"no assets selected: nothing to do");
    }

    #[test]
    fn total_shows_rate_and_time() {
        let running = vec![
            item("a", ItemState::Done, GIB, None),
            item("b", ItemState::Running, GIB / 2, None),
            item("c", ItemState::Failed, 0, Some("no source has it")),
        ];
        let mut job = job(JobState::Running, running);
        insta::assert_snapshot!(total(&job), @"2 of 3 assets  1.5 GiB of 3.0 GiB  117.0 MiB/s  13.0 s left  1 failed");
        (job.rate, job.bytes.total) = (0, None);
        insta::assert_snapshot!(total(&job), @"2 of 3 assets  1.5 GiB  1 failed");
        assert_eq!(ended(&job.items[0]).unwrap(), "done    a (1.0 GiB)");
        assert_eq!(ended(&job.items[2]).unwrap(), "failed  c: no source has it");
        assert_eq!(ended(&job.items[1]), None);
        assert_eq!(super::item(&job.items[1]), "512.0 MiB of 1.0 GiB");
    }

    #[test]
    fn summary_counts_fetched_and_cached() {
        let some = plan_of(&[("a", Some(GIB), Here), ("b", Some(GIB), Absent), ("c", None, Absent)], 4 * GIB);
        let came = |state, last| {
            job(state, vec![item("a", ItemState::Done, GIB, None), item("b", ItemState::Done, GIB, None), last])
        };
        let all = came(JobState::Done, item("c", ItemState::Done, GIB, None));
        insta::assert_snapshot!(summary(&all, &some), @"done: 2 assets fetched (2.0 GiB) in 35.2 s, 1 cached before");
        let failed = came(JobState::Failed, item("c", ItemState::Failed, 0, Some("no source has it")));
        insta::assert_snapshot!(summary(&failed, &some), @"
        failed: 1 asset fetched (1.0 GiB) in 35.2 s, 1 cached before, 1 failed
        fix the cause and run it again
        ");
        let cancelled = came(JobState::Cancelled, item("c", ItemState::Cancelled, 18 << 20, None));
        insta::assert_snapshot!(summary(&cancelled, &some), @"
        cancelled: 1 asset fetched (1.0 GiB), and 18.0 MiB of others, in 35.2 s, 1 cached before, 1 not done
        run it again to resume
        ");
        let begun = job(JobState::Cancelled, vec![item("a", ItemState::Cancelled, 18 << 20, None)]);
        insta::assert_snapshot!(summary(&begun, &plan_of(&[("a", Some(GIB), Absent)], GIB)), @"
        cancelled: no asset was fetched in full, 18.0 MiB received in 35.2 s, 1 not done
        run it again to resume
        ");
        let nothing = job(JobState::Done, vec![item("a", ItemState::Done, GIB, None)]);
        insta::assert_snapshot!(summary(&nothing, &plan_of(&[("a", Some(GIB), Here)], 0)), @"done: nothing was fetched, 1 cached before");
        let verified = job(JobState::Done, vec![item("b", ItemState::Done, GIB, None)]);
        insta::assert_snapshot!(summary(&verified, &plan_of(&[("b", Some(GIB), PlannedState::Unverified)], 0)), @"done: nothing was fetched, 1 verified on the disk");
        let twins =
            JobView { bytes: Bytes { total: Some(GIB), done: GIB }, ..came(JobState::Done, all.items[2].clone()) };
        let apart = Plan { cached: Cached::default(), ..plan_of(&[], GIB) };
        insta::assert_snapshot!(summary(&twins, &apart), @"done: 3 assets fetched (1.0 GiB) in 35.2 s");
    }

    #[test]
    fn summary_counts_replaced_corrupt_assets() {
        let mended = ItemView { rotted: true, ..item("b", ItemState::Done, GIB, None) };
        let here = plan_of(&[("a", Some(GIB), Here), ("b", Some(GIB), Here)], 0);
        let job = job(JobState::Done, vec![item("a", ItemState::Done, GIB, None), mended]);
        assert_eq!(
            ended(&job.items[1]).unwrap(),
            "done    b (1.0 GiB), fetched again: the cached copy was corrupt or unreadable"
        );
        insta::assert_snapshot!(summary(&job, &here), @"done: 1 asset fetched (1.0 GiB) in 35.2 s, 1 of them again: the cached copy was corrupt or unreadable, 1 cached before");
    }

    #[test]
    fn long_name_is_cut_and_escaped() {
        assert_eq!(name("okd/4.19/rootfs.img", NAME), format!("{:<32}", "okd/4.19/rootfs.img"));
        let long = name("isos/openshift/4.19.0-okd-scos.0/agent.x86_64.iso", NAME);
        assert_eq!((long.chars().count(), long.as_str()), (32, "…9.0-okd-scos.0/agent.x86_64.iso"));
        let evil = item("a", ItemState::Failed, 0, Some("\u{1b}[2J\nforged"));
        assert_eq!(ended(&evil).unwrap(), "failed  a: ?[2J?forged");
    }
}
