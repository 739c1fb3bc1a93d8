//! The Debian package: built, linted, installed in a scratch root, run, upgraded and purged.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::mount_bind_recursive;

use super::project;
use super::scratch::{Root, TOOLS, build};
use crate::support::{Client, CommandExt, TestSite, Tool, namespace};

/// Returns a command line of the installed program in the root, with the installed configuration except for the ports.
fn command(root: &Root, args: &[&str]) -> Command {
    let mut command = Command::new("chroot");
    command.arg(root.file("")).arg("/usr/bin/bootdepot").args(args);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin").env("BOOTDEPOT_LOG_FORMAT", "json");
    for (name, value) in [
        ("BOOTDEPOT_HTTP__LISTEN", r#"["127.0.0.1:0"]"#),
        ("BOOTDEPOT_TFTP__LISTEN", r#"["127.0.0.1:0"]"#),
        ("BOOTDEPOT_ADMIN__LISTEN", "127.0.0.1:0"),
        // The root is a small tmpfs.
        ("BOOTDEPOT_CACHE__MIN_FREE", "0"),
    ] {
        command.env(name, value);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

#[test]
fn package_installs_runs_upgrades_purges() {
    let test = "deploy::package::package_installs_runs_upgrades_purges";
    if namespace::stage().is_some() {
        return install(Path::new(&std::env::var("BOOTDEPOT_TEST_PACKAGE").expect("the outer stage sets the path")));
    }
    if TOOLS.iter().chain(&["unshare", "chroot"]).any(|tool| Tool::find(tool).is_none()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = build(dir.path(), 1);
    if let Some(lintian) = Tool::find("lintian") {
        lintian.succeed(["--allow-root", "--fail-on=error", package.to_str().unwrap()]);
    }
    let unshare = Tool::find("unshare").expect("unshare was found above");
    if namespace::can_unshare(&unshare, &["--mount"]) {
        let variable = format!("BOOTDEPOT_TEST_PACKAGE={}", package.display());
        namespace::run_stage(&unshare, &["--mount", "env", &variable], test, "inside");
    }
}

fn install(package: &Path) {
    let at = package.with_extension("root");
    std::fs::create_dir(&at).unwrap();
    let root = Root::new(&at);
    mount_bind_recursive("/dev", root.file("dev")).expect("root may mount");
    let package = package.to_str().expect("a path of ASCII");
    root.dpkg(&["--install", package]);
    for file in [
        "usr/lib/systemd/system/bootdepot.service",
        "usr/lib/systemd/system/bootdepot-tftp.socket",
        "usr/share/bash-completion/completions/bootdepot",
        "usr/share/man/man1/bootdepot-serve.1.gz",
        "usr/share/doc/bootdepot/operating.md",
        "usr/share/doc/bootdepot/examples/firmware/debian.toml",
        "usr/share/doc/bootdepot/examples/recipes/debian/recipe.toml",
        "usr/share/doc/bootdepot/examples/recipes/debian/preseed.cfg.j2",
        "etc/bootdepot/catalog.d/README",
        "etc/bootdepot/machines.d/README",
    ] {
        assert!(root.file(file).is_file(), "{file}");
    }
    let enabled = root.file("etc/systemd/system/multi-user.target.wants/bootdepot.service");
    assert!(!enabled.exists(), "the service is not enabled before an operator configures it");
    // The installed file is identical to the source.
    let settings = root.file("etc/bootdepot/bootdepot.toml");
    assert_eq!(std::fs::read(&settings).unwrap(), std::fs::read(project("config/bootdepot.toml")).unwrap());

    // They are valid as they are, and the server says what to do next.
    let server = TestSite::run(command(&root, &["serve"]));
    assert!(server.wait_for(|line| line.text("message") == "catalog empty").text("next").contains("bootdepot mirror"));
    assert!(server.lines(|line| line.text("level") == "WARN").is_empty(), "the installed settings have no warning");
    let mut listed = command(&root, &["list", "--admin-listen", &server.admin.to_string()]);
    let listed = listed.stdout(Stdio::piped()).run_to_end();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.starts_with("the catalog has no assets; mirror an operating system"), "{listed}");
    let recipes = listed.split(|c: char| c.is_whitespace() || c == ')').find(|word| word.starts_with("/usr/share"));
    assert!(root.file(recipes.unwrap().trim_start_matches('/')).is_dir(), "{listed}");
    for (address, path) in [(server.http, "/healthz"), (server.http, "/readyz"), (server.admin, "/readyz")] {
        let answer = Client::new(address).get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    assert!(root.file("var/cache/bootdepot/blobs").is_dir());
    assert!(server.stop().success());

    // An upgrade and a removal keep changes to the configuration. A purge removes it.
    let mut written = std::fs::read_to_string(&settings).unwrap();
    written.push_str("# ours\n");
    std::fs::write(&settings, &written).unwrap();
    root.dpkg(&["--install", package]);
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), written);
    root.dpkg(&["--remove", "bootdepot"]);
    assert!(settings.exists() && !root.file("usr/bin/bootdepot").exists());
    root.dpkg(&["--purge", "bootdepot"]);
    assert!(!root.file("etc/bootdepot").exists());
}
