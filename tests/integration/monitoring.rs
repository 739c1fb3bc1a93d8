//! The alert rules and the Grafana dashboard in `deploy/`: they only use metrics that a server exposes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use super::metrics::{Exposed, exposed_after_traffic};
use crate::support::Tool;

/// Labels whose values are not a closed set.
const OPEN: [&str; 4] = ["origin", "status", "version", "revision"];
/// Labels that Prometheus adds.
const ADDED: [&str; 4] = ["instance", "job", "le", "alertname"];

fn deploy(file: &str) -> PathBuf {
    crate::support::program::root().join("deploy").join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(deploy(file)).unwrap()
}

/// Returns the metric names, labels and label values in `text` that no server exposes.
fn mistakes(text: &str, exposed: &Exposed) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: BTreeSet<&str> = ADDED.into();
    for (at, _) in text.match_indices("bootdepot_") {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let Some(labels) = exposed.get(name).or_else(|| exposed.get(family)) else {
            wrong.push(format!("there is no metric {name}"));
            continue;
        };
        known.extend(labels.keys().map(String::as_str));
        let matchers =
            rest[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inner, _)| inner);
        for matcher in matchers.split("\",").filter(|matcher| !matcher.trim().is_empty()) {
            let (label, value) = matcher.split_once(['=', '!']).expect("a matcher has a value");
            let label = label.trim();
            let value = value.trim_start_matches(['=', '~', '!']).trim_matches(['"', '\\']);
            let Some(values) = labels.get(label) else {
                if !ADDED.contains(&label) {
                    wrong.push(format!("{name} has no label {label}"));
                }
                continue;
            };
            for value in value.split('|').filter(|_| !OPEN.contains(&label)) {
                if !values.contains(value) {
                    wrong.push(format!("{name} has no {label} {value:?}, but {values:?}"));
                }
            }
        }
    }
    for (at, call) in
        text.match_indices("by (").chain(text.match_indices("on (")).chain(text.match_indices("without ("))
    {
        let labels = text[at + call.len()..].split_once(')').map_or("", |(labels, _)| labels);
        for label in labels.split(',').map(str::trim).filter(|label| !known.contains(label)) {
            wrong.push(format!("no metric has the label {label}"));
        }
    }
    wrong
}

#[test]
fn rules_and_dashboard_use_exposed_metrics() {
    let (_, exposed) = exposed_after_traffic();
    for file in ["prometheus/bootdepot.rules.yml", "prometheus/bootdepot.test.yml"] {
        assert_eq!(mistakes(&text(file), &exposed), Vec::<String>::new(), "{file}");
    }
    for (panel, queries) in panels() {
        for query in queries {
            assert_eq!(mistakes(&query, &exposed), Vec::<String>::new(), "the panel {panel}");
        }
    }
}

#[test]
fn query_check_finds_wrong_names() {
    let outcomes = BTreeSet::from(["complete".to_owned()]);
    let exposed = Exposed::from([("bootdepot_x_total".to_owned(), BTreeMap::from([("outcome".to_owned(), outcomes)]))]);
    for (query, wrong) in [
        (r#"sum by (outcome) (rate(bootdepot_x_total{outcome="complete",instance=~"$i"}[5m]))"#, 0),
        ("bootdepot_y_total", 1),
        (r#"bootdepot_x_total{protocol="http"}"#, 1),
        (r#"bootdepot_x_total{outcome=~"complete|refsued"}"#, 1),
        ("sum by (protocol) (bootdepot_x_total)", 1),
    ] {
        assert_eq!(mistakes(query, &exposed).len(), wrong, "{query}: {:?}", mistakes(query, &exposed));
    }
}

#[test]
fn promtool_rules_fire_as_expected() {
    let Some(promtool) = Tool::find("promtool") else { return };
    promtool.succeed(["check", "rules", deploy("prometheus/bootdepot.rules.yml").to_str().unwrap()]);
    promtool.succeed(["test", "rules", deploy("prometheus/bootdepot.test.yml").to_str().unwrap()]);
}

#[test]
fn alerts_have_guidance_and_tests() {
    let (rules, tests) = (text("prometheus/bootdepot.rules.yml"), text("prometheus/bootdepot.test.yml"));
    let guide = std::fs::read_to_string(deploy("../docs/troubleshooting.md")).unwrap();
    let anchors: BTreeSet<String> = guide.lines().filter_map(|line| Some(anchor(line.strip_prefix('#')?))).collect();
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10, "{}", alerts.len());
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for part in ["severity: ", "summary: ", "description: ", "runbook_url: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        let link = alert.split_once("docs/troubleshooting.md#").unwrap_or_else(|| panic!("{name} links nowhere")).1;
        let link = link.split('"').next().unwrap();
        assert!(anchors.contains(link), "{name}: docs/troubleshooting.md has no #{link}, but {anchors:?}");
        let tested = [format!("alertname: {name}\n"), format!("{{alertname=\"{name}\"}}")];
        assert!(tested.iter().any(|text| tests.contains(text)), "{name} has no test");
    }
}

/// Returns the anchor of a heading on GitHub and GitLab.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana/bootdepot.json")).unwrap()
}

/// Returns the title of each panel with its queries.
fn panels() -> Vec<(String, Vec<String>)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels
        .map(|panel| {
            let queries = panel["targets"].as_array().into_iter().flatten();
            let queries = queries.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
            (panel["title"].as_str().unwrap().to_owned(), queries)
        })
        .collect()
}

#[test]
fn grafana_dashboard_is_importable() {
    let dashboard = dashboard();
    assert!(dashboard["id"].is_null(), "Grafana assigns the id");
    assert!(dashboard["uid"].is_string() && dashboard["schemaVersion"].is_u64());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|variable| variable["type"] == "datasource" && variable["name"] == "datasource"));
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id of {title}");
        let place = &panel["gridPos"];
        let number = |key: &str| place[key].as_u64().unwrap_or_else(|| panic!("{title} has no {key}"));
        assert!(number("x") + number("w") <= 24, "{title} is outside the grid");
        for (x, y) in (number("x")..number("x") + number("w"))
            .flat_map(|x| (number("y")..number("y") + number("h")).map(move |y| (x, y)))
        {
            assert!(places.insert((x, y)), "{title} overlaps another panel");
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title} shows nothing");
        }
    }
}

#[test]
fn promtool_accepts_dashboard_queries() {
    let Some(promtool) = Tool::find("promtool") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, query) in panels().into_iter().flat_map(|(_, queries)| queries).enumerate() {
        // Grafana replaces these variables.
        let query = query.replace("$__rate_interval", "1m").replace("$__range", "1h");
        let _ = write!(rules, "  - record: query_{number}\n    expr: {}\n", Value::String(query));
    }
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, rules).unwrap();
    promtool.succeed(["check", "rules", file.to_str().unwrap()]);
}
