//! The commands that look at the cache and change it: of a running server, and, where none runs, of the cache itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::support::{Object, Origin, Server, Site, noise};

/// What a command printed, and its exit status.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = output.status.code().expect("it exits");
        Self { status, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What it printed; the command must have gone well, with nothing to say besides.
    fn done(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// What it said was wrong; the command must have failed.
    fn failed(self) -> String {
        assert_eq!(self.status, 1, "{} {}", self.out, self.err);
        self.err
    }
}

/// Who is asked: a server, or nobody.
struct Asked<'a> {
    site: &'a Site,
    admin: Option<SocketAddr>,
}

impl Asked<'_> {
    fn run(&self, args: &[&str]) -> Said {
        let output = match self.admin {
            Some(admin) => self.site.ask(admin, args),
            None => self.site.command_line(args).output().expect("the program can be run"),
        };
        let mut said = Said::of(&output);
        if self.admin.is_none() {
            let note = "bootdepot: admin.listen has port 0; set a port, so that commands can find the server; \
                        using the cache in ";
            let rest = said.err.strip_prefix(note).unwrap_or_else(|| panic!("{}", said.err));
            let (_, rest) = rest.split_once(" directly\n").expect("it says which cache");
            said.err = rest.to_owned();
        }
        said
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[args, &["--json"]].concat()).out).expect("JSON")
    }
}

/// Three assets of which two are in the cache.
fn site() -> (Origin, Site, [Object; 3]) {
    let origin = Origin::start();
    let objects = [
        origin.put("okd/1/kernel", noise(1, 100_000)),
        origin.put("okd/1/rootfs", noise(2, 300_000)),
        origin.put("tools/memtest", noise(3, 50_000)),
    ];
    let site = objects.iter().fold(Site::new(&origin), Site::asset);
    let output = site.command_line(&["preload", "okd/1/*"]).output().expect("the program can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (origin, site, objects)
}

/// Where the blob of an object is.
fn blob(site: &Site, object: &Object) -> PathBuf {
    let digest = object.sha256();
    site.cache_dir().join("blobs/sha256").join(&digest[..2]).join(digest)
}

/// The columns of a table that do not depend on the time.
fn columns(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).take(4).collect())
        .collect()
}

