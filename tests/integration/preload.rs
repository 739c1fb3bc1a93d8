//! `bootdepot preload`, as an operator runs it before a maintenance window: with no server, and beside one.

mod beside;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Fault, Object, Origin, Site, noise, note_skipped};

/// The site's command line, to be run to its end: its status, and what it printed and complained of.
fn run(site: &Site, args: &[&str]) -> (Option<i32>, String, String) {
    let output: Output = preload(site, args).output().expect("the program can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn preload(site: &Site, args: &[&str]) -> Command {
    let mut command = site.command_line(&["preload"]);
    command.args(args).stdin(Stdio::null());
    command
}

/// The same, under way.
fn begin(site: &Site, args: &[&str]) -> Child {
    preload(site, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be run")
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("the program can be signalled");
}

/// What a program that was begun says until its end.
fn rest(mut child: Child) -> (Option<i32>, String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().expect("it is piped").read_to_string(&mut out).expect("text");
    child.stderr.take().expect("it is piped").read_to_string(&mut err).expect("text");
    (child.wait().expect("it ends").code(), out, err)
}

/// Three assets of a site, all of them at the origin.
fn three(origin: &Origin) -> (Site, [Object; 3]) {
    let objects = [
        origin.put("okd/kernel", noise(1, 100_000)),
        origin.put("okd/rootfs.img", noise(2, 3 << 20)),
        origin.put("isos/rescue.iso", noise(3, 5 << 20)),
    ];
    let site = objects.iter().fold(Site::new(origin), Site::asset);
    (site.set("fill.negative_ttl", "0s"), objects)
}

fn is_here(site: &Site, object: &Object) -> bool {
    site.blobs().into_iter().any(|(name, bytes)| name == object.sha256() && object.bytes == bytes)
}

#[test]
fn what_root_brings_in_belongs_to_the_user_whose_cache_it_is() {
    fn everything(dir: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
        let mut found = Vec::new();
        for path in entries {
            if path.is_dir() {
                found.extend(everything(&path));
            }
            found.push(path);
        }
        found
    }

    if !rustix::process::geteuid().is_root() {
        return note_skipped("only root can give files away");
    }
    let origin = Origin::start();
    let (site, objects) = three(&origin);
    assert_eq!(run(&site, &["okd/kernel"]).0, Some(0));
    let cache = site.cache_dir();
    assert!(everything(&cache).iter().all(|path| path.metadata().expect("it is there").uid() == 0), "it is root's own");
    for path in everything(&cache).iter().chain([&cache]) {
        chown(path, Some(61_234), Some(61_235)).expect("root can give files away");
    }
    assert_eq!(run(&site, &["--all"]).0, Some(0));
    assert!(objects.iter().all(|object| is_here(&site, object)));
    let owners: BTreeSet<_> = everything(&cache)
        .iter()
        .map(|path| path.metadata().expect("it is there"))
        .map(|found| (found.uid(), found.gid()))
        .collect();
    assert_eq!(owners, BTreeSet::from([(61_234, 61_235)]));
}

#[test]
fn without_a_server_it_fetches_by_itself_and_again_for_nothing() {
    let origin = Origin::start();
    let (site, objects) = three(&origin);
    let (status, out, _) = run(&site, &["--all", "--dry-run"]);
    assert_eq!(status, Some(0));
    let (first, listed) = out.split_once('\n').expect("two lines");
    assert_eq!(first, "3 assets, none cached; 3 to fetch: 8.0 MiB", "the origin was asked for the sizes");
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
    assert!(is_here(&site, &objects[0]) && is_here(&site, &objects[1]) && !is_here(&site, &objects[2]));

    let asked = objects.each_ref().map(|object| origin.seen(&object.key).len());
    let (status, out, err) = run(&site, &["okd/kernel", "okd/rootfs.img"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert_eq!(out, "2 assets, all cached (3.0 MiB)\ndone: nothing was fetched, 2 cached before\n");
    assert_eq!(
        asked,
        objects.each_ref().map(|object| origin.seen(&object.key).len()),
        "the origin heard nothing of it"
    );
}

#[test]
fn in_json_it_is_one_event_a_line() {
    let origin = Origin::start();
    let (site, _) = three(&origin);
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
    assert_eq!(ended.len(), 2, "what was here is no news: {ended:?}");
    assert!(events.iter().any(|event| event["event"] == "job"));
}

#[test]
fn a_failure_is_told_with_its_reason_and_stops_it_unless_it_is_to_go_on() {
    let origin = Origin::start();
    let (site, objects) = three(&origin);
    origin.always(&objects[1].key, Fault::Flip(70_000));
    let site = site.asset(&Object { key: "okd/absent".to_owned(), bytes: noise(9, 10).into() });
    let (status, out, err) = run(&site, &["--all", "--keep-going"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("failed  okd/rootfs.img: every source sent wrong bytes: s3://assets/okd/rootfs.img: its bytes have the SHA-256 "), "{err}");
    assert!(err.contains("failed  okd/absent: no source has it: "), "{err}");
    assert!(out.contains("failed: 2 assets fetched (5.0 MiB) in "), "{out}");
    assert!(out.ends_with(", 2 failed\nfix the cause and run it again\n"), "{out}");
    assert!(is_here(&site, &objects[0]) && is_here(&site, &objects[2]) && site.blobs().len() == 2);

    // It stops at the first failure; the other one has not its turn before that.
    let (status, out, err) = run(&site.set("fill.max_fills", 1), &["okd/absent", "okd/rootfs.img"]);
    assert_eq!(status, Some(1));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(out.contains("failed: nothing was fetched, 1 failed, 1 not done\n"), "{out}");
}

#[test]
fn with_too_little_room_it_says_so_before_and_pushes_out_nothing_of_its_own() {
    let origin = Origin::start();
    let (site, objects) = three(&origin);
    let site = site.set("cache.max_size", "6 MiB");
    let (status, out, err) = run(&site, &["--all", "--keep-going"]);
    assert_eq!(status, Some(1));
    assert!(
        out.contains("\nthere is room for 6.0 MiB of them (limits: cache.max_size, cache.min_free, pinned assets)"),
        "{out}"
    );
    assert!(err.contains(": the cache cannot store it: no space for "), "{err}");
    assert!(is_here(&site, &objects[0]), "the smallest fits whatever comes beside it");
    assert!(err.matches("failed  ").count() == 1 && site.blobs().len() == 2, "{err}");
}

#[test]
fn a_kill_in_the_middle_costs_only_what_was_not_yet_here() {
    let origin = Origin::start();
    let image = origin.put("rootfs.img", noise(30, 32 << 20));
    let site = Site::new(&origin).asset(&image).set("fill.part_size", "256 KiB");
    origin.allow(&image.key, 16 << 20);
    let mut child = begin(&site, &["rootfs.img"]);
    origin.wait_until_sent(&image.key, 15 << 20);
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let before = origin.sent(&image.key);
    assert!(site.blobs().is_empty());
    origin.allow(&image.key, u64::MAX);
    let (status, out, err) = run(&site, &["rootfs.img"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("done: 1 asset fetched (32.0 MiB)"), "{out}");
    assert!(is_here(&site, &image));
    let again = origin.sent(&image.key) - before;
    assert!(again < image.size() - (4 << 20), "{again} bytes came again though some {before} were here");
}

#[test]
fn ctrl_c_ends_it_cleanly_and_the_next_run_goes_on() {
    let origin = Origin::start();
    let image = origin.put("rootfs.img", noise(31, 16 << 20));
    let site = Site::new(&origin).asset(&image).set("fill.part_size", "256 KiB").set("fill.stall_timeout", "1h");
    origin.allow(&image.key, 8 << 20);
    let child = begin(&site, &["rootfs.img"]);
    origin.wait_until_sent(&image.key, 7 << 20);
    signal(&child, Signal::INT);
    let (status, out, err) = rest(child);
    assert_eq!(status, Some(1), "{out}{err}");
    assert!(err.contains("cancelling; what has come is kept (Ctrl-C again quits at once)"), "{err}");
    assert!(out.contains("\ncancelled: no asset was fetched in full, ") && out.contains(" received in "), "{out}");
    assert!(out.ends_with(", 1 not done\nrun it again to resume\n"), "{out}");
    let before = origin.sent(&image.key);
    origin.allow(&image.key, u64::MAX);
    let (status, _, err) = run(&site, &["rootfs.img"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(origin.sent(&image.key) - before < image.size() - (2 << 20), "it went on where it was");
}

#[test]
fn what_rotted_is_found_and_fetched_again_by_verify() {
    use std::os::unix::fs::PermissionsExt as _;

    let origin = Origin::start();
    let (site, objects) = three(&origin);
    assert_eq!(run(&site, &["okd/**"]).0, Some(0));
    let hex = objects[0].sha256();
    let blob = site.cache_dir().join("blobs/sha256").join(&hex[..2]).join(&hex);
    let mut bytes = objects[0].bytes.to_vec();
    bytes[5000] ^= 1;
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    std::fs::write(&blob, bytes).expect("it can be spoilt");
    let sent = origin.sent(&objects[1].key);
    let (status, out, err) = run(&site, &["okd/**", "--verify"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.starts_with("2 assets, all cached (3.0 MiB)\ncached assets are hashed again\n"), "{out}");
    assert!(out.ends_with(", 1 of them again: the cached copy was corrupt, 1 cached before\n"), "{out}");
    assert!(is_here(&site, &objects[0]), "it was fetched again");
    assert_eq!(origin.sent(&objects[1].key), sent, "what is right is not");
}

#[test]
fn an_operator_is_told_what_is_not_known_and_what_is_in_the_way() {
    let origin = Origin::start();
    let (site, _) = three(&origin);
    let (status, out, err) = run(&site, &[]);
    assert_eq!((status, out.as_str()), (Some(2), ""));
    assert_eq!(err, "bootdepot: nothing to preload; name assets, or say --release, --profile, --host or --all\n");
    let (status, _, err) = run(&site, &["okd/kernal", "--release", "okd-9", "--host", "r630-01"]);
    assert_eq!(status, Some(1));
    assert_eq!(
        err,
        "bootdepot: there is no asset \"okd/kernal\"; the nearest is \"okd/kernel\"\nthere is no release \"okd-9\"\nthere is no host \"r630-01\"\n"
    );
    // Its admin listener is on a port that only its log tells.
    let _server = site.start();
    let (status, _, err) = run(&site, &["okd/kernel"]);
    assert_eq!(status, Some(1));
    assert!(err.contains(" is in use by process ") && err.contains("admin.listen has port 0"), "{err}");
}
