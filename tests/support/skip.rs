//! Reports skipped tests. The unit tests and the integration tests share it.

use std::io::Write;

/// Reports the running test as skipped, also in the file that `BOOTDEPOT_SKIPPED` names: `tests/run` lists its lines at the end.
///
/// # Panics
/// If that file cannot be written.
pub fn note(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    println!("skipped: {test}: {reason}");
    if let Some(file) = std::env::var_os("BOOTDEPOT_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        file.and_then(|mut f| f.write_all(format!("{test}: {reason}\n").as_bytes())).expect("the skip can be noted");
    }
}
