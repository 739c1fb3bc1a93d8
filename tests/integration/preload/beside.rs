//! `bootdepot preload` beside a running server, which does the work. Pins and fills survive a killed server.

use super::*;
use crate::support::{Client, TestServer};

/// Returns the command with the address of this server.
fn server_command(site: &TestSite, server: &TestServer, args: &[&str]) -> Command {
    let mut command = preload(site, args);
    command.args(["--admin-listen", &server.admin.to_string()]);
    command
}

fn run_beside(site: &TestSite, server: &TestServer, args: &[&str]) -> (Option<i32>, String, String) {
    result(&server_command(site, server, args).run_to_end())
}

fn start_beside(site: &TestSite, server: &TestServer, args: &[&str]) -> Child {
    server_command(site, server, args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be run")
}

/// Sends a request to the API. Returns the status and the body as JSON.
fn api(server: &TestServer, method: &str, path: &str) -> (u16, Value) {
    let answer = Client::new(server.admin).request(method, &format!("/api/v1/{path}"), &[("Content-Length", "0")]);
    (answer.status, serde_json::from_slice(&answer.body).expect("JSON"))
}

#[test]
fn server_preload_shares_fill_with_client() {
    let origin = FakeOrigin::start();
    let (site, objects) = three_assets(&origin);
    origin.allow(&objects[2].key, 1 << 20);
    let server = site.start();
    let child = start_beside(&site, &server, &["--all", "--json"]);
    origin.wait_until_sent(&objects[2].key, 1 << 19);
    let reading = server.client().open("GET", "/assets/isos/rescue.iso", &[]);
    let (_, fills) = api(&server, "GET", "fills");
    assert_eq!(fills["fills"][0]["name"], "isos/rescue.iso", "{fills}");
    origin.allow(&objects[2].key, u64::MAX);
    assert!(reading.compare(&objects[2].bytes));
    let (status, out, err) = finish(child);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&events[0]["by"], &events[0]["missing"]["bytes"]), (&"server".into(), &8_488_608.into()));
    assert_eq!(events.last().expect("an end")["state"], "done");
    // Except for the one byte of the size request.
    assert!(origin.sent(&objects[2].key) <= objects[2].size() + 1, "the origin sent each byte once");
    assert!(objects.iter().all(|object| is_cached(&site, object)));
    let (status, out, _) = run_beside(&site, &server, &["--all"]);
    assert_eq!(
        (status, out.as_str()),
        (Some(0), "3 assets, all cached (8.0 MiB)\ndone: nothing was fetched, 3 cached before\n")
    );
    let (_, jobs) = api(&server, "GET", "jobs");
    assert_eq!(jobs["jobs"].as_array().expect("a list").len(), 2);
}

#[test]
fn ctrl_c_cancels_job_not_client() {
    let origin = FakeOrigin::start();
    let (site, objects) = three_assets(&origin);
    for object in &objects[1..] {
        origin.allow(&object.key, 1 << 20);
    }
    let server = site.start();
    let child = start_beside(&site, &server, &["isos/*", "okd/rootfs.img"]);
    for object in &objects[1..] {
        origin.wait_until_sent(&object.key, 1 << 19);
    }
    let reading = server.client().open("GET", "/assets/isos/rescue.iso", &[]);
    signal(&child, Signal::INT);
    let (status, out, err) = finish(child);
    assert_eq!(status, Some(1), "{err}");
    assert!(
        out.contains("\ncancelled: no asset was fetched in full, ")
            && out.ends_with(", 2 not done\nrun it again to resume\n"),
        "{out}"
    );
    server.wait_for_fill("okd/rootfs.img", "cancelled");
    let (_, job) = api(&server, "GET", "jobs/1");
    assert_eq!(job["state"], "cancelled");
    assert_eq!(api(&server, "DELETE", "jobs/1").0, 409);
    for object in &objects {
        origin.allow(&object.key, u64::MAX);
    }
    assert!(reading.compare(&objects[2].bytes));
    server.wait_for_fill("isos/rescue.iso", "complete");
    let (status, _, err) = run_beside(&site, &server, &["okd/rootfs.img"]);
    assert_eq!(status, Some(0), "{err}");
}

#[test]
fn killed_server_preload_can_resume() {
    let origin = FakeOrigin::start();
    let (site, objects) = three_assets(&origin);
    let site = site.set("fill.part_size", "256 KiB");
    origin.allow(&objects[2].key, 3 << 20);
    let server = site.start();
    let child = start_beside(&site, &server, &["isos/rescue.iso"]);
    origin.wait_until_sent(&objects[2].key, 5 << 19);
    server.kill();
    let (status, _, err) = finish(child);
    assert_eq!(status, Some(1));
    assert!(
        err.contains("the preload cannot be followed any more; run it again to resume: no server answers at "),
        "{err}"
    );
    let before = origin.sent(&objects[2].key);
    origin.allow(&objects[2].key, u64::MAX);
    let (status, _, err) = run(&site, &["isos/rescue.iso"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(is_cached(&site, &objects[2]));
    assert!(origin.sent(&objects[2].key) - before < objects[2].size(), "the second run resumes the fill");
}

#[test]
fn server_preload_refusals_reach_operator() {
    let origin = FakeOrigin::start();
    let (site, _) = three_assets(&origin);
    let server = site.start();
    let (status, _, err) = run_beside(&site, &server, &["okd/kernal", "--release", "okd-9"]);
    assert_eq!(status, Some(1));
    assert_eq!(
        err,
        "bootdepot: there is no asset \"okd/kernal\"; the nearest is \"okd/kernel\"\nthere is no release \"okd-9\"\n"
    );
    let absent = site.asset(&Object { key: "okd/absent".to_owned(), bytes: random_bytes(9, 10).into() });
    drop(server);
    let server = absent.start();
    let (status, out, err) = run_beside(&absent, &server, &["okd/absent", "okd/kernel", "--keep-going"]);
    assert_eq!(status, Some(1), "{out}");
    assert!(err.contains("failed  okd/absent: no source has it: "), "{err}");
    assert!(out.contains("failed: 1 asset fetched (97.6 KiB) in "), "{out}");
}

#[test]
fn pin_survives_kill_and_blocks_eviction() {
    let origin = FakeOrigin::start();
    let (site, objects) = three_assets(&origin);
    let server = site.start();
    assert_eq!(run_beside(&site, &server, &["--all"]).0, Some(0));
    let (status, pinned) = api(&server, "POST", "assets/okd/kernel/pin");
    assert_eq!((status, &pinned["pinned_by"]), (200, &serde_json::json!(["operator"])));
    server.kill();
    // The new asset needs room: the server evicts an asset that is not pinned.
    let extra = origin.put("extra", random_bytes(5, 5 << 20));
    let site = site.asset(&extra).set("cache.max_size", "10 MiB");
    let server = site.start();
    let (status, evicting) = api(&server, "POST", "assets/okd/kernel/evict");
    assert_eq!(status, 409);
    assert!(
        evicting["detail"].as_str().expect("words").contains("an operator pinned it; unpin it first"),
        "{evicting}"
    );
    assert_eq!(run_beside(&site, &server, &["extra"]).0, Some(0));
    assert!(is_cached(&site, &objects[0]) && is_cached(&site, &extra));
    assert_eq!(api(&server, "POST", "assets/okd/kernel/unpin").0, 200);
    assert_eq!(api(&server, "POST", "assets/okd/kernel/evict"), (200, serde_json::json!({ "freed": 100_000 })));
    drop(server);
    assert!(!is_cached(&site, &objects[0]));
}
