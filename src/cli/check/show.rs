//! The report as operators read it: a line for each check, and below it what is wrong and what to do.

use super::report::{Finding, Report, Verdict};
use crate::cli::format::{plain, wrapped};
use crate::cli::table::Table;

/// The most findings of one kind that a check shows in full: a missing bucket is one problem, not 400.
const SHOWN: usize = 3;
/// The longest lines, in characters.
const WIDTH: usize = 100;
/// Indent of the lines below a check's first line.
const INDENT: &str = "         ";

/// The report; with `verbose`, each thing that was looked at.
pub(super) fn show(report: &Report, verbose: bool) -> String {
    let mut table = Table::new(&["RESULT", "CHECK", "WHERE", "FOUND"]);
    for group in &report.groups {
        table.row([
            group.verdict().word().to_owned(),
            group.what.to_owned(),
            group.place.clone(),
            group.summary.clone(),
        ]);
    }
    let lines = table.print("");
    let mut lines = lines.lines();
    let mut text = lines.next().map(|head| head.to_owned() + "\n").unwrap_or_default();
    for (line, group) in lines.zip(&report.groups) {
        text += line;
        text.push('\n');
        text += &below(&group.findings, verbose);
    }
    text + "\n" + &sum(report) + "\n"
}

/// The lines about one check's findings.
fn below(findings: &[Finding], verbose: bool) -> String {
    let mut text = String::new();
    // How many of each kind of trouble are shown, and how many are not.
    let mut kinds: Vec<(Option<&str>, Verdict, usize)> = Vec::new();
    for finding in findings {
        if verbose {
            text += &one(finding, true);
        } else if matches!(finding.result, Verdict::Warning | Verdict::Failed) {
            let kind = (finding.trouble, finding.result);
            let at = kinds.iter().position(|(trouble, result, _)| (*trouble, *result) == kind).unwrap_or_else(|| {
                kinds.push((kind.0, kind.1, 0));
                kinds.len() - 1
            });
            kinds[at].2 += 1;
            if kinds[at].2 <= SHOWN {
                text += &one(finding, false);
            }
        }
    }
    for (trouble, _, count) in kinds.into_iter().filter(|(.., count)| *count > SHOWN) {
        let more = count - SHOWN;
        text += &lines(&format!("{}: {more} more; --verbose shows each", trouble.unwrap_or("the same")), "");
    }
    text
}

fn one(finding: &Finding, verdict: bool) -> String {
    let trouble = finding.trouble.filter(|trouble| *trouble != finding.what);
    let trouble = trouble.map_or(String::new(), |trouble| format!("{trouble}: "));
    let verdict = if verdict { format!("{:<7}  ", finding.result.word()) } else { String::new() };
    let mut text = lines(&format!("{verdict}{}: {trouble}{}", finding.what, finding.found), "");
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
    let all = report.groups.len();
    let of = |verdict, words: &str| {
        let count = report.count(verdict);
        (count > 0).then(|| format!("{count} {words}"))
    };
    let said: Vec<_> =
        [of(Verdict::Failed, "failed"), of(Verdict::Warning, "with a warning"), of(Verdict::Skipped, "skipped")]
            .into_iter()
            .flatten()
            .collect();
    match said.as_slice() {
        [] => format!("all {all} checks are well"),
        said => format!("of {all} checks: {}", said.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Group;
    use super::*;

    fn report() -> Report {
        let missing = |name: &str| {
            Finding::wrong(
                Verdict::Failed,
                name,
                "no such object",
                format!("s3://assets/{name} does not exist"),
                format!("upload it, or correct `sources` of [[asset]] {name:?} (/etc/bootdepot/bootdepot.toml:12)"),
            )
        };
        let origin = Group {
            what: "origin",
            place: "s3://assets/".to_owned(),
            summary: "http://s3.lab:9000".to_owned(),
            findings: vec![Finding::ok("dns", "10.0.0.5"), Finding::ok("clock", "0 s off")],
        };
        let mut findings: Vec<_> = (1..=5).map(|n| missing(&format!("okd/{n}"))).collect();
        findings.push(Finding::ok("okd/6", "1.0 KiB"));
        findings.push(Finding::skipped("okd/7\u{1b}[2J", "no such bucket"));
        let summary = "5 of 7 are not as the catalog says".to_owned();
        let assets = Group { what: "assets", place: "s3://assets/".to_owned(), summary, findings };
        Report { groups: vec![origin, assets] }
    }

    #[test]
    fn trouble_is_shown_and_the_rest_is_not() {
        insta::assert_snapshot!(show(&report(), false));
    }

    #[test]
    fn verbose_is_everything() {
        insta::assert_snapshot!(show(&report(), true));
    }

    #[test]
    fn all_is_well() {
        let mut report = report();
        report.groups.pop();
        insta::assert_snapshot!(show(&report, false));
    }
}
