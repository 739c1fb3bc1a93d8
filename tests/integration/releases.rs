//! Releases, as an operator handles them: activated by command, live as a whole, kept over a restart, and taken back.

use std::process::Output;

use serde_json::Value;

use crate::support::{Client, Object, Origin, Server, Site, noise};

/// What a command printed, and whether it went well.
fn said(output: &Output) -> (bool, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// How a release stands, by `bootdepot releases --json`.
fn standing(site: &Site, server: &Server, name: &str) -> Value {
    let (done, printed, trouble) = said(&site.ask(server.admin, &["releases", "--json"]));
    assert!(done, "{trouble}");
    let views: Vec<Value> = serde_json::from_str(&printed).expect("a list");
    views.into_iter().find(|view| view["name"] == name).expect("it is listed")
}

fn wait_until_live(server: &Server, name: &str) {
    server.wait_for(|line| line.text("message").starts_with("live: ") && line.text("release") == name);
}

/// Two releases of which the first is active; all their objects but the second's root file system, which comes last.
fn two_releases(origin: &Origin) -> (Site, [Object; 4]) {
    let object = |key: &str, seed, size| Object { key: key.to_owned(), bytes: noise(seed, size).into() };
    let objects = [
        object("okd/1/kernel", 1, 100_000),
        object("okd/1/rootfs", 2, 3 << 20),
        object("okd/2/kernel", 3, 100_000),
        object("okd/2/rootfs", 4, 3 << 20),
    ];
    for object in &objects[..3] {
        origin.put(&object.key, object.bytes.clone());
    }
    let site = objects.iter().fold(Site::new(origin), Site::asset);
    let site = site.release("okd-1", true, &[&objects[0], &objects[1]]);
    let site = site.release("okd-2", false, &[&objects[2], &objects[3]]);
    (site.set("fill.negative_ttl", "0s"), objects)
}

#[test]
fn a_release_goes_live_whole_and_the_one_before_until_then() {
    let origin = Origin::start();
    let (site, [_, rootfs, _, newer]) = two_releases(&origin);
    let server = site.start();
    wait_until_live(&server, "okd-1");
    assert_eq!(origin.sent(&rootfs.key), rootfs.size(), "it was fetched for no client");
    assert_eq!(Client::of(server.admin).get("/readyz").status, 200);

    // An object is missing.
    let (done, _, trouble) = said(&site.ask(server.admin, &["activate", "okd-2", "--wait"]));
    assert!(!done && trouble.contains("okd-2 is not live: okd/2/rootfs: no source has it"), "{trouble}");
    assert!(trouble.trim_end().ends_with("the server keeps retrying"), "{trouble}");
    let ready = Client::of(server.admin).get("/readyz");
    let why = "release okd-2: okd/2/rootfs is not cached (1 of 2): no source has it: ";
    assert!(ready.status == 503 && ready.text().starts_with(why), "{}", ready.text());
    assert_eq!(standing(&site, &server, "okd-1")["state"], "live");
    server.kill();

    // The order outlives the server.
    let server = site.start();
    assert_eq!(standing(&site, &server, "okd-1")["state"], "live");
    assert_eq!(standing(&site, &server, "okd-2")["active"], true);
    let mut reading = server.client().open("GET", "/assets/okd/1/rootfs", &[]);
    let begun = reading.read(1000);
    origin.put(&newer.key, newer.bytes.clone());
    let (done, printed, trouble) = said(&site.ask(server.admin, &["activate", "okd-2", "--wait"]));
    // A try that was under way when the object came may still have failed.
    if !done {
        assert!(trouble.contains("no source has it"), "{trouble}");
        wait_until_live(&server, "okd-2");
    }
    assert!(!done || printed == "okd-2 is live\n", "{printed}");
    assert_eq!(Client::of(server.admin).get("/readyz").status, 200);
    let before = standing(&site, &server, "okd-1");
    assert_eq!(before["state"], "idle");
    assert!(before["kept_until"].is_string(), "{before}");
    // Who began with the one before ends with it.
    let rest = reading.finish();
    assert!(rest.complete && begun == rootfs.bytes[..1000] && rest.body == rootfs.bytes[1000..]);
    assert_eq!(origin.sent(&rootfs.key), rootfs.size(), "no byte of it came twice");

    let (done, printed, _) = said(&site.ask(server.admin, &["activate", "okd-1"]));
    assert!(done);
    assert_eq!(printed, "okd-1 is live\n", "at once: it is all here");
    let (done, printed, _) = said(&site.ask(server.admin, &["releases"]));
    assert!(done && printed.lines().count() == 3, "{printed}");
}

#[test]
fn an_activation_shares_its_fills_with_those_who_ask_meanwhile() {
    let origin = Origin::start();
    let (site, [.., newer]) = two_releases(&origin);
    origin.put(&newer.key, newer.bytes.clone());
    origin.allow(&newer.key, 1 << 20);
    let server = site.set("fill.stall_timeout", "1h").start();
    wait_until_live(&server, "okd-1");
    let site = two_releases(&origin).0;
    let (done, printed, _) = said(&site.ask(server.admin, &["activate", "okd-2"]));
    assert!(
        done && printed.contains(" of 2 assets cached, ") && printed.ends_with("; it goes live when all are cached\n"),
        "{printed}"
    );
    let reading = server.client().open("GET", "/assets/okd/2/rootfs", &[]);
    assert_eq!(standing(&site, &server, "okd-2")["state"], "fetching");
    origin.allow(&newer.key, u64::MAX);
    assert!(reading.compare(&newer.bytes));
    wait_until_live(&server, "okd-2");
    assert_eq!(origin.sent(&newer.key), newer.size(), "every byte crossed once");
}

#[test]
fn an_operator_is_told_what_is_in_the_way() {
    let origin = Origin::start();
    let (site, _) = two_releases(&origin);
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    let (done, _, trouble) = said(&site.ask(free, &["releases"]));
    assert!(
        !done && trouble.starts_with(&format!("bootdepot: no server answers at {free} (admin.listen): ")),
        "{trouble}"
    );
    let server = site.start();
    let (done, _, trouble) = said(&site.ask(server.admin, &["activate", "okd-3"]));
    assert!(!done);
    assert_eq!(trouble, "bootdepot: there is no release \"okd-3\"; there are okd-1, okd-2\n");
}
