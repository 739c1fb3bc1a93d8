//! The log as other processes get it: an unread pipe, systemd's journal, and a program that parses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use bootdepot::telemetry::Logs;
use serde_json::Value;

use crate::support::s3::BUCKET;
use crate::support::{ChildExt, Client, CommandExt, FakeOrigin, TestServer, TestSite, Watchdog, random_bytes, timeout};

/// A server whose log is read up to its addresses, and no further.
struct UnreadServer {
    child: Option<Child>,
    log: BufReader<PipeReader>,
    http: Client,
    admin: Client,
    watchdog: Option<Watchdog>,
}

impl UnreadServer {
    fn start(site: &TestSite) -> Self {
        let (reader, writer) = pipe().unwrap();
        // All lines of all crates: many lines a request.
        let child = site.command().env("BOOTDEPOT_LOG", "trace").stderr(writer).spawn().unwrap();
        let watchdog = Watchdog::new(&child);
        let mut log = BufReader::new(reader);
        let mut listening = BTreeMap::new();
        while !(listening.contains_key("http") && listening.contains_key("admin")) {
            let line = next_line(&mut log).expect("the server logs its addresses");
            if line["message"] == "listening" {
                let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
                listening.insert(line["protocol"].as_str().unwrap().to_owned(), Client::new(address));
            }
        }
        let (http, admin) = (listening["http"], listening["admin"]);
        Self { child: Some(child), log, http, admin, watchdog: Some(watchdog) }
    }

    /// Returns the number of log lines lost so far.
    fn lost(&self) -> u64 {
        let metrics = self.admin.get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("bootdepot_log_lines_dropped_total "));
        line.expect("the metric exists").parse().unwrap()
    }

    /// Requests the asset until log lines are lost. Each response must be complete.
    fn flood(&self, expected: &[u8]) {
        let deadline = Instant::now() + timeout();
        while self.lost() == 0 {
            assert!(self.http.compare("/assets/vmlinuz", expected), "the asset is served although the log is unread");
            assert!(Instant::now() < deadline, "no line was lost");
        }
    }

    /// Stops it by SIGTERM. Fails the test if it does not end.
    fn stop(mut self) -> ExitStatus {
        self.watchdog = None;
        let mut child = self.child.take().expect("the server runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait_for_exit()
    }
}

