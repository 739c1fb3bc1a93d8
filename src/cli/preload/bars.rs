//! Progress on a terminal: a bar for each asset under way, and one for all. It knows no server and no depot.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words;
use crate::jobs::{ItemState, ItemView, JobView};

/// Bars of assets at a time. No more are worked on at a time by default; of more, the first have theirs.
const MOST: usize = 16;

/// The bars.
pub(super) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    items: HashMap<String, ProgressBar>,
}

impl Bars {
    /// No bars yet, on standard error.
    pub(super) fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr_with_hz(8))
    }

    pub(super) fn on(target: ProgressDrawTarget) -> Self {
        let all = MultiProgress::with_draw_target(target);
        let total = all.add(ProgressBar::new(0).with_style(style("{bar:32}  {msg}")));
        Self { all, total, items: HashMap::new() }
    }

    /// Shows how far the job is.
    pub(super) fn show(&mut self, job: &JobView) {
        let running: Vec<_> = job.items.iter().filter(|item| item.state == ItemState::Running).take(MOST).collect();
        self.items.retain(|name, bar| {
            let stays = running.iter().any(|item| item.name == *name);
            if !stays {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
            stays
        });
        for item in running {
            self.bar_of(item);
        }
        self.total.set_length(job.bytes.total.unwrap_or(0));
        self.total.set_position(job.bytes.done);
        self.total.set_message(words::total(job));
    }

    fn bar_of(&mut self, item: &ItemView) {
        let bar = self.items.entry(item.name.clone()).or_insert_with(|| {
            let bar = ProgressBar::new(0).with_style(style("{prefix} {bar:24}  {msg}"));
            bar.set_prefix(words::name(&item.name));
            // The total stays the last.
            self.all.insert_before(&self.total, bar)
        });
        bar.set_length(item.size.unwrap_or(0));
        bar.set_position(item.bytes);
        bar.set_message(words::item(item));
    }

    /// How many assets have a bar now.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.items.len()
    }

    /// Prints a line above the bars.
    pub(super) fn say(&self, line: &str) {
        // Where nobody sees it, nobody misses it.
        let _ = self.all.println(line);
    }

    /// Takes all bars away.
    pub(super) fn close(&self) {
        // As above.
        let _ = self.all.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are the two above, and they are well-formed; a plain bar is no loss.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Assets, Bytes, JobKind, JobState};

    #[test]
    fn ten_thousand_assets_are_a_few_bars() {
        let item = |index: usize, state| ItemView {
            name: format!("asset/{index}"),
            state,
            bytes: 1,
            size: Some(2),
            error: None,
        };
        let mut job = JobView {
            id: 1,
            kind: JobKind::Preload,
            what: "all assets".to_owned(),
            state: JobState::Running,
            began: jiff::Timestamp::UNIX_EPOCH,
            ended: None,
            assets: Assets { total: 10_000, done: 0, failed: 0 },
            bytes: Bytes { total: Some(20_000), done: 0 },
            rate: 0,
            items: (0..10_000).map(|index| item(index, ItemState::Running)).collect(),
        };
        let mut bars = Bars::on(ProgressDrawTarget::hidden());
        bars.show(&job);
        assert_eq!(bars.count(), MOST);
        job.items[..9_998].iter_mut().for_each(|item| item.state = ItemState::Done);
        bars.show(&job);
        assert_eq!(bars.count(), 2, "what is done has none");
    }
}
