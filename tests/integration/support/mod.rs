//! What the tests stand on: an S3 origin with faults, the server as a child process, clients, a lossy network, machines.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod dhcp;
pub(crate) mod guest;
pub(crate) mod lab;
pub(crate) mod machine;
pub(crate) mod namespace;
pub(crate) mod origin;
pub(crate) mod program;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod tool;

use std::sync::LazyLock;
use std::time::Duration;

pub(crate) use bootdepot_test_support::{s3, skip};
pub(crate) use client::Client;
pub(crate) use guest::Guest;
pub(crate) use origin::{Fault, Object, Origin};
pub(crate) use server::{Line, Server, Site, send};
pub(crate) use skip::note as note_skipped;
pub(crate) use tool::Tool;

/// How long anything but a boot may take before its test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The runtime of the origins and relays of all tests.
pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Runtime::new().expect("a runtime can be built"));
    &RUNTIME
}

/// `length` bytes without a pattern; the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}
