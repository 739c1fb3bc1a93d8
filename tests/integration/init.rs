//! `bootdepot init`, end to end: by flags and in a dialog, and what a server does with the settings that it writes.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::support::moto::{self, Moto};
use crate::support::program::{bootdepot, root};
use crate::support::s3::{ACCESS_KEY, BUCKET, SECRET_KEY};
use crate::support::tool::skip;
use crate::support::upstream::Upstream;
use crate::support::{
    ChildExt as _, CommandExt, FakeOrigin, Fault, TestSite, Tool, Watchdog, random_bytes, wait_until,
};

/// A secret that no server has.
const WRONG_SECRET: &str = "mistyped-secret";

/// A directory for the settings, and the root of installed packages.
struct InitSite {
    dir: tempfile::TempDir,
}

/// The output of a command, and its exit status.
struct Run {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let run = Self { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        for secret in [SECRET_KEY, WRONG_SECRET] {
            assert!(!run.out.contains(secret) && !run.err.contains(secret), "{}{}", run.out, run.err);
        }
        run
    }

    fn succeeds(self) -> Self {
        assert_eq!(self.status, Some(0), "{}{}", self.out, self.err);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl InitSite {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory can be made") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self) -> PathBuf {
        self.path("etc/bootdepot.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.settings()).expect("the settings can be read")
    }

    /// Installs a network boot program of Debian's package `ipxe`.
    fn install_ipxe(&self) -> Vec<u8> {
        let bytes = random_bytes(7, 5000);
        fs::create_dir_all(self.path("root/usr/lib/ipxe")).expect("a directory can be made");
        fs::write(self.path("root/usr/lib/ipxe/snponly.efi"), &bytes).expect("a file can be written");
        bytes
    }

    /// The arguments that every run needs.
    fn arguments(&self, args: &[&str]) -> Vec<String> {
        let (config, cache, root) = (self.settings(), self.path("cache"), self.path("root"));
        let shown = |path: &Path| path.display().to_string();
        let fixed = [
            ("--config", shown(&config)),
            ("--cache-dir", shown(&cache)),
            ("--cache-size", "64 MiB".to_owned()),
            ("--http-listen", "127.0.0.1:0".to_owned()),
            ("--tftp-listen", "127.0.0.1:0".to_owned()),
            ("--admin-listen", "127.0.0.1:0".to_owned()),
            ("--firmware-root", shown(&root)),
        ];
        let fixed = fixed.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        ["init".to_owned()].into_iter().chain(args.iter().map(|&arg| arg.to_owned())).chain(fixed).collect()
    }

    /// A command line of the program, without the variables of the tests.
    fn command(&self, args: &[String]) -> Command {
        let mut command = Command::new(bootdepot());
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("BOOTDEPOT_")) {
            command.env_remove(name);
        }
        command.args(args).stdin(Stdio::null()).env("XDG_STATE_HOME", self.path("state"));
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_SESSION_TOKEN");
        command
    }

    /// Runs `init` with the credentials of the environment.
    fn init(&self, args: &[&str]) -> Run {
        self.init_with(SECRET_KEY, args)
    }

    fn init_with(&self, secret: &str, args: &[&str]) -> Run {
        let mut command = self.command(&self.arguments(args));
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", secret);
        Run::of(command.run_to_end())
    }

    /// A command for the written settings, on a disk of any size.
    fn with_settings(&self, args: &[&str]) -> Command {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let mut command = self.command(&args);
        command.arg("--config").arg(self.settings());
        command.args(["--set", "cache.min_free=0"]).env("BOOTDEPOT_LOG_FORMAT", "json");
        command
    }

    /// Whether nothing was written.
    fn is_empty(&self) -> bool {
        !self.path("etc").exists() && !self.path("cache").exists()
    }
}

/// The flags of a bucket at this endpoint, with the credentials of the environment.
fn store(endpoint: &str) -> Vec<&str> {
    vec!["--endpoint", endpoint, "--bucket", BUCKET, "--credentials", "env"]
}

#[test]
fn flags_alone_make_working_settings() {
    let origin = FakeOrigin::start();
    let kernel = origin.put("debian/linux", random_bytes(1, 100_000));
    let mut catalog = String::from("# Shared.\n");
    write!(
        catalog,
        "[[asset]]\nname = \"debian/linux\"\nsources = [\"s3://{BUCKET}/debian/linux\"]\nsha256 = \"{}\"\n",
        kernel.sha256()
    )
    .expect("a string can be written to");
    origin.put("catalog.toml", catalog);
    let site = InitSite::new();
    let program = site.install_ipxe();
    let endpoint = origin.endpoint();
    let keys = ["--access-key-id", ACCESS_KEY, "--secret-key", "-", "--json"];
    let args = [&["--endpoint", &endpoint, "--bucket", BUCKET], &keys[..]].concat();
    let mut command = site.command(&site.arguments(&args));
    let typed = site.path("typed");
    fs::write(&typed, format!("{SECRET_KEY}\n")).expect("a file can be written");
    command.stdin(fs::File::open(typed).expect("the file can be read"));
    let run = Run::of(command.run_to_end()).succeeds();
    let report = run.json();
    assert_eq!((&report["bucket"]["objects"], &report["bucket"]["exists"]), (&2.into(), &true.into()), "{report:#}");
    assert_eq!(report["bucket"]["catalog_url"], format!("s3://{BUCKET}/catalog.toml"), "{report:#}");
    assert_eq!(report["boot_programs"][0]["asset"], "firmware/snponly.efi", "{report:#}");

    let secret = site.path("etc/s3-secret-key");
    assert_eq!(fs::read_to_string(&secret).expect("a file").trim(), SECRET_KEY);
    assert_eq!(fs::metadata(&secret).expect("a file").permissions().mode() & 0o777, 0o600);
    assert!(!site.text().contains(SECRET_KEY), "{}", site.text());
    let tried = report["trials"]["tried"].to_string();
    assert!(
        tried.contains("reading the metadata of catalog.toml") && tried.contains("a file was stored in"),
        "{tried}"
    );
    // Hosts go there, also beside a shared catalog.
    assert!(site.path("etc/machines.d/README").is_file());
    let host = "[[profile]]\nname = \"p\"\nkernel = \"debian/linux\"\n[[host]]\nname = \"h\"\nmatch = { serial = \"S\" }\nprofile = \"p\"\n";
    fs::write(site.path("etc/machines.d/h.toml"), host).expect("a file can be written");

    Run::of(site.with_settings(&["check"]).run_to_end()).succeeds();
    let server = TestSite::run(site.with_settings(&["serve"]));
    assert!(server.client().compare("/assets/debian/linux", &kernel.bytes));
    assert!(server.client().compare("/assets/firmware/snponly.efi", &program));
    let script = server.client().get("/ipxe?serial=S").text();
    assert!(script.contains("/assets/debian/linux"), "{script}");
}

#[test]
fn bucket_need_not_be_listed() {
    let origin = FakeOrigin::start();
    let endpoint = origin.endpoint();
    origin.always("", Fault::Status(403, "AccessDenied"));
    let site = InitSite::new();
    // Credentials that may not read get 403 for a missing object.
    let missing = site.init(&[store(&endpoint), vec!["--json", "--dry-run"]].concat()).succeeds().json();
    assert_eq!(missing["bucket"]["is_listed"], false, "{missing:#}");
    origin.put("catalog.toml", "# Shared.\n");
    let run = site.init(&store(&endpoint)).succeeds();
    assert!(run.err.contains("not proven: listing the bucket assets: it is denied (s3:ListBucket)"), "{}", run.err);
    let text = site.text();
    assert!(text.contains("catalog_url = \"s3://assets/catalog.toml\""), "{text}");
    assert!(text.contains("#   - reading the metadata of catalog.toml in the bucket assets"), "{text}");

    origin.always("catalog.toml", Fault::Status(403, "AccessDenied"));
    let denied = InitSite::new();
    let run = denied.init(&store(&endpoint));
    assert_eq!(run.status, Some(1), "{}{}", run.out, run.err);
    assert!(
        run.err.contains("allow s3:ListBucket") && run.err.contains("(see --credentials, --bucket)"),
        "{}",
        run.err
    );
    assert!(denied.is_empty());
}

#[test]
fn unprivileged_user_learns_what_is_unproven() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to run a command as another user");
    }
    let first_port = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first_port.is_ok_and(|port| port.trim().parse::<u16>().is_ok_and(|port| port <= 69)) {
        return skip("every user may listen on port 69 here");
    }
    let origin = FakeOrigin::start();
    let endpoint = origin.endpoint();
    let site = InitSite::new();
    // The program is where its user can read it; the cache is in a directory of root.
    let program = tempfile::tempdir().expect("a temporary directory can be made");
    fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).expect("its owner may do this");
    let copy = program.path().join("bootdepot");
    if fs::hard_link(bootdepot(), &copy).is_err() {
        fs::copy(bootdepot(), &copy).expect("the program can be copied");
    }
    let mut command = Command::new(&copy);
    command.args(store(&endpoint).iter().fold(vec!["init"], |mut line, word| {
        line.push(word);
        line
    }));
    command.args([
        "--dry-run",
        "--json",
        "--firmware",
        "none",
        "--http-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "off",
    ]);
    command.args(["--tftp-listen", "127.0.0.1:69", "--config", "/nowhere/bootdepot.toml", "--cache-size", "1 MiB"]);
    command.arg("--cache-dir").arg(site.path("cache")).env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
    command.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY).stdin(Stdio::null()).uid(65534).gid(65534);
    let report = Run::of(command.run_to_end()).succeeds().json();
    let unproven = report["trials"]["unproven"].to_string();
    for phrase in ["this user may not listen on 127.0.0.1:69", "this user cannot store a file in "] {
        assert!(unproven.contains(phrase), "{report:#}");
        assert!(report["notes"].to_string().contains(phrase), "{report:#}");
        assert!(report["text"].as_str().is_some_and(|text| text.contains(phrase)), "{report:#}");
    }
    assert_eq!(report["trials"]["user"], "the user with the ID 65534", "{report:#}");
}

