//! Rows: `publish`, and what its probe finds out about the server.

use std::process::{Child, Stdio};

use bootdepot::asset::Digest;
use bootdepot::supply::{Capabilities, EtagForm};
use serde_json::Value;

use crate::gate::Gate;
use crate::outcome::{Outcome, YES};
use crate::row::Row;
use crate::server::{Server, SiteExt};
use crate::support::s3::BUCKET;
use crate::support::{ChildExt, TestSite, random_bytes, wait_until};

/// The rows.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "the server keeps `x-amz-checksum-sha256` and says it to HEAD", try_it: checksums_are_kept },
    Row { name: "the server says a SHA-256 of an object in parts", try_it: parts_have_checksum },
    Row { name: "a write with `If-None-Match: *`", try_it: if_none_match_is_obeyed },
    Row { name: "a write with `If-Match`", try_it: if_match_is_obeyed },
    Row { name: "a write with `If-Match` in a bucket with versions", try_it: versioned_if_match_is_obeyed },
    Row { name: "`publish` of a small file; again: nothing is sent", try_it: small_file_is_published },
    Row { name: "`publish` of a large file, in parts", try_it: large_file_is_published },
    Row {
        name: "`publish` that was killed is resumed: no stored part is sent again",
        try_it: killed_upload_is_resumed,
    },
    Row { name: "`publish --verify`", try_it: published_file_is_verified },
    Row { name: "`publish --public`: a copy made by the server", try_it: public_copy_is_made },
    Row { name: "`publish`: keys with spaces, `+`, `=` and umlauts", try_it: unusual_key_works },
    Row { name: "`publish` of an empty file", try_it: empty_file_is_published },
    Row { name: "other bytes under the same key need `--force`", try_it: other_bytes_need_force },
    Row { name: "three commands change one catalog at the same time", try_it: catalog_keeps_all_entries },
    Row { name: "the same for a catalog in a bucket with versions", try_it: versioned_catalog_keeps_all_entries },
];

/// The size of a part.
const PART: usize = 5 << 20;

/// Parts that are sent at a time.
const CONNECTIONS: usize = 5;

fn to(prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}")
}

fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// The event `item` of `publish --json`.
fn item(output: &str) -> Value {
    let mut events = output.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    events.find(|event| event["event"] == "item").unwrap_or_else(|| panic!("no item in {output}"))
}

/// The capabilities that the probe of `publish` finds at a bucket.
fn probe(server: &Server, bucket: &str) -> Capabilities {
    let site = server.site();
    let path = site.put_file("probe", b"probe");
    site.succeed(&["publish", &path, "--to", &format!("s3://{bucket}/probe"), "--force"]);
    let kept = std::fs::read_dir(site.state().join("endpoints")).expect("the probe is kept").next();
    let text = std::fs::read(kept.expect("one endpoint").expect("a file").path()).expect("it can be read");
    let kept: Value = serde_json::from_slice(&text).expect("JSON");
    serde_json::from_value(kept["capabilities"].clone()).unwrap_or_else(|error| panic!("{error}: {kept}"))
}

fn checksums_are_kept(server: &Server) -> Outcome {
    if probe(server, BUCKET).checksums {
        let digest = server.head("probe/probe").digest();
        assert_eq!(digest, Some(Digest::of(b"probe")), "HEAD says another checksum than the probe found");
        return YES;
    }
    Outcome::NotSupported("SHA-256 is in `x-amz-meta-sha256`, `KEY.sha256` and the catalog".to_owned())
}

fn parts_have_checksum(server: &Server) -> Outcome {
    let site = server.site();
    let path = site.put_file("image", &random_bytes(1, PART + 7));
    site.succeed(&["publish", &path, "--to", &to("parts"), "--verify"]);
    let head = server.head("parts/image");
    assert!(head.digest().is_none(), "a checksum of parts passes for one of the whole: {head:?}");
    match head.checksum {
        Some(checksum) if checksum.ends_with("-2") => {
            Outcome::Yes("of its parts (`…-2`), never of the whole".to_owned())
        }
        Some(checksum) => Outcome::Yes(format!("`{checksum}`, which is not used")),
        None => Outcome::NotSupported("SHA-256 is in `KEY.sha256` and the catalog".to_owned()),
    }
}

