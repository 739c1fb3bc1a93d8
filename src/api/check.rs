//! Checks: the order for one, and what it has found.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::word::words;
use crate::jobs::{CheckResult, CheckRow, CheckTask, Finding};

/// A request to check what booting depends on: the body of `POST check`. Omitted fields have their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckOrder {
    /// Asset names, globs, or prefixes that end with a slash: only these assets are checked. Empty: all assets, and everything
    /// else that booting depends on.
    pub names: Vec<String>,
    /// Read and hash every object. Nothing is cached.
    pub deep: bool,
}

/// Things that a check has looked at together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckRowView {
    /// Their subject: `cache`, `objects`.
    pub check: String,
    /// Where they are.
    #[serde(rename = "where")]
    pub place: String,
    /// How the worst of them turned out.
    pub result: CheckResult,
    /// A finding about all of them together.
    pub found: String,
    /// How many of them turned out how.
    pub counts: CheckCounts,
    /// Each of them.
    pub findings: Vec<FindingView>,
}

/// Counts by result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct CheckCounts {
    /// As it should be.
    pub ok: usize,
    /// Nothing is wrong as far as it could be checked, but there is nothing to prove that it is right.
    pub unverified: usize,
    /// Wrong.
    pub failed: usize,
}

/// One thing that a check has looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// The step (`dns`), or the name of what was looked at.
    pub what: String,
    /// How it turned out.
    pub result: CheckResult,
    /// The kind of problem, a fixed word or two; null without a problem. It is a warning unless `result` is `failed`.
    pub trouble: Option<String>,
    /// The finding.
    pub found: String,
    /// How to fix it.
    #[serde(rename = "do")]
    pub remedy: Option<String>,
}

impl From<CheckOrder> for CheckTask {
    fn from(order: CheckOrder) -> Self {
        Self { names: order.names, deep: order.deep }
    }
}

impl CheckCounts {
    /// Counts these results.
    pub fn of(results: impl IntoIterator<Item = CheckResult>) -> Self {
        results.into_iter().fold(Self::default(), |mut counts, result| {
            match result {
                CheckResult::Ok => counts.ok += 1,
                CheckResult::Unverified => counts.unverified += 1,
                CheckResult::Failed => counts.failed += 1,
            }
            counts
        })
    }
}

impl FindingView {
    /// Whether it works, but an operator should look at it.
    pub fn is_warning(&self) -> bool {
        self.result != CheckResult::Failed && self.trouble.is_some()
    }
}

impl From<CheckRow> for CheckRowView {
    fn from(row: CheckRow) -> Self {
        let result = row.result();
        let CheckRow { check, place, summary, findings } = row;
        let counts = CheckCounts::of(findings.iter().map(|finding| finding.result));
        let findings = findings.into_iter().map(Into::into).collect();
        Self { check: check.to_owned(), place, result, found: summary, counts, findings }
    }
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        let Finding { what, result, trouble, found, remedy } = finding;
        Self { what, result, trouble: trouble.map(str::to_owned), found, remedy }
    }
}

words! {
    CheckResult as "CheckResult": "How something that was checked turned out.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_is_sent_with_counts() {
        let findings = vec![Finding::ok("a", "1 B"), Finding::failed("b", "gone", "it does not exist", "upload it")];
        let row = CheckRow { check: "objects", place: "s3://b/".to_owned(), summary: "2 objects".to_owned(), findings };
        let view = CheckRowView::from(row);
        let sent = serde_json::to_value(&view).unwrap();
        assert_eq!(sent["where"], "s3://b/");
        assert_eq!(sent["result"], "failed");
        assert_eq!(sent["counts"], serde_json::json!({ "ok": 1, "unverified": 0, "failed": 1 }));
        assert_eq!(sent["findings"][1]["do"], "upload it");
        assert_eq!(serde_json::from_value::<CheckRowView>(sent).unwrap(), view);
    }

    #[test]
    fn order_unknown_field_is_refused() {
        let order: CheckOrder = serde_json::from_str("{}").unwrap();
        assert_eq!(order, CheckOrder::default());
        assert!(serde_json::from_str::<CheckOrder>(r#"{"all":true}"#).is_err());
    }
}
