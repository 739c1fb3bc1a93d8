//! Rows: credentials, fills and their proof.

use std::process::{Child, Stdio};

use bootdepot::asset::Digest;
use serde_json::Value;

use crate::outcome::{Outcome, YES};
use crate::row::Row;
use crate::server::{Server, SiteExt};
use crate::support::s3::BUCKET;
use crate::support::{ChildExt, CommandExt, TestSite, Tool, random_bytes};

/// The rows.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "`check` proves credentials, and names wrong ones", try_it: credentials_are_proven },
    Row { name: "an asset over HTTP has the right bytes", try_it: asset_is_served },
    Row { name: "eight parallel ranges of an asset that is not cached", try_it: parallel_ranges_are_served },
    Row { name: "bytes with a wrong digest are refused", try_it: wrong_digest_is_refused },
];

const MIB: usize = 1 << 20;

fn source(key: &str) -> String {
    format!("s3://{BUCKET}/{key}")
}

fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
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