fn if_none_match_is_obeyed(server: &Server) -> Outcome {
    if probe(server, BUCKET).if_absent {
        YES
    } else {
        Outcome::NotSupported("the key is looked at before the write, and the object after it".to_owned())
    }
}

fn if_match_is_obeyed(server: &Server) -> Outcome {
    if_match(probe(server, BUCKET))
}

fn versioned_if_match_is_obeyed(server: &Server) -> Outcome {
    match server.versioned_bucket() {
        Ok(bucket) => if_match(probe(server, bucket)),
        Err(reason) => reason,
    }
}

fn if_match(found: Capabilities) -> Outcome {
    match found.if_matches {
        Some(EtagForm::Quoted) => YES,
        Some(EtagForm::Bare) => Outcome::Yes("only with an `ETag` without its quotes, which is sent".to_owned()),
        None => {
            Outcome::NotSupported("the object is read again after the write, and a lost change is repeated".to_owned())
        }
    }
}

fn small_file_is_published(server: &Server) -> Outcome {
    let site = server.site();
    let bytes = random_bytes(2, 100_000);
    let path = site.put_file("kernel", &bytes);
    let args = ["publish", &path, "--to", &to("small"), "--version", "4.19", "--json"];
    let first = item(&site.succeed(&args));
    assert_eq!((&first["outcome"], &first["sent"]), (&"published".into(), &100_000.into()), "{first}");
    assert!(server.get(BUCKET, "small/4.19/kernel").as_ref() == Some(&bytes), "the server has other bytes");
    let line = server.get(BUCKET, "small/4.19/kernel.sha256").expect("there is a sidecar");
    assert_eq!(String::from_utf8_lossy(&line), format!("{}  kernel\n", sha256(&bytes)));
    let second = item(&site.succeed(&args));
    assert_eq!((&second["outcome"], &second["sent"]), (&"unchanged".into(), &0.into()), "{second}");
    YES
}

fn large_file_is_published(server: &Server) -> Outcome {
    let site = server.site();
    let bytes = random_bytes(3, 2 * PART + 1_000_003);
    let path = site.put_file("rootfs.img", &bytes);
    let done = item(&site.succeed(&["publish", &path, "--to", &to("large"), "--json"]));
    assert_eq!((&done["outcome"], &done["sha256"]), (&"published".into(), &sha256(&bytes).into()), "{done}");
    assert!(server.get(BUCKET, "large/rootfs.img") == Some(bytes), "the server has other bytes");
    YES
}

