//! The commands that show and change the cache: through a running server, and without one on the cache itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::support::{ChildExt, CommandExt, FakeOrigin, Object, TestSite, random_bytes};

/// The output of a command and its exit status.
#[derive(Debug, PartialEq, Eq)]
struct CommandOutput {
    status: i32,
    out: String,
    err: String,
}

impl CommandOutput {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = output.status.code().expect("the command exits");
        Self { status, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Returns the output. Fails the test if the command failed or printed errors.
    fn stdout(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// Returns the errors. Fails the test unless the exit status is 1.
    fn errors(self) -> String {
        assert_eq!(self.status, 1, "{} {}", self.out, self.err);
        self.err
    }
}

/// A site whose commands run with its server, or without one.
struct CommandTarget<'a> {
    site: &'a TestSite,
    admin: Option<SocketAddr>,
}

impl CommandTarget<'_> {
    fn run(&self, args: &[&str]) -> CommandOutput {
        let output = match self.admin {
            Some(admin) => self.site.run_command(admin, args),
            None => self.site.command_line(args).run_to_end(),
        };
        let mut output = CommandOutput::of(&output);
        if self.admin.is_none() {
            let note = "bootdepot: admin.listen has port 0; set a port, so that commands can find the server; \
                        using the cache in ";
            let rest = output.err.strip_prefix(note).unwrap_or_else(|| panic!("{}", output.err));
            let (_, rest) = rest.split_once(" directly\n").expect("the note names the cache");
            output.err = rest.to_owned();
        }
        output
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[args, &["--json"]].concat()).out).expect("JSON")
    }
}

/// Returns a site with three assets, the first two cached.
fn site() -> (FakeOrigin, TestSite, [Object; 3]) {
    let origin = FakeOrigin::start();
    let objects = [
        origin.put("okd/1/kernel", random_bytes(1, 100_000)),
        origin.put("okd/1/rootfs", random_bytes(2, 300_000)),
        origin.put("tools/memtest", random_bytes(3, 50_000)),
    ];
    let site = objects.iter().fold(TestSite::new(&origin), TestSite::asset);
    let output = site.command_line(&["preload", "okd/1/*"]).run_to_end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (origin, site, objects)
}

/// Returns the path of an object's blob.
fn blob_path(site: &TestSite, object: &Object) -> PathBuf {
    let digest = object.sha256();
    site.cache_dir().join("blobs/sha256").join(&digest[..2]).join(digest)
}

/// Returns the columns of a table that do not depend on the time.
fn columns(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).take(4).collect())
        .collect()
}

#[test]
fn evict_shared_blob_reports_once() {
    let origin = FakeOrigin::start();
    let objects = ["a", "b"].map(|name| origin.put(name, random_bytes(1, 1000)));
    let site = objects.iter().fold(TestSite::new(&origin), TestSite::asset);
    let target = CommandTarget { site: &site, admin: None };
    let output = site.command_line(&["preload", "a"]).run_to_end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(target.run(&["evict", "*"]).stdout(), "evicted a (1000 B)\n");
    assert_eq!(target.run(&["evict", "*"]).err, "bootdepot: nothing to do: no matching asset is cached\n");
}

