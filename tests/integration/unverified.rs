//! Caches whose blobs are not those that the last server verified: restored, copied, damaged, or of an earlier version.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Client, FakeOrigin, Object, TestServer, TestSite, random_bytes, wait_until};

fn blob_path(site: &TestSite, object: &Object) -> PathBuf {
    let name = object.sha256();
    site.cache_dir().join("blobs/sha256").join(&name[..2]).join(name)
}

/// The states of all assets, sorted by name.
fn states(site: &TestSite, server: &TestServer) -> Vec<String> {
    let listed = site.run_command(server.admin, &["list", "--json"]);
    let assets: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("a list");
    assets.iter().map(|asset| asset["state"].as_str().expect("a state").to_owned()).collect()
}

/// The value of a gauge of the cache.
fn gauge(server: &TestServer, name: &str, state: &str) -> String {
    let text = Client::new(server.admin).get("/metrics").text();
    let prefix = format!("{name}{{state=\"{state}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or("none").to_owned()
}

#[test]
fn restored_cache_serves_without_origin() {
    let origin = FakeOrigin::start();
    let [kernel, image] = [("kernel", 100_000), ("rootfs.img", 70 << 20)]
        .map(|(key, size)| origin.put(key, random_bytes(size as u64, size)));
    let site = TestSite::new(&origin).asset(&kernel).asset(&image).set("cache.scrub_interval", "off");
    let server = site.start();
    for object in [&kernel, &image] {
        assert!(server.client().compare(&format!("/assets/{}", object.key), &object.bytes));
        server.wait_for_fill(&object.key, "complete");
    }
    server.stop();

    // As after a restart: nothing is hashed.
    let server = site.start();
    assert_eq!(states(&site, &server), ["cached", "cached"]);
    server.stop();

    // As after a restore, or an upgrade from a version without records.
    fs::remove_file(site.cache_dir().join("verified.log")).expect("there are records");
    let site = site.release("live", true, &[&kernel, &image]);
    let (sent, seen) = (origin.sent(&kernel.key) + origin.sent(&image.key), origin.seen(&image.key).len());
    origin.allow(&kernel.key, 0);
    origin.allow(&image.key, 0);
    let inspected = site.run_command("127.0.0.1:1".parse().expect("an address"), &["status", "--json"]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).expect("a status");
    assert_eq!(
        (&inspected["cache"]["cached"]["entries"], &inspected["cache"]["unverified"]["entries"]),
        (&0.into(), &2.into())
    );

    let server = site.start();
    for object in [&kernel, &image] {
        assert!(server.client().compare(&format!("/assets/{}", object.key), &object.bytes), "{}", object.key);
    }
    let ready = || Client::new(server.admin).get("/readyz");
    wait_until(|| (ready().status == 200).then_some(()), || ready().text());
    assert_eq!(states(&site, &server), ["cached", "cached"]);
    assert_eq!(gauge(&server, "bootdepot_cache_entries", "unverified"), "0");
    assert_eq!(origin.sent(&kernel.key) + origin.sent(&image.key), sent, "no byte was fetched");
    assert_eq!(origin.seen(&image.key).len(), seen, "no origin was asked");
    server.stop();
}

#[test]
fn damaged_cache_never_completes_wrong_bytes() {
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(9, 3 << 20));
    let site = TestSite::new(&origin).asset(&image).set("cache.scrub_interval", "off");
    let server = site.start();
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
    server.wait_for_fill(&image.key, "complete");
    server.stop();

    let damage = |at: u64| {
        let path = blob_path(&site, &image);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("the owner may");
        let file = fs::File::options().write(true).open(path).expect("it can be written");
        file.write_all_at(b"ZZZZ", at).expect("it can be written");
    };
    damage(3_000_000);
    let server = site.start();
    assert_eq!(states(&site, &server), ["unverified"]);
    assert_eq!(gauge(&server, "bootdepot_cache_entries", "unverified"), "1");
    for _ in 0..2 {
        assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
    }
    // While the server runs.
    damage(5);
    for _ in 0..2 {
        assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
    }
    assert_eq!(states(&site, &server), ["cached"]);
    assert_eq!(origin.sent(&image.key), 3 * image.size(), "it was fetched once for each damage");
    server.stop();
}

#[test]
fn preload_and_scrub_verify_what_is_there() {
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(9, 3 << 20));
    let site = TestSite::new(&origin).asset(&image);
    let server = site.start();
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
    server.wait_for_fill(&image.key, "complete");
    server.stop();
    let records = site.cache_dir().join("verified.log");

    // The scrub begins with it.
    fs::remove_file(&records).expect("there are records");
    let server = site.start();
    wait_until(|| (states(&site, &server) == ["cached"]).then_some(()), || format!("{:?}", states(&site, &server)));
    server.stop();

    fs::remove_file(&records).expect("there are records");
    let site = site.set("cache.scrub_interval", "off");
    let server = site.start();
    assert_eq!(states(&site, &server), ["unverified"]);
    let preloaded = site.run_command(server.admin, &["preload", "--all"]);
    let printed = String::from_utf8_lossy(&preloaded.stdout).into_owned();
    assert!(printed.contains("1 asset, none cached; 1 to hash: 3.0 MiB"), "{printed}");
    assert!(printed.contains("nothing was fetched, 1 verified on the disk"), "{printed}");
    assert_eq!(states(&site, &server), ["cached"]);
    assert_eq!(origin.sent(&image.key), image.size(), "it was fetched once");
    server.stop();
}
