//! The server under test: the real program on free ports, with its log read line by line.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::deadline::stretch;
use super::origin::{FakeOrigin, Object};
use super::s3::{ACCESS_KEY, BUCKET, SECRET_KEY};
use super::{ChildExt, Client, CommandExt, timeout};

/// A directory with a configuration and a cache in which servers can be started, one after the other.
pub(crate) struct TestSite {
    dir: Arc<tempfile::TempDir>,
    settings: toml::Table,
    assets: Vec<toml::Value>,
    secret_key: String,
}

/// A running server. Dropping it kills the server, and prints its log if the test failed.
pub(crate) struct TestServer {
    child: Child,
    log: Arc<Log>,
    /// The plain HTTP listener.
    pub(crate) http: SocketAddr,
    /// The TFTP listener.
    pub(crate) tftp: SocketAddr,
    /// The admin listener.
    pub(crate) admin: SocketAddr,
    /// The directory of its site, which may be dropped before the server.
    _dir: Option<Arc<tempfile::TempDir>>,
}

/// One line of the server's log. A line that is not JSON is a string.
#[derive(Debug, Clone)]
pub(crate) struct LogLine(Value);

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<LogLine>, bool)>,
    grown: Condvar,
}

impl TestSite {
    /// Returns a site with the origin `origin`, listeners on the loopback, short timeouts and no assets.
    pub(crate) fn new(origin: &FakeOrigin) -> Self {
        Self::at(&origin.endpoint())
    }

    /// The same with an S3 server at this endpoint.
    pub(crate) fn at(endpoint: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a temporary directory can be made"));
        let settings = toml::toml! {
            [cache]
            max_size = "10 GiB"
            min_free = 0
            [http]
            listen = ["127.0.0.1:0"]
            [tftp]
            listen = ["127.0.0.1:0"]
            [admin]
            listen = "127.0.0.1:0"
            [fill]
            part_size = "1 MiB"
            connections = 4
            retries = 2
        };
        let site = Self { dir, settings, assets: Vec::new(), secret_key: SECRET_KEY.to_owned() };
        let cache = site.cache_dir().display().to_string();
        // No test asks for a part twice because the machine is busy.
        site.set("cache.dir", cache).set("fill.stall_timeout", "10m").origin(endpoint)
    }

    /// Lets replies stall for a second at most; longer on a busy machine, where a healthy origin needs longer to send.
    pub(crate) fn brief_stalls(self) -> Self {
        let stall_timeout = format!("{} ms", stretch(Duration::from_secs(1)).as_millis());
        self.set("fill.stall_timeout", stall_timeout)
    }

    /// Replaces the origin by one with this endpoint.
    pub(crate) fn origin(self, endpoint: &str) -> Self {
        self.origin_with(endpoint, toml::toml! { from = "env" })
    }

    /// Replaces the origin by one with this endpoint and these credentials.
    pub(crate) fn origin_with(mut self, endpoint: &str, credentials: toml::Table) -> Self {
        let mut origin = toml::toml! {
            region = "us-east-1"
            addressing = "path"
        };
        origin.insert("credentials".to_owned(), credentials.into());
        origin.insert("match".to_owned(), format!("s3://{BUCKET}/").into());
        origin.insert("endpoint".to_owned(), endpoint.into());
        self.settings.insert("origin".to_owned(), vec![toml::Value::Table(origin)].into());
        self
    }

    /// Sets one key of the origin.
    pub(crate) fn set_origin(mut self, key: &str, value: &str) -> Self {
        let origins = self.settings.get_mut("origin").and_then(toml::Value::as_array_mut);
        let origin = origins.and_then(|origins| origins[0].as_table_mut()).expect("a site has an origin");
        origin.insert(key.to_owned(), value.into());
        self
    }

    /// Sets the size of the last added asset, in bytes.
    pub(crate) fn size_of_last(mut self, size: i64) -> Self {
        let asset = self.assets.last_mut().and_then(toml::Value::as_table_mut).expect("an asset was added");
        asset.insert("size".to_owned(), size.into());
        self
    }

