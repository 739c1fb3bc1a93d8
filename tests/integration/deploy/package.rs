//! The Debian package: built, looked at, installed in a root of its own, run, upgraded and purged.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, mount, mount_bind_recursive};

use super::{BOOTDEPOT, project};
use crate::support::{Client, Site, Tool, namespace};

/// A root directory that has this machine's programs, into which packages can be installed, and which is gone with the
/// namespace of mounts that it is made in.
struct Root(PathBuf);

impl Root {
    fn new(at: &Path) -> Self {
        mount("none", at, "tmpfs", MountFlags::empty(), None).expect("root may mount");
        let root = at.join("root");
        for dir in [
            "root/usr",
            "root/etc/ssl/certs",
            "root/dev",
            "root/tmp",
            "root/run",
            "root/var/log",
            "root/var/lib/dpkg/info",
            "root/var/lib/dpkg/updates",
            "root/var/lib/dpkg/triggers",
            "above",
            "work",
        ] {
            std::fs::create_dir_all(at.join(dir)).unwrap();
        }
        let layers = format!("lowerdir=/usr,upperdir={0}/above,workdir={0}/work", at.display());
        let layers = std::ffi::CString::new(layers).unwrap();
        mount("overlay", root.join("usr"), "overlay", MountFlags::empty(), Some(layers.as_c_str()))
            .expect("root may put a layer over /usr");
        mount_bind_recursive("/dev", root.join("dev")).expect("root may mount");
        for dir in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{dir}"), root.join(dir)).unwrap();
        }
        // What is installed on this machine is what the package's dependencies are looked up in.
        for file in ["etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt", "var/lib/dpkg/status"] {
            std::fs::copy(Path::new("/").join(file), root.join(file)).unwrap_or_else(|e| panic!("/{file}: {e}"));
        }
        Self(root)
    }

    fn dpkg(&self, args: &[&str]) {
        let dpkg = Tool::find("dpkg").expect("it was there outside");
        dpkg.succeed(
            [&format!("--root={}", self.0.display()), "--force-confold"].iter().copied().chain(args.iter().copied()),
        );
    }

    fn file(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// A command line of the installed program, within the root and with the installed settings, but for the ports.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.0).arg("/usr/bin/bootdepot").args(args);
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
}

/// Builds the package, of the program under test.
fn build(dir: &Path) -> PathBuf {
    let build = Command::new(project("deploy/debian/build")).arg(BOOTDEPOT).arg(dir).arg("--fast").output().unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    PathBuf::from(String::from_utf8(build.stdout).unwrap().trim())
}

#[test]
fn the_package_is_built_installed_run_upgraded_and_purged() {
    let test = "deploy::package::the_package_is_built_installed_run_upgraded_and_purged";
    let tools = ["cargo-deb", "dpkg", "dpkg-shlibdeps", "strip", "unshare", "chroot"];
    if namespace::stage().is_some() {
        return install(Path::new(&std::env::var("BOOTDEPOT_TEST_PACKAGE").expect("the stage before says where")));
    }
    if tools.iter().any(|tool| Tool::find(tool).is_none()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = build(dir.path());
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

    let server = Site::run(root.command(&["serve"]));
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
