//! The Debian package: built, looked at, installed in a root of its own, run, upgraded and purged.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::mount_bind_recursive;

use super::project;
use super::scratch::{Root, TOOLS, build};
use crate::support::{Client, Site, Tool, namespace};

/// A command line of the installed program, within the root and with the installed settings, but for the ports.
fn command(root: &Root, args: &[&str]) -> Command {
    let mut command = Command::new("chroot");
    command.arg(root.file("")).arg("/usr/bin/bootdepot").args(args);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin").env("BOOTDEPOT_LOG_FORMAT", "json");
    for (name, value) in [
        ("BOOTDEPOT_HTTP__LISTEN", r#"["127.0.0.1:0"]"#),
        ("BOOTDEPOT_TFTP__LISTEN", r#"["127.0.0.1:0"]"#),
        ("BOOTDEPOT_ADMIN__LISTEN", "127.0.0.1:0"),
        // Of the memory that it is installed in.
        ("BOOTDEPOT_CACHE__MIN_FREE", "0"),
    ] {
        command.env(name, value);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

#[test]
fn the_package_is_built_installed_run_upgraded_and_purged() {
    let test = "deploy::package::the_package_is_built_installed_run_upgraded_and_purged";
    if namespace::stage().is_some() {
        return install(Path::new(&std::env::var("BOOTDEPOT_TEST_PACKAGE").expect("the stage before says where")));
    }
    if TOOLS.iter().chain(&["unshare", "chroot"]).any(|tool| Tool::find(tool).is_none()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = build(dir.path(), 1);
    if let Some(lintian) = Tool::find("lintian") {
        lintian.succeed(["--allow-root", "--fail-on=error", package.to_str().unwrap()]);
    }
    let unshare = Tool::find("unshare").expect("it was just found");
    if namespace::can_be_had(&unshare, &["--mount"]) {
        let variable = format!("BOOTDEPOT_TEST_PACKAGE={}", package.display());
        namespace::again(&unshare, &["--mount", "env", &variable], test, "inside");
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
    ] {
        assert!(root.file(file).is_file(), "{file}");
    }
    let enabled = root.file("etc/systemd/system/multi-user.target.wants/bootdepot.service");
    assert!(!enabled.exists(), "nothing is enabled before somebody has written the settings");
    // As installed, byte for byte.
    let settings = root.file("etc/bootdepot/bootdepot.toml");
    assert_eq!(std::fs::read(&settings).unwrap(), std::fs::read(project("config/bootdepot.toml")).unwrap());

    let server = Site::run(command(&root, &["serve"]));
    for (address, path) in [(server.http, "/healthz"), (server.http, "/readyz"), (server.admin, "/readyz")] {
        let answer = Client::of(address).get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    assert!(root.file("var/cache/bootdepot/blobs").is_dir());
    assert!(server.stop().success());

    // An upgrade keeps what was written; a removal too; a purge keeps nothing.
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
