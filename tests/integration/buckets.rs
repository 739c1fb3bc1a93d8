//! `bootdepot bucket` against two S3 servers: moto, which has all settings of a bucket, and s3s, which has none.

use std::process::Output;

use serde_json::Value;

use crate::support::moto::{BUCKET, Moto};
use crate::support::{CommandExt, FakeOrigin, TestSite, Tool, random_bytes};

/// A lifecycle rule that others have made.
const FOREIGN_RULE: &str = "<Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status>\
    <Expiration><Days>7</Days></Expiration></Rule>";

/// A policy statement that others have made.
const FOREIGN_STATEMENT: &str =
    r#"{"Sid":"ops","Effect":"Deny","Principal":"*","Action":"s3:DeleteBucket","Resource":"arn:aws:s3:::lab-public"}"#;

/// Returns a site whose buckets are at `endpoint`.
fn site(endpoint: &str, tables: toml::Table) -> TestSite {
    let origins = toml::toml! {
        [[origin]]
        match = "s3://"
        endpoint = endpoint
        credentials = { from = "env" }
    };
    TestSite::new(&FakeOrigin::start()).tables(origins).tables(tables)
}

fn run(site: &TestSite, args: &[&str]) -> Output {
    site.command_line(&[&["bucket"], args].concat()).run_to_end()
}

/// Runs a command with `--json` and returns its exit status and report.
fn json(site: &TestSite, args: &[&str]) -> (Option<i32>, Value) {
    report(&run(site, &[args, &["--json"]].concat()))
}

