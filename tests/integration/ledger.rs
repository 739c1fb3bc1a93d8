//! The ledger of boots as operators see it: by the admin API, by the commands, and after a restart.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{ChildExt, Client, CommandExt, FakeOrigin, Object, TestSite, Watchdog, random_bytes, wait_until};

/// Returns a command for the server of `site`, which was started before, with its admin listener at `admin`.
fn bootdepot(site: &TestSite, admin: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(crate::support::program::bootdepot());
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_string_lossy().starts_with("BOOTDEPOT_")) {
        command.env_remove(name);
    }
    command.args(args).arg("--config").arg(site.file("bootdepot.toml"));
    command.args(["--admin-listen", &admin.to_string()]).env("TZ", "UTC").stdin(Stdio::null());
    command
}

fn run(site: &TestSite, admin: SocketAddr, args: &[&str]) -> (String, String) {
    let Output { status, stdout, stderr } = bootdepot(site, admin, args).run_to_end();
    let (out, err) = (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned());
    assert!(status.success(), "{args:?} ended with {status}:\n{out}{err}");
    (out, err)
}

/// Waits until `wanted` holds for the API's view of one machine, and returns it. A transfer appears shortly after its end.
fn machine(admin: SocketAddr, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let fetch = || {
        let response = Client::new(admin).get(&format!("/api/v1/hosts/{name}"));
        let json: Value = serde_json::from_str(&response.text()).expect("the API returns JSON");
        (response.status, json)
    };
    let ready = || match fetch() {
        (200, json) if wanted(&json) => Some(json),
        _ => None,
    };
    wait_until(ready, || format!("the API still returns {:#}", fetch().1))
}

/// Returns a site with a kernel and an ISO.
fn site() -> (FakeOrigin, TestSite, Object, Object) {
    let origin = FakeOrigin::start();
    let kernel = origin.put("okd/kernel", random_bytes(1, 300_000));
    let iso = origin.put("isos/x.iso", random_bytes(2, 2 << 20));
    let site = TestSite::new(&origin).asset(&kernel).asset(&iso);
    (origin, site, kernel, iso)
}