/// Runs the commands that behave the same with a server and without one.
fn check_commands(target: &CommandTarget<'_>, objects: &[Object; 3]) {
    let listed = target.run(&["list"]).stdout();
    assert_eq!(
        columns(&listed),
        [
            ["NAME", "SIZE", "STATE", "HELD BY"],
            ["okd/1/kernel", "97.6 KiB", "cached", "-"],
            ["okd/1/rootfs", "292.9 KiB", "cached", "-"],
            ["tools/memtest", "-", "missing", "-"],
        ]
    );
    let missing = target.run(&["list", "--state", "missing"]).stdout();
    assert!(missing.contains("tools/memtest") && !missing.contains("okd"), "{missing}");
    assert_eq!(target.run(&["list", "okd/2/"]).stdout(), "no assets match\n");
    let json = target.json(&["list", "okd/"]);
    assert_eq!((json.as_array().map(Vec::len), &json[1]["digest"]), (Some(2), &objects[1].sha256().into()));

    // Pins.
    assert_eq!(target.run(&["pin", "okd/1/kernel"]).stdout(), "pinned okd/1/kernel (97.6 KiB)\n");
    assert_eq!(
        target.run(&["pin", "okd/1/kernel"]).stdout(),
        "pinned okd/1/kernel (97.6 KiB)\n",
        "a second pin succeeds"
    );
    let memtest = target.run(&["pin", "**/memtest"]).stdout();
    assert_eq!(
        memtest,
        "pinned tools/memtest, which is not cached: preload it, or it is fetched on the first request\n"
    );
    assert_eq!(columns(&target.run(&["list", "okd/1/k"]).stdout())[1][3], "operator");
    let some = target.run(&["pin", "okd/1/rootfs", "okd/9/kernel"]);
    assert_eq!(some.out, "pinned okd/1/rootfs (292.9 KiB)\n", "the known asset is pinned");
    assert_eq!(some.errors(), "bootdepot: the catalog has no asset \"okd/9/kernel\"\n");
    let nothing = target.run(&["pin", "okd/9/*"]).errors();
    assert!(nothing.contains("no asset name matches \"okd/9/*\""), "{nothing}");
    let all = target.run(&["unpin", "okd/1/rootfs", "tools/*"]).stdout();
    assert_eq!(all, "unpinned okd/1/rootfs\nunpinned tools/memtest\n");
    let again = target.run(&["unpin", "okd/1/rootfs"]).stdout();
    assert_eq!(again, "okd/1/rootfs was not pinned by an operator\n", "a second unpin succeeds");
    let none = target.run(&["unpin", "tools/*"]);
    assert_eq!(
        (none.status, none.err.as_str()),
        (0, "bootdepot: nothing to do: no matching asset is pinned by an operator\n")
    );

    // Evictions.
    let evicted = target.run(&["evict", "okd/**"]);
    assert_eq!(evicted.out, "evicted okd/1/rootfs (292.9 KiB)\n");
    assert_eq!(evicted.errors(), "bootdepot: okd/1/kernel is not evicted: an operator pinned it; unpin it first\n");
    assert!(!blob_path(target.site, &objects[1]).exists());
    assert_eq!(target.run(&["evict", "okd/1/rootfs"]).errors(), "bootdepot: okd/1/rootfs is not in the cache\n");
    let json = target.run(&["evict", "okd/1/kernel", "--json"]);
    let json_output: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((json.status, json.err.as_str()), (1, ""));
    assert!(json_output[0]["error"].as_str().is_some_and(|reason| reason.contains("unpin it first")), "{json_output}");

    // Verification.
    assert_eq!(target.run(&["verify", "okd/1/kernel"]).stdout(), "verified okd/1/kernel (97.6 KiB)\n");
    assert_eq!(
        target.run(&["verify", "**"]).stdout(),
        "verified okd/1/kernel (97.6 KiB)\n",
        "missing assets are left out"
    );
    assert_eq!(target.run(&["verify", "--all"]).stdout(), "1 of 1 blobs verified (97.6 KiB)\n");
    let absent = target.run(&["verify", "tools/memtest"]).errors();
    assert!(absent.starts_with("bootdepot: tools/memtest"), "{absent}");
    let path = blob_path(target.site, &objects[0]);
    let mut bytes = std::fs::read(&path).expect("the blob exists");
    bytes[77] ^= 1;
    // The blob is read-only, so it is replaced.
    std::fs::remove_file(&path).and_then(|()| std::fs::write(&path, bytes)).expect("the blob can be replaced");
    let corrupt = target.run(&["verify", "okd/1/kernel", "--json"]);
    assert_eq!(corrupt.status, 1, "{corrupt:?}");
    assert!(target.site.cache_dir().join("quarantine").join(objects[0].sha256()).exists());
    assert_eq!(target.run(&["list", "--state", "cached"]).stdout(), "no assets match\n");
}

