//! Rows: `bucket init`, `list`, `prune`, `presign` and `policy`.

use bootdepot::asset::Digest;
use bootdepot::supply::{Condition, ObjectHeaders};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::outcome::{Outcome, YES};
use crate::row::Row;
use crate::server::{Server, SiteExt};
use crate::support::s3::BUCKET;
use crate::support::{TestSite, Tool, random_bytes, runtime};

/// The rows.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "`bucket init`: creates buckets", try_it: |server| init(server, "bucket") },
    Row { name: "`bucket init`: versioning", try_it: |server| init(server, "versioning") },
    Row { name: "`bucket init`: encryption", try_it: |server| init(server, "encryption") },
    Row { name: "`bucket init`: lifecycle", try_it: |server| init(server, "lifecycle") },
    Row { name: "`bucket init`: a rule for an archive class", try_it: |server| init(server, "archive") },
    Row { name: "`bucket init`: folders", try_it: |server| init(server, "folders") },
    Row { name: "`bucket init`: public read, tried without credentials", try_it: public_bucket_is_readable },
    Row { name: "a second `bucket init` writes nothing", try_it: second_init_writes_nothing },
    Row { name: "`bucket init`: lifecycle rules of others are kept", try_it: foreign_rule_is_kept },
    Row { name: "`bucket list`: named, orphans, missing", try_it: objects_are_listed },
    Row { name: "`bucket list` of 1,100 objects, in pages", try_it: pages_are_listed },
    Row { name: "`bucket prune --dry-run`", try_it: prune_is_planned },
    Row { name: "`bucket prune` deletes what no release needs", try_it: unused_object_is_deleted },
    Row { name: "`bucket presign`: GET and PUT with curl", try_it: presigned_urls_work },
    Row { name: "`bucket policy` prints IAM policies", try_it: policies_are_printed },
];

/// The reason of [`Server::checks_header_fields_only`].
const HEADER_FIELDS_ONLY: &str = "it checks signatures in header fields only, and refuses all other requests";

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

/// The result of the first `init` for a setting, in all buckets that want it.
fn init(server: &Server, setting: &str) -> Outcome {
    let steps = steps(first_init(server), setting);
    assert!(!steps.is_empty(), "no bucket has it");
    let detail = |step: &Value| step["detail"].as_str().unwrap_or_default().to_owned();
    if let Some(failed) = steps.iter().find(|step| step["outcome"] == "failed") {
        return failure(failed);
    }
    match steps.iter().find(|step| step["outcome"] == "not-supported") {
        Some(step) => Outcome::NotSupported(words(&detail(step))),
        None => YES,
    }
}

/// The outcome of a step that failed. It panics unless the server is to blame.
fn failure(step: &Value) -> Outcome {
    let detail = step["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("answered 500"), "{step}");
    Outcome::NotSupported(detail.to_owned())
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
    if server.checks_header_fields_only {
        return Outcome::NotSupported(HEADER_FIELDS_ONLY.to_owned());
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
        match step["outcome"].as_str() {
            Some("same" | "not-supported") => {}
            Some("failed") => return failure(step),
            _ => panic!("{step}"),
        }
    }
    YES
}

fn foreign_rule_is_kept(server: &Server) -> Outcome {
    let site = |abort_after: &str| {
        let mut tables = toml::toml! {
            [[bucket]]
            name = "lab-foreign"
            purpose = "temp"
        };
        let bucket = tables["bucket"].as_array_mut().and_then(|buckets| buckets[0].as_table_mut()).expect("a table");
        bucket.insert("abort_uploads_after".to_owned(), abort_after.into());
        server.site().tables(tables)
    };
    report(&site("1d"), &["init"]);
    let store = server.store("lab-foreign");
    let read = || {
        let read = runtime().block_on(store.call(Method::GET, "", &[("lifecycle", "")], HeaderMap::new(), ""));
        read.map(|reply| String::from_utf8_lossy(&reply.body).into_owned())
    };
    let rules = match read() {
        Ok(rules) => rules,
        Err(error) if error.is_not_supported() => return Outcome::NotSupported(format!("`{}`", error.code())),
        Err(error) => panic!("{error}"),
    };
    let rule = "<Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status>\
        <Expiration><Days>7</Days></Expiration></Rule>";
    let rules = rules.replacen("<Rule>", &format!("{rule}<Rule>"), 1);
    let written = store.call(Method::PUT, "", &[("lifecycle", "")], HeaderMap::new(), rules);
    runtime().block_on(written).unwrap_or_else(|error| panic!("{error}"));
    let report = report(&site("3d"), &["init"]);
    let step = steps(&report, "lifecycle")[0];
    assert_eq!(step["outcome"], "changed", "{step}");
    let rules = read().unwrap_or_else(|error| panic!("{error}"));
    for part in ["<ID>logs</ID>", "logs/", "<Days>7</Days>", "<DaysAfterInitiation>3</DaysAfterInitiation>"] {
        assert!(rules.contains(part), "{part} is missing: {rules}");
    }
    YES
}

/// A site with an asset in a release, an asset that is missing, and an orphan.
fn stocked(server: &Server, bucket: &str) -> TestSite {
    let bytes = random_bytes(1, 1000);
    for key in ["stock/4.20/kernel", "stock/4.20/kernel.sha256", "stock/4.19/kernel", "stock/4.19/kernel.sha256"] {
        server.put_in(bucket, key, &bytes);
    }
    let mut tables = toml::toml! {
        [[bucket]]
        purpose = "binaries"
        [[release]]
        name = "okd-4.20"
        assets = ["kernel"]
    };
    let table = tables["bucket"].as_array_mut().and_then(|buckets| buckets[0].as_table_mut()).expect("a table");
    table.insert("name".to_owned(), bucket.into());
    let digest = Digest::of(&bytes).to_string();
    let source = |key: &str| format!("s3://{bucket}/stock/4.20/{key}");
    let site = server.site().tables(tables).set("admin.listen", "off");
    let site = site.asset_from("kernel", &digest, &[&source("kernel")]).asset_from("gone", &digest, &[&source("gone")]);
    std::fs::create_dir_all(site.cache_dir()).expect("a cache directory can be made");
    site
}

/// The value of a field of the listed object with this key.
fn of<'r>(list: &'r Value, key: &str, field: &str) -> &'r Value {
    let objects = list.as_array().expect("a list");
    let found = objects.iter().find(|object| object["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key} in {list:#}"))[field]
}

