//! The Kubernetes manifests: built by kustomize, validated against the API's schema, and their configuration used by the program.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use super::{bootdepot, project, text};
use crate::support::s3::{ACCESS_KEY, BUCKET, SECRET_KEY};
use crate::support::{ChildExt, Client, CommandExt, FakeOrigin, TestSite, Tool, random_bytes, skip};

const BASE: &str = "deploy/kubernetes/base";

/// Builds a directory with kustomize. `None` without kubectl 1.26 or newer, which knows `labels` and `patches`: the test is
/// skipped.
fn built(dir: &str) -> Option<String> {
    let built = Command::new("kubectl")
        .arg("kustomize")
        .arg(project(dir))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(ChildExt::finish);
    match built {
        Ok(built) if built.status.success() => Some(String::from_utf8(built.stdout).unwrap()),
        Ok(built) if !String::from_utf8_lossy(&built.stderr).contains("unknown field") => {
            panic!("{dir}: {}", String::from_utf8_lossy(&built.stderr))
        }
        // Debian has no such version, so this is not a failure in CI.
        _ => {
            skip::note("no kubectl of version 1.26 or newer is installed");
            None
        }
    }
}

#[test]
fn manifests_match_kubernetes_schema() {
    let Some(validate) = Tool::find("kubernetes-validate") else { return };
    let dir = tempfile::tempdir().unwrap();
    for (position, kustomization) in [BASE, "deploy/kubernetes/overlays/example"].into_iter().enumerate() {
        let Some(manifests) = built(kustomization) else { return };
        let file = dir.path().join(format!("{position}.yaml"));
        std::fs::write(&file, &manifests).unwrap();
        let file = file.to_str().unwrap();
        let report = validate.run(["--strict", "-k", "1.32", file]);
        let report = String::from_utf8_lossy(&report.stdout).into_owned() + &String::from_utf8_lossy(&report.stderr);
        let kinds = manifests.lines().filter(|line| line.starts_with("kind: ")).count();
        assert_eq!(report.matches(" passed for resource ").count(), kinds, "{report}");
        assert!(kinds >= 5, "{manifests}");
        // The pods get the whole file.
        let indented = text(&format!("{BASE}/bootdepot.toml")).lines().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{}", format!("    {line}").trim_end());
            text
        });
        assert!(manifests.contains(&indented), "{manifests}");

        // The validator finds an error.
        std::fs::write(file, manifests.replace("hostNetwork: true", "hostNetwork: maybe")).unwrap();
        assert!(!validate.run(["--strict", "-k", "1.32", file]).status.success());
    }
}

#[test]
fn configmap_node_serves_shared_catalog() {
    let origin = FakeOrigin::start();
    let kernel = origin.put("okd/kernel", random_bytes(72, 10_000));
    let catalog = format!(
        "[[asset]]\nname = \"okd/kernel\"\nsources = [\"s3://{BUCKET}/okd/kernel\"]\nsha256 = \"{}\"\n",
        kernel.sha256()
    );
    origin.put("catalog.toml", catalog.into_bytes());
    let settings = text(&format!("{BASE}/bootdepot.toml"));
    let ours = settings
        .replace("s3://harmony-assets/", &format!("s3://{BUCKET}/"))
        .replace("https://s3.lab:9000", &origin.endpoint());
    assert_ne!(settings, ours);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bootdepot.toml"), ours).unwrap();
    let command = |args: &[&str]| {
        let mut command = Command::new(bootdepot());
        command.args(args).arg("--config").arg(dir.path().join("bootdepot.toml")).env_clear();
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("BOOTDEPOT_CACHE__DIR", dir.path().join("cache").to_str().unwrap()),
            ("BOOTDEPOT_CACHE__MIN_FREE", "0"),
            ("BOOTDEPOT_HTTP__LISTEN", r#"["127.0.0.1:0"]"#),
            ("BOOTDEPOT_TFTP__LISTEN", r#"["127.0.0.1:0"]"#),
            ("BOOTDEPOT_ADMIN__LISTEN", "127.0.0.1:0"),
            // As in the DaemonSet.
            ("BOOTDEPOT_LOG_FORMAT", "json"),
        ] {
            command.env(name, value);
        }
        command
    };
    let shown = command(&["config", "show"]).run_to_end();
    let (out, err) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(shown.status.success() && out.contains("okd/kernel"), "{out}{err}");

    let server = TestSite::run(command(&["serve"]));
    assert_eq!(Client::new(server.http).get("/readyz").status, 200);
    assert!(server.client().compare("/assets/okd/kernel", &kernel.bytes));
}