#[test]
fn bytes_of_two_names_are_evicted_once() {
    let origin = Origin::start();
    let objects = ["a", "b"].map(|name| origin.put(name, noise(1, 1000)));
    let site = objects.iter().fold(Site::new(&origin), Site::asset);
    let asked = Asked { site: &site, admin: None };
    let output = site.command_line(&["preload", "a"]).output().expect("the program can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(asked.run(&["evict", "*"]).done(), "evicted a (1000 B)\n");
    assert_eq!(asked.run(&["evict", "*"]).err, "bootdepot: nothing to do: no matching asset is cached\n");
}

/// Everything that is the same whoever is asked.
fn all_of_it(asked: &Asked<'_>, objects: &[Object; 3]) {
    let listed = asked.run(&["list"]).done();
    assert_eq!(
        columns(&listed),
        [
            ["NAME", "SIZE", "STATE", "HELD BY"],
            ["okd/1/kernel", "97.6 KiB", "cached", "-"],
            ["okd/1/rootfs", "292.9 KiB", "cached", "-"],
            ["tools/memtest", "-", "missing", "-"],
        ]
    );
    let missing = asked.run(&["list", "--state", "missing"]).done();
    assert!(missing.contains("tools/memtest") && !missing.contains("okd"), "{missing}");
    assert_eq!(asked.run(&["list", "okd/2/"]).done(), "no assets match\n");
    let json = asked.json(&["list", "okd/"]);
    assert_eq!((json.as_array().map(Vec::len), &json[1]["digest"]), (Some(2), &objects[1].sha256().into()));

    // Pins.
    assert_eq!(asked.run(&["pin", "okd/1/kernel"]).done(), "pinned okd/1/kernel (97.6 KiB)\n");
    assert_eq!(asked.run(&["pin", "okd/1/kernel"]).done(), "pinned okd/1/kernel (97.6 KiB)\n", "again is no failure");
    let memtest = asked.run(&["pin", "**/memtest"]).done();
    assert_eq!(
        memtest,
        "pinned tools/memtest, which is not cached: preload it, or it is fetched on the first request\n"
    );
    assert_eq!(columns(&asked.run(&["list", "okd/1/k"]).done())[1][3], "operator");
    let some = asked.run(&["pin", "okd/1/rootfs", "okd/9/kernel"]);
    assert_eq!(some.out, "pinned okd/1/rootfs (292.9 KiB)\n", "what can be done is");
    assert_eq!(some.failed(), "bootdepot: the catalog has no asset \"okd/9/kernel\"\n");
    let nothing = asked.run(&["pin", "okd/9/*"]).failed();
    assert!(nothing.contains("no asset name matches \"okd/9/*\""), "{nothing}");
    let all = asked.run(&["unpin", "okd/1/rootfs", "tools/*"]).done();
    assert_eq!(all, "unpinned okd/1/rootfs\nunpinned tools/memtest\n");
    let again = asked.run(&["unpin", "okd/1/rootfs"]).done();
    assert_eq!(again, "okd/1/rootfs was not pinned by an operator\n", "what was not pinned is no failure");
    let none = asked.run(&["unpin", "tools/*"]);
    assert_eq!(
        (none.status, none.err.as_str()),
        (0, "bootdepot: nothing to do: no matching asset is pinned by an operator\n")
    );

    // Evictions.
    let evicted = asked.run(&["evict", "okd/**"]);
    assert_eq!(evicted.out, "evicted okd/1/rootfs (292.9 KiB)\n");
    assert_eq!(evicted.failed(), "bootdepot: okd/1/kernel is not evicted: an operator pinned it; unpin it first\n");
    assert!(!blob(asked.site, &objects[1]).exists());
    assert_eq!(asked.run(&["evict", "okd/1/rootfs"]).failed(), "bootdepot: okd/1/rootfs is not in the cache\n");
    let json = asked.run(&["evict", "okd/1/kernel", "--json"]);
    let told: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((json.status, json.err.as_str()), (1, ""));
    assert!(told[0]["error"].as_str().is_some_and(|reason| reason.contains("unpin it first")), "{told}");

    // Hashing again.
    assert_eq!(asked.run(&["verify", "okd/1/kernel"]).done(), "verified okd/1/kernel (97.6 KiB)\n");
    assert_eq!(
        asked.run(&["verify", "**"]).done(),
        "verified okd/1/kernel (97.6 KiB)\n",
        "what is not here is left out"
    );
    assert_eq!(asked.run(&["verify", "--all"]).done(), "1 of 1 blobs verified (97.6 KiB)\n");
    let absent = asked.run(&["verify", "tools/memtest"]).failed();
    assert!(absent.starts_with("bootdepot: tools/memtest"), "{absent}");
    let path = blob(asked.site, &objects[0]);
    let mut bytes = std::fs::read(&path).expect("the blob is there");
    bytes[77] ^= 1;
    // The blob is read-only, which is nothing to root.
    std::fs::remove_file(&path).and_then(|()| std::fs::write(&path, bytes)).expect("it can be replaced");
    let rotted = asked.run(&["verify", "okd/1/kernel", "--json"]);
    assert_eq!(rotted.status, 1, "{rotted:?}");
    assert!(asked.site.cache_dir().join("quarantine").join(objects[0].sha256()).exists());
    assert_eq!(asked.run(&["list", "--state", "cached"]).done(), "no assets match\n");
}

fn online(site: &Site) -> Server {
    site.start()
}

#[test]
fn a_running_server_is_asked() {
    let (_origin, site, objects) = site();
    let server = online(&site);
    all_of_it(&Asked { site: &site, admin: Some(server.admin) }, &objects);
}

#[test]
fn without_a_server_the_cache_itself_is_worked_on() {
    let (_origin, site, objects) = site();
    all_of_it(&Asked { site: &site, admin: None }, &objects);
    // A pin outlives whoever made it.
    let server = online(&site);
    let held = Asked { site: &site, admin: Some(server.admin) }.json(&["list", "okd/1/kernel"]);
    assert_eq!(held[0]["pinned_by"], serde_json::json!(["operator"]));
}

#[test]
fn what_a_release_needs_stays_and_names_it() {
    let (_origin, site, objects) = site();
    let site = site.release("okd-1", true, &[&objects[0], &objects[1]]);
    let refused = Said::of(&site.command_line(&["evict", "okd/1/kernel"]).output().expect("it can be run")).failed();
    assert!(
        refused.contains("okd/1/kernel is not evicted: release okd-1 needs it; activate another release first"),
        "{refused}"
    );
    let server = online(&site);
    let asked = Asked { site: &site, admin: Some(server.admin) };
    let refused = asked.run(&["evict", "okd/1/kernel"]).failed();
    assert_eq!(
        refused,
        "bootdepot: okd/1/kernel is not evicted: release okd-1 needs it; activate another release first\n"
    );
    assert_eq!(columns(&asked.run(&["list", "okd/1/k"]).done())[1][3], "release okd-1");
}

#[test]
fn where_there_is_no_cache_none_is_made() {
    let origin = Origin::start();
    let site = Site::new(&origin);
    for args in [&["list"][..], &["pin", "a"], &["unpin", "a"], &["evict", "a"], &["verify", "--all"]] {
        let said = Said::of(&site.command_line(args).output().expect("it can be run")).failed();
        assert!(said.contains("and there is no cache in ") && said.contains("(cache.dir)"), "{args:?}: {said}");
    }
    assert!(!site.cache_dir().exists());
    for args in
        [&["pin"][..], &["unpin"], &["evict"], &["verify"], &["verify", "--all", "a"], &["list", "--state", "x"]]
    {
        assert_eq!(Said::of(&site.command_line(args).output().expect("it can be run")).status, 2, "{args:?}");
    }
}

#[test]
fn a_cache_that_another_has_open_is_left_alone() {
    let (_origin, site, _) = site();
    let _server = online(&site);
    let said = Said::of(&site.command_line(&["pin", "okd/1/kernel"]).output().expect("it can be run")).failed();
    assert!(said.contains("is in use by process ") && said.contains("admin.listen has port 0"), "{said}");
}

#[test]
fn a_reader_that_leaves_changes_no_exit_status() {
    let (_origin, site, _) = site();
    for (args, status) in [(&["list"][..], 0), (&["pin", "okd/1/kernel", "none"], 1), (&["activate", "okd-1"], 1)] {
        let (reader, writer) = std::io::pipe().expect("a pipe can be had");
        drop(reader);
        let both = writer.try_clone().expect("a pipe can be had");
        let left = site.command_line(args).stdout(both).stderr(writer).status().expect("it can be run");
        assert_eq!(left.code(), Some(status), "{args:?}");
    }
}

#[test]
fn status_says_whether_the_server_is_ready() {
    let (_origin, site, objects) = site();
    let silent = Said::of(&site.command_line(&["status"]).output().expect("it can be run"));
    assert!(silent.out.contains("390.6 KiB in 2 blobs; no process has it open"), "{}", silent.out);
    assert!(silent.failed().starts_with("bootdepot: admin.listen has port 0"));
    let json = Said::of(&site.command_line(&["status", "--json"]).output().expect("it can be run"));
    let told: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((json.status, &told["running"], &told["cache"]["cached"]["entries"]), (1, &false.into(), &2.into()));

    let server = online(&site);
    let asked = Asked { site: &site, admin: Some(server.admin) };
    assert!(server.client().compare("/assets/tools/memtest", &objects[2].bytes));
    let said = asked.run(&["status"]).done();
    for part in
        [": ready\n", "cache      ", "439.4 KiB of 10.0 GiB in 3 blobs", "catalog    3 assets, 0 releases", "tftp 127."]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("origin     s3://assets/: "), "{said}");
    assert_eq!(asked.json(&["status"])["ready"], true);

    let gone = Object { key: "okd/2/kernel".to_owned(), bytes: noise(9, 10).into() };
    let site = site.asset(&gone).release("okd-2", true, &[&gone]);
    drop(server);
    let server = online(&site);
    let said = Asked { site: &site, admin: Some(server.admin) }.run(&["status"]);
    assert!(
        said.out.contains("NOT READY") && said.out.contains("release okd-2: okd/2/kernel is not cached"),
        "{said:?}"
    );
    assert_eq!(said.status, 1);
}

