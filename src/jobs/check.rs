//! Checks: what a check is to look at, how far it is, and what it has found. The check itself belongs to the caller, who knows
//! the whole configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::check_row::{CheckResult, CheckRow};
use super::status::{AssetCounts, ByteCounts};

/// Runs a check, and adds what it finds to the progress. Dropping the future ends the check.
pub type Checker = Arc<dyn Fn(CheckTask, Arc<CheckProgress>) -> BoxFuture<'static, ()> + Send + Sync>;

/// The scope of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckTask {
    /// Asset names, globs, or prefixes that end with a slash. Empty: all assets, and everything else that booting depends on.
    pub names: Vec<String>,
    /// Read and hash every object.
    pub deep: bool,
}

/// How far a check is, and what it has found so far.
#[derive(Debug, Default)]
pub struct CheckProgress {
    state: Mutex<State>,
    hashed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    objects: AssetCounts,
    /// Bytes that are to be hashed, as far as it is known.
    bytes: u64,
    rows: Vec<CheckRow>,
}

impl CheckTask {
    /// The task as text: `everything`, or the names.
    pub(super) fn describe(&self) -> String {
        /// Names before "and N more".
        const SHOWN: usize = 3;
        let named = self.names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        let what = match self.names.len() {
            0 => "everything".to_owned(),
            all if all > SHOWN => format!("{named} and {} more", all - SHOWN),
            _ => named,
        };
        if self.deep { format!("{what}, every object hashed") } else { what }
    }
}

impl CheckProgress {
    /// Adds objects that are to be looked at.
    pub fn add_objects(&self, count: usize) {
        self.state.lock().objects.total += count;
    }

    /// Counts an object that was looked at.
    pub fn end_object(&self, failed: bool) {
        let mut state = self.state.lock();
        let count = if failed { &mut state.objects.failed } else { &mut state.objects.done };
        *count += 1;
    }

    /// Adds bytes that are to be hashed.
    pub fn add_bytes(&self, bytes: u64) {
        let mut state = self.state.lock();
        // An origin may claim any length.
        state.bytes = state.bytes.saturating_add(bytes);
    }

    /// Counts bytes that were hashed.
    pub fn add_hashed(&self, bytes: u64) {
        self.hashed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds what was found.
    pub fn add_row(&self, row: CheckRow) {
        self.state.lock().rows.push(row);
    }

    /// The numbers of objects: all, done, failed.
    pub fn objects(&self) -> AssetCounts {
        self.state.lock().objects
    }

    /// The bytes that are hashed: all as far as it is known, done.
    pub fn bytes(&self) -> ByteCounts {
        ByteCounts { total: Some(self.state.lock().bytes), done: self.hashed.load(Ordering::Relaxed) }
    }

    /// The findings so far.
    pub fn rows(&self) -> Vec<CheckRow> {
        self.state.lock().rows.clone()
    }

    /// Whether anything has failed so far.
    pub(super) fn has_failed(&self) -> bool {
        self.state.lock().rows.iter().any(|row| row.result() == CheckResult::Failed)
    }

    /// Drops the findings of all that did not fail. The totals stay.
    pub(super) fn drop_all_but_failed(&self) {
        let mut state = self.state.lock();
        state.rows.retain(|row| row.result() == CheckResult::Failed);
        for row in &mut state.rows {
            row.findings.retain(|finding| finding.result == CheckResult::Failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Finding;

    #[test]
    fn old_check_keeps_failures_and_totals() {
        let progress = CheckProgress::default();
        progress.add_objects(2);
        progress.end_object(false);
        progress.end_object(true);
        let findings = vec![Finding::ok("a", ""), Finding::failed("b", "gone", "", "")];
        progress.add_row(CheckRow { check: "objects", place: String::new(), summary: String::new(), findings });
        let findings = vec![Finding::unverified("c", "")];
        progress.add_row(CheckRow { check: "objects", place: String::new(), summary: String::new(), findings });
        progress.drop_all_but_failed();
        assert!(progress.has_failed());
        assert_eq!(progress.objects(), AssetCounts { total: 2, done: 1, failed: 1 });
        let kept: Vec<_> = progress.rows().into_iter().flat_map(|row| row.findings).map(|found| found.what).collect();
        assert_eq!(kept, ["b"]);
    }

    #[test]
    fn claimed_lengths_do_not_overflow() {
        let progress = CheckProgress::default();
        progress.add_bytes(u64::MAX);
        progress.add_bytes(1);
        assert_eq!(progress.bytes(), ByteCounts { total: Some(u64::MAX), done: 0 });
    }

    #[test]
    fn task_is_described_by_its_names() {
        let of = |names: &[&str], deep| CheckTask { names: names.iter().map(|n| (*n).to_owned()).collect(), deep };
        assert_eq!(of(&[], false).describe(), "everything");
        assert_eq!(of(&["a", "b/"], true).describe(), "a, b/, every object hashed");
        assert_eq!(of(&["a", "b", "c", "d"], false).describe(), "a, b, c and 1 more");
    }
}
