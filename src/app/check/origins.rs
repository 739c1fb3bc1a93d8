//! Looks at every origin that is in use: how it is reached, whether it takes our credentials, and whether it has the assets of
//! the catalog. A few objects at a time; what an earlier trouble makes pointless is not asked.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;

use super::families::{families, usable};
use super::item::Role;
use super::look::{Looked, Looking, timeouts};
use super::outcome::Outcome;
use crate::asset::Digest;
use crate::catalog::Asset;
use crate::config::Config;
use crate::jobs::{CheckProgress, CheckResult, CheckRow, CheckTask, Finding};
use crate::origin::Origins;
use crate::task::blocking;
use crate::units::count;

/// Findings about the origins.
pub(super) struct Found {
    pub(super) rows: Vec<CheckRow>,
    /// How long the objects are, by the digest that their assets have.
    pub(super) sizes: HashMap<Digest, u64>,
    /// The clients of the origins. `None` if their settings cannot be used.
    pub(super) origins: Option<Origins>,
}

/// Looks at the origins of these assets and, unless the task names some, of the shared catalog.
pub(super) async fn check(
    config: &Arc<Config>,
    assets: &[Arc<Asset>],
    task: &CheckTask,
    progress: &CheckProgress,
) -> Found {
    let on = Arc::clone(config);
    let setting_up = move || {
        let (settings, rows) = usable(&on);
        let prefixes: Vec<_> = settings.iter().map(|origin| origin.prefix.as_str().to_owned()).collect();
        (Origins::new(settings, timeouts(&on)), prefixes, rows)
    };
    let (origins, usable, mut rows) = blocking(setting_up).await;
    let origins = match origins {
        Ok(origins) => origins,
        Err(error) => {
            let findings = vec![Finding::failed("origins", "settings", error.to_string(), "correct [[origin]]")];
            rows.push(CheckRow { check: "origins", place: "-".to_owned(), summary: String::new(), findings });
            return Found { rows, sizes: HashMap::new(), origins: None };
        }
    };
    let prefixes = config.origins.iter().map(|origin| origin.prefix.as_str());
    let unusable: HashSet<&str> = prefixes.filter(|prefix| !usable.iter().any(|known| known == prefix)).collect();
    let (families, lost) = families(config, assets, task.names.is_empty(), &origins, &unusable);
    let items = families.iter().flat_map(|family| &family.items);
    progress.add_objects(items.filter(|item| !matches!(item.role, Role::Catalog)).count());
    let looking = Looking::new(config, &origins, task.deep, progress);
    let looked = join_all(families.into_iter().map(|family| looking.at(family))).await;

    let pairs = || looked.iter().flat_map(|looked| looked.family.items.iter().zip(&looked.outcomes));
    let mut had: HashMap<String, bool> = HashMap::new();
    for (item, outcome) in pairs().filter(|(_, outcome)| outcome.seen().is_some()) {
        *had.entry(item.role.name()).or_default() |= matches!(outcome, Outcome::Right(_));
    }
    let sizes = pairs().filter_map(|(item, outcome)| match &item.role {
        Role::Asset(asset) => Some((asset.digest, outcome.seen()?.size?)),
        Role::Blocks(_) | Role::Catalog => None,
    });
    let sizes = sizes.collect();
    for looked in looked {
        rows.extend(describe(looked, &had, task.deep));
    }
    rows.extend(lost);
    Found { rows, sizes, origins: Some(origins) }
}