#[test]
fn tokens_are_found_and_what_is_missing_is_said() {
    let (_origin, site, _) = site();
    let (operators, viewers) = (site.file("operators"), site.file("viewers"));
    std::fs::write(&operators, "operator-token-0123456789\n").expect("a file can be written");
    std::fs::write(&viewers, "viewer-token-0123456789\n").expect("a file can be written");
    let site = site.set("admin.operator_token_file", operators.display().to_string());
    let site = site.set("admin.viewer_token_file", viewers.display().to_string());
    let server = online(&site);
    let with = |token: &str, args: &[&str]| {
        let mut command = site.command_line(args);
        command.args(["--admin-listen", &server.admin.to_string()]).env("BOOTDEPOT_TOKEN", token);
        Said::of(&command.output().expect("it can be run"))
    };
    assert_eq!(with("", &["pin", "okd/1/kernel"]).done(), "pinned okd/1/kernel (97.6 KiB)\n", "read from the file");
    assert_eq!(with("operator-token-0123456789", &["unpin", "okd/1/kernel"]).done(), "unpinned okd/1/kernel\n");
    assert!(with("viewer-token-0123456789\n", &["list"]).done().contains("okd/1/kernel"));
    let looking = with("viewer-token-0123456789", &["pin", "okd/1/kernel"]).failed();
    assert!(looking.contains(" refuses: ") && looking.contains("the token is the one in BOOTDEPOT_TOKEN"), "{looking}");
    let wrong = with("mistyped", &["list"]).failed();
    assert!(wrong.contains("this token is not valid"), "{wrong}");
    assert!(!wrong.contains("mistyped"), "{wrong}");

    // Only the digest is in the file: the command has none to send.
    let digest = bootdepot::asset::Digest::of(b"operator-token-0123456789");
    std::fs::write(&operators, format!("sha256:{digest}\n")).expect("a file can be written");
    std::fs::write(&viewers, format!("sha256:{digest}\n")).expect("a file can be written");
    let none = with("", &["list"]).failed();
    assert!(none.contains("set BOOTDEPOT_TOKEN, or run this as a user who may read a token in "), "{none}");
}

