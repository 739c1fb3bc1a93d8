//! The server under test: the real binary, on free ports, with its log read line by line.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use serde_json::Value;

use super::origin::{Object, Origin};
use super::s3::{ACCESS_KEY, BUCKET, SECRET_KEY};
use super::{Client, PATIENCE};

/// A directory with a settings file and a cache, in which a server can be started again and again.
pub(crate) struct Site {
    dir: Arc<tempfile::TempDir>,
    settings: toml::Table,
    assets: Vec<toml::Value>,
    secret_key: String,
}

/// A running server. Killed when dropped; its log is printed when that is because a test failed.
pub(crate) struct Server {
    child: Child,
    log: Arc<Log>,
    /// The plain HTTP listener.
    pub(crate) http: SocketAddr,
    /// The TFTP listener.
    pub(crate) tftp: SocketAddr,
    /// The admin listener.
    pub(crate) admin: SocketAddr,
    /// The directory of the site that started it, which may be dropped before the server is.
    _dir: Option<Arc<tempfile::TempDir>>,
}

/// One line of the server's log; what was no JSON is a string.
#[derive(Debug, Clone)]
pub(crate) struct Line(Value);

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<Line>, bool)>,
    grown: Condvar,
}

impl Site {
    /// A site whose one origin is `origin`, listening on the loopback, impatient, and without assets.
    pub(crate) fn new(origin: &Origin) -> Self {
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
            stall_timeout = "1s"
        };
        let site = Self { dir, settings, assets: Vec::new(), secret_key: SECRET_KEY.to_owned() };
        let cache = site.cache_dir().display().to_string();
        site.set("cache.dir", cache).origin(&origin.endpoint())
    }

    /// The origin's endpoint, in the place of the one before.
    pub(crate) fn origin(self, endpoint: &str) -> Self {
        self.origin_with(endpoint, toml::toml! { from = "env" })
    }

    /// The same, with these credentials.
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

    /// Sets the size of the asset that was added last, in bytes.
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

    /// Takes all assets and releases out.
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
        let asset = site.assets.last_mut().and_then(toml::Value::as_table_mut).expect("it was just added");
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

    /// Another secret than the one that the S3 server knows.
    pub(crate) fn wrong_secret(mut self) -> Self {
        "mistyped".clone_into(&mut self.secret_key);
        self
    }

    /// Where the cache is.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// A path for a file that a client is to write.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The blobs in the cache, by the digest in their file's name.
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

    /// The command line of a server in this site, with the settings as they are now.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.command_line(&["serve"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// What an operator's command says to a server of this site that has its admin listener at `admin`.
    pub(crate) fn ask(&self, admin: SocketAddr, args: &[&str]) -> Output {
        let mut command = self.command_line(args);
        command.args(["--admin-listen", &admin.to_string()]).output().expect("the program can be run")
    }

    /// Writes the settings as they are now, and returns the file.
    pub(crate) fn write(&self) -> PathBuf {
        let mut settings = self.settings.clone();
        settings.insert("asset".to_owned(), self.assets.clone().into());
        let config = self.file("bootdepot.toml");
        std::fs::write(&config, settings.to_string()).expect("the settings can be written");
        config
    }

    /// A command line of the program with these arguments, and with the settings of this site as they are now.
    pub(crate) fn command_line(&self, args: &[&str]) -> Command {
        let config = self.write();
        let mut command = Command::new(crate::support::program::bootdepot());
        // Only what the test says; the variables of the tests themselves would be errors to the server.
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

    /// Starts the server and waits until it listens.
    pub(crate) fn start(&self) -> Server {
        Self::launch(self.command(), Some(Arc::clone(&self.dir)), |_| {})
    }

    /// Starts the server by this command and waits until it listens.
    pub(crate) fn run(command: Command) -> Server {
        Self::launch(command, None, |_| {})
    }

    /// The same, with something that is done meanwhile.
    pub(crate) fn run_through(command: Command, meanwhile: impl FnOnce(&Child)) -> Server {
        Self::launch(command, None, meanwhile)
    }

    fn launch(mut command: Command, dir: Option<Arc<tempfile::TempDir>>, meanwhile: impl FnOnce(&Child)) -> Server {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the server can be started");
        let log = Log::of(&mut child);
        meanwhile(&child);
        let listener = |protocol: &str| {
            let line = log.wait_for(|l| l.text("message") == "listening" && l.text("protocol") == protocol);
            line.text("address").parse().unwrap_or_else(|e| panic!("{}: {e}", line.text("address")))
        };
        let (http, tftp, admin) = (listener("http"), listener("tftp"), listener("admin"));
        Server { child, log, http, tftp, admin, _dir: dir }
    }
}

