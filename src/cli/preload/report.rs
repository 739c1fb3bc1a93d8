//! Prints the progress of a preload: bars on a terminal, lines elsewhere, or JSON.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::bars::Bars;
use super::text;
use crate::api::{ItemView, JobView, Plan, PreloadOrder};
use crate::cli::say;
use crate::jobs::ItemState;

/// How often a line with the totals is printed.
const TOTAL_EACH: Duration = Duration::from_secs(10);

/// Prints the progress of a preload.
pub(super) struct Report {
    form: Form,
    /// The state of each asset as it was last printed.
    printed: HashMap<String, ItemState>,
}

enum Form {
    Json,
    Bars(Bars),
    Lines { total_due: Instant },
}

/// One event, a line of JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'e> {
    /// The cached and the missing assets; `by` is the backend.
    Plan {
        by: &'static str,
        #[serde(flatten)]
        plan: &'e Plan,
    },
    /// How far all of it is.
    Job(&'e JobView),
    /// An asset changed its state.
    Item(&'e ItemView),
    /// How it ended.
    Summary(&'e JobView),
}

impl Event<'_> {
    fn line(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

impl Report {
    /// In JSON, or for people, on a terminal or not.
    pub(super) fn new(json: bool, terminal: bool) -> Self {
        let form = match (json, terminal) {
            (true, _) => Form::Json,
            (false, true) => Form::Bars(Bars::new()),
            (false, false) => Form::Lines { total_due: Instant::now() + TOTAL_EACH },
        };
        Self { form, printed: HashMap::new() }
    }

    /// The printed form of the plan.
    pub(super) fn plan(&mut self, plan: &Plan, order: &PreloadOrder, by: &'static str) -> serde_json::Result<String> {
        if matches!(self.form, Form::Json) {
            return Event::Plan { by, plan }.line();
        }
        let listed = if order.dry_run { text::missing(plan) } else { String::new() };
        Ok(text::plan(plan, order.verify) + &listed)
    }

    /// Shows how far it is. Returns what is to be printed.
    pub(super) fn progress(&mut self, job: &JobView) -> serde_json::Result<String> {
        let first = self.printed.is_empty();
        let mut changed = Vec::new();
        for item in &job.items {
            let before = self.printed.get(&item.name);
            if before != Some(&item.state) {
                // An asset that is done at once was cached before, as the plan says; one that waits has not changed.
                let news = item.state != ItemState::Waiting && !(first && item.state == ItemState::Done);
                if news {
                    changed.push(item);
                }
                self.printed.insert(item.name.clone(), item.state);
            }
        }
        match &mut self.form {
            Form::Json => {
                let mut text = String::new();
                for item in changed {
                    text += &Event::Item(item).line()?;
                }
                text += &Event::Job(&job.without_items()).line()?;
                return Ok(text);
            }
            Form::Bars(bars) => {
                for item in changed.into_iter().filter(|item| item.state == ItemState::Failed) {
                    bars.say(&text::ended(item).unwrap_or_default());
                }
                bars.show(job);
            }
            Form::Lines { total_due } => {
                for line in changed.into_iter().filter_map(text::ended) {
                    say(format_args!("{line}"));
                }
                if Instant::now() >= *total_due {
                    say(format_args!("{}", text::total(job)));
                    *total_due = Instant::now() + TOTAL_EACH;
                }
            }
        }
        Ok(String::new())
    }

    /// Says something in between.
    pub(super) fn say(&self, line: &str) {
        match &self.form {
            Form::Bars(bars) => bars.say(line),
            Form::Json | Form::Lines { .. } => say(format_args!("{line}")),
        }
    }

    /// Takes the bars away.
    pub(super) fn close(&self) {
        if let Form::Bars(bars) = &self.form {
            bars.close();
        }
    }

    /// The text at the end.
    pub(super) fn summary(&self, job: &JobView, plan: &Plan) -> serde_json::Result<String> {
        if matches!(self.form, Form::Json) {
            return Event::Summary(&job.without_items()).line();
        }
        Ok(text::summary(job, plan))
    }
}