    /// Sets one key, such as `fill.retries`.
    pub(crate) fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        let (path, last) = key.rsplit_once('.').expect("a key has a table");
        let mut table = &mut self.settings;
        for name in path.split('.') {
            let entry = table.entry(name).or_insert_with(|| toml::Table::new().into());
            table = entry.as_table_mut().expect("a table");
        }
        table.insert(last.to_owned(), value.into());
        self
    }

    /// Sets whole tables, such as the `[[host]]` of TOML.
    pub(crate) fn tables(mut self, tables: toml::Table) -> Self {
        self.settings.extend(tables);
        self
    }

    /// Adds an asset: the object under its own key.
    pub(crate) fn asset(self, object: &Object) -> Self {
        let source = format!("s3://{BUCKET}/{}", object.key);
        self.asset_from(&object.key, &object.sha256(), &[&source])
    }

    /// Removes all assets and releases.
    pub(crate) fn without_assets(mut self) -> Self {
        self.assets.clear();
        self.settings.remove("release");
        self
    }

    /// Adds an asset of this name and digest with these sources.
    pub(crate) fn asset_from(mut self, name: &str, sha256: &str, sources: &[&str]) -> Self {
        let mut asset = toml::Table::new();
        asset.insert("name".to_owned(), name.into());
        asset.insert("sha256".to_owned(), sha256.into());
        asset.insert("sources".to_owned(), sources.to_vec().into());
        self.assets.push(asset.into());
        self
    }

    /// Adds an asset, the object under its own key, whose block list is `list`.
    pub(crate) fn asset_in_blocks(self, object: &Object, list: &Object) -> Self {
        let mut site = self.asset(object);
        let asset = site.assets.last_mut().and_then(toml::Value::as_table_mut).expect("the asset was just added");
        asset.insert("blocks".to_owned(), format!("s3://{BUCKET}/{}", list.key).into());
        asset.insert("blocks_sha256".to_owned(), list.sha256().into());
        site
    }

    /// Adds a release of these assets to the channel okd.
    pub(crate) fn release(mut self, name: &str, active: bool, assets: &[&Object]) -> Self {
        let assets: Vec<toml::Value> = assets.iter().map(|object| object.key.as_str().into()).collect();
        let mut release = toml::Table::new();
        release.insert("name".to_owned(), name.into());
        release.insert("channel".to_owned(), "okd".into());
        release.insert("assets".to_owned(), assets.into());
        release.insert("active".to_owned(), active.into());
        let releases = self.settings.entry("release").or_insert_with(|| Vec::<toml::Value>::new().into());
        releases.as_array_mut().expect("a list").push(release.into());
        self
    }

    /// Sets a secret key that the S3 server does not accept.
    pub(crate) fn wrong_secret(mut self) -> Self {
        "mistyped".clone_into(&mut self.secret_key);
        self
    }

    /// Returns the cache directory.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Returns the path of a file in the site's directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the blobs in the cache, each with the name of its file, which should be its digest.
    pub(crate) fn blobs(&self) -> Vec<(String, Vec<u8>)> {
        fn walk(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    walk(&entry.path(), found);
                } else {
                    let bytes = std::fs::read(entry.path()).expect("a blob can be read");
                    found.push((entry.file_name().to_string_lossy().into_owned(), bytes));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.cache_dir().join("blobs"), &mut found);
        found
    }

    /// Returns the command line of a server in this site, with the current configuration.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.command_line(&["serve"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Runs an operator's command for a server of this site, whose admin listener is at `admin`.
    pub(crate) fn run_command(&self, admin: SocketAddr, args: &[&str]) -> Output {
        let mut command = self.command_line(args);
        command.args(["--admin-listen", &admin.to_string()]).run_to_end()
    }

    /// Writes the current configuration and returns the path of its file.
    pub(crate) fn write(&self) -> PathBuf {
        let mut settings = self.settings.clone();
        settings.insert("asset".to_owned(), self.assets.clone().into());
        let config = self.file("bootdepot.toml");
        std::fs::write(&config, settings.to_string()).expect("the configuration can be written");
        config
    }

    /// Returns a command line of the program with these arguments and the current configuration of this site.
    pub(crate) fn command_line(&self, args: &[&str]) -> Command {
        let config = self.write();
        let mut command = Command::new(crate::support::program::bootdepot());
        // Variables for the tests themselves would be errors to the server.
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("BOOTDEPOT_")) {
            command.env_remove(name);
        }
        command
            .args(args)
            .arg("--config")
            .arg(&config)
            .env("BOOTDEPOT_LOG_FORMAT", "json")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_key)
            .env_remove("AWS_SESSION_TOKEN");
        command
    }

    /// Starts a server and waits until it listens.
    pub(crate) fn start(&self) -> TestServer {
        Self::launch(self.command(), Some(Arc::clone(&self.dir)), |_| {})
    }

    /// Starts a server by this command and waits until it listens.
    pub(crate) fn run(command: Command) -> TestServer {
        Self::launch(command, None, |_| {})
    }

    /// Starts a server by this command, calls `during_start`, and waits until it listens.
    pub(crate) fn run_with(command: Command, during_start: impl FnOnce(&Child)) -> TestServer {
        Self::launch(command, None, during_start)
    }

    fn launch(
        mut command: Command,
        dir: Option<Arc<tempfile::TempDir>>,
        during_start: impl FnOnce(&Child),
    ) -> TestServer {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the server can be started");
        let log = Log::read_from(&mut child);
        during_start(&child);
        let listener = |protocol: &str| {
            let line = log.wait_for(|l| l.text("message") == "listening" && l.text("protocol") == protocol);
            line.text("address").parse().unwrap_or_else(|e| panic!("{}: {e}", line.text("address")))
        };
        let (http, tftp, admin) = (listener("http"), listener("tftp"), listener("admin"));
        TestServer { child, log, http, tftp, admin, _dir: dir }
    }
}

