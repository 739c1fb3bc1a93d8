//! The report as operators read it: a line for each check, and below it what is wrong and what to do.

use super::report::{Backend, Report};
use crate::api::FindingView;
use crate::cli::format::{count, plain, wrapped};
use crate::cli::table::Table;
use crate::jobs::CheckResult;

/// The most findings of one kind that a check shows in full: a missing bucket is one problem, not 400.
const SHOWN: usize = 3;
/// The longest lines, in characters.
const WIDTH: usize = 100;
/// Indent of the lines below a check's first line.
const INDENT: &str = "         ";

/// The report; with `verbose`, each thing that was looked at.
pub(super) fn show(report: &Report, verbose: bool) -> String {
    let mut table = Table::new(&["RESULT", "CHECK", "WHERE", "FOUND"]);
    for row in &report.checks {
        table.row([word(row.result).to_owned(), row.check.clone(), row.place.clone(), row.found.clone()]);
    }
    let lines = table.print("");
    let mut lines = lines.lines();
    let mut text = lines.next().map(|head| head.to_owned() + "\n").unwrap_or_default();
    for (line, row) in lines.zip(&report.checks) {
        text += line;
        text.push('\n');
        text += &below(&row.findings, verbose);
    }
    text + "\n" + &sum(report) + "\n"
}

/// The word for a result. A failure is to be seen at a glance, in a terminal without colours too.
fn word(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Failed => "FAILED",
        other => other.as_str(),
    }
}

/// The lines about one check's findings.
fn below(findings: &[FindingView], verbose: bool) -> String {
    if verbose {
        return findings.iter().map(|finding| one(finding, true)).collect();
    }
    let mut text = String::new();
    // Each kind of trouble, and how many of it are shown or left out.
    let mut kinds: Vec<(&str, CheckResult, usize)> = Vec::new();
    for finding in findings {
        let Some(trouble) = finding.trouble.as_deref() else { continue };
        let same = |(known, result, _): &(&str, CheckResult, usize)| *known == trouble && *result == finding.result;
        let at = kinds.iter().position(same).unwrap_or_else(|| {
            kinds.push((trouble, finding.result, 0));
            kinds.len() - 1
        });
        kinds[at].2 += 1;
        if kinds[at].2 <= SHOWN {
            text += &one(finding, false);
        }
    }
    for (trouble, _, count) in kinds.into_iter().filter(|(.., count)| *count > SHOWN) {
        text += &lines(&format!("{trouble}: {} more; --verbose shows each", count - SHOWN), "");
    }
    text
}

fn one(finding: &FindingView, with_result: bool) -> String {
    let trouble = finding.trouble.as_deref().filter(|trouble| *trouble != finding.what);
    let trouble = trouble.map_or(String::new(), |trouble| format!("{trouble}: "));
    let result = match (with_result, finding.is_warning()) {
        (true, _) => format!("{:<10}  ", word(finding.result)),
        (false, true) => "warning: ".to_owned(),
        (false, false) => String::new(),
    };
    let mut text = lines(&format!("{result}{}: {trouble}{}", finding.what, finding.found), "");
    if let Some(remedy) = &finding.remedy {
        text += &lines(&format!("do: {remedy}"), "  ");
    }
    text
}

fn lines(paragraph: &str, indent: &str) -> String {
    let lines = wrapped(&plain(paragraph), WIDTH - INDENT.len());
    lines.iter().enumerate().fold(String::new(), |text, (at, line)| {
        let hanging = if at == 0 { "" } else { "  " };
        text + INDENT + indent + hanging + line + "\n"
    })
}

/// The total.
fn sum(report: &Report) -> String {
    let by = match report.by {
        Backend::Server => "checked by the running server",
        Backend::Command => "checked by this command, without a server",
    };
    let of = |count: usize, words: &str| (count > 0).then(|| format!("{count} {words}"));
    let parts: Vec<_> = [
        of(report.counts.failed, "failed"),
        of(report.counts.unverified, "unverified"),
        of(report.warnings(), "with a warning"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let all = count(report.checks.len(), "check");
    match parts.as_slice() {
        [] => format!("{all}, all ok; {by}"),
        parts => format!("{all}: {}; {by}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{CheckRow, Finding};

    fn rows() -> Vec<CheckRow> {
        let missing = |name: &str| {
            Finding::failed(
                name,
                "no such object",
                format!("s3://assets/{name} does not exist"),
                format!("upload it, or correct `sources` of [[asset]] {name:?} (/etc/bootdepot/bootdepot.toml:12)"),
            )
        };
        let soon = "renew the store's certificate";
        let origin = CheckRow {
            check: "origin",
            place: "s3://assets/".to_owned(),
            summary: "http://s3.lab:9000".to_owned(),
            findings: vec![
                Finding::ok("dns", "10.0.0.5"),
                Finding::warning("tls", "certificate", "it expires on 2026-12-04", soon),
            ],
        };
        let mut findings: Vec<_> = (1..=5).map(|n| missing(&format!("okd/{n}"))).collect();
        findings.push(Finding::ok("okd/6", "1.0 KiB"));
        findings.push(Finding::unverified("okd/7\u{1b}[2J", "1.0 KiB, the right size"));
        let summary = "7 objects: 1 ok, 1 unverified, 5 failed".to_owned();
        vec![origin, CheckRow { check: "objects", place: "s3://assets/".to_owned(), summary, findings }]
    }

    fn report(rows: Vec<CheckRow>) -> Report {
        Report::new(Backend::Command, rows.into_iter().map(Into::into).collect())
    }

    #[test]
    fn trouble_is_shown_and_the_rest_is_not() {
        insta::assert_snapshot!(show(&report(rows()), false));
    }

    #[test]
    fn verbose_is_everything() {
        insta::assert_snapshot!(show(&report(rows()), true));
    }

    #[test]
    fn all_is_well() {
        let mut rows = rows();
        rows.truncate(1);
        rows[0].findings.truncate(1);
        insta::assert_snapshot!(show(&report(rows), false));
    }
}
