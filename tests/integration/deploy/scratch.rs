//! A scratch root directory in which packages can be installed, and the build of the package.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::mount::{MountFlags, mount};

use super::{bootdepot, project};
use crate::support::{CommandExt, Tool};

/// A root directory with this machine's programs, in which packages can be installed. It disappears with the mount namespace in
/// which it was created.
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) fn new(at: &Path) -> Self {
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
        for dir in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{dir}"), root.join(dir)).unwrap();
        }
        // dpkg looks up dependencies in this machine's list of packages.
        for file in ["etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt", "var/lib/dpkg/status"] {
            std::fs::copy(Path::new("/").join(file), root.join(file)).unwrap_or_else(|e| panic!("/{file}: {e}"));
        }
        Self(root)
    }

    /// Runs dpkg on the packages in this root.
    pub(super) fn dpkg(&self, args: &[&str]) {
        let dpkg = Tool::find("dpkg").expect("the outer stage found it");
        dpkg.succeed(
            [&format!("--root={}", self.0.display()), "--force-confold"].iter().copied().chain(args.iter().copied()),
        );
    }

    /// Returns the path of a file in this root.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

/// The tools that build the package.
pub(super) const TOOLS: [&str; 4] = ["cargo-deb", "dpkg", "dpkg-shlibdeps", "strip"];

/// Builds the package from the program under test.
pub(super) fn build(dir: &Path, revision: u32) -> PathBuf {
    let mut build = Command::new(project("deploy/debian/build"));
    let build = build
        .arg(bootdepot())
        .arg(dir)
        .args(["--fast", "--deb-revision", &revision.to_string()])
        .run_within(Duration::from_mins(15));
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    PathBuf::from(String::from_utf8(build.stdout).unwrap().trim())
}
