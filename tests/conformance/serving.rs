//! Rows: credentials, fills and their proof.

use std::process::{Child, Stdio};

use bootdepot::asset::Digest;
use serde_json::Value;

use crate::outcome::{Outcome, YES};
use crate::row::Row;
use crate::server::{Server, SiteExt};
use crate::support::s3::BUCKET;
use crate::support::{ChildExt, CommandExt, TestSite, Tool, random_bytes, wait_until};

/// The rows.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "`bootdepot init` writes settings that work", try_it: wizard_writes_settings },
    Row { name: "`check` proves credentials, and names wrong ones", try_it: credentials_are_proven },
    Row { name: "a wrong `region` is named with the right one", try_it: wrong_region_is_named },
    Row { name: "an asset over HTTP has the right bytes", try_it: asset_is_served },
    Row { name: "eight parallel ranges of an asset that is not cached", try_it: parallel_ranges_are_served },
    Row { name: "bytes with a wrong digest are refused", try_it: wrong_digest_is_refused },
    Row { name: "an old version of an object (`versionId`)", try_it: old_version_is_served },
    Row { name: "a shared catalog (`catalog_url`) is followed", try_it: shared_catalog_is_followed },
];

const MIB: usize = 1 << 20;

fn source(key: &str) -> String {
    format!("s3://{BUCKET}/{key}")
}

fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

fn wizard_writes_settings(server: &Server) -> Outcome {
    let site = server.site();
    let settings = site.file("etc/bootdepot.toml").display().to_string();
    let run = |args: &[&str]| {
        let mut command = server.command(args);
        let output = command.args(["--config", &settings]).run_to_end();
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "bootdepot {}: {text}{errors}", args.join(" "));
        text.into_owned()
    };
    let (endpoint, cache) = (format!("http://{}", server.address), site.file("own-cache").display().to_string());
    let store = ["--endpoint", &endpoint, "--bucket", BUCKET, "--region", server.region(), "--credentials", "env"];
    let machine = ["--cache-dir", &cache, "--http-listen", "127.0.0.1:0", "--tftp-listen", "127.0.0.1:0"];
    let none = ["--admin-listen", "off", "--dhcp", "off", "--firmware", "none", "--mirror", "none", "--json"];
    let report = run(&[&["init"], &store[..], &machine, &none].concat());
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["bucket"]["exists"], true, "{report:#}");
    run(&["check", "--set", "cache.min_free=0"]);
    YES
}

