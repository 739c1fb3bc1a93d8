//! The findings of the checks and their total. It knows no terminal.

use std::process::ExitCode;

use serde::Serialize;

/// How something turned out, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It is as it should be.
    Ok,
    /// It could not be looked at, because of something else that failed.
    Skipped,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The step (`dns`), or the name of what was looked at.
    pub(super) what: String,
    /// How it turned out.
    pub(super) result: Verdict,
    /// In a word or two, what kind of trouble it is; the same for all of a kind.
    pub(super) trouble: Option<&'static str>,
    /// The finding.
    pub(super) found: String,
    /// How to fix it.
    #[serde(rename = "do")]
    pub(super) remedy: Option<String>,
}

/// Things that were looked at together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Their subject: `cache`, `assets`.
    pub(super) what: &'static str,
    /// Where they are.
    pub(super) place: String,
    /// Findings about all of them together.
    pub(super) summary: String,
    /// Each of them.
    pub(super) findings: Vec<Finding>,
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Report {
    pub(super) groups: Vec<Group>,
}

impl Verdict {
    /// The word for it. A failure is to be seen at a glance, in a terminal without colours too.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

impl Finding {
    /// All is well with it.
    pub(super) fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), result: Verdict::Ok, trouble: None, found: found.into(), remedy: None }
    }

    /// It was not looked at, for this reason.
    pub(super) fn skipped(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { result: Verdict::Skipped, ..Self::ok(what, reason) }
    }

    /// Something is wrong with it.
    pub(super) fn wrong(
        result: Verdict,
        what: impl Into<String>,
        trouble: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { what: what.into(), result, trouble: Some(trouble), found: found.into(), remedy }
    }
}

impl Group {
    /// How the worst of them turned out.
    pub(super) fn verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.result).max().unwrap_or(Verdict::Ok)
    }
}

impl Report {
    /// How the worst of all turned out.
    pub(super) fn verdict(&self) -> Verdict {
        self.groups.iter().map(Group::verdict).max().unwrap_or(Verdict::Ok)
    }

    /// How many groups turned out so.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.groups.iter().filter(|group| group.verdict() == verdict).count()
    }

    /// The exit status for it: 1 where something failed.
    pub(super) fn status(&self) -> ExitCode {
        if self.verdict() == Verdict::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// All of it, for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let checks = self.groups.iter().map(|group| {
            serde_json::json!({
                "check": group.what,
                "where": group.place,
                "result": group.verdict(),
                "found": group.summary,
                "findings": group.findings,
            })
        });
        serde_json::json!({ "result": self.verdict(), "checks": checks.collect::<Vec<_>>() })
    }
}
