//! Progress on a terminal: a bar for each asset under way, and one for all. It knows no server and no depot.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text;
use crate::api::{ItemView, JobView};
use crate::cli::status_line::columns;
use crate::jobs::ItemState;

/// Bars of assets at a time. No more are worked on at a time by default; of more, the first have theirs.
const MOST: usize = 16;

/// The characters that what is said beside the bar of an asset takes at most: `1023.9 MiB of 1023.9 MiB`.
const SAID: usize = 24;
/// The same of the bar of all.
const SAID_OF_ALL: usize = 72;

/// The bars.
pub(in crate::cli) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    items: HashMap<String, ProgressBar>,
    widths: Widths,
}

/// How the characters of a line are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Widths {
    /// Width of an asset's name.
    name: usize,
    /// Width of an asset's bar; 0 without one.
    bar: usize,
    /// Width of the total's bar; 0 without one.
    total: usize,
}

impl Widths {
    /// For a terminal of so many columns: a line that is longer leaves a part of itself behind with every change.
    fn of(columns: usize) -> Self {
        let bar = |left: usize, most| if left < 6 { 0 } else { left.min(most) };
        // A blank before the bar, two after it.
        let beside = columns.saturating_sub(SAID + 3);
        let item = bar(beside.saturating_sub(text::NAME), 24);
        let name = (beside - item.min(beside)).clamp(8, text::NAME);
        Self { name, bar: item, total: bar(columns.saturating_sub(SAID_OF_ALL + 2), 32) }
    }
}

impl Bars {
    /// No bars yet, on standard error.
    pub(in crate::cli) fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr_with_hz(8), columns())
    }

    fn on(target: ProgressDrawTarget, columns: usize) -> Self {
        let widths = Widths::of(columns);
        let all = MultiProgress::with_draw_target(target);
        let total = all.add(ProgressBar::new(0).with_style(style("", widths.total)));
        Self { all, total, items: HashMap::new(), widths }
    }

    /// Shows how far the job is.
    pub(in crate::cli) fn show(&mut self, job: &JobView) {
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
        self.total.set_message(text::total(job));
    }

    fn bar_of(&mut self, item: &ItemView) {
        let bar = self.items.entry(item.name.clone()).or_insert_with(|| {
            let bar = ProgressBar::new(0).with_style(style("{prefix} ", self.widths.bar));
            bar.set_prefix(text::name(&item.name, self.widths.name));
            // The total stays the last.
            self.all.insert_before(&self.total, bar)
        });
        bar.set_length(item.size.unwrap_or(0));
        bar.set_position(item.bytes);
        bar.set_message(text::item(item));
    }

    /// How many assets have a bar now.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.items.len()
    }

    /// Prints a line above the bars.
    pub(in crate::cli) fn say(&self, line: &str) {
        // A closed standard error is no failure.
        let _ = self.all.println(line);
    }

    /// Takes all bars away.
    pub(in crate::cli) fn close(&self) {
        // As above.
        let _ = self.all.clear();
    }
}

/// A line with this before its bar. What is said after it is cut where the line ends.
fn style(before: &str, bar: usize) -> ProgressStyle {
    let template = match bar {
        0 => format!("{before}{{wide_msg}}"),
        bar => format!("{before}{{bar:{bar}}}  {{wide_msg}}"),
    };
    // They are well-formed; a plain bar is no loss.
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Assets, Bytes};
    use crate::jobs::{JobKind, JobState};

    #[test]
    fn bars_fit_terminal_width() {
        assert_eq!(Widths::of(200), Widths { name: 32, bar: 24, total: 32 });
        for columns in 36..200 {
            let Widths { name, bar, total } = Widths::of(columns);
            assert!(name + 1 + bar + 2 + SAID <= columns, "{columns}: {name} {bar}");
            assert!(total == 0 || total + 2 + SAID_OF_ALL <= columns, "{columns}: {total}");
        }
        assert_eq!((Widths::of(80).bar, Widths::of(40).name), (21, 13));
    }

    #[test]
    fn only_first_running_items_have_bars() {
        let item = |index: usize, state| ItemView {
            name: format!("asset/{index}"),
            state,
            bytes: 1,
            size: Some(2),
            error: None,
            rotted: false,
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
            checks: Vec::new(),
        };
        let mut bars = Bars::on(ProgressDrawTarget::hidden(), 80);
        bars.show(&job);
        assert_eq!(bars.count(), MOST);
        job.items[..9_998].iter_mut().for_each(|item| item.state = ItemState::Done);
        bars.show(&job);
        assert_eq!(bars.count(), 2, "what is done has none");
    }
}