fn report(output: &Output) -> (Option<i32>, Value) {
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

/// Returns `BUCKET SETTING OUTCOME` of each step.
fn steps(report: &Value) -> Vec<String> {
    let buckets = report["buckets"].as_array().expect("a list").iter();
    buckets
        .flat_map(|bucket| {
            let steps = bucket["steps"].as_array().expect("a list").iter();
            steps.map(|step| format!("{} {} {}", bucket["name"], step["setting"], step["outcome"]).replace('"', ""))
        })
        .collect()
}

fn lab_buckets() -> toml::Table {
    toml::toml! {
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
    }
}

#[test]
fn second_init_finds_everything_done() {
    let Some(moto) = Moto::start() else { return };
    for bucket in ["lab-isos", "lab-public"] {
        moto.send("PUT", &format!("/{bucket}"), &[], b"");
    }
    let rules = format!("<LifecycleConfiguration>{FOREIGN_RULE}</LifecycleConfiguration>");
    moto.send("PUT", "/lab-isos?lifecycle", &[], rules.as_bytes());
    let policy = format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{FOREIGN_STATEMENT}]}}");
    moto.send("PUT", "/lab-public?policy", &[], policy.as_bytes());

    let site = site(&moto.endpoint(), lab_buckets());
    let (status, planned) = json(&site, &["init", "--dry-run"]);
    assert_eq!(status, Some(0), "{planned:#}");
    assert!(steps(&planned).contains(&"lab-temp bucket planned".to_owned()), "{planned:#}");
    let (status, first) = json(&site, &["init"]);
    assert_eq!(status, Some(0), "{first:#}");
    let changed: Vec<_> = steps(&first).into_iter().filter(|step| !step.ends_with("changed")).collect();
    assert_eq!(changed, ["lab-isos bucket same", "lab-public bucket same"], "{first:#}");
    let expected =
        ["isos archive", "isos folders", "isos versioning", "public policy", "temp lifecycle", "temp bucket"];
    for setting in expected {
        assert!(steps(&first).contains(&format!("lab-{setting} changed")), "{setting}: {first:#}");
    }

    let text = moto.send("GET", "/lab-isos?lifecycle", &[], b"").body().to_owned();
    for wanted in ["<ID>logs</ID>", "logs/", "bootdepot-archive", "GLACIER_IR", "bootdepot-abort-uploads"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let policy = moto.send("GET", "/lab-public?policy", &[], b"").body().to_owned();
    assert!(policy.contains("\"ops\"") && policy.contains("bootdepot-public-read"), "{policy}");
    assert!(moto.send("GET", "/lab-isos?versioning", &[], b"").body().contains("Enabled"));
    assert!(moto.send("GET", "/lab-isos?encryption", &[], b"").body().contains("AES256"));

    let (status, second) = json(&site, &["init"]);
    assert_eq!(status, Some(0), "{second:#}");
    assert!(steps(&second).iter().all(|step| step.ends_with(" same")), "{second:#}");
    assert_eq!(moto.send("GET", "/lab-isos?lifecycle", &[], b"").body(), text);
    let output = run(&site, &["init", "lab-isos"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.ends_with("0 settings written\n"), "{table}");
}

#[test]
fn plain_server_reports_unsupported_settings() {
    let origin = FakeOrigin::start();
    let bucket = toml::toml! {
        [[bucket]]
        name = "assets"
        purpose = "public"
        [[bucket]]
        name = "lab-isos"
        purpose = "isos"
    };
    let site = site(&origin.endpoint(), bucket);
    let output = run(&site, &["init"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}{}", String::from_utf8_lossy(&output.stderr));
    let unsupported =
        table.lines().filter(|line| line.contains("not supported by this server (NotImplemented)")).count();
    assert!(unsupported >= 6, "{table}");
    assert!(table.contains("0 settings written") || table.contains("1 setting written"), "{table}");
}

#[test]
fn presigned_urls_work_without_credentials() {
    let Some(curl) = Tool::find("curl") else { return };
    let origin = FakeOrigin::start();
    let object = origin.put("okd/4.20/root fs+ü.img", random_bytes(1, 100_000));
    let site = site(&origin.endpoint(), toml::Table::new());
    let presign = |args: &[&str]| {
        let output = run(&site, &[&["presign"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a URL").trim().to_owned()
    };
    let fetched = |url: &str| curl.run(["-q", "--silent", "--fail", url]);
    let url = presign(&["s3://assets/okd/4.20/root fs+ü.img", "--expires", "5m"]);
    let got = fetched(&url);
    assert!(got.status.success() && got.stdout == object.bytes, "{url}");
    assert!(!fetched(&url.replace("X-Amz-Expires=300", "X-Amz-Expires=301")).status.success(), "it is signed");
    assert!(!fetched(url.split('?').next().expect("a URL")).status.success(), "it needs the signature");

    let file = site.file("image");
    std::fs::write(&file, &object.bytes).expect("a file can be written");
    let put = presign(&["--put", "s3://assets/uploaded"]);
    curl.succeed(["-q", "--silent", "--fail", "-T", &file.display().to_string(), &put]);
    assert_eq!(fetched(&presign(&["s3://assets/uploaded"])).stdout, object.bytes);
    assert!(!fetched(&put).status.success(), "a PUT is signed, not a GET");

    for bad in [&["s3://assets/x", "--expires", "8d"][..], &["https://h/x"], &["--put", "s3://assets/x?versionId=1"]] {
        let output = run(&site, &[&["presign"], bad].concat());
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
    }
}

#[test]
fn policies_need_no_server() {
    // Nothing listens there.
    let site = site("http://127.0.0.1:9", lab_buckets());
    let (status, report) = json(&site, &["policy"]);
    assert_eq!(status, Some(0), "{report:#}");
    assert_eq!(report["buckets"]["lab-public"]["Statement"][0]["Sid"], "bootdepot-public-read");
    assert!(report["buckets"].get("lab-isos").is_none(), "{report:#}");
    let output = run(&site, &["policy", "--for", "nodes", "lab-binaries"]);
    let nodes: Value = serde_json::from_slice(&output.stdout).expect("a policy");
    assert_eq!(
        nodes,
        serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [
                { "Sid": "BootdepotBuckets", "Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
                  "Resource": ["arn:aws:s3:::lab-binaries"] },
                { "Sid": "BootdepotObjects", "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                  "Resource": ["arn:aws:s3:::lab-binaries/*"] },
            ],
        })
    );
    let output = run(&site, &["policy", "lab-iso"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lab-isos, lab-binaries"));
}

/// Returns a site with a release, an asset of no release, and an asset that is missing in the bucket.
fn stocked_site(moto: &Moto) -> TestSite {
    let kernel = random_bytes(1, 1000);
    let digest = bootdepot::asset::Digest::of(&kernel).to_string();
    let metadata = r#"{"files":{"kernel":{"version":"4.20","server_id":"r630-01"}}}"#;
    for key in ["okd/4.19/kernel", "okd/4.19/kernel.sha256", "okd/4.20/kernel", "okd/4.20/rootfs.img", "tools/spare"] {
        moto.put(key, &kernel, &[]);
    }
    moto.put("okd/4.20/metadata.json", metadata.as_bytes(), &[]);
    let tables = toml::toml! {
        [[bucket]]
        name = "assets"
        purpose = "binaries"
        [[release]]
        name = "okd-4.20"
        assets = ["kernel"]
        [[profile]]
        name = "rescue"
        kernel = "rootfs"
    };
    let source = |key: &str| format!("s3://{BUCKET}/{key}");
    site(&moto.endpoint(), tables)
        .asset_from("kernel", &digest, &[&source("okd/4.20/kernel")])
        .asset_from("rootfs", &digest, &[&source("okd/4.20/rootfs.img")])
        .asset_from("spare", &digest, &[&source("tools/spare")])
        .asset_from("gone", &digest, &[&source("okd/4.20/initramfs.img")])
}

fn keys(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|object| object["key"].as_str().expect("a key")).collect()
}

#[test]
fn list_finds_orphans_and_missing() {
    let Some(moto) = Moto::start() else { return };
    let site = stocked_site(&moto);
    let bucket = |args: &[&str]| {
        let (status, report) = json(&site, &[&["list"], args].concat());
        assert_eq!(status, Some(0), "{report:#}");
        report["buckets"][0].clone()
    };
    let all = bucket(&[]);
    assert_eq!(keys(&all["objects"]).len(), 6, "{all:#}");
    assert_eq!(keys(&all["missing"]), ["okd/4.20/initramfs.img"]);
    let orphans = bucket(&["--orphans"]);
    assert_eq!(keys(&orphans["objects"]), ["okd/4.19/kernel", "okd/4.19/kernel.sha256"]);
    assert_eq!(keys(&orphans["missing"]), [""; 0]);
    let missing = bucket(&["s3://assets/okd/", "--missing", "--asset", "gone"]);
    assert_eq!((keys(&missing["objects"]).len(), keys(&missing["missing"]).len()), (0, 1));
    let kernel = bucket(&["--asset", "kernel"]);
    assert_eq!((keys(&kernel["objects"]), &kernel["objects"][0]["state"]), (vec!["okd/4.20/kernel"], &"named".into()));
    assert_eq!(keys(&bucket(&["--server-id", "r630-01"])["objects"]), ["okd/4.20/kernel"]);
    assert_eq!(keys(&bucket(&["--version", "4.19"])["objects"]).len(), 2);
    let absent = run(&site, &["list", "s3://no-such-bucket", "assets"]);
    assert_eq!(absent.status.code(), Some(1), "the other bucket is listed all the same");
    assert!(String::from_utf8_lossy(&absent.stdout).contains("assets: 6 objects"));
}

#[test]
fn prune_keeps_releases_and_asks() {
    let Some(moto) = Moto::start() else { return };
    let site = stocked_site(&moto).set("admin.listen", "off");
    let left = || {
        let (_, report) = json(&site, &["list"]);
        keys(&report["buckets"][0]["objects"]).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let refused = run(&site, &["prune", "--unused", "0s"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(error.contains("there is no terminal; add --yes"), "{error}");
    let without_cache = run(&site, &["prune", "--unused", "0s", "--yes"]);
    assert_eq!(without_cache.status.code(), Some(1), "without a cache, no use is known");
    assert_eq!(left().len(), 6);

    std::fs::create_dir_all(site.cache_dir()).expect("a cache directory can be made");
    let (status, young) = json(&site, &["prune", "--yes"]);
    assert_eq!(status, Some(0), "{young:#}");
    assert_eq!(young["buckets"][0]["deleted"], 0, "nothing is 30 days old: {young:#}");
    let (status, plan) = json(&site, &["prune", "--unused", "0s", "--dry-run"]);
    assert_eq!(status, Some(0), "{plan:#}");
    let verdict = |key: &str| {
        let objects = plan["buckets"][0]["objects"].as_array().expect("a list");
        let found = objects.iter().find(|object| object["key"] == key).unwrap_or_else(|| panic!("no {key}: {plan:#}"));
        (found["verdict"].clone(), found["needed_by"].clone())
    };
    assert_eq!(verdict("okd/4.20/kernel"), ("needed".into(), vec!["release okd-4.20"].into()));
    assert_eq!(verdict("okd/4.20/rootfs.img"), ("needed".into(), vec!["profile rescue"].into()));
    assert_eq!(verdict("okd/4.19/kernel").0, "delete");
    assert_eq!(verdict("tools/spare").0, "delete");
    assert_eq!(left().len(), 6, "a dry run deletes nothing");

    let output = run(&site, &["prune", "--unused", "0s", "--yes"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.ends_with("2 objects deleted, 2 kept\n"), "{text}");
    assert_eq!(left(), ["okd/4.20/kernel", "okd/4.20/metadata.json", "okd/4.20/rootfs.img"]);
}

#[test]
fn last_use_comes_from_running_node() {
    let Some(moto) = Moto::start() else { return };
    let site = stocked_site(&moto);
    let server = site.start();
    assert_eq!(server.client().get("/assets/spare").status, 200);
    server.wait_for_fill("spare", "complete");
    let output = site.run_command(server.admin, &["bucket", "prune", "--unused", "1h", "--dry-run", "--json"]);
    let (status, report) = report(&output);
    assert_eq!(status, Some(0), "{report:#}");
    let objects = report["buckets"][0]["objects"].as_array().expect("a list");
    let of = |key: &str| objects.iter().find(|object| object["key"] == key).expect("an object").clone();
    let used = server_use(&site, &server, "spare");
    assert_eq!((&of("tools/spare")["verdict"], &of("tools/spare")["last_used"]), (&"used".into(), &used));
}

/// Returns when the server says that an asset was last used.
fn server_use(site: &TestSite, server: &crate::support::TestServer, asset: &str) -> Value {
    let output = site.run_command(server.admin, &["list", "--json", asset]);
    let assets: Value = serde_json::from_slice(&output.stdout).expect("a list");
    assets[0]["used"].clone()
}