fn credentials_are_proven(server: &Server) -> Outcome {
    server.put("check/one", b"one", &[], false);
    let check = |site: TestSite| {
        let site = site.asset_from("one", &sha256(b"one"), &[&source("check/one")]);
        let output = site.run(&["check", "--json"]);
        let report = serde_json::from_slice::<Value>(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let rows = report["checks"].as_array().expect("a list of checks").clone();
        let row = rows.into_iter().find(|row| row["check"] == "origin").expect("origins are checked");
        (output.status.code(), row)
    };
    let (status, row) = check(server.site());
    assert_eq!((status, &row["result"]), (Some(0), &"ok".into()), "{row}");
    let (status, row) = check(server.site_with_wrong_secret());
    assert_eq!((status, &row["result"]), (Some(1), &"failed".into()), "{row}");
    let codes = ["SignatureDoesNotMatch", "AccessDenied", "InvalidAccessKeyId"];
    let code = codes.into_iter().find(|code| row.to_string().contains(code));
    Outcome::Yes(format!("wrong secret: `{}`", code.unwrap_or_else(|| panic!("no code of the server in {row}"))))
}

fn wrong_region_is_named(server: &Server) -> Outcome {
    server.put("region/one", b"one", &[], false);
    let site = server.site().set_origin("region", "eu-lab-9");
    let site = site.asset_from("one", &sha256(b"one"), &[&source("region/one")]);
    let output = site.run(&["check", "--json"]);
    if output.status.success() {
        return Outcome::NotSupported("it accepts any region".to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("wrong region") && text.contains(server.region()), "{text}");
    YES
}

/// A site with one asset.
fn stocked(server: &Server, key: &str, bytes: &[u8]) -> TestSite {
    server.put(key, bytes, &[], false);
    server.site().asset_from("image", &sha256(bytes), &[&source(key)])
}

fn curl() -> Tool {
    Tool::find("curl").expect("curl is installed")
}

fn asset_is_served(server: &Server) -> Outcome {
    let bytes = random_bytes(1, 9 * MIB + 7);
    let site = stocked(server, "fill/image", &bytes);
    let running = site.start();
    let file = site.file("fetched").display().to_string();
    curl().succeed(["-q", "-sSf", "-o", &file, &running.url("/assets/image")]);
    let sum = Tool::find("sha256sum").expect("it is installed").succeed([&file]);
    assert_eq!(sum.split(' ').next(), Some(&*sha256(&bytes)), "curl received other bytes");
    running.wait_for_fill("image", "complete");
    YES
}

fn parallel_ranges_are_served(server: &Server) -> Outcome {
    let bytes = random_bytes(2, 8 * MIB + 77);
    let site = stocked(server, "ranges/image", &bytes);
    let running = site.start();
    let piece = bytes.len().div_ceil(8);
    let clients: Vec<(usize, Child)> = (0..bytes.len())
        .step_by(piece)
        .map(|first| {
            let range = format!("{first}-{}", first + piece - 1);
            let file = site.file(&first.to_string()).display().to_string();
            let mut command = curl().command();
            command.args(["-q", "-sSf", "-r", &range, "-o", &file, &running.url("/assets/image")]);
            (first, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("curl can be started"))
        })
        .collect();
    for (first, client) in clients {
        let output = client.finish();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let fetched = std::fs::read(site.file(&first.to_string())).expect("curl has written a file");
        let end = bytes.len().min(first + piece);
        assert!(fetched == bytes[first..end], "the range from {first} has other bytes");
    }
    running.wait_for_fill("image", "complete");
    YES
}

fn wrong_digest_is_refused(server: &Server) -> Outcome {
    let bytes = random_bytes(3, 3 * MIB);
    server.put("wrong/image", &bytes, &[], false);
    let site = server.site().asset_from("image", &sha256(b"other"), &[&source("wrong/image")]);
    let running = site.start();
    let output = curl().command().args(["-q", "-sSf", "-o", "/dev/null", &running.url("/assets/image")]).run_to_end();
    assert!(!output.status.success(), "curl received all bytes");
    running.wait_for_fill("image", "digest-mismatch");
    YES
}

fn old_version_is_served(server: &Server) -> Outcome {
    let bucket = match server.versioned_bucket() {
        Ok(bucket) => bucket,
        Err(reason) => return reason,
    };
    let old = random_bytes(4, 300_000);
    let version = server.put_version(bucket, "old/image", &old);
    server.put_version(bucket, "old/image", b"new");
    server.delete(bucket, "old/image");
    let of = |version: &str| format!("s3://{bucket}/old/image?versionId={version}");
    let site = server.site().asset_from("old", &sha256(&old), &[&of(&version)]);
    let site = site.asset_from("deleted", &sha256(b"new"), &[&format!("s3://{bucket}/old/image")]);
    let running = site.start();
    assert!(running.client().compare("/assets/old", &old), "the old version has other bytes");
    let status = running.client().get("/assets/deleted").status;
    assert_eq!(status, 404, "a deleted object");
    YES
}

fn shared_catalog_is_followed(server: &Server) -> Outcome {
    let catalog = source("shared/catalog.toml");
    let publisher = server.site();
    let publish = |name: &str| {
        let path = publisher.put_file(name, name.as_bytes());
        publisher.succeed(&["publish", &path, "--to", &source("shared"), "--catalog", &catalog]);
    };
    publish("first.img");
    let mut tables = toml::toml! { catalog_poll = "200ms" };
    tables.insert("catalog_url".to_owned(), catalog.as_str().into());
    let running = server.site().tables(tables).start();
    assert_eq!(running.client().get("/assets/shared/first.img").text(), "first.img");
    publish("second.img");
    let text = || running.client().get("/assets/shared/second.img").text();
    wait_until(|| (text() == "second.img").then_some(()), || format!("the new asset is served as {:?}", text()));
    YES
}
