//! What is said of a preload, as texts. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::words::{bytes, rate, took};
use crate::jobs::{ItemState, ItemView, JobState, JobView, Plan, PlannedState};

/// Characters of a name that stand before a bar.
const NAME: usize = 32;

/// What is here and what is missing.
pub(super) fn plan(plan: &Plan, verify: bool) -> String {
    let mut text = format!("{}, ", assets(plan.assets));
    let (proven, missing) = (plan.proven, plan.missing);
    let _ = match (proven.assets, missing.assets) {
        (here, 0) => write!(text, "{} here ({})", if here == 1 { "which is" } else { "all" }, bytes(proven.bytes)),
        (0, _) => write!(text, "none here"),
        (here, _) => write!(text, "{here} here ({})", bytes(proven.bytes)),
    };
    if missing.assets > 0 {
        let _ = write!(text, "; {} to fetch: {}", missing.assets, to_fetch(plan));
    }
    text.push('\n');
    if verify && proven.assets > 0 {
        let _ = writeln!(text, "what is here is hashed again");
    }
    if !plan.room.fits {
        let _ = writeln!(
            text,
            "there is room for {} of it (cache.max_size, cache.min_free, and what is held): what comes last will fail",
            bytes(plan.room.available)
        );
    }
    text
}

fn to_fetch(plan: &Plan) -> String {
    match (plan.missing.bytes, plan.missing.unknown_sizes) {
        (known, 0) => bytes(known),
        (0, _) => "how much is not known".to_owned(),
        (known, unknown) => format!("{} and {unknown} of unknown size", bytes(known)),
    }
}

fn assets(count: usize) -> String {
    if count == 1 { "1 asset".to_owned() } else { format!("{count} assets") }
}

/// Each asset that is missing, a line each.
pub(super) fn missing(plan: &Plan) -> String {
    let lines = plan.items.iter().filter(|item| item.state != PlannedState::Proven).map(|item| {
        let size = item.size.map_or_else(|| "?".to_owned(), bytes);
        let filling = if item.state == PlannedState::Filling { " (on its way)" } else { "" };
        format!("  {size:>10}  {}{filling}\n", plain(&item.name))
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

/// A name as it stands before a bar: its end is what tells it from others.
pub(super) fn name(name: &str) -> String {
    let name = plain(name);
    let length = name.chars().count();
    if length <= NAME {
        return format!("{name:<NAME$}");
    }
    let end: String = name.chars().skip(length - (NAME - 1)).collect();
    format!("…{end}")
}

/// A text without what a terminal would act on.
pub(super) fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "?")
}

/// What became of an asset, if it is over.
pub(super) fn ended(item: &ItemView) -> Option<String> {
    let name = plain(&item.name);
    match item.state {
        ItemState::Done => Some(format!("done    {name} ({})", bytes(item.bytes))),
        ItemState::Failed => {
            Some(format!("failed  {name}: {}", plain(item.error.as_deref().unwrap_or("no reason given"))))
        }
        ItemState::Waiting | ItemState::Running | ItemState::Cancelled => None,
    }
}

/// How it ended.
pub(super) fn summary(job: &JobView, plan: &Plan) -> String {
    let here = plan.proven.assets.min(job.assets.done);
    let brought = job.assets.done - here;
    let seconds = job.ended.map(|ended| ended.duration_since(job.began));
    let time = Duration::try_from(seconds.unwrap_or_default()).unwrap_or_default();
    let amount: u64 = {
        let before: std::collections::HashSet<_> = plan
            .items
            .iter()
            .filter(|item| item.state == PlannedState::Proven)
            .map(|item| item.name.as_str())
            .collect();
        let done = job.items.iter().filter(|item| item.state == ItemState::Done);
        done.filter(|item| !before.contains(item.name.as_str())).map(|item| item.bytes).sum()
    };
    let mut text = match job.state {
        JobState::Running | JobState::Done => "done: ",
        JobState::Failed => "failed: ",
        JobState::Cancelled => "cancelled: ",
    }
    .to_owned();
    let _ = match brought {
        0 => write!(text, "nothing was fetched"),
        brought => write!(text, "{} fetched ({}) in {}", assets(brought), bytes(amount), took(time)),
    };
    if here > 0 {
        let _ = write!(text, ", {here} here before");
    }
    let left = job.assets.total - job.assets.done - job.assets.failed;
    if job.assets.failed > 0 {
        let _ = write!(text, ", {} failed", job.assets.failed);
    }
    if left > 0 {
        let _ = write!(text, ", {left} not done");
    }
    text.push('\n');
    if job.assets.failed > 0 || left > 0 {
        text.push_str("run it again to go on where it was\n");
    }
    text
}