/// Signals the server that this is.
pub(crate) fn send(child: &Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("the server can be signalled");
}

impl Server {
    /// A client of its HTTP listener.
    pub(crate) fn client(&self) -> Client {
        Client::of(self.http)
    }

    /// The URL of a path on its HTTP listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// The first line, past or to come, for which `wanted` holds.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&Line) -> bool) -> Line {
        self.log.wait_for(wanted)
    }

    /// The first transfer of `asset`, past or to come, with this outcome.
    pub(crate) fn wait_for_transfer(&self, asset: &str, outcome: &str) -> Line {
        self.wait_for(|l| l.is("bootdepot::transfer") && l.text("asset") == asset && l.text("outcome") == outcome)
    }

    /// The first fill of `asset`, past or to come, with this outcome.
    pub(crate) fn wait_for_fill(&self, asset: &str, outcome: &str) -> Line {
        self.wait_for(|l| l.is("bootdepot::fill") && l.text("asset") == asset && l.text("outcome") == outcome)
    }

    /// The lines so far for which `wanted` holds.
    pub(crate) fn lines(&self, wanted: impl Fn(&Line) -> bool) -> Vec<Line> {
        self.log.lines().iter().filter(|line| wanted(line)).cloned().collect()
    }

    /// The same, when there are at least `count` of them.
    pub(crate) fn wait_for_lines(&self, count: usize, wanted: impl Fn(&Line) -> bool) -> Vec<Line> {
        self.log.wait(|lines, _| (lines.iter().filter(|line| wanted(line)).count() >= count).then_some(()));
        self.lines(wanted)
    }

    /// Ends it at once, by SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server ends");
    }

    /// Asks it to end, by SIGTERM, and waits until it has. Returns all that it logged.
    pub(crate) fn stop_and_read(self) -> Vec<Line> {
        let log = Arc::clone(&self.log);
        self.stop();
        log.lines()
    }

    /// Asks it to end, by SIGTERM, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        // The log's end is the process's end; only the wait for it is bounded.
        self.log.wait_for_end();
        self.child.wait().expect("the server ends")
    }
}

impl Server {
    /// Asks it to load its settings again, by SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// The files that it has open, as the system lists them.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        send(&self.child, signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log.print());
        }
    }
}

impl Line {
    /// Whether it was logged under this target.
    pub(crate) fn is(&self, target: &str) -> bool {
        self.0["target"] == target
    }

    /// A field as text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        match self.field(name) {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// A field as a number; 0 where there is none.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// The names of its fields.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }

    fn field(&self, name: &str) -> &Value {
        if self.0["fields"][name].is_null() { &self.0[name] } else { &self.0["fields"][name] }
    }
}

impl Log {
    fn of(child: &mut Child) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let (written, stderr) = (Arc::clone(&log), child.stderr.take().expect("stderr is piped"));
        std::thread::spawn(move || {
            for text in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&text).unwrap_or(Value::String(text));
                written.change(|lines| lines.0.push(Line(line)));
            }
            written.change(|lines| lines.1 = true);
        });
        log
    }

    fn change(&self, change: impl FnOnce(&mut (Vec<Line>, bool))) {
        change(&mut self.lines.lock().expect("no test panics with the log"));
        self.grown.notify_all();
    }

    fn lines(&self) -> Vec<Line> {
        self.lines.lock().expect("no test panics with the log").0.clone()
    }

    fn print(&self) -> String {
        self.lines().iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "  {}", line.0);
            text
        })
    }

    fn wait_for(&self, wanted: impl Fn(&Line) -> bool) -> Line {
        self.wait(|lines, _| lines.iter().find(|line| wanted(line)).cloned())
    }

    fn wait_for_end(&self) {
        self.wait(|_, ended| ended.then_some(()));
    }

    fn wait<T>(&self, ready: impl Fn(&[Line], bool) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().expect("no test panics with the log");
        loop {
            if let Some(found) = ready(&lines.0, lines.1) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.1 || left.is_zero() {
                let why = if lines.1 { "the server ended" } else { "nothing came in time" };
                drop(lines);
                panic!("{why} while a test waited for a line of its log:\n{}", self.print());
            }
            lines = self.grown.wait_timeout(lines, left).expect("no test panics with the log").0;
        }
    }
}
