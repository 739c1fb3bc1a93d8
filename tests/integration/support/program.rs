//! The program under test. Cargo gives the path of a program only to tests of the same package, so it is built from here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The project's root directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a directory of the project")
}

/// The path of the program, which is built first: in the profile of this test, for the whole workspace, so that every crate
/// has the features with which it was compiled for the tests. The variable `BOOTDEPOT` names another program, which is not built.
pub(crate) fn bootdepot() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(program) = std::env::var_os("BOOTDEPOT") {
            return program.into();
        }
        // target/PROFILE/deps/integration-…
        let test = std::env::current_exe().expect("a test knows its own path");
        let profile = test.ancestors().nth(2).expect("a test is in its profile's deps");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--workspace", "--bin", "bootdepot"]).current_dir(root());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        if cfg!(feature = "otel") {
            build.args(["--features", "bootdepot-tests/otel"]);
        }
        // Without the description of this package: build scripts that read it would run again, and much be compiled again.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of_package| name.to_string_lossy().starts_with(of_package))
            {
                build.env_remove(name);
            }
        }
        // Without a deadline: cargo may wait for another build, and prints that it does.
        let status = build.status().expect("cargo can be run");
        assert!(status.success(), "the program cannot be built: {status}");
        profile.join("bootdepot")
    });
    &PROGRAM
}
