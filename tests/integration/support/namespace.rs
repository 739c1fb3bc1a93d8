//! Runs a test again inside of namespaces that another program creates. It configures no network.

use std::time::Duration;

use super::{CommandExt, Tool, tool};

/// The variable that holds the stage in which a test runs.
const STAGE: &str = "BOOTDEPOT_TEST_STAGE";

/// How long a stage may run, with all its boots, before it stretches on a busy machine.
const STAGE_LIMIT: Duration = Duration::from_mins(15);

/// Returns the stage of the running test. `None` is the first stage, outside of all namespaces.
pub(crate) fn stage() -> Option<String> {
    std::env::var(STAGE).ok()
}

/// Returns whether this user may create namespaces of these kinds (options of `unshare`). If not, reports the test as skipped.
pub(crate) fn can_unshare(unshare: &Tool, kinds: &[&str]) -> bool {
    let can = unshare.run(kinds.iter().chain(&["true"])).status.success();
    if !can {
        tool::skip(&format!("this user may not unshare {}", kinds.join(" ")));
    }
    can
}

/// Runs the stage `stage` of the test `test` (its path, with its module) by the program `enter`, which enters the namespaces.
pub(crate) fn run_stage(enter: &Tool, args: &[&str], test: &str, stage: &str) {
    let mut inner = enter.command();
    inner.args(args).arg(std::env::current_exe().expect("a test has a path"));
    inner.args(["--exact", test, "--nocapture"]).env(STAGE, stage);
    let output = inner.run_within(STAGE_LIMIT);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test}, {stage}, ended with {}:\n{out}\n{err}", output.status);
    // A name that matches no test would pass without running one.
    assert!(out.contains("test result: ok. 1 passed"), "there is no test {test}:\n{out}");
}