#[test]
fn installed_recipe_is_included_once() {
    let upstream = Upstream::start();
    let sha256 = upstream.put("builds/live-kernel", random_bytes(3, 40_000));
    let stream = format!(
        r#"{{ "architectures": {{ "x86_64": {{ "artifacts": {{ "metal": {{ "release": "43.1", "formats": {{ "pxe": {{
            "kernel": {{ "location": "{}", "sha256": "{sha256}" }} }} }} }} }} }} }} }}"#,
        upstream.url("builds/live-kernel")
    );
    upstream.put("stable.json", stream);
    let origin = FakeOrigin::start();
    let (endpoint, site) = (origin.endpoint(), InitSite::new());
    let recipe = site.path("etc/recipes/fcos");
    fs::create_dir_all(&recipe).expect("a directory can be made");
    let source = root().join("config/recipes/fcos");
    fs::copy(source.join("config.ign.j2"), recipe.join("config.ign.j2")).expect("a file can be copied");
    let text = fs::read_to_string(source.join("recipe.toml")).expect("the recipe can be read");
    let text = text.replace("/etc/bootdepot/", &format!("{}/", site.path("etc").display()));
    let text =
        text.replace("https://builds.coreos.fedoraproject.org/streams/stable.json", &upstream.url("stable.json"));
    fs::write(recipe.join("recipe.toml"), &text).expect("a file can be written");
    let args = [store(&endpoint), vec!["--mirror", "fcos", "--firmware", "none"]].concat();
    let other = site.init(&args);
    assert_eq!(other.status, Some(1), "{}{}", other.out, other.err);
    assert!(other.err.contains("it copies into the bucket boot; change its key \"to\""), "{}", other.err);

    fs::write(recipe.join("recipe.toml"), text.replace("s3://boot/", "s3://assets/")).expect("a file can be written");
    site.init(&args).succeeds();
    assert!(
        site.text().contains("\"recipes/fcos/recipe.toml\"") && !site.text().contains("[[mirror]]"),
        "{}",
        site.text()
    );
    let mut mirror = site.with_settings(&["mirror", "fcos", "--activate"]);
    mirror.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    Run::of(mirror.run_to_end()).succeeds();
    assert!(site.path("etc/catalog.d/fcos.toml").is_file());
}

