//! The service: the server's messages to the service manager, and systemd's own checks of the units.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::{bootdepot, copy_environment, project, text};
use crate::support::{FakeOrigin, TestSite, Tool, random_bytes, timeout};

/// Receives the messages to a service manager.
struct ServiceManager(Receiver<String>);

impl ServiceManager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket can be made there");
        let (sender, messages) = channel();
        // A thread reads all the time, because a full socket would block the server.
        std::thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self(messages)
    }

    /// Waits for the next message for which `wanted` holds.
    fn receive(&self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + timeout();
        loop {
            let message = self.0.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let message = message.expect("the server sends such a message");
            if wanted(&message) {
                return message;
            }
        }
    }
}

#[test]
fn service_manager_receives_state_changes() {
    let site = TestSite::new(&FakeOrigin::start());
    let manager = ServiceManager::listen(&site.file("notify"));
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.file("notify"));
    let server = TestSite::run(command);

    assert_eq!(manager.receive(|_| true), "READY=1\n");
    let status = manager.receive(|message| message.starts_with("STATUS="));
    let expected =
        format!("STATUS=ready; http on {}; tftp on {}; admin on {}\n", server.http, server.tftp, server.admin);
    assert_eq!(status, expected);

    server.reload();
    let reloading = manager.receive(|message| message.starts_with("RELOADING=1\n"));
    // The same clock as systemd's, in microseconds.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let sent_at: i64 = reloading.lines().nth(1).unwrap().strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(sent_at > 0 && sent_at <= now.tv_sec * 1_000_000 + now.tv_nsec / 1000, "{reloading}");
    assert_eq!(manager.receive(|message| !message.starts_with("STATUS=")), "READY=1\n");

    assert!(server.stop().success());
    manager.receive(|message| message.starts_with("STOPPING=1\nSTATUS=stopping"));
}

#[test]
fn watchdog_is_notified_while_serving() {
    let site = TestSite::new(&FakeOrigin::start());
    let manager = ServiceManager::listen(&site.file("notify"));
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.file("notify")).env("WATCHDOG_USEC", "100000");
    let server = TestSite::run(command);
    for _ in 0..3 {
        manager.receive(|message| message == "WATCHDOG=1\n");
    }
    assert!(server.stop().success());
    manager.receive(|message| message.starts_with("STOPPING=1\n"));
}

#[test]
fn unready_reason_is_service_status() {
    let origin = FakeOrigin::start();
    let kernel = origin.put("kernel", vec![1; 1000]);
    origin.allow(&kernel.key, 0);
    let site = TestSite::new(&origin).asset(&kernel).release("okd-4.20", true, &[&kernel]);
    let manager = ServiceManager::listen(&site.file("notify"));
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.file("notify"));
    let _server = TestSite::run(command);
    let status = manager.receive(|message| message.starts_with("STATUS="));
    assert!(status.starts_with("STATUS=not ready: ") && status.contains("okd-4.20"), "{status}");
    assert_eq!(status.matches('\n').count(), 1, "{status:?}");
}

/// Returns a directory with the units, in which the service runs the program under test.
fn units() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for unit in ["bootdepot.service", "bootdepot-tftp.socket", "bootdepot-http.socket"] {
        let unit_text = text(&format!("deploy/systemd/{unit}")).replace("/usr/bin/bootdepot", bootdepot());
        std::fs::write(dir.path().join(unit), unit_text).unwrap();
    }
    dir
}

#[test]
fn systemd_verify_accepts_the_units() {
    let Some(analyze) = Tool::find("systemd-analyze") else { return };
    let units = units();
    let drop_ins = units.path().join("bootdepot.service.d");
    let verify = || {
        let units =
            ["bootdepot.service", "bootdepot-tftp.socket", "bootdepot-http.socket"].map(|u| units.path().join(u));
        let args = ["verify", "--man=no"].map(std::ffi::OsString::from);
        let output = analyze.run(args.into_iter().chain(units.map(Into::into)));
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        // The report includes other units of this machine.
        let ours: Vec<_> = report.lines().filter(|line| line.contains("bootdepot")).map(str::to_owned).collect();
        (output.status.success(), ours)
    };
    assert_eq!(verify(), (true, Vec::new()));
    std::fs::create_dir(&drop_ins).unwrap();
    for example in std::fs::read_dir(project("deploy/systemd/bootdepot.service.d")).unwrap() {
        let example = example.unwrap().path();
        std::fs::copy(&example, drop_ins.join(example.file_stem().unwrap())).unwrap();
    }
    assert_eq!(verify(), (true, Vec::new()), "with all drop-ins");
    // The check finds an error.
    std::fs::write(drop_ins.join("wrong.conf"), "[Service]\nProtectSytem=strict\n").unwrap();
    assert_eq!(verify().1.len(), 1);
}

