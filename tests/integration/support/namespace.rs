//! Tests that run themselves once more, inside of namespaces that another program makes for them. It builds no network.

use std::process::Stdio;

use super::{Tool, tool};

/// Tells a test in which of its stages it runs.
const STAGE: &str = "BOOTDEPOT_TEST_STAGE";

/// In which stage the running test is; `None`: in its first, outside of everything.
pub(crate) fn stage() -> Option<String> {
    std::env::var(STAGE).ok()
}

/// Whether namespaces of these kinds can be had, as `unshare` calls them. Else the test is skipped.
pub(crate) fn can_be_had(unshare: &Tool, kinds: &[&str]) -> bool {
    let can = unshare.run(kinds.iter().chain(&["true"])).status.success();
    if !can {
        tool::skip(&format!("this user may not unshare {}", kinds.join(" ")));
    }
    can
}

/// Runs the test of this name (with its module) as its stage `stage`, by a program that enters the namespaces.
pub(crate) fn again(enter: &Tool, args: &[&str], test: &str, stage: &str) {
    let mut inner = enter.command();
    inner.args(args).arg(std::env::current_exe().expect("a test has a path"));
    inner.args(["--exact", test, "--nocapture"]).env(STAGE, stage).stdin(Stdio::null());
    let output = inner.output().expect("the test can be started again");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test}, {stage}, ended with {}:\n{out}\n{err}", output.status);
    // With another name it would pass without having run.
    assert!(out.contains("test result: ok. 1 passed"), "there is no test {test}:\n{out}");
}