impl Drop for UnreadServer {
    fn drop(&mut self) {
        self.watchdog = None;
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn next_line(log: &mut impl BufRead) -> Option<Value> {
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
}

#[test]
fn unread_log_blocks_nothing() {
    let origin = FakeOrigin::start();
    let image = origin.put("vmlinuz", random_bytes(80, 100_000));
    let server = UnreadServer::start(&TestSite::new(&origin).asset(&image));
    server.flood(&image.bytes);
    for _ in 0..20 {
        assert!(server.http.compare("/assets/vmlinuz", &image.bytes));
    }
    assert_eq!(server.http.get("/readyz").status, 200);
    assert!(server.stop().success());
}

#[test]
fn resumed_log_reports_lost_lines() {
    let origin = FakeOrigin::start();
    let image = origin.put("vmlinuz", random_bytes(81, 100_000));
    let mut server = UnreadServer::start(&TestSite::new(&origin).asset(&image));
    server.flood(&image.bytes);
    let lost = server.lost();
    let report = loop {
        let line = next_line(&mut server.log).expect("the server reports the lost lines");
        if line["target"] == "bootdepot::log" {
            break line;
        }
    };
    assert_eq!(report["level"], "WARN");
    assert!(report["lines"].as_u64().unwrap() >= lost, "{report}");
}

#[test]
fn eviction_is_logged_once_by_name() {
    let origin = FakeOrigin::start();
    let (old, new) =
        (origin.put("old.img", random_bytes(84, 600_000)), origin.put("new.img", random_bytes(85, 600_000)));
    let site = TestSite::new(&origin).asset(&old).asset(&new).set("cache.max_size", "1 MB");
    let server = site.start();
    for image in [&old, &new] {
        assert!(server.client().compare(&format!("/assets/{}", image.key), &image.bytes));
        server.wait_for_fill(&image.key, "complete");
    }
    let evicted = server.lines(|line| line.text("message") == "blob evicted");
    let facts: Vec<_> =
        evicted.iter().map(|line| (line.text("asset"), line.text("digest"), line.number("bytes"))).collect();
    assert_eq!(facts, [("old.img".to_owned(), old.sha256(), 600_000)]);
}

#[test]
fn last_line_is_written_before_exit() {
    let server = TestSite::new(&FakeOrigin::start()).start();
    // The last line so far.
    let last = |server: &TestServer| server.lines(|_| true).last().map(|line| line.text("message"));
    assert_ne!(last(&server).as_deref(), Some("stopped"));
    let text = server.stop_and_read();
    assert_eq!(text.last().map(|line| line.text("message")).as_deref(), Some("stopped"));
}

#[test]
fn journal_gets_priorities_without_times() {
    let site = TestSite::new(&FakeOrigin::start()).set("http.listen", vec!["192.0.2.1:1"]);
    for is_the_journal in [true, false] {
        let path = site.file("log");
        let file = File::create(&path).unwrap();
        let stat = file.metadata().unwrap();
        let stream = format!("{}:{}", stat.dev(), stat.ino() + u64::from(!is_the_journal));
        let mut command = site.command();
        command.env("BOOTDEPOT_LOG_FORMAT", "human").env("JOURNAL_STREAM", stream).stderr(file);
        assert_eq!(command.spawn().unwrap().wait_for_exit().code(), Some(1));
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().last().unwrap();
        assert!(line.contains("ERROR") && line.contains("192.0.2.1:1"), "{text}");
        assert_eq!(line.starts_with("<3>ERROR "), is_the_journal, "{text}");
        assert_eq!(line.starts_with("20"), !is_the_journal, "{text}");
    }
}

#[test]
fn panic_is_logged_after_earlier_lines() {
    const CHILD: &str = "A_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        let _logs = Logs::start().unwrap();
        for number in 0..1000 {
            tracing::info!(number, "a line");
        }
        panic!("on purpose");
    }
    let name = "logs::panic_is_logged_after_earlier_lines";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, "1").stdout(Stdio::null());
    command.env("BOOTDEPOT_LOG_FORMAT", "json").env("BOOTDEPOT_LOG", "info").env_remove("RUST_BACKTRACE");
    let output = command.stderr(Stdio::piped()).run_to_end();
    assert!(!output.status.success());
    let mut log = BufReader::new(&output.stderr[..]);
    for number in 0..1000 {
        assert_eq!(next_line(&mut log).unwrap()["number"], number);
    }
    let panic = next_line(&mut log).unwrap();
    assert_eq!((&panic["target"], &panic["level"]), (&"bootdepot::panic".into(), &"ERROR".into()));
    assert_eq!((panic["message"].as_str(), panic["reason"].as_str()), (Some("panic"), Some("on purpose")));
    assert!(panic["location"].as_str().unwrap().contains("logs.rs:"), "{panic}");
    assert!(log.bytes().next().is_none(), "nothing else is printed");
}

/// Returns the fields of the lines of each target, from the tables of docs/observability.md.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = include_str!("../../docs/observability.md");
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        let mut cells = row.split(" | ").map(|cell| cell.trim_matches(['`', '|', ' ']));
        let (Some(field), Some(targets)) = (cells.next(), cells.next()) else { continue };
        for target in targets.split("`, `") {
            fields.entry(target.to_owned()).or_default().insert(field.to_owned());
        }
    }
    fields
}

#[test]
fn json_lines_have_documented_fields() {
    let origin = FakeOrigin::start();
    let image = origin.put("vmlinuz", random_bytes(82, 100_000));
    let lost = origin.put("lost", random_bytes(83, 100));
    let site = TestSite::new(&origin).asset(&image).asset_from(
        "gone",
        &lost.sha256(),
        &[&format!("s3://{BUCKET}/no-such-key")],
    );
    let host = "[[profile]]\nname = \"disk\"\nlocal = true\n\
        [[host]]\nname = \"r630-01\"\nmatch = { mac = \"24:6e:96:00:00:01\" }\nprofile = \"disk\"\n";
    let server = site.tables(toml::from_str(host).expect("the configuration of the test is valid")).start();
    assert_eq!(server.client().get("/ipxe?mac=24:6e:96:00:00:01").status, 200);
    assert!(server.client().compare("/assets/vmlinuz", &image.bytes));
    assert_eq!(server.client().get("/assets/gone").status, 404);
    server.wait_for_transfer("vmlinuz", "complete");
    server.wait_for_transfer("gone", "not-found");

    let documented = documented();
    let every = &documented["every line"];
    for (target, least) in [("bootdepot::transfer", 2), ("bootdepot::fill", 2)] {
        let lines = server.wait_for_lines(least, |line| line.is(target));
        let mut seen = BTreeSet::new();
        for line in &lines {
            seen.extend(line.names());
        }
        let allowed: BTreeSet<_> = every.union(&documented[target]).cloned().collect();
        assert_eq!(seen, allowed, "the fields of {target}");
    }
    for line in server.lines(|_| true) {
        assert!(every.iter().all(|name| line.names().contains(name)), "{line:?}");
    }
}
