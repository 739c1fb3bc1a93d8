//! `bootdepot preload`: without a server, and beside a running one.

mod beside;

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{ChildExt, CommandExt, FakeOrigin, Fault, Object, TestSite, note_skipped, random_bytes};

/// Runs the command to its end. Returns its exit status, its output and its errors.
fn run(site: &TestSite, args: &[&str]) -> (Option<i32>, String, String) {
    result(&preload(site, args).run_to_end())
}

fn result(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn preload(site: &TestSite, args: &[&str]) -> Command {
    let mut command = site.command_line(&["preload"]);
    command.args(args).stdin(Stdio::null());
    command
}

/// Starts the command.
fn start(site: &TestSite, args: &[&str]) -> Child {
    preload(site, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be run")
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("the program can be signalled");
}

/// Waits until a command that was started ends. Returns its exit status, its output and its errors.
fn finish(child: Child) -> (Option<i32>, String, String) {
    result(&child.finish())
}

/// Returns a site with three assets and their objects, which the origin has.
fn three_assets(origin: &FakeOrigin) -> (TestSite, [Object; 3]) {
    let objects = [
        origin.put("okd/kernel", random_bytes(1, 100_000)),
        origin.put("okd/rootfs.img", random_bytes(2, 3 << 20)),
        origin.put("isos/rescue.iso", random_bytes(3, 5 << 20)),
    ];
    let site = objects.iter().fold(TestSite::new(origin), TestSite::asset);
    (site.set("fill.negative_ttl", "0s"), objects)
}

fn is_cached(site: &TestSite, object: &Object) -> bool {
    site.blobs().into_iter().any(|(name, bytes)| name == object.sha256() && object.bytes == bytes)
}

#[test]
fn root_preload_keeps_cache_owner() {
    fn all_files(dir: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
        let mut found = Vec::new();
        for path in entries {
            if path.is_dir() {
                found.extend(all_files(&path));
            }
            found.push(path);
        }
        found
    }

    if !rustix::process::geteuid().is_root() {
        return note_skipped("only root can give files away");
    }
    let origin = FakeOrigin::start();
    let (site, objects) = three_assets(&origin);
    assert_eq!(run(&site, &["okd/kernel"]).0, Some(0));
    let cache = site.cache_dir();
    assert!(
        all_files(&cache).iter().all(|path| path.metadata().expect("the file exists").uid() == 0),
        "root owns the new cache"
    );
    for path in all_files(&cache).iter().chain([&cache]) {
        chown(path, Some(61_234), Some(61_235)).expect("root can give files away");
    }
    assert_eq!(run(&site, &["--all"]).0, Some(0));
    assert!(objects.iter().all(|object| is_cached(&site, object)));
    let owners: BTreeSet<_> = all_files(&cache)
        .iter()
        .map(|path| path.metadata().expect("the file exists"))
        .map(|found| (found.uid(), found.gid()))
        .collect();
    assert_eq!(owners, BTreeSet::from([(61_234, 61_235)]));
}

#[test]
fn preload_without_server_fetches_once() {
    let origin = FakeOrigin::start();
    let (site, objects) = three_assets(&origin);
    let (status, out, _) = run(&site, &["--all", "--dry-run"]);
    assert_eq!(status, Some(0));
    let (first, listed) = out.split_once('\n').expect("two lines");
    assert_eq!(first, "3 assets, none cached; 3 to fetch: 8.0 MiB", "the sizes come from the origin");
    assert!(
        listed.contains("     5.0 MiB  isos/rescue.iso\n") && listed.contains("    97.6 KiB  okd/kernel\n"),
        "{listed}"
    );
    assert!(site.blobs().is_empty());

    let (status, out, err) = run(&site, &["okd/*"]);
    assert_eq!(status, Some(0), "{err}");
    let mut lines: Vec<_> = err.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["done    okd/kernel (97.6 KiB)", "done    okd/rootfs.img (3.0 MiB)"]);
    assert!(out.contains("\ndone: 2 assets fetched (3.0 MiB) in "), "{out}");
    assert!(is_cached(&site, &objects[0]) && is_cached(&site, &objects[1]) && !is_cached(&site, &objects[2]));

    let requests = objects.each_ref().map(|object| origin.seen(&object.key).len());
    let (status, out, err) = run(&site, &["okd/kernel", "okd/rootfs.img"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert_eq!(out, "2 assets, all cached (3.0 MiB)\ndone: nothing was fetched, 2 cached before\n");
    assert_eq!(requests, objects.each_ref().map(|object| origin.seen(&object.key).len()), "the origin got no request");
}

#[test]
fn preload_json_prints_event_lines() {
    let origin = FakeOrigin::start();
    let (site, _) = three_assets(&origin);
    run(&site, &["okd/kernel"]);
    let (status, out, err) = run(&site, &["--all", "--json"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (plan, summary) = (&events[0], &events[events.len() - 1]);
    assert_eq!(
        (&plan["event"], &plan["by"], &plan["cached"]["assets"]),
        (&"plan".into(), &"command".into(), &1.into())
    );
    assert_eq!(plan["items"].as_array().expect("a list").len(), 3);
    assert_eq!((&summary["event"], &summary["state"]), (&"summary".into(), &"done".into()));
    assert_eq!(summary["assets"], serde_json::json!({"total": 3, "done": 3, "failed": 0}));
    let ended: Vec<_> = events.iter().filter(|event| event["event"] == "item" && event["state"] == "done").collect();
    assert_eq!(ended.len(), 2, "no event for an asset that was cached before: {ended:?}");
    assert!(events.iter().any(|event| event["event"] == "job"));
}

#[test]
fn preload_failure_stops_unless_keep_going() {
    let origin = FakeOrigin::start();
    let (site, objects) = three_assets(&origin);
    origin.always(&objects[1].key, Fault::Flip(70_000));
    let site = site.asset(&Object { key: "okd/absent".to_owned(), bytes: random_bytes(9, 10).into() });
    let (status, out, err) = run(&site, &["--all", "--keep-going"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("failed  okd/rootfs.img: every source sent wrong bytes: s3://assets/okd/rootfs.img: its bytes have the SHA-256 "), "{err}");
    assert!(err.contains("failed  okd/absent: no source has it: "), "{err}");
    assert!(out.contains("failed: 2 assets fetched (5.0 MiB) in "), "{out}");
    assert!(out.ends_with(", 2 failed\nfix the cause and run it again\n"), "{out}");
    assert!(is_cached(&site, &objects[0]) && is_cached(&site, &objects[2]) && site.blobs().len() == 2);

    // It stops at the first failure. The second asset was not started before that.
    let (status, out, err) = run(&site.set("fill.max_fills", 1), &["okd/absent", "okd/rootfs.img"]);
    assert_eq!(status, Some(1));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(out.contains("failed: nothing was fetched, 1 failed, 1 not done\n"), "{out}");
}

#[test]
fn preload_beyond_capacity_warns_first() {
    let origin = FakeOrigin::start();
    let (site, objects) = three_assets(&origin);
    let site = site.set("cache.max_size", "6 MiB");
    let (status, out, err) = run(&site, &["--all", "--keep-going"]);
    assert_eq!(status, Some(1));
    assert!(
        out.contains("\nthere is room for 6.0 MiB of them (limits: cache.max_size, cache.min_free, pinned assets)"),
        "{out}"
    );
    assert!(err.contains(": the cache cannot store it: no space for "), "{err}");
    assert!(is_cached(&site, &objects[0]), "the smallest asset fits beside each other one");
    assert!(err.matches("failed  ").count() == 1 && site.blobs().len() == 2, "{err}");
}

#[test]
fn killed_preload_resumes_partial_fill() {
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(30, 32 << 20));
    let site = TestSite::new(&origin).asset(&image).set("fill.part_size", "256 KiB");
    origin.allow(&image.key, 16 << 20);
    let mut child = start(&site, &["rootfs.img"]);
    origin.wait_until_sent(&image.key, 15 << 20);
    child.kill().expect("the command can be killed");
    child.wait_for_exit();
    let before = origin.sent(&image.key);
    assert!(site.blobs().is_empty());
    origin.allow(&image.key, u64::MAX);
    let (status, out, err) = run(&site, &["rootfs.img"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("done: 1 asset fetched (32.0 MiB)"), "{out}");
    assert!(is_cached(&site, &image));
    let again = origin.sent(&image.key) - before;
    assert!(again < image.size() - (4 << 20), "{again} bytes were sent again although {before} had been sent before");
}

#[test]
fn ctrl_c_cancels_preload_cleanly() {
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(31, 16 << 20));
    let site = TestSite::new(&origin).asset(&image).set("fill.part_size", "256 KiB");
    origin.allow(&image.key, 8 << 20);
    let child = start(&site, &["rootfs.img"]);
    origin.wait_until_sent(&image.key, 7 << 20);
    signal(&child, Signal::INT);
    let (status, out, err) = finish(child);
    assert_eq!(status, Some(1), "{out}{err}");
    assert!(err.contains("cancelling; what has come is kept (Ctrl-C again quits at once)"), "{err}");
    assert!(out.contains("\ncancelled: no asset was fetched in full, ") && out.contains(" received in "), "{out}");
    assert!(out.ends_with(", 1 not done\nrun it again to resume\n"), "{out}");
    let before = origin.sent(&image.key);
    origin.allow(&image.key, u64::MAX);
    let (status, _, err) = run(&site, &["rootfs.img"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(origin.sent(&image.key) - before < image.size() - (2 << 20), "the second run resumes the fill");
}

#[test]
fn preload_verify_refetches_corrupt_blob() {
    use std::os::unix::fs::PermissionsExt as _;

    let origin = FakeOrigin::start();
    let (site, objects) = three_assets(&origin);
    assert_eq!(run(&site, &["okd/**"]).0, Some(0));
    let hex = objects[0].sha256();
    let blob = site.cache_dir().join("blobs/sha256").join(&hex[..2]).join(&hex);
    let mut bytes = objects[0].bytes.to_vec();
    bytes[5000] ^= 1;
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).expect("the mode can be changed");
    std::fs::write(&blob, bytes).expect("the blob can be changed");
    let sent = origin.sent(&objects[1].key);
    let (status, out, err) = run(&site, &["okd/**", "--verify"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("; 1 to hash: "), "{out}");
    assert!(out.contains(", 1 of them again: the cached copy was corrupt or unreadable"), "{out}");
    assert!(!out.contains("verified on the disk"), "{out}");
    assert!(is_cached(&site, &objects[0]), "the corrupt blob was fetched again");
    assert_eq!(origin.sent(&objects[1].key), sent, "the correct blob was not fetched again");
}

#[test]
fn preload_errors_name_the_cause() {
    let origin = FakeOrigin::start();
    let (site, _) = three_assets(&origin);
    let (status, out, err) = run(&site, &[]);
    assert_eq!((status, out.as_str()), (Some(2), ""));
    assert_eq!(err, "bootdepot: nothing to preload; name assets, or say --release, --profile, --host or --all\n");
    let (status, _, err) = run(&site, &["okd/kernal", "--release", "okd-9", "--host", "r630-01"]);
    assert_eq!(status, Some(1));
    assert_eq!(
        err,
        "bootdepot: there is no asset \"okd/kernal\"; the nearest is \"okd/kernel\"\nthere is no release \"okd-9\"\nthere is no host \"r630-01\"\n"
    );
    // The commands do not know the port of its admin listener.
    let _server = site.start();
    let (status, _, err) = run(&site, &["okd/kernel"]);
    assert_eq!(status, Some(1));
    assert!(err.contains(" is in use by process ") && err.contains("admin.listen has port 0"), "{err}");
}