#[test]
fn mirror_runs_with_written_settings() {
    let upstream = Upstream::start();
    let kernel = random_bytes(3, 40_000);
    let sha256 = upstream.put("builds/live-kernel", kernel.clone());
    let stream = format!(
        r#"{{ "architectures": {{ "x86_64": {{ "artifacts": {{ "metal": {{ "release": "43.1", "formats": {{ "pxe": {{
            "kernel": {{ "location": "{}", "sha256": "{sha256}" }} }} }} }} }} }} }} }}"#,
        upstream.url("builds/live-kernel")
    );
    upstream.put("stable.json", stream);
    let origin = FakeOrigin::start();
    let site = InitSite::new();
    let (endpoint, url) = (origin.endpoint(), upstream.url("stable.json"));
    let args = [store(&endpoint), vec!["--mirror", "fcos", "--mirror-url", &url, "--firmware", "none"]].concat();
    let run = site.init(&args).succeeds();
    assert!(run.err.contains("The bucket assets is empty."), "{}", run.err);
    assert!(run.err.contains("fcos 43.1: 1 file"), "{}", run.err);
    assert!(run.out.contains("bootdepot mirror fcos --activate --config"), "{}", run.out);
    assert_eq!(origin.keys(), [""; 0], "nothing is transferred yet");

    let mut mirror = site.with_settings(&["mirror", "fcos", "--activate"]);
    mirror.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    Run::of(mirror.run_to_end()).succeeds();
    let mut serve = site.with_settings(&["serve"]);
    serve.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let server = TestSite::run(serve);
    assert!(server.client().compare("/assets/fcos/43.1/kernel", &kernel));

    let silent = InitSite::new();
    let gone = upstream.url("gone.json");
    let args = [store(&endpoint), vec!["--mirror", "fcos", "--mirror-url", &gone]].concat();
    let run = silent.init(&args);
    assert_eq!(run.status, Some(1), "{}{}", run.out, run.err);
    assert!(run.err.contains("--mirror-url") && silent.is_empty(), "{}", run.err);
}

