//! Difference between two configurations, for the log and the API.

use std::fmt;

use crate::api::{ReloadOutcome, ReloadView};
use crate::config::{Changes, Summary};

/// Names of each list that the log shows.
const SHOWN: usize = 5;

/// Changes of each list.
pub(super) struct ReloadDiff([(&'static str, Changes); 5]);

impl ReloadDiff {
    /// Compares two configurations.
    pub(super) fn between(before: &Summary, after: &Summary) -> Self {
        let lists = ["asset", "release", "profile", "host", "template"];
        Self(lists.map(|list| (list, before.changes(after, list))))
    }

    /// The number of changed assets, for the API.
    pub(super) fn view(&self, outcome: ReloadOutcome, warnings: Vec<String>) -> ReloadView {
        let [(_, assets), ..] = &self.0;
        let Changes { added, removed, changed } = assets;
        ReloadView { outcome, added: added.len(), removed: removed.len(), changed: changed.len(), warnings }
    }
}

impl fmt::Display for ReloadDiff {
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
        if separator.is_empty() { f.write_str("other settings") } else { Ok(()) }
    }
}
