//! The API against its `OpenAPI` document: schemathesis sends random requests, and checks that each response is documented.

use std::time::Duration;

use crate::support::deadline::stretch;
use crate::support::{Client, CommandExt, FakeOrigin, TestSite, Tool, random_bytes};

/// How long the run may take, before it stretches on a busy machine. The number of requests is fixed.
const LIMIT: Duration = Duration::from_mins(4);

#[test]
fn random_requests_get_documented_answers() {
    let Some(schemathesis) = Tool::find("schemathesis") else { return };
    let names = ["okd/1/kernel", "okd/1/initrd", "okd/2/kernel"];
    let origin = FakeOrigin::start();
    let objects = names.map(|name| origin.put(name, random_bytes(7, 2000 + name.len())));
    let site = objects.iter().fold(TestSite::new(&origin), TestSite::asset);
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
    std::fs::write(&operators, "operator-token\n").expect("the token file can be written");
    std::fs::write(&viewers, "viewer-token\n").expect("the token file can be written");
    let server = site
        .set("admin.operator_token_file", operators.display().to_string())
        .set("admin.viewer_token_file", viewers.display().to_string())
        .start();
    // Contents for the responses: machines, transfers, failed fills.
    for path in ["/ipxe?mac=02:00:00:00:00:01", "/ipxe?mac=02:00:00:00:00:02", "/assets/okd/1/kernel", "/assets/lost"] {
        Client::new(server.http).get(path);
    }

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/integration/schema");
    // schemathesis stores its state in the current directory.
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let output = schemathesis
        .command()
        .args(["--config-file", &format!("{folder}/schemathesis.toml")])
        .args(["run", &format!("http://{}/api/v1/openapi.json", server.admin)])
        .args(["--header", "Authorization: Bearer operator-token"])
        // This response has no end; src/admin/tests/events.rs reads it.
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--generation-deterministic", "--max-examples", "40", "--workers", "1", "--no-color"])
        .args([
            "--suppress-health-check",
            "filter_too_much,too_slow",
            "--request-timeout",
            &stretch(Duration::from_secs(20)).as_secs().to_string(),
            "--continue-on-failure",
        ])
        .env("SCHEMATHESIS_HOOKS", format!("{folder}/hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(dir.path())
        .run_within(LIMIT);
    let report = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("Selected: 25/26") && report.contains("Tested: 25"), "{report}");
    assert_eq!(Client::new(server.admin).get("/healthz").status, 200);
}