#[test]
fn wrong_credentials_write_nothing() {
    let origin = FakeOrigin::start();
    let endpoint = origin.endpoint();
    let site = InitSite::new();
    let run = site.init_with(WRONG_SECRET, &store(&endpoint));
    assert_eq!((run.status, run.out.as_str()), (Some(1), ""), "{}", run.err);
    assert!(run.err.contains("SignatureDoesNotMatch") && run.err.contains("(see --credentials)"), "{}", run.err);
    assert!(site.is_empty());
    let keys = ["--access-key-id", ACCESS_KEY, "--secret-key", WRONG_SECRET];
    let run = site.init(&[&["--endpoint", &endpoint, "--bucket", BUCKET], &keys[..]].concat());
    assert_eq!(run.status, Some(2), "a secret on the command line: {}", run.err);
}

#[test]
fn unreachable_endpoint_fails_without_retries() {
    let site = InitSite::new();
    let refused = site.init(&store("http://127.0.0.1:9"));
    assert_eq!(refused.status, Some(1), "{}", refused.err);
    assert!(refused.err.contains("cannot connect to 127.0.0.1:9"), "{}", refused.err);
    assert!(refused.err.contains("(see --endpoint)"), "{}", refused.err);
    // A web server that has a page for every path is not an empty bucket.
    let upstream = Upstream::start();
    for path in [BUCKET.to_owned(), format!("{BUCKET}/")] {
        upstream.put(&path, "<html><title>Welcome</title></html>");
    }
    let page = upstream.url("");
    let page = site.init(&store(page.trim_end_matches('/')));
    assert_eq!(page.status, Some(1), "{}{}", page.out, page.err);
    assert!(page.err.contains("Welcome") && page.err.contains("is an S3 server"), "{}", page.err);
    assert!(site.is_empty());
}

