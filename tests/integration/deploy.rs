//! The files in `deploy/`: the service and its sockets, the package, the container image, the manifests.

mod container;
mod kubernetes;
mod package;
mod pages;
mod scratch;
mod service;
mod sockets;
mod systemd;

use std::path::PathBuf;
use std::process::Command;

/// Returns the path of a file or directory of the project.
fn project(path: &str) -> PathBuf {
    crate::support::program::root().join(path)
}

/// Returns the path of the program under test.
fn bootdepot() -> &'static str {
    crate::support::program::bootdepot().to_str().expect("the path is UTF-8")
}

/// Gives `command` the environment of `server`.
fn copy_environment(command: &mut Command, server: &Command) {
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// Returns the text of a file of the project.
fn text(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
