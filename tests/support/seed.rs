//! Seeds of tests that choose randomly: printed, and repeatable.

use std::hash::{BuildHasher, Hasher};

/// The variable that sets the seed.
const VARIABLE: &str = "BOOTDEPOT_TEST_SEED";

/// Returns the seed for the running test: the number in `BOOTDEPOT_TEST_SEED`, otherwise a random one.
///
/// Prints it as `BOOTDEPOT_TEST_SEED=…`, which the test runner shows if the test fails.
///
/// # Panics
/// If the variable holds something other than a number.
pub fn seed() -> u64 {
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is not a number: {text:?}")),
        // The standard library takes the keys of its hash maps from the system's random numbers.
        Err(_) => std::hash::RandomState::new().build_hasher().finish(),
    };
    println!("{VARIABLE}={seed}");
    seed
}