/// Sends a signal to this server.
pub(crate) fn send(child: &Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("the server can be signalled");
}

impl TestServer {
    /// Returns a client of its HTTP listener.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.http)
    }

    /// Returns the URL of a path on its HTTP listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Waits for the first line, past or future, for which `wanted` holds.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&LogLine) -> bool) -> LogLine {
        self.log.wait_for(wanted)
    }

    /// Waits for the first transfer of `asset`, past or future, with this outcome.
    pub(crate) fn wait_for_transfer(&self, asset: &str, outcome: &str) -> LogLine {
        self.wait_for(|l| l.is("bootdepot::transfer") && l.text("asset") == asset && l.text("outcome") == outcome)
    }

    /// Waits for the first fill of `asset`, past or future, with this outcome.
    pub(crate) fn wait_for_fill(&self, asset: &str, outcome: &str) -> LogLine {
        self.wait_for(|l| l.is("bootdepot::fill") && l.text("asset") == asset && l.text("outcome") == outcome)
    }

    /// Returns the lines so far for which `wanted` holds.
    pub(crate) fn lines(&self, wanted: impl Fn(&LogLine) -> bool) -> Vec<LogLine> {
        self.log.lines().iter().filter(|line| wanted(line)).cloned().collect()
    }

    /// Waits until there are at least `count` lines for which `wanted` holds, and returns them.
    pub(crate) fn wait_for_lines(&self, count: usize, wanted: impl Fn(&LogLine) -> bool) -> Vec<LogLine> {
        self.log.wait(|lines, _| (lines.iter().filter(|line| wanted(line)).count() >= count).then_some(()));
        self.lines(wanted)
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait_for_exit();
    }

    /// Stops it by SIGTERM, waits until it has ended, and returns its whole log.
    pub(crate) fn stop_and_read(self) -> Vec<LogLine> {
        let log = Arc::clone(&self.log);
        self.stop();
        log.lines()
    }

    /// Stops it by SIGTERM and waits until it has ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.log.wait_for_end();
        self.child.wait_for_exit()
    }
}

impl TestServer {
    /// Makes it reload its configuration, by SIGHUP.
    pub(crate) fn reload(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// Returns the number of its open files.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the server runs").count()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        send(&self.child, signal);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // Both fail if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log.print());
        }
    }
}

impl LogLine {
    /// Returns whether its target is this one.
    pub(crate) fn is(&self, target: &str) -> bool {
        self.0["target"] == target
    }

    /// Returns a field as text, empty if there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        match self.field(name) {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// Returns a field as a number, 0 if there is none.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// Returns the names of its fields.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }

    fn field(&self, name: &str) -> &Value {
        if self.0["fields"][name].is_null() { &self.0[name] } else { &self.0["fields"][name] }
    }
}

impl Log {
    fn read_from(child: &mut Child) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let (written, stderr) = (Arc::clone(&log), child.stderr.take().expect("stderr is piped"));
        std::thread::spawn(move || {
            for text in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&text).unwrap_or(Value::String(text));
                written.change(|lines| lines.0.push(LogLine(line)));
            }
            written.change(|lines| lines.1 = true);
        });
        log
    }

    fn change(&self, change: impl FnOnce(&mut (Vec<LogLine>, bool))) {
        change(&mut self.lines.lock().expect("no test panics with the log"));
        self.grown.notify_all();
    }

    fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().expect("no test panics with the log").0.clone()
    }

    fn print(&self) -> String {
        self.lines().iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "  {}", line.0);
            text
        })
    }

    fn wait_for(&self, wanted: impl Fn(&LogLine) -> bool) -> LogLine {
        self.wait(|lines, _| lines.iter().find(|line| wanted(line)).cloned())
    }

    fn wait_for_end(&self) {
        self.wait(|_, ended| ended.then_some(()));
    }

    fn wait<T>(&self, ready: impl Fn(&[LogLine], bool) -> Option<T>) -> T {
        let deadline = Instant::now() + timeout();
        let mut lines = self.lines.lock().expect("no test panics with the log");
        loop {
            if let Some(found) = ready(&lines.0, lines.1) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.1 || left.is_zero() {
                let reason = if lines.1 { "the server ended" } else { "the line did not come in time" };
                drop(lines);
                panic!("{reason}; its log:\n{}", self.print());
            }
            lines = self.grown.wait_timeout(lines, left).expect("no test panics with the log").0;
        }
    }
}