#[test]
fn private_ca_needs_its_certificate() {
    let listing = "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 37\r\nConnection: close\r\n\r\n\
                   <ListBucketResult></ListBucketResult>";
    let (there, ca) = crate::check::tls_until(listing, |_| {});
    let endpoint = format!("https://{there}");
    let site = InitSite::new();
    let refused = site.init(&store(&endpoint));
    assert_eq!(refused.status, Some(1), "{}", refused.err);
    assert!(refused.err.contains("(see --ca-file)"), "{}", refused.err);
    let ca_file = site.path("ca.pem");
    fs::write(&ca_file, ca).expect("a file can be written");
    let shown = ca_file.display().to_string();
    site.init(&[store(&endpoint), vec!["--ca-file", &shown]].concat()).succeeds();
    assert!(site.text().contains(&format!("ca_file = \"{shown}\"")), "{}", site.text());
}

#[test]
fn existing_settings_are_kept() {
    let origin = FakeOrigin::start();
    let endpoint = origin.endpoint();
    let site = InitSite::new();
    fs::create_dir(site.path("etc")).expect("a directory can be made");
    fs::write(site.settings(), "# Mine.\n").expect("a file can be written");
    let run = site.init(&store(&endpoint));
    assert_eq!(run.status, Some(2), "{}", run.err);
    assert!(run.err.contains("bootdepot.toml exists; add --force"), "{}", run.err);
    assert_eq!(site.text(), "# Mine.\n");
    let run = site.init(&[store(&endpoint), vec!["--force"]].concat()).succeeds();
    assert!(site.text().contains(&format!("endpoint = \"{endpoint}\"")), "{}", site.text());
    assert!(run.out.contains("kept the old file as ") && run.out.contains("bootdepot.toml.old\n"), "{}", run.out);
    assert_eq!(fs::read_to_string(site.path("etc/bootdepot.toml.old")).expect("a file"), "# Mine.\n");
}

#[test]
fn installed_settings_are_replaced() {
    let origin = FakeOrigin::start();
    let site = InitSite::new();
    fs::create_dir(site.path("etc")).expect("a directory can be made");
    fs::copy(root().join("config/bootdepot.toml"), site.settings()).expect("a file can be copied");
    site.init(&store(&origin.endpoint())).succeeds();
    assert!(site.text().contains("written by \"bootdepot init\"") && !site.path("etc/bootdepot.toml.old").exists());
}

#[test]
fn mirror_url_needs_its_mirror() {
    let site = InitSite::new();
    for line in [&["--mirror-url", "https://h/x"][..], &["--mirror", "none", "--mirror-url", "https://h/x"]] {
        let origin = FakeOrigin::start();
        let endpoint = origin.endpoint();
        let run = site.init(&[&store(&endpoint), line].concat());
        assert_eq!(run.status, Some(2), "{}{}", run.out, run.err);
        assert!(run.err.contains("--mirror") && site.is_empty(), "{}", run.err);
    }
}

#[test]
fn missing_flags_are_listed_without_terminal() {
    let site = InitSite::new();
    let run = site.init(&["--bucket", BUCKET]);
    assert_eq!((run.status, run.out.as_str()), (Some(2), ""), "{}", run.err);
    assert!(run.err.contains("there is no terminal to ask on): --endpoint, --credentials\n"), "{}", run.err);
    assert!(site.is_empty());
}

#[test]
fn dry_run_prints_settings_only() {
    let origin = FakeOrigin::start();
    let endpoint = origin.endpoint();
    let site = InitSite::new();
    site.install_ipxe();
    let run = site.init(&[store(&endpoint), vec!["--dry-run", "--interface", "lo"]].concat()).succeeds();
    let settings: toml::Table = run.out.parse().unwrap_or_else(|error| panic!("{error}: {}", run.out));
    assert_eq!(settings["dhcp"]["interface"].as_str(), Some("lo"));
    assert_eq!(settings["tftp"]["files"]["snponly.efi"].as_str(), Some("firmware/snponly.efi"));
    assert!(run.err.contains("would write ") && site.is_empty(), "{}", run.err);
    assert_eq!(origin.keys(), [""; 0]);
}