/// The rows about a family; `had` has the names of what at least one source has, and whether that is proven.
fn describe(looked: Looked, had: &HashMap<String, bool>, deep: bool) -> Vec<CheckRow> {
    let Looked { family, mut steps, broken, facts, outcomes } = looked;
    if let Some((step, trouble)) = broken {
        steps.retain(|finding| finding.what != step.name());
        let spared = family.items.iter().all(|item| had.contains_key(&item.role.name()));
        let finding = if spared { Finding::warning } else { Finding::failed };
        steps.push(finding(step.name().to_owned(), trouble.kind, trouble.found, trouble.remedy));
    }
    let place = family.route.label;
    let mut rows = vec![CheckRow { check: "origin", place: place.clone(), summary: facts.join(", "), findings: steps }];
    let (mut findings, mut reason) = (Vec::new(), None);
    for (item, outcome) in family.items.iter().zip(outcomes) {
        if let Outcome::NotAsked(why) = &outcome {
            reason.get_or_insert_with(|| why.clone());
        }
        let finding = finding(item.role.name(), outcome, had);
        if matches!(item.role, Role::Catalog) {
            let (place, summary) = (item.source.to_string(), finding.found.clone());
            rows.push(CheckRow { check: "catalog", place, summary, findings: vec![finding] });
        } else {
            findings.push(finding);
        }
    }
    if !findings.is_empty() {
        let summary = summarize(&findings, reason.as_deref(), deep);
        rows.push(CheckRow { check: "objects", place, summary, findings });
    }
    rows
}

/// The finding about one source.
fn finding(name: String, outcome: Outcome, had: &HashMap<String, bool>) -> Finding {
    let result = if matches!(outcome, Outcome::Right(_)) { CheckResult::Ok } else { CheckResult::Unverified };
    match outcome {
        Outcome::Right(seen) | Outcome::Unverified(seen) => match seen.warning {
            Some(warning) => Finding { result, ..Finding::warning(name, warning.kind, warning.found, warning.remedy) },
            None => Finding { result, ..Finding::ok(name, seen.found) },
        },
        Outcome::Bad(trouble) if had.contains_key(&name) => {
            let also = if had[&name] { "another source has it" } else { "another source may have it" };
            Finding::warning(name, trouble.kind, format!("{}; {also}", trouble.found), trouble.remedy)
        }
        Outcome::Bad(trouble) => Finding::failed(name, trouble.kind, trouble.found, trouble.remedy),
        Outcome::NotAsked(reason) => Finding::unverified(name, format!("not asked: {reason}")),
    }
}

/// `5 objects: 3 ok, 2 unverified (no digest to compare; --deep reads and hashes them)`. `reason`: why some were not asked.
fn summarize(findings: &[Finding], reason: Option<&str>, deep: bool) -> String {
    let of = |result| findings.iter().filter(|finding| finding.result == result).count();
    let (ok, unverified, failed) = (of(CheckResult::Ok), of(CheckResult::Unverified), of(CheckResult::Failed));
    let why = match reason {
        Some(reason) => format!(" ({reason})"),
        None if deep => String::new(),
        None => " (no digest to compare; --deep reads and hashes them)".to_owned(),
    };
    let parts = [(ok, "ok", ""), (unverified, "unverified", why.as_str()), (failed, "failed", "")];
    let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
    let parts: Vec<_> = parts.map(|(count, word, why)| format!("{count} {word}{why}")).collect();
    format!("{}: {}", count(findings.len(), "object"), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_summary_counts_each_result() {
        let (ok, open) = (Finding::ok("a", ""), Finding::unverified("b", ""));
        let bad = Finding::failed("c", "gone", "", "");
        let all = [ok.clone(), open.clone(), bad.clone()];
        assert_eq!(summarize(&[ok.clone(), ok.clone()], None, false), "2 objects: 2 ok");
        assert_eq!(
            summarize(&all, None, false),
            "3 objects: 1 ok, 1 unverified (no digest to compare; --deep reads and hashes them), 1 failed"
        );
        assert_eq!(
            summarize(std::slice::from_ref(&open), Some("tcp failed: cannot connect"), true),
            "1 object: 1 unverified (tcp failed: cannot connect)"
        );
        assert_eq!(summarize(&[open, bad], None, true), "2 objects: 1 unverified, 1 failed");
    }
}
