//! The log, from outside of the process: nobody reads it, systemd's journal does, a program does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use bootdepot::telemetry::Logs;
use serde_json::Value;

use crate::support::s3::BUCKET;
use crate::support::{Client, Origin, PATIENCE, Server, Site, noise};

/// A server whose log is read as far as its addresses, and then no more.
struct Unread {
    child: Option<Child>,
    log: BufReader<PipeReader>,
    http: Client,
    admin: Client,
}

impl Unread {
    fn start(site: &Site) -> Self {
        let (reader, writer) = pipe().unwrap();
        // Everything that any crate says: many lines a request.
        let child = site.command().env("BOOTDEPOT_LOG", "trace").stderr(writer).spawn().unwrap();
        let mut log = BufReader::new(reader);
        let mut listening = BTreeMap::new();
        while !(listening.contains_key("http") && listening.contains_key("admin")) {
            let line = next_line(&mut log).expect("the server says where it listens");
            if line["message"] == "listening" {
                let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
                listening.insert(line["protocol"].as_str().unwrap().to_owned(), Client::of(address));
            }
        }
        Self { child: Some(child), log, http: listening["http"], admin: listening["admin"] }
    }

    /// Log lines that were lost so far.
    fn lost(&self) -> u64 {
        let metrics = self.admin.get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("bootdepot_log_lines_dropped_total "));
        line.expect("the metric is there").parse().unwrap()
    }

    /// Asks for the asset until lines are lost; each time it comes whole.
    fn flood(&self, expected: &[u8]) {
        let began = Instant::now();
        while self.lost() == 0 {
            assert!(self.http.compare("/assets/vmlinuz", expected), "it is served whatever becomes of the log");
            assert!(began.elapsed() < PATIENCE, "no line was lost");
        }
    }

    /// Ends it by SIGTERM; `None` where it does not end.
    fn stop(mut self) -> Option<ExitStatus> {
        let mut child = self.child.take().expect("it runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let (ending, ended) = mpsc::channel();
        std::thread::spawn(move || ending.send(child.wait().unwrap()));
        let status = ended.recv_timeout(PATIENCE).ok();
        if status.is_none() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        status
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
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
fn a_log_that_nobody_reads_holds_up_neither_transfers_nor_the_end() {
    let origin = Origin::start();
    let image = origin.put("vmlinuz", noise(80, 100_000));
    let server = Unread::start(&Site::new(&origin).asset(&image));
    server.flood(&image.bytes);
    for _ in 0..20 {
        assert!(server.http.compare("/assets/vmlinuz", &image.bytes));
    }
    assert_eq!(server.http.get("/readyz").status, 200);
    assert!(server.stop().expect("SIGTERM ends it").success());
}

#[test]
fn a_log_that_is_read_again_says_what_it_lacks() {
    let origin = Origin::start();
    let image = origin.put("vmlinuz", noise(81, 100_000));
    let mut server = Unread::start(&Site::new(&origin).asset(&image));
    server.flood(&image.bytes);
    let lost = server.lost();
    let told = loop {
        let line = next_line(&mut server.log).expect("it goes on");
        if line["target"] == "bootdepot::log" {
            break line;
        }
    };
    assert_eq!(told["level"], "WARN");
    assert!(told["lines"].as_u64().unwrap() >= lost, "{told}");
}

#[test]
fn the_last_line_is_written_before_the_end() {
    let server = Site::new(&Origin::start()).start();
    // What follows the last wait.
    let last = |server: &Server| server.lines(|_| true).last().map(|line| line.text("message"));
    assert_ne!(last(&server).as_deref(), Some("stopped"));
    let text = server.stop_and_read();
    assert_eq!(text.last().map(|line| line.text("message")).as_deref(), Some("stopped"));
}

#[test]
fn the_journal_gets_priorities_and_no_times() {
    let site = Site::new(&Origin::start()).set("http.listen", vec!["192.0.2.1:1"]);
    for is_the_journal in [true, false] {
        let path = site.file("log");
        let file = File::create(&path).unwrap();
        let stat = file.metadata().unwrap();
        let stream = format!("{}:{}", stat.dev(), stat.ino() + u64::from(!is_the_journal));
        let mut command = site.command();
        command.env("BOOTDEPOT_LOG_FORMAT", "human").env("JOURNAL_STREAM", stream).stderr(file);
        assert_eq!(command.status().unwrap().code(), Some(1));
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().last().unwrap();
        assert!(line.contains("ERROR") && line.contains("192.0.2.1:1"), "{text}");
        assert_eq!(line.starts_with("<3>ERROR "), is_the_journal, "{text}");
        assert_eq!(line.starts_with("20"), !is_the_journal, "{text}");
    }
}

#[test]
fn a_panic_is_a_line_like_others_and_loses_none_before_it() {
    const CHILD: &str = "A_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        let _logs = Logs::start().unwrap();
        for number in 0..1000 {
            tracing::info!(number, "a line");
        }
        panic!("on purpose");
    }
    let name = "logs::a_panic_is_a_line_like_others_and_loses_none_before_it";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, "1").stdout(Stdio::null());
    command.env("BOOTDEPOT_LOG_FORMAT", "json").env("BOOTDEPOT_LOG", "info").env_remove("RUST_BACKTRACE");
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    let mut log = BufReader::new(&output.stderr[..]);
    for number in 0..1000 {
        assert_eq!(next_line(&mut log).unwrap()["number"], number);
    }
    let panic = next_line(&mut log).unwrap();
    assert_eq!((&panic["target"], &panic["level"]), (&"bootdepot::panic".into(), &"ERROR".into()));
    assert_eq!((panic["message"].as_str(), panic["reason"].as_str()), (Some("panic"), Some("on purpose")));
    assert!(panic["location"].as_str().unwrap().contains("logs.rs:"), "{panic}");
    assert!(log.bytes().next().is_none(), "nothing is printed besides");
}

/// The tables of docs/observability.md that say which fields a line of a target has.
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
fn lines_for_programs_have_the_fields_that_are_documented() {
    let origin = Origin::start();
    let image = origin.put("vmlinuz", noise(82, 100_000));
    let lost = origin.put("lost", noise(83, 100));
    let site =
        Site::new(&origin).asset(&image).asset_from("gone", &lost.sha256(), &[&format!("s3://{BUCKET}/no-such-key")]);
    let server = site.start();
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
