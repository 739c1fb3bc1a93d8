//! The findings of a check and their total. It knows no terminal.

use std::process::ExitCode;

use serde::Serialize;

use crate::api::{CheckCounts, CheckRowView, FindingView};
use crate::jobs::CheckResult;

/// Everything that a check has found, as programs read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// The process that has checked.
    pub(super) by: Backend,
    /// How the worst of all turned out.
    pub(super) result: CheckResult,
    /// How many of the checks turned out how.
    pub(super) counts: CheckCounts,
    pub(super) checks: Vec<CheckRowView>,
}

/// The process that has checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Backend {
    /// The running server.
    Server,
    /// This process.
    Command,
}

impl Report {
    pub(super) fn new(by: Backend, checks: Vec<CheckRowView>) -> Self {
        let result = checks.iter().map(|row| row.result).max().unwrap_or(CheckResult::Ok);
        Self { by, result, counts: CheckCounts::of(checks.iter().map(|row| row.result)), checks }
    }

    /// How many checks have a warning.
    pub(super) fn warnings(&self) -> usize {
        self.checks.iter().filter(|row| row.findings.iter().any(FindingView::is_warning)).count()
    }

    /// The exit status for it: 1 if anything failed.
    pub(super) fn status(&self) -> ExitCode {
        if self.result == CheckResult::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
