//! Releases: activated by command, live as a whole, kept over a restart, and rolled back.

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{ChildExt, Client, FakeOrigin, Object, TestServer, TestSite, random_bytes, wait_until};

/// Returns whether a command succeeded, its output, and its errors.
fn result(output: &Output) -> (bool, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// Returns a release from `bootdepot releases --json`.
fn release(site: &TestSite, server: &TestServer, name: &str) -> Value {
    let (ok, printed, errors) = result(&site.run_command(server.admin, &["releases", "--json"]));
    assert!(ok, "{errors}");
    let views: Vec<Value> = serde_json::from_str(&printed).expect("a list");
    views.into_iter().find(|view| view["name"] == name).expect("the release is listed")
}

fn wait_until_live(server: &TestServer, name: &str) {
    server.wait_for(|line| line.text("message") == "release live" && line.text("release") == name);
}

/// Returns a site with two releases, the first one active, and their objects. The origin lacks the last object, the root file
/// system of the second.
fn two_releases(origin: &FakeOrigin) -> (TestSite, [Object; 4]) {
    let object = |key: &str, seed, size| Object { key: key.to_owned(), bytes: random_bytes(seed, size).into() };
    let objects = [
        object("okd/1/kernel", 1, 100_000),
        object("okd/1/rootfs", 2, 3 << 20),
        object("okd/2/kernel", 3, 100_000),
        object("okd/2/rootfs", 4, 3 << 20),
    ];
    for object in &objects[..3] {
        origin.put(&object.key, object.bytes.clone());
    }
    let site = objects.iter().fold(TestSite::new(origin), TestSite::asset);
    let site = site.release("okd-1", true, &[&objects[0], &objects[1]]);
    let site = site.release("okd-2", false, &[&objects[2], &objects[3]]);
    (site.set("fill.negative_ttl", "0s"), objects)
}

#[test]
fn release_goes_live_as_a_whole() {
    let origin = FakeOrigin::start();
    let (site, [_, rootfs, _, newer]) = two_releases(&origin);
    let server = site.start();
    wait_until_live(&server, "okd-1");
    assert_eq!(origin.sent(&rootfs.key), rootfs.size(), "the release was fetched without a client");
    assert_eq!(Client::new(server.admin).get("/readyz").status, 200);

    // An object is missing.
    let (ok, _, errors) = result(&site.run_command(server.admin, &["activate", "okd-2", "--wait"]));
    assert!(!ok && errors.contains("okd-2 is not live: okd/2/rootfs: no source has it"), "{errors}");
    assert!(errors.trim_end().ends_with("the server keeps retrying"), "{errors}");
    // The fetch of the kernel may end after the failure of the root file system.
    wait_until(|| (release(&site, &server, "okd-2")["cached"] == 1).then_some(()), || release(&site, &server, "okd-2"));
    let ready = Client::new(server.admin).get("/readyz");
    let warning =
        "ready\nrelease okd-2 is not live yet, and okd-1 stays live: okd/2/rootfs is not cached (1 of 2): no source";
    assert!(ready.status == 200 && ready.text().starts_with(warning), "{}", ready.text());
    // The gauges are refreshed every five seconds.
    let is_counted = || {
        let metrics = Client::new(server.admin).get("/metrics").text();
        ["bootdepot_releases{state=\"failed\"} 1\n", "bootdepot_ready 1\n"].iter().all(|line| metrics.contains(line))
    };
    wait_until(|| is_counted().then_some(()), || Client::new(server.admin).get("/metrics").text());
    assert_eq!(release(&site, &server, "okd-1")["state"], "live");
    server.kill();

    // The activation survives the restart.
    let server = site.start();
    assert_eq!(release(&site, &server, "okd-1")["state"], "live");
    assert_eq!(release(&site, &server, "okd-2")["active"], true);
    let mut reading = server.client().open("GET", "/assets/okd/1/rootfs", &[]);
    let begun = reading.read(1000);
    origin.put(&newer.key, newer.bytes.clone());
    origin.allow(&newer.key, 1 << 20);
    // This attempt cannot fail. An earlier one, from before the upload, has ended, and the activation discards its failure.
    origin.wait_until_sent(&newer.key, 1);
    let mut waiting = site.command_line(&["activate", "okd-2", "--wait", "--admin-listen", &server.admin.to_string()]);
    let waiting = waiting.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    origin.allow(&newer.key, u64::MAX);
    let output = waiting.expect("the program can be started").finish();
    let (ok, printed, errors) = result(&output);
    assert!(ok && printed == "okd-2 is live\n", "{printed}{errors}");
    assert_eq!(Client::new(server.admin).get("/readyz").status, 200);
    let before = release(&site, &server, "okd-1");
    assert_eq!(before["state"], "idle");
    assert!(before["kept_until"].is_string(), "{before}");
    // A client that started with the previous release gets the rest of it.
    let rest = reading.finish();
    assert!(rest.complete && begun == rootfs.bytes[..1000] && rest.body == rootfs.bytes[1000..]);
    assert_eq!(origin.sent(&rootfs.key), rootfs.size(), "the origin sent each byte once");

    let (ok, printed, _) = result(&site.run_command(server.admin, &["activate", "okd-1"]));
    assert!(ok);
    assert_eq!(printed, "okd-1 is live\n", "the release is cached, so it is live at once");
    let (ok, printed, _) = result(&site.run_command(server.admin, &["releases"]));
    assert!(ok && printed.lines().count() == 3, "{printed}");
}

#[test]
fn activation_shares_fill_with_client() {
    let origin = FakeOrigin::start();
    let (site, [.., newer]) = two_releases(&origin);
    origin.put(&newer.key, newer.bytes.clone());
    origin.allow(&newer.key, 1 << 20);
    let server = site.start();
    wait_until_live(&server, "okd-1");
    let site = two_releases(&origin).0;
    let (ok, printed, _) = result(&site.run_command(server.admin, &["activate", "okd-2"]));
    assert!(
        ok && printed.contains(" of 2 assets cached, ") && printed.ends_with("; it goes live when all are cached\n"),
        "{printed}"
    );
    let reading = server.client().open("GET", "/assets/okd/2/rootfs", &[]);
    assert_eq!(release(&site, &server, "okd-2")["state"], "fetching");
    origin.allow(&newer.key, u64::MAX);
    assert!(reading.compare(&newer.bytes));
    wait_until_live(&server, "okd-2");
    assert_eq!(origin.sent(&newer.key), newer.size(), "the origin sent each byte once");
}

#[test]
fn release_errors_name_the_cause() {
    let origin = FakeOrigin::start();
    let (site, _) = two_releases(&origin);
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let (ok, _, errors) = result(&site.run_command(free, &["releases"]));
    assert!(!ok && errors.starts_with(&format!("bootdepot: no server answers at {free} (admin.listen): ")), "{errors}");
    let server = site.start();
    let (ok, _, errors) = result(&site.run_command(server.admin, &["activate", "okd-3"]));
    assert!(!ok);
    assert_eq!(errors, "bootdepot: there is no release \"okd-3\"; there are okd-1, okd-2\n");
}
