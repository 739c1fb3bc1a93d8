//! `/metrics`: every metric exists from the start, and Prometheus's own tools accept the output.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Stdio;

use crate::support::s3::BUCKET;
use crate::support::{ChildExt, Client, FakeOrigin, TestServer, TestSite, Tool, random_bytes};

/// The stable metrics: names with their labels.
const CONTRACT: [(&str, &[&str]); 17] = [
    ("bootdepot_transfers_total", &["cache", "outcome", "protocol"]),
    ("bootdepot_sent_bytes_total", &["protocol"]),
    ("bootdepot_transfers_active", &["protocol"]),
    ("bootdepot_transfer_seconds", &["protocol"]),
    ("bootdepot_fills_total", &["outcome"]),
    ("bootdepot_fills_active", &[]),
    ("bootdepot_fill_seconds", &[]),
    ("bootdepot_origin_requests_total", &["origin", "status"]),
    ("bootdepot_origin_received_bytes_total", &["origin"]),
    ("bootdepot_cache_bytes", &["state"]),
    ("bootdepot_cache_entries", &["state"]),
    ("bootdepot_evictions_total", &[]),
    ("bootdepot_scrub_blobs_total", &["outcome"]),
    ("bootdepot_tftp_retransmits_total", &[]),
    ("bootdepot_catalog_assets", &[]),
    ("bootdepot_reload_total", &["outcome"]),
    ("bootdepot_build_info", &["revision", "version"]),
];

/// The values of each label of each metric, without `le`, which belongs to the format.
pub(crate) type Exposed = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Returns what a server exposes after successful and failed traffic over both protocols: the text, and the parsed labels.
pub(crate) fn exposed_after_traffic() -> (String, Exposed) {
    let origin = FakeOrigin::start();
    let image = origin.put("vmlinuz", random_bytes(90, 300_000));
    let other = origin.put("other", random_bytes(91, 1000));
    let key = |name: &str| format!("s3://{BUCKET}/{name}");
    let site = TestSite::new(&origin)
        .asset(&image)
        .asset_from("wrong", &image.sha256().replace('a', "b"), &[&key("other")])
        .asset_from("gone", &other.sha256(), &[&key("no-such-key")]);
    let server = site.start();
    assert!(server.client().compare("/assets/vmlinuz", &image.bytes));
    assert!(server.client().compare("/assets/vmlinuz", &image.bytes));
    assert_eq!(server.client().get("/assets/gone").status, 404);
    assert_eq!(server.client().get("/assets/wrong").status, 502);
    assert_eq!(server.client().get("/ipxe?mac=52:54:00:12:34:56").status, 200);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"\0\x01nothing\0octet\0", server.tftp).unwrap();
    server.wait_for(|l| l.is("bootdepot::transfer") && l.text("protocol") == "tftp");
    server.wait_for_transfer("wrong", "digest-mismatch");
    let text = scrape(&server);
    let exposed = parse(&text);
    (text, exposed)
}

fn scrape(server: &TestServer) -> String {
    let answer = Client::new(server.admin).get("/metrics");
    assert_eq!((answer.status, answer.complete), (200, true));
    answer.text()
}

/// Parses the samples of the text format. promtool checks the format.
fn parse(text: &str) -> Exposed {
    let types: BTreeMap<_, _> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut exposed = Exposed::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, _) = line.rsplit_once(' ').expect("a sample has a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        // A histogram has three series.
        let family = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| {
            name.strip_suffix(end).filter(|name| types.get(name).is_some_and(|kind| *kind == "histogram"))
        });
        let entry = exposed.entry(family.unwrap_or(name).to_owned()).or_default();
        for pair in labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once("=\"").expect("a label has a value");
            if label != "le" {
                entry.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    exposed
}

#[test]
fn fresh_server_has_every_metric() {
    let origin = FakeOrigin::start();
    let server = TestSite::new(&origin).start();
    let exposed = parse(&scrape(&server));
    for (name, labels) in CONTRACT {
        let found = exposed.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(found.keys().map(String::as_str).eq(labels.iter().copied()), "{name} has {found:?}");
    }
    let outcomes = &exposed["bootdepot_transfers_total"]["outcome"];
    let expected = [
        "aborted",
        "complete",
        "digest-mismatch",
        "not-found",
        "origin-failed",
        "probe",
        "refused",
        "render-failed",
        "timeout",
    ];
    assert!(outcomes.iter().map(String::as_str).eq(expected), "every outcome starts at zero: {outcomes:?}");
}

#[test]
fn metrics_pass_promtool_after_traffic() {
    let (text, exposed) = exposed_after_traffic();
    for (name, labels) in CONTRACT {
        assert!(exposed[name].keys().map(String::as_str).eq(labels.iter().copied()), "{name} has {:?}", exposed[name]);
    }
    let Some(promtool) = Tool::find("promtool") else { return };
    let mut check = promtool.command();
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.finish();
    let report = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && report.is_empty(), "{report}");
}

#[test]
fn metrics_are_described_and_documented() {
    let sources = sources();
    let described = named(&sources, &["describe_counter!(\"", "describe_gauge!(\"", "describe_histogram!(\""]);
    let used = named(
        &sources,
        &[
            " counter!(\"",
            " gauge!(\"",
            " histogram!(\"",
            "(histogram!(\"",
            "::counter!(\"",
            "::gauge!(\"",
            "::histogram!(\"",
        ],
    );
    assert_eq!(described, used);
    assert!(CONTRACT.iter().all(|(name, _)| described.contains(*name)));
    let documented = include_str!("../../docs/observability.md");
    for name in &described {
        assert!(documented.contains(&format!("| `{name}` |")), "{name} is not in docs/observability.md");
    }
}

fn named(sources: &str, calls: &[&str]) -> BTreeSet<String> {
    let after = |call: &&str| -> Vec<String> {
        let calls = sources.match_indices(*call).map(|(at, call)| &sources[at + call.len()..]);
        calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    calls.iter().flat_map(after).filter(|name| name.starts_with("bootdepot_")).collect()
}

fn sources() -> String {
    fn walk(dir: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    walk(&crate::support::program::root().join("src"), &mut text);
    text
}
