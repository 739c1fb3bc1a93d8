//! The server as a process: it says where it listens, serves over both protocols, ends when asked to, and says what is
//! wrong with its settings.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::{Client, Origin, Server, Site, noise};

#[test]
fn a_cold_asset_is_fetched_once_and_served_from_the_cache_from_then_on() {
    let origin = Origin::start();
    let image = origin.put("okd/4.19/rootfs.img", noise(1, 5 << 20));
    let site = Site::new(&origin).asset(&image);
    let server = site.start();

    for cache in ["miss", "hit"] {
        let answer = server.client().get("/assets/okd/4.19/rootfs.img");
        assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
        assert!(answer.body == image.bytes, "the body is the object");
        let line = server.wait_for(|l| l.is("bootdepot::transfer") && l.text("cache") == cache);
        assert_eq!((line.text("outcome").as_str(), line.number("bytes")), ("complete", image.size()));
    }
    assert_eq!(origin.sent(&image.key), image.size(), "every byte crossed the origin once");
    let fill = server.wait_for_fill(&image.key, "complete");
    assert_eq!((fill.number("bytes"), fill.number("reused")), (image.size(), 0));
    let blobs = site.blobs();
    assert_eq!(blobs.len(), 1);
    assert_eq!(blobs[0].0, image.sha256());
}

#[test]
fn a_restarted_server_serves_its_cache_without_the_origin() {
    let origin = Origin::start();
    let image = origin.put("vmlinuz", noise(2, 300_000));
    let site = Site::new(&origin).asset(&image);
    let server = site.start();
    assert!(server.client().compare("/assets/vmlinuz", &image.bytes));
    assert!(server.stop().success());

    let server = site.start();
    assert!(server.client().compare("/assets/vmlinuz", &image.bytes));
    server.wait_for(|l| l.is("bootdepot::transfer") && l.text("cache") == "hit");
    assert_eq!(origin.sent(&image.key), image.size());
}

#[test]
fn a_blob_that_loses_bytes_under_the_server_cuts_one_client_off_and_is_fetched_again() {
    let origin = Origin::start();
    let image = origin.put("rootfs.img", noise(4, 5 << 20));
    let site = Site::new(&origin).asset(&image);
    let server = site.start();
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));

    server.wait_for_fill("rootfs.img", "complete");
    let digest = image.sha256();
    let blob = site.cache_dir().join("blobs/sha256").join(&digest[..2]).join(&digest);
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).expect("it is there");
    let file = fs::File::options().write(true).open(&blob).expect("it can be written");
    file.set_len(100_000).expect("it can be cut");
    // It may be cut before its head.
    assert!(!server.client().compare("/assets/rootfs.img", &image.bytes));
    let cut = server.wait_for_transfer("rootfs.img", "origin-failed");
    assert!(cut.text("detail").starts_with("the cache cannot be read: bytes "), "{cut:?}");
    let warning = server.wait_for(|l| l.text("message").starts_with("a blob cannot be read"));
    assert_eq!(
        (warning.text("level"), warning.text("asset"), warning.text("digest")),
        ("WARN".into(), "rootfs.img".into(), digest)
    );
    server.wait_for(|l| l.text("message") == "blob quarantined" && l.text("reason") == "its file is too short");
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
}

#[test]
fn a_pin_outlives_a_cache_directory_that_is_removed_under_the_server() {
    let origin = Origin::start();
    let image = origin.put("vmlinuz", noise(2, 300_000));
    let site = Site::new(&origin).asset(&image);
    let server = site.start();
    assert_eq!(Client::of(server.admin).request("POST", "/api/v1/assets/vmlinuz/pin", &[]).status, 200);
    // In one step: the server may be writing there.
    fs::rename(site.cache_dir(), site.cache_dir().with_extension("gone")).expect("it is there");
    assert!(server.client().compare("/assets/vmlinuz", &image.bytes));
    server.wait_for_fill("vmlinuz", "complete");
    assert!(server.stop().success());

    let server = site.start();
    let seen: serde_json::Value =
        serde_json::from_str(&Client::of(server.admin).get("/api/v1/assets/vmlinuz").text()).expect("JSON");
    assert_eq!(seen["pinned_by"], serde_json::json!(["operator"]));
}

