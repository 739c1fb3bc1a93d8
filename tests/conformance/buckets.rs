//! Rows: `bucket init`, `list`, `prune`, `presign` and `policy`.

use bootdepot::asset::Digest;
use serde_json::Value;

use crate::outcome::{Outcome, YES};
use crate::row::Row;
use crate::server::{Server, SiteExt};
use crate::support::s3::BUCKET;
use crate::support::{TestSite, Tool, random_bytes};

/// The rows.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "`bucket init`: creates buckets", try_it: |server| init(server, "bucket") },
    Row { name: "versioning", try_it: |server| init(server, "versioning") },
    Row { name: "encryption", try_it: |server| init(server, "encryption") },
    Row { name: "lifecycle", try_it: |server| init(server, "lifecycle") },
    Row { name: "archive class", try_it: |server| init(server, "archive") },
    Row { name: "folders", try_it: |server| init(server, "folders") },
    Row { name: "public read, tried without credentials", try_it: public_bucket_is_readable },
    Row { name: "a second `bucket init` writes nothing", try_it: second_init_writes_nothing },
    Row { name: "`bucket list`: named, orphans, missing", try_it: objects_are_listed },
    Row { name: "`bucket prune --dry-run`", try_it: prune_is_planned },
    Row { name: "`bucket presign`: GET and PUT with curl", try_it: presigned_urls_work },
    Row { name: "`bucket policy`", try_it: policies_are_printed },
];

/// A site with the buckets that `init` sets up.
fn buckets(server: &Server) -> TestSite {
    let tables = toml::toml! {
        [[bucket]]
        name = "lab-isos"
        purpose = "isos"
        folders = ["okd/", "talos/"]
        [[bucket]]
        name = "lab-binaries"
        purpose = "binaries"
        [[bucket]]
        name = "lab-temp"
        purpose = "temp"
        [[bucket]]
        name = "lab-public"
        purpose = "public"
    };
    server.site().tables(tables)
}

/// Runs a subcommand of `bucket` with `--json`. Its status may be 1.
fn report(site: &TestSite, args: &[&str]) -> Value {
    let output = site.run(&[&["bucket"], args, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("bucket {}: {error}: {errors}", args.join(" ")))
}

/// The steps of an `init` with this setting.
fn steps<'r>(report: &'r Value, setting: &str) -> Vec<&'r Value> {
    let buckets = report["buckets"].as_array().expect("a list").iter();
    let steps = buckets.flat_map(|bucket| bucket["steps"].as_array().expect("a list"));
    steps.filter(|step| setting.is_empty() || step["setting"] == setting).collect()
}

fn first_init(server: &Server) -> &Value {
    server.init.get_or_init(|| report(&buckets(server), &["init"]))
}

/// What the first `init` did with a setting, in all buckets that want it.
fn init(server: &Server, setting: &str) -> Outcome {
    let steps = steps(first_init(server), setting);
    assert!(!steps.is_empty(), "no bucket has it");
    let detail = |step: &Value| step["detail"].as_str().unwrap_or_default().to_owned();
    if let Some(failed) = steps.iter().find(|step| step["outcome"] == "failed") {
        panic!("{}", detail(failed));
    }
    match steps.iter().find(|step| step["outcome"] == "not-supported") {
        Some(step) => Outcome::NotSupported(words(&detail(step))),
        None => YES,
    }
}

/// The server's words, in `not supported by this server (WORDS)`.
fn words(detail: &str) -> String {
    let inner = detail.split_once('(').map_or(detail, |(_, rest)| rest.trim_end_matches(')'));
    if inner.contains(' ') { inner.to_owned() } else { format!("`{inner}`") }
}

fn public_bucket_is_readable(server: &Server) -> Outcome {
    let outcome = init(server, "policy");
    if !matches!(outcome, Outcome::Yes(_)) {
        return outcome;
    }
    let site = buckets(server);
    let path = site.put_file("readme", b"anyone may read this");
    for bucket in ["lab-public", "lab-binaries"] {
        site.succeed(&["publish", &path, "--to", &format!("s3://{bucket}")]);
    }
    let fetch = |bucket: &str| {
        let url = format!("http://{}/{bucket}/readme", server.address);
        curl().run(["-q", "-sS", "--fail", &url]).stdout
    };
    assert_eq!(String::from_utf8_lossy(&fetch("lab-public")), "anyone may read this");
    assert!(fetch("lab-binaries").is_empty(), "anyone may read a bucket that is not public");
    YES
}