#[test]
fn commands_work_with_server() {
    let (_origin, site, objects) = site();
    let server = site.start();
    check_commands(&CommandTarget { site: &site, admin: Some(server.admin) }, &objects);
}

#[test]
fn commands_work_without_server() {
    let (_origin, site, objects) = site();
    check_commands(&CommandTarget { site: &site, admin: None }, &objects);
    // The pin survives the start of a server.
    let server = site.start();
    let held = CommandTarget { site: &site, admin: Some(server.admin) }.json(&["list", "okd/1/kernel"]);
    assert_eq!(held[0]["pinned_by"], serde_json::json!(["operator"]));
}

#[test]
fn evict_of_release_asset_is_refused() {
    let (_origin, site, objects) = site();
    let site = site.release("okd-1", true, &[&objects[0], &objects[1]]);
    let refused = CommandOutput::of(&site.command_line(&["evict", "okd/1/kernel"]).run_to_end()).errors();
    assert!(
        refused.contains("okd/1/kernel is not evicted: release okd-1 needs it; activate another release first"),
        "{refused}"
    );
    let server = site.start();
    let target = CommandTarget { site: &site, admin: Some(server.admin) };
    let refused = target.run(&["evict", "okd/1/kernel"]).errors();
    assert_eq!(
        refused,
        "bootdepot: okd/1/kernel is not evicted: release okd-1 needs it; activate another release first\n"
    );
    assert_eq!(columns(&target.run(&["list", "okd/1/k"]).stdout())[1][3], "release okd-1");
}

#[test]
fn commands_create_no_missing_cache() {
    let origin = FakeOrigin::start();
    let site = TestSite::new(&origin);
    for args in [&["list"][..], &["pin", "a"], &["unpin", "a"], &["evict", "a"], &["verify", "--all"]] {
        let output = CommandOutput::of(&site.command_line(args).run_to_end()).errors();
        assert!(output.contains("and there is no cache in ") && output.contains("(cache.dir)"), "{args:?}: {output}");
    }
    assert!(!site.cache_dir().exists());
    for args in
        [&["pin"][..], &["unpin"], &["evict"], &["verify"], &["verify", "--all", "a"], &["list", "--state", "x"]]
    {
        assert_eq!(CommandOutput::of(&site.command_line(args).run_to_end()).status, 2, "{args:?}");
    }
}

#[test]
fn pin_in_locked_cache_fails() {
    let (_origin, site, _) = site();
    let _server = site.start();
    let output = CommandOutput::of(&site.command_line(&["pin", "okd/1/kernel"]).run_to_end()).errors();
    assert!(output.contains("is in use by process ") && output.contains("admin.listen has port 0"), "{output}");
}

#[test]
fn closed_pipe_keeps_exit_status() {
    let (_origin, site, _) = site();
    for (args, status) in [(&["list"][..], 0), (&["pin", "okd/1/kernel", "none"], 1), (&["activate", "okd-1"], 1)] {
        let (reader, writer) = std::io::pipe().expect("a pipe can be created");
        drop(reader);
        let both = writer.try_clone().expect("a pipe can be created");
        let mut left = site.command_line(args).stdout(both).stderr(writer).spawn().expect("the program can be started");
        assert_eq!(left.wait_for_exit().code(), Some(status), "{args:?}");
    }
}

