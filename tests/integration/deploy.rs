//! What is under `deploy/`, in use: the service and its sockets, the package, the container's layout, the manifests.

mod container;
mod kubernetes;
mod package;
mod pages;
mod service;
mod sockets;

use std::path::{Path, PathBuf};

/// A file or directory of the project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program under test.
const BOOTDEPOT: &str = env!("CARGO_BIN_EXE_bootdepot");

/// The text of a file of the project.
fn text(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
