//! The API as its own document says it: random requests by schemathesis, and every answer is one of those documented.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Client, Origin, Site, Tool, noise};

/// Longer than it takes on a slow machine; a run is bounded by its number of requests.
const PATIENCE: Duration = Duration::from_mins(4);

#[test]
fn every_answer_to_random_requests_is_documented_and_none_is_a_failure_of_the_server() {
    let Some(schemathesis) = Tool::find("schemathesis") else { return };
    let names = ["okd/1/kernel", "okd/1/initrd", "okd/2/kernel"];
    let origin = Origin::start();
    let objects = names.map(|name| origin.put(name, noise(7, 2000 + name.len())));
    let site = objects.iter().fold(Site::new(&origin), Site::asset);
    let lost = format!("{:064x}", 7);
    let site = site
        .asset_from("lost", &lost, &["s3://boot/lost"])
        .release("okd-1", true, &[&objects[0], &objects[1]])
        .release("okd-2", false, &[&objects[2]])
        .tables(toml::toml! {
            [[profile]]
            name = "worker"
            kernel = "okd/1/kernel"
            initrd = ["okd/1/initrd"]
            [[host]]
            name = "r630-01"
            profile = "worker"
            match = { mac = ["02:00:00:00:00:01"] }
        });
    let (operators, viewers) = (site.file("operators"), site.file("viewers"));
    std::fs::write(&operators, "operator-token\n").expect("it can be written");
    std::fs::write(&viewers, "viewer-token\n").expect("it can be written");
    let server = site
        .set("admin.operator_token_file", operators.display().to_string())
        .set("admin.viewer_token_file", viewers.display().to_string())
        .start();
    // Something to speak of: machines, transfers, fills that failed.
    for path in ["/ipxe?mac=02:00:00:00:00:01", "/ipxe?mac=02:00:00:00:00:02", "/assets/okd/1/kernel", "/assets/lost"] {
        Client::of(server.http).get(path);
    }

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/integration/schema");
    let out = tempfile::NamedTempFile::new().expect("a file can be made");
    let mut child = schemathesis
        .command()
        .args(["--config-file", &format!("{folder}/schemathesis.toml")])
        .args(["run", &format!("http://{}/api/v1/openapi.json", server.admin)])
        .args(["--header", "Authorization: Bearer operator-token"])
        // It has no end; src/admin/tests/events.rs reads it.
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--generation-deterministic", "--max-examples", "40", "--workers", "1", "--no-color"])
        .args([
            "--suppress-health-check",
            "filter_too_much,too_slow",
            "--request-timeout",
            "20",
            "--continue-on-failure",
        ])
        .env("SCHEMATHESIS_HOOKS", format!("{folder}/hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(site_dir(&out))
        .stdin(Stdio::null())
        .stdout(out.reopen().expect("it is there"))
        .stderr(out.reopen().expect("it is there"))
        .spawn()
        .expect("schemathesis can be started");
    let since = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        if since.elapsed() > PATIENCE {
            child.kill().expect("it can be ended");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let told = std::fs::read_to_string(out.path()).expect("it can be read");
    assert!(status.success(), "{told}");
    assert!(told.contains("Selected: 20/21") && told.contains("Tested: 20"), "{told}");
    assert_eq!(Client::of(server.admin).get("/healthz").status, 200);
}

/// Where schemathesis may leave what it remembers.
fn site_dir(out: &tempfile::NamedTempFile) -> &std::path::Path {
    out.path().parent().expect("a file is in a directory")
}