#[test]
fn exposure_level_matches_the_unit() {
    let Some(analyze) = Tool::find("systemd-analyze") else { return };
    let unit = text("deploy/systemd/bootdepot.service");
    let expected =
        unit.lines().find_map(|line| line.split_once("overall exposure level: ")).expect("the unit names the level").1;
    let expected: f32 = expected.split(' ').next().unwrap().parse().unwrap();
    // Tenths, as a whole number.
    let threshold = format!("--threshold={:.0}", expected * 10.0);
    let units = units();
    let file = units.path().join("bootdepot.service").display().to_string();
    let report = analyze.succeed(["security", "--offline=yes", "--no-pager", &threshold, &file]);
    assert!(report.contains(&format!("Overall exposure level for bootdepot.service: {expected:.1}")), "{report}");
}

/// Returns the system calls of systemd's sets, by the name of the set. A set may include others.
fn call_sets(analyze: &Tool) -> BTreeMap<String, Vec<String>> {
    let listed = analyze.succeed(["syscall-filter", "--no-pager"]);
    let mut sets = BTreeMap::<String, Vec<String>>::new();
    let mut current = String::new();
    for line in listed.lines() {
        let word = line.trim();
        if line.starts_with('@') {
            word.clone_into(&mut current);
        } else if !word.is_empty() && !word.starts_with('#') {
            sets.entry(current.clone()).or_default().push(word.to_owned());
        }
    }
    sets
}

/// Returns the calls for `names`, which are sets or single calls.
fn calls<'a>(sets: &BTreeMap<String, Vec<String>>, names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in names {
        match sets.get(name) {
            Some(of_set) => found.extend(calls(sets, of_set.iter().map(String::as_str))),
            None => drop(found.insert(name.to_owned())),
        }
    }
    found
}

#[test]
fn syscall_filter_allows_server_calls() {
    let [Some(analyze), Some(strace)] = ["systemd-analyze", "strace"].map(Tool::find) else { return };
    let sets = call_sets(&analyze);
    let unit = text("deploy/systemd/bootdepot.service");
    let mut allowed = calls(&sets, std::iter::once("@default"));
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        match line.strip_prefix('~') {
            Some(denied) => {
                let denied = calls(&sets, denied.split(' '));
                allowed.retain(|call| !denied.contains(call));
            }
            None => allowed.extend(calls(&sets, line.split(' '))),
        }
    }
    assert!(allowed.contains("recvmmsg") && !allowed.contains("mount"), "{allowed:?}");

    let origin = FakeOrigin::start();
    let image = origin.put("image", random_bytes(73, 3 << 20));
    let site = TestSite::new(&origin).asset(&image).set("cache.scrub_interval", "1s");
    let (server, trace) = (site.command(), site.file("trace"));
    // With -D strace is a grandchild, so that signals reach the server.
    let mut traced = Command::new(strace.path());
    traced.args(["-D", "-f", "-qq", "-o"]).arg(&trace).arg(server.get_program()).args(server.get_args());
    copy_environment(&mut traced, &server);
    traced.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let server = TestSite::run(traced);
    for _ in 0..2 {
        assert!(server.client().compare("/assets/image", &image.bytes));
    }
    assert_eq!(super::sockets::fetch(server.tftp, "image").1.len(), 512);
    server.reload();
    server.wait_for(|line| line.text("message").starts_with("reload"));
    assert!(server.stop().success());

    let trace = std::fs::read_to_string(trace).unwrap();
    // PID NAME(…
    let call = |line: &str| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned());
    let is_name = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let made: BTreeSet<String> = trace.lines().filter_map(call).filter(is_name).collect();
    assert!(made.len() > 40 && made.contains("sendmmsg"), "{made:?}");
    assert_eq!(made.difference(&allowed).collect::<Vec<_>>(), Vec::<&String>::new());
}