#[test]
fn status_reports_server_readiness() {
    let (_origin, site, objects) = site();
    let silent = CommandOutput::of(&site.command_line(&["status"]).run_to_end());
    assert!(silent.out.contains("390.6 KiB in 2 blobs; no process has it open"), "{}", silent.out);
    assert!(silent.errors().starts_with("bootdepot: admin.listen has port 0"));
    let json = CommandOutput::of(&site.command_line(&["status", "--json"]).run_to_end());
    let json_output: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(
        (json.status, &json_output["running"], &json_output["cache"]["cached"]["entries"]),
        (1, &false.into(), &2.into())
    );

    let server = site.start();
    let target = CommandTarget { site: &site, admin: Some(server.admin) };
    assert!(server.client().compare("/assets/tools/memtest", &objects[2].bytes));
    let output = target.run(&["status"]).stdout();
    for part in
        [": ready\n", "cache      ", "439.4 KiB of 10.0 GiB in 3 blobs", "catalog    3 assets, 0 releases", "tftp 127."]
    {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(output.contains("origin     s3://assets/: "), "{output}");
    assert_eq!(target.json(&["status"])["ready"], true);

    let gone = Object { key: "okd/2/kernel".to_owned(), bytes: random_bytes(9, 10).into() };
    let site = site.asset(&gone).release("okd-2", true, &[&gone]);
    drop(server);
    let server = site.start();
    let output = CommandTarget { site: &site, admin: Some(server.admin) }.run(&["status"]);
    assert!(
        output.out.contains("NOT READY") && output.out.contains("release okd-2: okd/2/kernel is not cached"),
        "{output:?}"
    );
    assert_eq!(output.status, 1);
}

#[test]
fn commands_find_token_or_explain() {
    let (_origin, site, _) = site();
    let (operators, viewers) = (site.file("operators"), site.file("viewers"));
    std::fs::write(&operators, "operator-token-0123456789\n").expect("a file can be written");
    std::fs::write(&viewers, "viewer-token-0123456789\n").expect("a file can be written");
    let site = site.set("admin.operator_token_file", operators.display().to_string());
    let site = site.set("admin.viewer_token_file", viewers.display().to_string());
    let server = site.start();
    let with = |token: &str, args: &[&str]| {
        let mut command = site.command_line(args);
        command.args(["--admin-listen", &server.admin.to_string()]).env("BOOTDEPOT_TOKEN", token);
        CommandOutput::of(&command.run_to_end())
    };
    assert_eq!(
        with("", &["pin", "okd/1/kernel"]).stdout(),
        "pinned okd/1/kernel (97.6 KiB)\n",
        "the token comes from the file"
    );
    assert_eq!(with("operator-token-0123456789", &["unpin", "okd/1/kernel"]).stdout(), "unpinned okd/1/kernel\n");
    assert!(with("viewer-token-0123456789\n", &["list"]).stdout().contains("okd/1/kernel"));
    let viewer = with("viewer-token-0123456789", &["pin", "okd/1/kernel"]).errors();
    assert!(viewer.contains(" refuses: ") && viewer.contains("the token is the one in BOOTDEPOT_TOKEN"), "{viewer}");
    let wrong = with("mistyped", &["list"]).errors();
    assert!(wrong.contains("this token is not valid"), "{wrong}");
    assert!(!wrong.contains("mistyped"), "{wrong}");

    // The file has only a digest, so the command has no token to send.
    let digest = bootdepot::asset::Digest::of(b"operator-token-0123456789");
    std::fs::write(&operators, format!("sha256:{digest}\n")).expect("a file can be written");
    std::fs::write(&viewers, format!("sha256:{digest}\n")).expect("a file can be written");
    let none = with("", &["list"]).errors();
    assert!(none.contains("set BOOTDEPOT_TOKEN, or run this as a user who may read a token in "), "{none}");
}

#[test]
fn wrong_usage_exits_with_status_2() {
    let origin = FakeOrigin::start();
    let site = TestSite::new(&origin);
    let commands: [&[&str]; 15] = [
        &["serve"],
        &["check"],
        &["preload", "--all"],
        &["list"],
        &["status"],
        &["verify", "--all"],
        &["pin", "a"],
        &["unpin", "a"],
        &["evict", "a"],
        &["releases"],
        &["activate", "a"],
        &["hosts"],
        &["boots", "a"],
        &["render", "--entry"],
        &["dhcp-config", "kea"],
    ];
    for args in commands {
        for wrong in [&["--nonsense"][..], &["--set", "fill.conections=3"]] {
            let output = CommandOutput::of(&site.command_line(&[args, wrong].concat()).run_to_end());
            assert_eq!((output.status, output.out.as_str()), (2, ""), "{args:?} {wrong:?}: {}", output.err);
            assert!(output.err.contains("conections") || output.err.contains("--nonsense"), "{}", output.err);
        }
    }
    assert!(!site.cache_dir().exists(), "no cache was created");
}

#[test]
fn config_errors_leave_server_reachable() {
    let (_origin, site, objects) = site();
    let site = site.release("okd-1", true, &[&objects[0], &objects[1]]);
    let server = site.start();
    assert!(site.run_command(server.admin, &["activate", "okd-1", "--wait"]).status.success());
    let admin = format!("[admin]\nlisten = \"{}\"\n", server.admin);
    let wrong = [
        // Invalid TOML, in the configuration file and in one that it includes; an unknown setting; an unknown asset.
        format!("{admin}garbage = [\n"),
        format!("include = [\"more.toml\"]\n{admin}"),
        format!("{admin}[fill]\nconections = 3\n"),
        format!("{admin}[[release]]\nname = \"okd-2\"\nassets = [\"nothing\"]\n"),
    ];
    let (path, more) = (site.file("wrong.toml"), site.file("more.toml"));
    std::fs::write(more, "garbage = [\n").expect("a file can be written");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(crate::support::program::bootdepot());
        // A variable of the tests that looks like a setting would be another error.
        command.args(args).arg("--config").arg(&path).env_clear();
        CommandOutput::of(&command.run_to_end())
    };
    let commands: [&[&str]; 9] = [
        &["status"],
        &["list"],
        &["hosts"],
        &["releases"],
        &["pin", "okd/1/kernel"],
        &["unpin", "okd/1/kernel"],
        &["verify", "okd/1/kernel"],
        &["activate", "okd-1"],
        &["preload", "okd/1/kernel"],
    ];
    for text in &wrong {
        std::fs::write(&path, text).expect("a file can be written");
        for args in commands {
            let output = run(args);
            let note = "bootdepot: the settings on the disk have 1 error (see `bootdepot check`); the running server is asked\n";
            assert_eq!(
                (output.status, output.err.lines().next()),
                (0, note.lines().next()),
                "{args:?} {text}: {output:?}"
            );
        }
        assert_eq!(run(&["health"]).stdout(), "ok\n", "{text}");
        assert_eq!(run(&["check"]).status, 2, "{text}");
    }
    drop(server);
    for args in commands {
        let output = run(args);
        assert_eq!((output.status, output.out.as_str()), (2, ""), "{args:?}: {output:?}");
        assert!(output.err.contains("there is no asset \"nothing\""), "{args:?}: {output:?}");
    }
}

#[test]
fn help_lists_statuses_and_examples() {
    let help = |args: &[&str]| {
        let output = std::process::Command::new(crate::support::program::bootdepot()).args(args).run_to_end();
        CommandOutput::of(&output).stdout()
    };
    let all = help(&["--help"]);
    assert!(
        all.contains("Exit status: 0 done, 1 failed, 2 wrong usage or settings.") && all.contains("BOOTDEPOT_TOKEN")
    );
    for command in [
        "check", "init", "preload", "publish", "list", "status", "verify", "pin", "unpin", "evict", "boots", "render",
        "activate",
    ] {
        let one = help(&[command, "--help"]);
        assert!(one.contains(&format!("Examples:\n  bootdepot {command}")), "{one}");
        assert!(all.contains(&format!("\n  {command} ")), "{all}");
    }
}
