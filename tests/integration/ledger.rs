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
        (404, "no host and no machine that was seen has this name, MAC, address, UUID, serial number or asset tag")
    );
    assert_eq!(problem("/api/v1/hosts/%ff", &[]).0, 404);
    assert_eq!(problem("/api/v1/nothing", &[]).0, 404);
    // A second Host field, after the client's own (RFC 9112 3.2).
    assert_eq!(problem("/api/v1/hosts", &[("Host", "evil.example")]).0, 400);
    let answer = client.get("/api/v1/hosts");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.text().trim(), r#"{"hosts":[],"total":0}"#);
    for (query, reason) in [
        ("colour=red", "unknown field `colour`"),
        ("state=broken", "unknown state \"broken\""),
        ("limit=0", "limit is 0"),
        ("problems=maybe", "problems"),
    ] {
        let (status, detail) = problem(&format!("/api/v1/hosts?{query}"), &[]);
        assert!(status == 400 && detail.contains(reason), "{query}: {status} {detail}");
    }
    assert_eq!(server.client().get("/api/v1/hosts").status, 404, "booting machines cannot use the API");

    let output = bootdepot(&site, server.admin, &["boots", "r630-99"]).run_to_end();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(
        errors.trim(),
        "bootdepot: r630-99: no host and no machine that was seen has this name, MAC, address, UUID, serial number or asset tag"
    );
}

/// The story of machines that do not boot, as an operator at night reads it: by command, by API, and by `grep` in the log.
#[test]
fn failed_boot_explains_itself() {
    const MAC: [&str; 2] = ["24:6e:96:00:00:01", "24:6e:96:00:00:02"];
    let (origin, site, kernel, _iso) = site();
    let lost = origin.put("lost", random_bytes(3, 1000));
    let site = site.asset_from("okd/initrd", &lost.sha256(), &["http://127.0.0.1:9/initrd"]);
    let template = site.file("seed.j2");
    std::fs::write(&template, "{{ secrets.root }}\n").expect("the template can be written");
    let tables = format!(
        r#"
        [[profile]]
        name = "linux"
        kernel = "okd/kernel"
        initrd = ["okd/initrd"]
        files = {{ seed = "{}" }}
        secrets = {{ root = "file:/nowhere/secret" }}
        [[profile]]
        name = "disk"
        local = true
        [[host]]
        name = "broken"
        match = {{ mac = "{}" }}
        profile = "linux"
        [[host]]
        name = "well"
        match = {{ mac = "{}" }}
        profile = "disk"
        "#,
        template.display(),
        MAC[0],
        MAC[1],
    );
    let site = site.tables(toml::from_str(&tables).expect("the configuration of the test is valid"));
    let server = site.start();
    assert_eq!(server.client().get(&format!("/ipxe?mac={}", MAC[1])).status, 200);
    machine(server.admin, "well", |json| json["state"] == "done");
    assert_eq!(server.client().get(&format!("/ipxe?mac={}", MAC[0])).status, 200);
    assert!(server.client().compare("/assets/okd/kernel", &kernel.bytes));
    let refused = server.client().get("/assets/okd/initrd");
    assert_eq!(refused.status, 503);

    let found = machine(server.admin, "broken", |json| json["state"] == "failed");
    assert_eq!(found["note"], "the initrd okd/initrd: its origin could not be read");
    let reason = found["reason"].as_str().expect("the reason").to_owned();
    assert!(reason.contains("127.0.0.1:9"), "it names the source: {reason}");
    assert!(found["advice"].as_str().is_some_and(|advice| advice.contains("bootdepot check okd/initrd")), "{found:#}");
    assert_eq!(found["boots"][0]["number"], 1, "boots are counted per machine");
    let (shown, _) = run(&site, server.admin, &["boots", "broken"]);
    assert!(shown.contains(&format!("  why: {reason}\n  do: ")), "{shown}");

    // Which machines need attention, and which do not.
    let names = |args: &[&str]| -> Vec<String> {
        let (json, _) = run(&site, server.admin, &[&["hosts", "--json"], args].concat());
        let list: Vec<Value> = serde_json::from_str(&json).expect("JSON");
        list.iter().map(|one| one["name"].as_str().unwrap_or("-").to_owned()).collect()
    };
    assert_eq!(names(&["--problems"]), ["broken"]);
    assert_eq!(names(&["--state", "done,stuck"]), ["well"]);
    let (table, _) = run(&site, server.admin, &["hosts", "--problems"]);
    assert!(table.contains("REASON") && table.contains(&reason) && !table.contains("well"), "{table}");
    let answer = Client::new(server.admin).get("/api/v1/hosts?limit=1").text();
    let list: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((list["hosts"].as_array().map(Vec::len), &list["total"]), (Some(1), &2.into()));

    // The log has the machine in each of its lines, and one line for its boot.
    let line = server.wait_for_transfer("okd/initrd", "origin-failed");
    assert_eq!((line.text("host").as_str(), line.text("mac").as_str()), ("broken", MAC[0]));
    assert_eq!(line.text("request"), refused.header("x-request-id"));
    assert!(line.names().iter().any(|name| name == "boot") && !line.text("detail").contains("request"), "{line:?}");
    let end = server.wait_for(|line| line.is("bootdepot::boot") && line.text("host") == "broken");
    assert_eq!((end.text("message").as_str(), end.text("level").as_str()), ("boot failed", "WARN"));
    assert_eq!((end.text("step"), end.text("reason")), ("initrd okd/initrd".to_owned(), reason.clone()));
    let end = server.wait_for(|line| line.is("bootdepot::boot") && line.text("host") == "well");
    assert_eq!((end.text("message").as_str(), end.text("level").as_str()), ("boot done", "INFO"));

    // A file that cannot be made is not the fault of an origin, and is worse than one that cannot be read.
    assert_eq!(server.client().get("/hosts/broken/seed").status, 503);
    let line = server.wait_for_transfer("hosts/broken/seed", "render-failed");
    let why = "the secret root: the file /nowhere/secret cannot be read";
    assert!(line.text("detail").starts_with(why), "{line:?}");
    let found =
        machine(server.admin, "broken", |json| json["note"] == "the host file hosts/broken/seed: it could not be made");
    assert!(found["reason"].as_str().is_some_and(|reason| reason.starts_with(why)), "{found:#}");

    let (forgot, _) = run(&site, server.admin, &["forget", "broken"]);
    assert_eq!(forgot, "forgot broken\n");
    assert_eq!(names(&["--problems"]), [""; 0]);
    let output = bootdepot(&site, server.admin, &["forget", "broken"]).run_to_end();
    assert_eq!(output.status.code(), Some(1), "it is forgotten already");
}

