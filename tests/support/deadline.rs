//! Deadlines of tests: long enough for a busy machine, and never infinite.

use std::time::Duration;

/// Returns `base` multiplied by the number of processes that compete for each core (the load average of the last minute,
/// proc(5)), between one and ten times `base`. `BOOTDEPOT_TEST_TIMEOUT_FACTOR` is an additional factor for a machine that is
/// slow without load.
pub fn stretch(base: Duration) -> Duration {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load = load.and_then(|line| line.split(' ').next()?.parse::<f64>().ok()).unwrap_or_default();
    let factor =
        std::env::var("BOOTDEPOT_TEST_TIMEOUT_FACTOR").ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(1.0);
    #[expect(clippy::cast_precision_loss, reason = "a count of cores")]
    let busy = (load / cores as f64).clamp(1.0, 10.0);
    base.mul_f64(busy * factor.clamp(0.1, 100.0))
}