#[test]
fn a_known_size_is_answered_before_a_byte_is_here() {
    let origin = Origin::start();
    let image = origin.put("rootfs.img", noise(3, 2 << 20));
    origin.allow(&image.key, 0);
    let server = Site::new(&origin).asset(&image).start();

    let answer = server.client().request("HEAD", "/assets/rootfs.img", &[]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), image.size().to_string());
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert!(answer.header("repr-digest").starts_with("sha-256=:"), "{:?}", answer.headers);
    assert!(answer.header("etag").starts_with('"'), "a strong ETag: {:?}", answer.headers);
    assert_eq!(origin.sent(&image.key), 0, "HEAD begins no fill");
}

#[test]
fn sigterm_ends_it_with_status_0_and_a_fill_under_way_is_taken_up_by_the_next() {
    let origin = Origin::start();
    let image = origin.put("rootfs.img", noise(4, 8 << 20));
    origin.allow(&image.key, 4 << 20);
    let site = Site::new(&origin).asset(&image).set("fill.stall_timeout", "1h").set("fill.part_size", "256 KiB");
    let server = site.start();
    let opened = server.client().open("GET", "/assets/rootfs.img", &[]);
    assert_eq!(opened.status(), 200);
    // The client goes, or the server would give it its time to end.
    drop(opened);
    server.wait_for_transfer(&image.key, "aborted");
    origin.wait_until_sent(&image.key, (4 << 20) - (64 << 10));
    assert!(server.stop().success());

    origin.allow(&image.key, u64::MAX);
    let server = site.start();
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
    let fill = server.wait_for_fill(&image.key, "complete");
    assert!(fill.number("reused") > 0, "something was here already");
    assert_eq!(fill.number("bytes") + fill.number("reused"), image.size());
}

#[test]
fn what_is_not_in_the_catalog_is_not_found_and_reaches_no_origin_or_file() {
    let origin = Origin::start();
    let image = origin.put("secret", noise(5, 1000));
    let server = Site::new(&origin).start();
    for path in [
        "/assets/secret",
        "/assets/../secret",
        "/assets/..%2f..%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/assets/http://169.254.169.254/latest/meta-data",
        "/blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000",
        &format!("/blobs/sha256/{}", image.sha256()),
        "/",
    ] {
        let answer = server.client().get(path);
        assert!(matches!(answer.status, 400 | 404), "{path} was answered {}", answer.status);
        assert!(answer.header("content-type").starts_with("text/plain"), "{path}: {:?}", answer.headers);
        assert!(!answer.text().contains("s3://") && !answer.text().contains("/tmp"), "{path}: {}", answer.text());
    }
    assert!(origin.seen("secret").is_empty());
}

#[test]
fn a_blob_is_served_by_its_digest_too() {
    let origin = Origin::start();
    let image = origin.put("vmlinuz", noise(6, 200_000));
    let server = Site::new(&origin).asset(&image).start();
    assert!(server.client().compare(&format!("/blobs/sha256/{}", image.sha256()), &image.bytes));
}

#[test]
fn it_is_ready_when_it_listens_and_its_cache_can_be_written() {
    let server = Site::new(&Origin::start()).start();
    assert_eq!(server.client().get("/healthz").status, 200);
    let ready = server.client().get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.text());
}

#[test]
fn settings_that_cannot_work_end_it_with_status_2_and_all_errors_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bootdepot.toml");
    std::fs::write(&file, "[cache]\ndri = \"/var/cache\"\n[tftp]\nretries = \"many\"\n").unwrap();
    let output =
        Command::new(crate::support::program::bootdepot()).args(["serve", "--config"]).arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("dri") && text.contains("dir"), "the nearest known name is offered: {text}");
    assert!(text.contains("tftp.retries"), "the second error is reported as well: {text}");
}

#[test]
fn an_address_that_is_taken_ends_it_with_a_sentence_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::new(&Origin::start()).set("http.listen", vec![address.as_str()]);
    let output = site.command().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains(&address), "{text}");
}

#[test]
fn two_servers_do_not_share_a_cache() {
    let site = Site::new(&Origin::start());
    let _first: Server = site.start();
    let output = site.command().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert_eq!(text.matches("in use by process").count(), 1, "{text}");
    assert!(!text.contains("unstored"), "the second one does not go on: {text}");
}