/// A machine that no host matches because of a typing error, and one that was not seen yet.
#[test]
fn machine_is_found_by_identity() {
    let (_origin, site, ..) = site();
    let tables = r#"
        [[profile]]
        name = "disk"
        local = true
        [[host]]
        name = "r630-07"
        match = { mac = ["24:6e:96:00:00:07", "24:6e:96:00:00:08"], serial = "ABC1234" }
        profile = "disk"
        "#;
    let site = site.tables(toml::from_str(tables).expect("the configuration of the test is valid"));
    let server = site.start();
    let found = |name: &str| machine(server.admin, name, |_| true);
    assert_eq!(found("abc1234")["name"], "r630-07");
    assert_eq!(found("246E.9600.0008")["state"], Value::Null, "it was not seen yet");

    let query = "mac=02:00:00:00:00:01&serial=ABC1235&uuid=4c4c4544-0042-3110-8043-b2c04f564232&platform=efi";
    assert_eq!(server.client().get(&format!("/ipxe?{query}")).status, 200);
    for spelling in ["02-00-00-00-00-01", "ABC1235", "44454C4C-4200-1031-8043-B2C04F564232", "127.0.0.1"] {
        assert_eq!(found(spelling)["mac"], "02:00:00:00:00:01", "{spelling}");
    }
    let near = "its serial number is one character from r630-07's";
    let stranger = found("ABC1235");
    assert_eq!((&stranger["state"], &stranger["needs_attention"]), (&"waiting".into(), &true.into()));
    assert_eq!(stranger["identity"]["near_miss"], near);
    let (table, _) = run(&site, server.admin, &["hosts", "--problems"]);
    assert!(table.contains(near) && !table.contains("r630-07  "), "{table}");
    let (shown, _) = run(&site, server.admin, &["boots", "ABC1235"]);
    for line in ["  serial number: ABC1235\n", "  platform: efi\n", &format!("  near miss: {near}\n")] {
        assert!(shown.contains(line), "{shown}");
    }
    server.wait_for(|line| line.text("message") == "machine waits for its script" && line.text("near") == near);

    // Both network cards are one machine.
    for mac in ["24:6e:96:00:00:07", "24:6e:96:00:00:08"] {
        assert_eq!(server.client().get(&format!("/ipxe?mac={mac}")).status, 200);
    }
    let host = machine(server.admin, "r630-07", |json| json["state"] == "done");
    assert_eq!(host["identity"]["macs"].as_array().map(Vec::len), Some(2));
    let (json, _) = run(&site, server.admin, &["hosts", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&json).expect("JSON");
    assert_eq!(all.len(), 2, "{json}");
}