#[test]
fn boot_record_survives_restart() {
    let (_origin, site, kernel, _iso) = site();
    let server = site.start();
    assert!(server.client().compare("/assets/okd/kernel", &kernel.bytes));
    for range in ["0-511", "2048-4095", "100000-199999"] {
        assert_eq!(server.client().range("/assets/isos/x.iso", range).status, 206);
    }
    assert_eq!(server.client().request("HEAD", "/assets/isos/x.iso", &[]).status, 200);
    assert_eq!(server.client().get("/assets/nothing").status, 404);

    let requests = |json: &Value| -> u64 {
        let steps = json["boots"][0]["steps"].as_array().expect("steps");
        steps.iter().filter(|step| step["open"] == 0).filter_map(|step| step["requests"].as_u64()).sum()
    };
    let found = machine(server.admin, "127.0.0.1", |json| requests(json) == 6);
    assert_eq!((&found["address"], &found["mac"]), (&"127.0.0.1".into(), &Value::Null));
    assert_eq!(found["boots"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["state"], "booting");
    let step = |name: &str| {
        let steps = found["boots"][0]["steps"].as_array().expect("steps");
        steps.iter().find(|step| step["name"] == name).cloned().expect("the step exists")
    };
    let fetched = step("okd/kernel");
    assert_eq!((&fetched["bytes"], &fetched["size"]), (&kernel.size().into(), &kernel.size().into()));
    assert_eq!((&fetched["outcome"], &fetched["cache"]), (&"complete".into(), &"miss".into()));
    assert!(fetched["rate"].as_u64().is_some_and(|rate| rate > 0), "{fetched}");
    let read = step("isos/x.iso");
    assert_eq!((&read["requests"], &read["bytes"]), (&4.into(), &(512 + 2048 + 100_000).into()));
    assert_eq!(read["outcome"], "complete", "HEAD does not change the outcome");
    assert_eq!(step("nothing")["outcome"], "not-found");
    assert_eq!(found["boots"][0]["bytes"].as_u64(), Some(kernel.size() + 512 + 2048 + 100_000));

    let (list, errors) = run(&site, server.admin, &["hosts"]);
    assert!(list.starts_with("HOST  MAC  ADDRESS    PROFILE  STATE    SEEN") && errors.is_empty(), "{list}{errors}");
    assert!(list.contains("\n-     -    127.0.0.1  -        booting  "), "{list}");
    let (list, _) = run(&site, server.admin, &["hosts", "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!((&list[0]["address"], &list[0]["state"]), (&"127.0.0.1".into(), &"booting".into()));
    let (table, _) = run(&site, server.admin, &["boots", "127.0.0.1"]);
    assert!(table.contains("\n  STEP   NAME             BEGAN"), "{table}");
    assert!(table.contains("\n  asset  isos/x.iso (x4)  "), "{table}");

    let (admin, before) = (server.admin, table);
    assert!(server.stop().success());
    let (table, errors) = run(&site, admin, &["boots", "127.0.0.1"]);
    assert!(
        errors.contains(&format!("no server answers at {admin}")) && errors.contains("reading the ledger"),
        "{errors}"
    );
    let steps =
        |table: &str| table.lines().filter(|line| line.starts_with("  asset")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(steps(&table), steps(&before));
    let server = site.start();
    machine(server.admin, "127.0.0.1", |json| json["boots"] == found["boots"]);
}

#[test]
fn killed_server_ledger_reports_aborted() {
    let (origin, site, _kernel, iso) = site();
    origin.allow(&iso.key, 1 << 20);
    let server = site.start();
    let _under_way = server.client().open("GET", "/assets/isos/x.iso", &[]);
    let journal = site.cache_dir().join("ledger.jsonl");
    wait_until(
        || std::fs::read_to_string(&journal).is_ok_and(|text| text.contains("isos/x.iso")).then_some(()),
        || "the ledger is not written",
    );
    server.kill();
    let server = site.start();
    let found = machine(server.admin, "127.0.0.1", |_| true);
    assert_eq!((&found["state"], &found["last_step"]["outcome"]), (&"failed".into(), &"aborted".into()));
}

#[test]
fn boots_follow_prints_each_step() {
    let (_origin, site, kernel, _iso) = site();
    let server = site.start();
    let mut command = bootdepot(&site, server.admin, &["boots", "127.0.0.1", "--follow"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bootdepot runs");
    let watchdog = Watchdog::new(&child);
    let note =
        BufReader::new(child.stderr.take().expect("stderr is piped")).lines().next().expect("a line").expect("text");
    assert!(note.ends_with("; waiting for it"), "{note}");
    assert!(server.client().compare("/assets/okd/kernel", &kernel.bytes));
    let mut lines =
        BufReader::new(child.stdout.take().expect("stdout is piped")).lines().map(|line| line.expect("text"));
    let begins = lines.next().expect("the boot begins");
    assert!(begins.contains("  boot #1 begins"), "{begins}");
    let step = lines.find(|line| line.contains("complete")).expect("the step is printed");
    drop(watchdog);
    assert!(step.contains("  asset   okd/kernel  292.9 KiB  ") && step.ends_with("MiB/s  miss  complete"), "{step}");
    child.kill().expect("the command can be killed");
    child.wait_for_exit();
}

#[test]
fn hosts_api_explains_refusals() {
    let (_origin, site, ..) = site();
    let server = site.start();
    let client = Client::new(server.admin);
    let problem = |path: &str, fields: &[(&str, &str)]| {
        let answer = client.request("GET", path, fields);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text());
        let json: Value = serde_json::from_str(&answer.text()).expect("JSON");
        assert_eq!(json["status"].as_u64(), Some(u64::from(answer.status)));
        (answer.status, json["detail"].as_str().unwrap_or_default().to_owned())
    };
    let (status, detail) = problem("/api/v1/hosts/r630-99", &[]);
    assert_eq!(
        (status, detail.as_str()),
        (404, "no host has this name, and no machine with this MAC or address was seen")
    );
    assert_eq!(problem("/api/v1/hosts/%ff", &[]).0, 404);
    assert_eq!(problem("/api/v1/nothing", &[]).0, 404);
    // A second Host field, after the client's own.
    assert_eq!(problem("/api/v1/hosts", &[("Host", "evil.example")]).0, 403);
    let answer = client.get("/api/v1/hosts");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.text().trim(), r#"{"hosts":[]}"#);
    assert_eq!(server.client().get("/api/v1/hosts").status, 404, "booting machines cannot use the API");

    let output = bootdepot(&site, server.admin, &["boots", "r630-99"]).run_to_end();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(
        errors.trim(),
        "bootdepot: r630-99: no host has this name, and no machine with this MAC or address was seen"
    );
}
