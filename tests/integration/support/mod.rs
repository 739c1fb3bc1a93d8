//! Test fixtures: an S3 origin with faults, the server as a child process, clients, a lossy network, virtual machines.

pub(crate) mod boot_network;
mod boot_order;
pub(crate) mod boot_test;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod dhcp;
pub(crate) mod disk;
pub(crate) mod firmware;
pub(crate) mod guest;
pub(crate) mod guest_shell;
pub(crate) mod machine;
pub(crate) mod moto;
pub(crate) mod namespace;
pub(crate) mod newer_debian;
pub(crate) mod origin;
pub(crate) mod program;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod tool;
pub(crate) mod upstream;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub(crate) use bootdepot_test_support::process::{ChildExt, CommandExt, Watchdog};
pub(crate) use bootdepot_test_support::seed::seed;
pub(crate) use bootdepot_test_support::{deadline, s3, skip};
pub(crate) use client::Client;
pub(crate) use guest::Guest;
pub(crate) use origin::{FakeOrigin, Fault, Object};
pub(crate) use server::{LogLine, TestServer, TestSite, send};
pub(crate) use skip::note as note_skipped;
pub(crate) use tool::Tool;

/// Returns how long anything except a boot may take before its test fails: a minute, more on a busy machine.
pub(crate) fn timeout() -> Duration {
    deadline::stretch(Duration::from_mins(1))
}

/// Waits until `ready` returns a value, and returns it. Fails the test after [`timeout`], with what `state` returns.
pub(crate) fn wait_until<T, S: std::fmt::Display>(ready: impl Fn() -> Option<T>, state: impl Fn() -> S) -> T {
    let deadline = Instant::now() + timeout();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "{}", state());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The runtime of the origins and relays of all tests.
pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Runtime::new().expect("a runtime can be built"));
    &RUNTIME
}

/// Returns `length` bytes without a pattern, the same for the same seed.
pub(crate) fn random_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}