#[test]
fn missing_bucket_names_next_step() {
    let Some(moto) = Moto::start() else { return };
    let (id, secret) = moto.require_signatures();
    let endpoint = moto.endpoint();
    let site = InitSite::new();
    let init = |bucket: &str, secret: &str, force: &[&str]| {
        let args = [&["--endpoint", &endpoint, "--bucket", bucket, "--credentials", "env", "--json"], force].concat();
        let mut command = site.command(&site.arguments(&args));
        Run::of(command.env("AWS_ACCESS_KEY_ID", &id).env("AWS_SECRET_ACCESS_KEY", secret).run_to_end())
    };
    let wrong = init(moto::BUCKET, WRONG_SECRET, &[]);
    assert_eq!(wrong.status, Some(1), "{}{}", wrong.out, wrong.err);
    let report = init("lab-boot", &secret, &[]).succeeds().json();
    assert_eq!(report["bucket"]["exists"], false, "{report:#}");
    let first = report["next"][0]["command"].as_str().unwrap_or_default();
    assert!(first.starts_with("bootdepot bucket init --config "), "{report:#}");

    let mut create = site.with_settings(&["bucket", "init"]);
    create.env("AWS_ACCESS_KEY_ID", &id).env("AWS_SECRET_ACCESS_KEY", &secret);
    Run::of(create.run_to_end()).succeeds();
    let report = init("lab-boot", &secret, &["--force"]).succeeds().json();
    assert_eq!((&report["bucket"]["exists"], &report["bucket"]["objects"]), (&true.into(), &0.into()), "{report:#}");
}

/// A command on a terminal of its own.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    /// How much of the output belongs to earlier questions.
    read: usize,
    watchdog: Watchdog,
}

impl Terminal {
    /// Starts it. `None` if `script` is not installed, and the test is skipped.
    fn start(site: &InitSite, args: &[&str]) -> Option<Self> {
        let script = Tool::find("script")?;
        let words: Vec<String> = site.arguments(args).iter().map(|word| format!("'{word}'")).collect();
        // Ctrl-C ends the program alone. At the end, the state of the terminal is shown.
        let program = bootdepot().display();
        let line = format!("trap : INT; '{program}' {}; status=$?; stty -a; exit $status", words.join(" "));
        // The environment of the program, whose own command line is not used.
        let program = site.command(&[]);
        let mut command = script.command();
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(["-q", "-e", "-c", &line, "/dev/null"]).env("SHELL", "/bin/sh");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("script can be started");
        let shown: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (kept, mut output) = (Arc::clone(&shown), child.stdout.take().expect("stdout is piped"));
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                kept.lock().expect("no test panics with it").extend_from_slice(&piece[..length]);
            }
        });
        let watchdog = Watchdog::new(&child);
        Some(Self { child, shown, reader, read: 0, watchdog })
    }

    fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("no test panics with it")).into_owned()
    }

    /// Waits for a question, and answers it.
    fn answer(&mut self, question: &str, answer: &str) {
        let read = self.read;
        let found = || self.transcript().get(read..)?.find(question).map(|at| read + at + question.len());
        self.read = wait_until(found, || format!("no {question:?} in:\n{}", self.transcript()));
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        stdin.write_all(format!("{answer}\n").as_bytes()).and_then(|()| stdin.flush()).expect("the terminal reads");
    }

    /// Waits for the end. Returns the exit status and the transcript.
    fn finish(self) -> (Option<i32>, String) {
        let Self { mut child, reader, shown, watchdog, .. } = self;
        drop(watchdog);
        let status = child.wait_for_exit();
        reader.join().expect("the reader ends");
        let shown = shown.lock().expect("no test panics with it");
        (status.code(), String::from_utf8_lossy(&shown).into_owned())
    }
}