#[test]
fn wrong_usage_and_wrong_settings_are_status_2_whatever_the_command() {
    let origin = Origin::start();
    let site = Site::new(&origin);
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
            let said = Said::of(&site.command_line(&[args, wrong].concat()).output().expect("it can be run"));
            assert_eq!((said.status, said.out.as_str()), (2, ""), "{args:?} {wrong:?}: {}", said.err);
            assert!(said.err.contains("conections") || said.err.contains("--nonsense"), "{}", said.err);
        }
    }
    assert!(!site.cache_dir().exists(), "nothing was begun");
}

#[test]
fn errors_in_the_settings_on_the_disk_keep_nobody_from_the_running_server() {
    let (_origin, site, objects) = site();
    let site = site.release("okd-1", true, &[&objects[0], &objects[1]]);
    let server = online(&site);
    assert!(site.ask(server.admin, &["activate", "okd-1", "--wait"]).status.success());
    let admin = format!("[admin]\nlisten = \"{}\"\n", server.admin);
    let wrong = [
        // No TOML, in the settings file itself and in one that it includes; what is no setting; what names nothing.
        format!("{admin}garbage = [\n"),
        format!("include = [\"more.toml\"]\n{admin}"),
        format!("{admin}[fill]\nconections = 3\n"),
        format!("{admin}[[release]]\nname = \"okd-2\"\nassets = [\"nothing\"]\n"),
    ];
    let (path, more) = (site.file("wrong.toml"), site.file("more.toml"));
    std::fs::write(more, "garbage = [\n").expect("a file can be written");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(crate::support::program::bootdepot());
        // A variable that begins as settings do would be one error more.
        command.args(args).arg("--config").arg(&path).env_clear();
        Said::of(&command.output().expect("it can be run"))
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
            let said = run(args);
            let note = "bootdepot: the settings on the disk have 1 error (see `bootdepot check`); the running server is asked\n";
            assert_eq!((said.status, said.err.lines().next()), (0, note.lines().next()), "{args:?} {text}: {said:?}");
        }
        assert_eq!(run(&["health"]).done(), "ok\n", "{text}");
        assert_eq!(run(&["check"]).status, 2, "{text}");
    }
    drop(server);
    for args in commands {
        let said = run(args);
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{args:?}: {said:?}");
        assert!(said.err.contains("there is no asset \"nothing\""), "{args:?}: {said:?}");
    }
}

#[test]
fn help_tells_what_holds_for_all_commands_and_gives_examples() {
    let help = |args: &[&str]| {
        let output = std::process::Command::new(crate::support::program::bootdepot()).args(args).output();
        Said::of(&output.expect("it can be run")).done()
    };
    let all = help(&["--help"]);
    assert!(
        all.contains("Exit status: 0 done, 1 failed, 2 wrong usage or settings.") && all.contains("BOOTDEPOT_TOKEN")
    );
    for command in
        ["check", "preload", "list", "status", "verify", "pin", "unpin", "evict", "boots", "render", "activate"]
    {
        let one = help(&[command, "--help"]);
        assert!(one.contains(&format!("Examples:\n  bootdepot {command}")), "{one}");
        assert!(all.contains(&format!("\n  {command} ")), "{all}");
    }
}
