//! What is new in settings that were loaded again, for the log and for whoever asked.

use std::fmt;

use crate::api::{ReloadOutcome, ReloadView};
use crate::config::{Changes, Summary};

/// Names of each kind that the log shows.
const SHOWN: usize = 5;

/// What is new, list by list.
pub(super) struct News([(&'static str, Changes); 5]);

impl News {
    /// What `after` has that `before` had not, and the other way around.
    pub(super) fn between(before: &Summary, after: &Summary) -> Self {
        let lists = ["asset", "release", "profile", "host", "template"];
        Self(lists.map(|list| (list, before.changes(after, list))))
    }

    /// The same in numbers: of the assets.
    pub(super) fn view(&self, outcome: ReloadOutcome, warnings: Vec<String>) -> ReloadView {
        let [(_, assets), ..] = &self.0;
        let Changes { added, removed, changed } = assets;
        ReloadView { outcome, added: added.len(), removed: removed.len(), changed: changed.len(), warnings }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (list, Changes { added, removed, changed }) in &self.0 {
            for (names, what) in [(added, "added"), (removed, "removed"), (changed, "changed")] {
                if names.is_empty() {
                    continue;
                }
                let (count, plural) = (names.len(), if names.len() == 1 { "" } else { "s" });
                write!(f, "{separator}{count} {list}{plural} {what} ({}", names[..count.min(SHOWN)].join(", "))?;
                f.write_str(if count > SHOWN { ", …)" } else { ")" })?;
                separator = "; ";
            }
        }
        if separator.is_empty() { f.write_str("other settings alone") } else { Ok(()) }
    }
}
