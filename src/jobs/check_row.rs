//! The findings of a check, in rows. It knows no terminal and no JSON.

use strum::{EnumString, IntoStaticStr, VariantNames};

/// How something turned out, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum CheckResult {
    /// It is as it should be.
    Ok,
    /// Nothing is wrong with it as far as it could be checked, but there is nothing to prove that it is right.
    Unverified,
    /// It does not work, or is not what it should be.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The step (`dns`), or the name of what was looked at.
    pub what: String,
    /// How it turned out.
    pub result: CheckResult,
    /// The kind of problem, a fixed word or two. It is a warning unless the check failed.
    pub trouble: Option<&'static str>,
    /// The finding.
    pub found: String,
    /// How to fix it.
    pub remedy: Option<String>,
}

/// Things that were looked at together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRow {
    /// Their subject: `cache`, `objects`.
    pub check: &'static str,
    /// Where they are.
    pub place: String,
    /// A finding about all of them together.
    pub summary: String,
    /// Each of them.
    pub findings: Vec<Finding>,
}

impl CheckResult {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Finding {
    /// All is well with it.
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), result: CheckResult::Ok, trouble: None, found: found.into(), remedy: None }
    }

    /// It could not be verified, for this reason.
    pub fn unverified(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { result: CheckResult::Unverified, ..Self::ok(what, found) }
    }

    /// It works, but an operator should look at it.
    pub fn warning(
        what: impl Into<String>,
        trouble: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { trouble: Some(trouble), remedy: Some(remedy.into()), ..Self::ok(what, found) }
    }

    /// It does not work.
    pub fn failed(
        what: impl Into<String>,
        trouble: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { result: CheckResult::Failed, ..Self::warning(what, trouble, found, remedy) }
    }
}

impl CheckRow {
    /// How the worst of its findings turned out.
    pub fn result(&self) -> CheckResult {
        self.findings.iter().map(|finding| finding.result).max().unwrap_or(CheckResult::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_has_its_worst_result() {
        let row = |findings| CheckRow { check: "objects", place: String::new(), summary: String::new(), findings };
        let (ok, unverified) = (Finding::ok("a", ""), Finding::unverified("b", ""));
        let (warning, failed) = (Finding::warning("c", "slow", "", ""), Finding::failed("d", "gone", "", ""));
        assert_eq!(row(Vec::new()).result(), CheckResult::Ok);
        assert_eq!(row(vec![ok.clone(), warning]).result(), CheckResult::Ok);
        assert_eq!(row(vec![unverified.clone(), ok.clone()]).result(), CheckResult::Unverified);
        assert_eq!(row(vec![failed, unverified, ok]).result(), CheckResult::Failed);
    }
}