fn killed_upload_is_resumed(server: &Server) -> Outcome {
    // While five parts are under way, at least one other is stored.
    let stop = (CONNECTIONS + 1) * PART + (1 << 20);
    let gate = Gate::start(server.address, stop as u64);
    let site = server.site_at(gate.address);
    let bytes = random_bytes(4, 11 * PART + 5);
    let path = site.put_file("a.img", &bytes);
    let args = ["publish", &path, "--to", &to("killed"), "--json", "--verify"];
    let mut child = site.line(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    wait_until(|| (gate.passed() >= stop as u64).then_some(()), || format!("{} bytes passed", gate.passed()));
    child.kill().expect("it runs");
    child.wait_for_exit();
    gate.open();
    let before = gate.passed();
    let done = item(&site.succeed(&args));
    let sent = done["sent"].as_u64().expect("a number");
    assert_eq!((&done["outcome"], &done["sha256"]), (&"resumed".into(), &sha256(&bytes).into()), "{done}");
    assert!(sent + PART as u64 <= bytes.len() as u64, "{sent} of {} bytes were sent again", bytes.len());
    let passed = gate.passed() - before;
    // A request that is repeated may count in part.
    assert!(passed < sent + PART as u64, "{passed} bytes went to the server, and {sent} are reported");
    YES
}

fn published_file_is_verified(server: &Server) -> Outcome {
    let site = server.site();
    let (small, large) = (random_bytes(5, 5_000), random_bytes(6, PART + 99));
    let paths = [site.put_file("small", &small), site.put_file("large", &large)];
    site.succeed(&["publish", &paths[0], &paths[1], "--to", &to("verified"), "--verify"]);
    YES
}

fn public_copy_is_made(server: &Server) -> Outcome {
    let site = server.site();
    let (small, large) = (random_bytes(7, 5_000), random_bytes(8, PART + 99));
    let paths = [site.put_file("small", &small), site.put_file("large", &large)];
    let args = ["publish", &paths[0], &paths[1], "--to", &to("original"), "--public", &to("copy"), "--verify"];
    site.succeed(&args);
    for (key, bytes) in [("copy/original/small", small), ("copy/original/large", large)] {
        assert!(server.get(BUCKET, key) == Some(bytes), "{key} has other bytes");
    }
    YES
}

fn unusual_key_works(server: &Server) -> Outcome {
    let site = server.site();
    let (small, large) = (random_bytes(11, 5_000), random_bytes(12, PART + 99));
    let paths = [site.put_file("root fs+(1)=ü.img", &small), site.put_file("großes & 100% image~.img", &large)];
    let args = ["publish", &paths[0], &paths[1], "--to", &to("unusual"), "--verify", "--public", &to("unusual copy")];
    let catalog = site.succeed(&args);
    let listed = site.succeed(&["bucket", "list", &to("unusual/"), "--json"]);
    for name in ["root fs+(1)=ü.img", "großes & 100% image~.img"] {
        assert!(listed.contains(&format!("\"unusual/{name}\"")), "{name} is not listed: {listed}");
    }
    site.put_file("published.toml", catalog.as_bytes());
    let running = site.tables(toml::toml! { include = ["published.toml"] }).start();
    assert!(running.client().compare("/assets/unusual/root%20fs+(1)=%C3%BC.img", &small));
    assert!(running.client().compare("/assets/unusual/gro%C3%9Fes%20&%20100%25%20image~.img", &large));
    YES
}

fn empty_file_is_published(server: &Server) -> Outcome {
    let site = server.site();
    let path = site.put_file("empty", b"");
    for outcome in ["published", "unchanged"] {
        let done = item(&site.succeed(&["publish", &path, "--to", &to("empty"), "--verify", "--json"]));
        assert_eq!(done["outcome"], outcome, "{done}");
    }
    YES
}

fn other_bytes_need_force(server: &Server) -> Outcome {
    let site = server.site();
    let (old, new) = (random_bytes(9, 1_000), random_bytes(10, 1_000));
    let path = site.put_file("a.img", &old);
    let args = ["publish", &path, "--to", &to("forced"), "--verify"];
    site.succeed(&args);
    site.put_file("a.img", &new);
    let errors = site.fail(&args);
    assert!(errors.contains("exists with other bytes") && errors.contains(&sha256(&old)), "{errors}");
    assert!(server.get(BUCKET, "forced/a.img") == Some(old), "it was replaced all the same");
    site.succeed(&[&args[..], &["--force"]].concat());
    assert!(server.get(BUCKET, "forced/a.img") == Some(new), "it was not replaced");
    YES
}

fn catalog_keeps_all_entries(server: &Server) -> Outcome {
    change_catalog_together(server, BUCKET)
}

fn versioned_catalog_keeps_all_entries(server: &Server) -> Outcome {
    match server.versioned_bucket() {
        Ok(bucket) => change_catalog_together(server, bucket),
        Err(reason) => reason,
    }
}

fn change_catalog_together(server: &Server, bucket: &str) -> Outcome {
    if probe(server, bucket).if_matches.is_none() {
        return Outcome::NotSupported("without `If-Match`, let one machine publish at a time".to_owned());
    }
    let names = ["one.img", "two.img", "three.img"];
    let catalog = format!("s3://{bucket}/together/catalog.toml");
    // Each command has a site of its own, as on several machines.
    let sites = names.map(|_| server.site());
    let start = |site: &TestSite, name: &str| -> Child {
        let path = site.put_file(name, name.as_bytes());
        let prefix = format!("s3://{bucket}/together");
        let mut command = site.line(&["publish", &path, "--to", &prefix, "--catalog", &catalog, "--release", "r"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let running: Vec<Child> = sites.iter().zip(names).map(|(site, name)| start(site, name)).collect();
    for child in running {
        let output = child.finish();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for document in ["together/catalog.toml", "together/metadata.json"] {
        let text = server.get(bucket, document).expect("it was written");
        let text = String::from_utf8_lossy(&text).into_owned();
        for name in names {
            assert!(text.contains(&format!("{name}\"")), "{document} lost {name}: {text}");
        }
    }
    YES
}
