//! The service: what the server tells the service manager, and the units by systemd's own checks.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use super::{bootdepot, project, take_environment, text};
use crate::support::{Origin, PATIENCE, Site, Tool, noise};

/// What a service manager hears.
struct Manager(Receiver<String>);

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket can be made there");
        let (sender, heard) = channel();
        // Read all the time: a full socket would hold up the server.
        std::thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self(heard)
    }

    /// The next message for which `wanted` holds.
    fn hear(&self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let message = self.0.recv_timeout(PATIENCE).expect("the server says so");
            if wanted(&message) {
                return message;
            }
        }
    }
}

#[test]
fn the_service_manager_hears_when_the_server_is_ready_reloads_and_stops() {
    let site = Site::new(&Origin::start());
    let manager = Manager::listen(&site.file("notify"));
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.file("notify"));
    let server = Site::run(command);

    assert_eq!(manager.hear(|_| true), "READY=1\n");
    let status = manager.hear(|message| message.starts_with("STATUS="));
    let expected =
        format!("STATUS=ready; http on {}; tftp on {}; admin on {}\n", server.http, server.tftp, server.admin);
    assert_eq!(status, expected);

    server.hang_up();
    let reloading = manager.hear(|message| message.starts_with("RELOADING=1\n"));
    // The same clock as systemd's, in microseconds.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let told: i64 = reloading.lines().nth(1).unwrap().strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(told > 0 && told <= now.tv_sec * 1_000_000 + now.tv_nsec / 1000, "{reloading}");
    assert_eq!(manager.hear(|message| !message.starts_with("STATUS=")), "READY=1\n");

    assert!(server.stop().success());
    manager.hear(|message| message.starts_with("STOPPING=1\nSTATUS=stopping"));
}

#[test]
fn the_watchdog_is_fed_from_the_start_to_the_end() {
    let site = Site::new(&Origin::start());
    let manager = Manager::listen(&site.file("notify"));
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.file("notify")).env("WATCHDOG_USEC", "100000");
    let server = Site::run(command);
    for _ in 0..3 {
        manager.hear(|message| message == "WATCHDOG=1\n");
    }
    assert!(server.stop().success());
    manager.hear(|message| message.starts_with("STOPPING=1\n"));
}

#[test]
fn what_is_in_the_way_of_serving_is_the_status() {
    let origin = Origin::start();
    let kernel = origin.put("kernel", vec![1; 1000]);
    origin.allow(&kernel.key, 0);
    let site = Site::new(&origin).asset(&kernel).release("okd-4.20", true, &[&kernel]);
    let manager = Manager::listen(&site.file("notify"));
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.file("notify"));
    let _server = Site::run(command);
    let status = manager.hear(|message| message.starts_with("STATUS="));
    assert!(status.starts_with("STATUS=not ready: ") && status.contains("okd-4.20"), "{status}");
    assert_eq!(status.matches('\n').count(), 1, "{status:?}");
}

/// The units in a directory of their own, where the service is the program under test.
fn units() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for unit in ["bootdepot.service", "bootdepot-tftp.socket", "bootdepot-http.socket"] {
        let unit_text = text(&format!("deploy/systemd/{unit}")).replace("/usr/bin/bootdepot", bootdepot());
        std::fs::write(dir.path().join(unit), unit_text).unwrap();
    }
    dir
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let Some(analyze) = Tool::find("systemd-analyze") else { return };
    let units = units();
    let drop_ins = units.path().join("bootdepot.service.d");
    let verify = || {
        let units =
            ["bootdepot.service", "bootdepot-tftp.socket", "bootdepot-http.socket"].map(|u| units.path().join(u));
        let args = ["verify", "--man=no"].map(std::ffi::OsString::from);
        let output = analyze.run(args.into_iter().chain(units.map(Into::into)));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Of other units of this machine it tells too.
        let ours: Vec<_> = said.lines().filter(|line| line.contains("bootdepot")).map(str::to_owned).collect();
        (output.status.success(), ours)
    };
    assert_eq!(verify(), (true, Vec::new()));
    std::fs::create_dir(&drop_ins).unwrap();
    for example in std::fs::read_dir(project("deploy/systemd/bootdepot.service.d")).unwrap() {
        let example = example.unwrap().path();
        std::fs::copy(&example, drop_ins.join(example.file_stem().unwrap())).unwrap();
    }
    assert_eq!(verify(), (true, Vec::new()), "with all drop-ins");
    // That it would say so.
    std::fs::write(drop_ins.join("wrong.conf"), "[Service]\nProtectSytem=strict\n").unwrap();
    assert_eq!(verify().1.len(), 1);
}

#[test]
fn the_service_is_exposed_no_more_than_its_unit_says() {
    let Some(analyze) = Tool::find("systemd-analyze") else { return };
    let unit = text("deploy/systemd/bootdepot.service");
    let noted = unit.lines().find_map(|line| line.split_once("overall exposure level: ")).expect("the unit tells").1;
    let noted: f32 = noted.split(' ').next().unwrap().parse().unwrap();
    // Tenths, as a whole number.
    let threshold = format!("--threshold={:.0}", noted * 10.0);
    let units = units();
    let file = units.path().join("bootdepot.service").display().to_string();
    let said = analyze.succeed(["security", "--offline=yes", "--no-pager", &threshold, &file]);
    assert!(said.contains(&format!("Overall exposure level for bootdepot.service: {noted:.1}")), "{said}");
}

/// The system calls of systemd's sets, by the set's name. A set may hold others.
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

/// The calls that `names` stand for, sets and single ones.
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
fn the_service_may_make_every_system_call_that_the_server_makes() {
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

    let origin = Origin::start();
    let image = origin.put("image", noise(73, 3 << 20));
    let site = Site::new(&origin).asset(&image).set("cache.scrub_interval", "1s");
    let (server, trace) = (site.command(), site.file("trace"));
    // As a grandchild, so that signals reach the server.
    let mut traced = Command::new(strace.path());
    traced.args(["-D", "-f", "-qq", "-o"]).arg(&trace).arg(server.get_program()).args(server.get_args());
    take_environment(&mut traced, &server);
    traced.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let server = Site::run(traced);
    for _ in 0..2 {
        assert!(server.client().compare("/assets/image", &image.bytes));
    }
    assert_eq!(super::sockets::fetch(server.tftp, "image").1.len(), 512);
    server.hang_up();
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