#[test]
fn dialog_asks_again_after_wrong_answers() {
    let origin = FakeOrigin::start();
    origin.put("okd/4.20/kernel", random_bytes(1, 2048));
    let site = InitSite::new();
    site.install_ipxe();
    let Some(mut terminal) = Terminal::start(&site, &[]) else { return };
    terminal.answer("S3 endpoint, such as https://s3.lab:9000, or aws: ", "s3.lab");
    terminal.answer("S3 endpoint, such as https://s3.lab:9000, or aws: ", "http://127.0.0.1:9");
    terminal.answer("Bucket: ", BUCKET);
    terminal.answer("Credentials [keys]: ", "2");
    terminal.answer("Access key ID: ", ACCESS_KEY);
    terminal.answer("vault:MOUNT/PATH#FIELD: ", WRONG_SECRET);
    terminal.answer("or aws [http://127.0.0.1:9]: ", &origin.endpoint());
    terminal.answer("Credentials [keys]: ", "");
    terminal.answer("Access key ID: ", ACCESS_KEY);
    terminal.answer("vault:MOUNT/PATH#FIELD: ", SECRET_KEY);
    terminal.answer("Mirror an operating system into the bucket [none]: ", "");
    terminal.answer("DHCP [off]: ", "proxy");
    terminal.answer("Network interface of the machines", "no-such-one");
    terminal.answer("Network interface of the machines", "lo");
    terminal.answer("Serve them? [Y/n] ", "y");
    terminal.answer("bootdepot.toml? [Y/n] ", "");
    let (status, transcript) = terminal.finish();
    assert_eq!(status, Some(0), "{transcript}");
    assert!(!transcript.contains(SECRET_KEY) && !transcript.contains(WRONG_SECRET), "{transcript}");
    for shown in
        ["cannot connect to 127.0.0.1:9", "SignatureDoesNotMatch", "okd/", "2.0 KiB", "bootdepot check --config"]
    {
        assert!(transcript.contains(shown), "{shown}: {transcript}");
    }
    let settings = site.text();
    assert!(settings.contains("interface = \"lo\"") && !settings.contains(SECRET_KEY), "{settings}");
    assert_eq!(fs::read_to_string(site.path("etc/s3-secret-key")).expect("a file").trim(), SECRET_KEY);
}

#[test]
fn dialog_corrects_endpoint_without_certificate() {
    let listing = "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 37\r\nConnection: close\r\n\r\n\
                   <ListBucketResult></ListBucketResult>";
    let (there, _) = crate::check::tls_until(listing, |_| {});
    let origin = FakeOrigin::start();
    let site = InitSite::new();
    fs::write(site.path("secret"), SECRET_KEY).expect("a file can be written");
    let secret = format!("file:{}", site.path("secret").display());
    let flags = ["--bucket", BUCKET, "--access-key-id", ACCESS_KEY, "--secret-key", &secret];
    let Some(mut terminal) = Terminal::start(&site, &[&flags[..], &["--mirror", "none", "--dhcp", "off"]].concat())
    else {
        return;
    };
    terminal.answer("or aws: ", &format!("https://{there}"));
    terminal.answer("to correct the endpoint: ", "");
    terminal.answer(&format!("or aws [https://{there}]: "), &origin.endpoint());
    terminal.answer("bootdepot.toml? [Y/n] ", "");
    let (status, transcript) = terminal.finish();
    assert_eq!(status, Some(0), "{transcript}");
    assert!(site.text().contains(&origin.endpoint()) && !site.text().contains("ca_file"), "{}", site.text());
}

#[test]
fn interrupted_dialog_restores_echo() {
    let site = InitSite::new();
    let flags = ["--endpoint", "aws", "--bucket", BUCKET, "--access-key-id", ACCESS_KEY];
    let Some(mut terminal) = Terminal::start(&site, &flags) else { return };
    // The terminal sends SIGINT for this character.
    terminal.answer("vault:MOUNT/PATH#FIELD: ", "\u{3}");
    let (status, transcript) = terminal.finish();
    assert_eq!(status, Some(1), "{transcript}");
    assert!(transcript.contains("interrupted; nothing was written") && site.is_empty(), "{transcript}");
    assert!(transcript.contains(" echo ") && !transcript.contains(" -echo "), "{transcript}");
}