fn second_init_writes_nothing(server: &Server) -> Outcome {
    first_init(server);
    let second = report(&buckets(server), &["init"]);
    for step in steps(&second, "") {
        assert!(step["outcome"] == "same" || step["outcome"] == "not-supported", "{step}");
    }
    YES
}

/// A site with an asset in a release, an asset that is missing, and an orphan.
fn stocked(server: &Server) -> TestSite {
    let bytes = random_bytes(1, 1000);
    for key in ["stock/4.20/kernel", "stock/4.20/kernel.sha256", "stock/4.19/kernel"] {
        server.put(key, &bytes, &[], false);
    }
    let tables = toml::toml! {
        [[bucket]]
        name = "assets"
        purpose = "binaries"
        [[release]]
        name = "okd-4.20"
        assets = ["kernel"]
    };
    let digest = Digest::of(&bytes).to_string();
    let source = |key: &str| format!("s3://{BUCKET}/stock/4.20/{key}");
    let site = server.site().tables(tables).set("admin.listen", "off");
    site.asset_from("kernel", &digest, &[&source("kernel")]).asset_from("gone", &digest, &[&source("gone")])
}

/// The value of a field of the listed object with this key.
fn of<'r>(list: &'r Value, key: &str, field: &str) -> &'r Value {
    let objects = list.as_array().expect("a list");
    let found = objects.iter().find(|object| object["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key} in {list:#}"))[field]
}

fn objects_are_listed(server: &Server) -> Outcome {
    let report = report(&stocked(server), &["list", &format!("s3://{BUCKET}/stock/")]);
    let bucket = &report["buckets"][0];
    let state = |key: &str| of(&bucket["objects"], key, "state").as_str().unwrap_or_default().to_owned();
    assert_eq!(state("stock/4.20/kernel"), "named");
    assert_eq!(state("stock/4.20/kernel.sha256"), "companion");
    assert_eq!(state("stock/4.19/kernel"), "orphan");
    of(&bucket["missing"], "stock/4.20/gone", "key");
    YES
}

fn prune_is_planned(server: &Server) -> Outcome {
    let site = stocked(server);
    std::fs::create_dir_all(site.cache_dir()).expect("a cache directory can be made");
    let report = report(&site, &["prune", "--unused", "0s", "--dry-run"]);
    let objects = &report["buckets"][0]["objects"];
    assert_eq!(of(objects, "stock/4.20/kernel", "verdict"), "needed");
    assert_eq!(of(objects, "stock/4.19/kernel", "verdict"), "delete");
    assert!(server.get(BUCKET, "stock/4.19/kernel").is_some(), "a dry run deleted it");
    YES
}

fn curl() -> Tool {
    Tool::find("curl").expect("curl is installed")
}

fn presigned_urls_work(server: &Server) -> Outcome {
    let bytes = random_bytes(2, 100_000);
    let key = "presigned/root fs+ü.img";
    server.put(key, &bytes, &[], false);
    let site = server.site();
    let presign = |args: &[&str]| site.succeed(&[&["bucket", "presign"], args].concat()).trim().to_owned();
    let fetch = |url: &str| curl().run(["-q", "-sS", "--fail", url]);
    let url = presign(&[&format!("s3://{BUCKET}/{key}"), "--expires", "5m"]);
    assert!(fetch(&url).stdout == bytes, "curl received other bytes");
    assert!(!fetch(&url.replace("X-Amz-Expires=300", "X-Amz-Expires=301")).status.success(), "it is not signed");
    let file = site.put_file("image", &bytes);
    let stored = format!("s3://{BUCKET}/presigned/stored");
    curl().succeed(["-q", "-sS", "--fail", "-T", &file, &presign(&["--put", &stored])]);
    assert!(server.get(BUCKET, "presigned/stored") == Some(bytes), "the server stored other bytes");
    YES
}

fn policies_are_printed(server: &Server) -> Outcome {
    let site = buckets(server);
    let nodes = site.succeed(&["bucket", "policy", "--for", "nodes", "lab-binaries"]);
    let nodes: Value = serde_json::from_str(&nodes).expect("a policy is JSON");
    assert_eq!(nodes["Statement"][1]["Resource"][0], "arn:aws:s3:::lab-binaries/*");
    YES
}
