//! Listings of a collection: for operators, and for HTTP clients where that is allowed.

use std::process::Command;

use serde_json::{Value, json};

use super::{put, site};
use crate::support::{CommandExt as _, FakeOrigin, TestSite, Tool, random_bytes};

#[test]
fn operator_lists_unrequested_objects() {
    let origin = FakeOrigin::start();
    let used = put(&origin, "used.iso", random_bytes(1, 4_000));
    put(&origin, "new.iso", random_bytes(2, 5_000));
    put(&origin, "sno/a.iso", random_bytes(3, 6_000));
    let site = site(&origin, "exclude = [\"*.tmp\"]");
    origin.put("openshift/half.tmp", random_bytes(4, 10));
    let server = site.start();
    assert!(server.client().compare("/assets/isos/used.iso", &used.bytes));
    server.wait_for_fill("isos/used.iso", "complete");

    let listed = site.run_command(server.admin, &["list", "isos/", "--source", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!((&listed["directories"], &listed["complete"]), (&json!(["sno/"]), &json!(true)), "{listed}");
    let files = listed["files"].as_array().expect("a list");
    let fields = |file: &Value| {
        let text = |key: &str| file[key].as_str().map(str::to_owned);
        (text("name"), file["size"].as_u64(), text("state"))
    };
    let names: Vec<_> = files.iter().map(fields).collect();
    assert_eq!(
        names,
        [
            (Some("isos/new.iso".to_owned()), Some(5_000), None),
            (Some("isos/used.iso".to_owned()), Some(4_000), Some("cached".to_owned()))
        ]
    );
    let table = site.run_command(server.admin, &["list", "isos/sno", "--source"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("isos/sno/a.iso") && table.contains("not requested yet"), "{table}");

    let unknown = site.run_command(server.admin, &["list", "other/", "--source"]);
    let errors = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(1) && errors.contains("is in no collection"), "{errors}");
    // HTTP clients may not list it.
    assert_eq!(server.client().get("/assets/isos/").status, 404);
}

#[test]
fn http_clients_list_where_allowed() {
    let origin = FakeOrigin::start();
    let worker = put(&origin, "worker & 1.iso", random_bytes(1, 4_000));
    put(&origin, "sno/a.iso", random_bytes(2, 5_000));
    let site = site(&origin, "listing = true").set("fill.negative_ttl", "10m");
    let server = site.start();
    assert!(server.client().compare("/assets/isos/worker%20&%201.iso", &worker.bytes));

    let page = server.client().get("/assets/isos/");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let text = page.text();
    assert!(text.contains("<a href=\"./worker%20&amp;%201.iso\">worker &amp; 1.iso</a>"), "{text}");
    assert!(text.contains("<a href=\"./sno/\">sno/</a>") && text.contains(&worker.sha256()), "{text}");
    let index = server.client().request("GET", "/assets/isos/sno/", &[("Accept", "application/json")]);
    let index: Value = serde_json::from_slice(&index.body).expect("JSON");
    assert_eq!((index[0]["name"].as_str(), index[0]["size"].as_u64()), (Some("a.iso"), Some(5_000)), "{index}");

    let redirect = server.client().get("/assets/isos");
    assert_eq!((redirect.status, redirect.header("location")), (301, "/assets/isos/"));
    for none in ["/assets/isos/none/", "/assets/other/", "/assets/isos/../", "/assets/isos/%2e%2e/"] {
        assert_eq!(server.client().get(none).status, 404, "{none}");
    }
}

#[test]
fn wget_mirrors_listed_collection() {
    let (Some(wget), origin) = (Tool::find("wget"), FakeOrigin::start()) else { return };
    let (a, b) = (put(&origin, "a.iso", random_bytes(1, 4_000)), put(&origin, "sno/b.iso", random_bytes(2, 5_000)));
    let server = site(&origin, "listing = true").start();
    let dir = tempfile::tempdir().expect("a directory");
    let into = dir.path().to_str().expect("UTF-8");
    wget.succeed(["-q", "-r", "-np", "-nH", "--cut-dirs=2", "-P", into, &server.url("/assets/isos/")]);
    for (path, object) in [("a.iso", &a), ("sno/b.iso", &b)] {
        assert!(std::fs::read(dir.path().join(path)).expect("it was fetched") == object.bytes, "{path}");
    }
}

#[test]
fn systemd_pull_verifies_by_served_sums() {
    const PULL: &str = "/lib/systemd/systemd-pull";
    let (Some(_), origin) = (Tool::file(PULL), FakeOrigin::start()) else { return };
    let image = put(&origin, "node.raw", random_bytes(1, 1 << 20));
    let server = site(&origin, "").start();
    let dir = tempfile::tempdir().expect("a directory");
    let pull = |verify: &str, name: &str| {
        let into = dir.path().join(name);
        let mut command = Command::new(PULL);
        command.args(["raw", "--direct", "--settings=no", "--roothash=no", "--roothash-signature=no", "--verity=no"]);
        command.arg(format!("--verify={verify}")).arg(server.url("/assets/isos/node.raw")).arg(&into);
        (command.run_to_end(), std::fs::read(into).unwrap_or_default())
    };
    // The sums have what was requested.
    assert!(server.client().compare("/assets/isos/node.raw", &image.bytes));
    let (output, bytes) = pull("checksum", "node.raw");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && bytes == image.bytes, "{errors}");
    assert!(errors.contains("SHA256 checksum of") && errors.contains("is valid"), "{errors}");
    let (output, _) = pull(&"0".repeat(64), "wrong.raw");
    assert!(!output.status.success(), "another digest is refused");
}

#[test]
fn check_lists_sources_of_collections() {
    let origin = FakeOrigin::start();
    put(&origin, "a.iso", random_bytes(1, 4_000));
    let check = |site: &TestSite| {
        let output = site.command_line(&["check", "--json"]).run_to_end();
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let rows = report["checks"].as_array().expect("a list").clone();
        rows.into_iter().find(|row| row["check"] == "collections").expect("a row about collections")
    };
    let row = check(&site(&origin, ""));
    // The object and its sidecar.
    assert!(row.to_string().contains("openshift/ has 2 files"), "{row}");
    let row = check(&site(&origin, "keys = [\"/none/key.asc\"]"));
    assert!(
        row.to_string().contains("the key /none/key.asc cannot be read") && row.to_string().contains("failed"),
        "{row}"
    );
    let row = check(&site(&origin, "").set_origin("endpoint", "http://127.0.0.1:9"));
    assert!(row.to_string().contains("cannot connect to 127.0.0.1:9"), "{row}");
}