fn objects_are_listed(server: &Server) -> Outcome {
    let report = report(&stocked(server, BUCKET), &["list", &format!("s3://{BUCKET}/stock/")]);
    let bucket = &report["buckets"][0];
    let state = |key: &str| of(&bucket["objects"], key, "state").as_str().unwrap_or_default().to_owned();
    assert_eq!(state("stock/4.20/kernel"), "named");
    assert_eq!(state("stock/4.20/kernel.sha256"), "companion");
    assert_eq!(state("stock/4.19/kernel"), "orphan");
    of(&bucket["missing"], "stock/4.20/gone", "key");
    YES
}

fn prune_is_planned(server: &Server) -> Outcome {
    let site = stocked(server, BUCKET);
    let report = report(&site, &["prune", "--unused", "0s", "--dry-run"]);
    let objects = &report["buckets"][0]["objects"];
    assert_eq!(of(objects, "stock/4.20/kernel", "verdict"), "needed");
    assert_eq!(of(objects, "stock/4.19/kernel", "verdict"), "delete");
    assert!(server.get(BUCKET, "stock/4.19/kernel").is_some(), "a dry run deleted it");
    YES
}

fn pages_are_listed(server: &Server) -> Outcome {
    let keys: Vec<String> = (0..1_100).map(|number| format!("pages/{number:04} &+.img")).collect();
    let store = server.store(BUCKET);
    let put = async |key: &String| {
        store
            .put(key, Bytes::from_static(b"x"), &ObjectHeaders::default(), &Condition::Always)
            .await
            .expect("it is stored");
    };
    runtime().block_on(stream::iter(&keys).for_each_concurrent(16, put));
    let report = report(&server.site(), &["list", &format!("s3://{BUCKET}/pages/")]);
    let objects = report["buckets"][0]["objects"].as_array().expect("a list");
    let listed: Vec<&str> = objects.iter().map(|object| object["key"].as_str().expect("a key")).collect();
    assert!(listed.iter().eq(keys.iter()), "{} keys are listed", listed.len());
    YES
}

fn unused_object_is_deleted(server: &Server) -> Outcome {
    first_init(server);
    let site = stocked(server, "lab-binaries");
    site.succeed(&["bucket", "prune", "--unused", "0s", "--yes"]);
    assert_eq!(server.get("lab-binaries", "stock/4.19/kernel"), None);
    assert_eq!(server.get("lab-binaries", "stock/4.19/kernel.sha256"), None);
    assert!(server.get("lab-binaries", "stock/4.20/kernel").is_some(), "a release needs it");
    YES
}

fn curl() -> Tool {
    Tool::find("curl").expect("curl is installed")
}

fn presigned_urls_work(server: &Server) -> Outcome {
    if server.checks_header_fields_only {
        return Outcome::NotSupported(HEADER_FIELDS_ONLY.to_owned());
    }
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
