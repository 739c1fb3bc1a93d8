//! What is under `deploy/`, in use: the service and its sockets, the package, the container's layout, the manifests.

mod container;
mod kubernetes;
mod package;
mod pages;
mod scratch;
mod service;
mod sockets;
mod systemd;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or directory of the project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program under test.
const BOOTDEPOT: &str = env!("CARGO_BIN_EXE_bootdepot");

/// Gives `command` the environment that `server` was to have.
fn take_environment(command: &mut Command, server: &Command) {
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// The text of a file of the project.
fn text(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
