//! `bootdepot publish`, end to end: objects, sidecars and catalogs at S3 servers, and interrupted uploads.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpResponse};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::moto::Moto;
use crate::support::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use crate::support::{CommandExt, FakeOrigin, Fault, TestSite, random_bytes, runtime, seed, wait_until};

const MIB: usize = 1 << 20;

/// The size of the parts of an upload.
const PART: usize = 5 * MIB;

/// Parts that are sent at a time.
const CONNECTIONS: usize = 5;

/// An S3 server that counts the parts of uploads, and holds or refuses requests.
struct UploadServer {
    server: S3Server,
    front: Arc<Front>,
}

#[derive(Default)]
struct Front {
    /// Bytes of the parts that were stored.
    part_bytes: AtomicU64,
    parts: AtomicUsize,
    aborted: Mutex<Vec<String>>,
    /// Parts after so many are not answered. 0: all are.
    hold_after: AtomicUsize,
    /// Requests with checksum fields are refused.
    refuses_checksums: AtomicBool,
    refused: AtomicUsize,
    /// The file of the credentials, which are renewed and expire at the third part.
    rotated: Mutex<Option<PathBuf>>,
    /// Requests with the first session token are refused.
    has_expired: AtomicBool,
    /// Each PUT of the object `x/full.img` is refused with this status and code.
    refusal: Mutex<Option<(u16, &'static str)>>,
    /// Completions take effect only when the parts of the upload are listed, though their client has gone.
    completes_late: AtomicBool,
    /// The completion that waits for that.
    late: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
    /// Held by requests for objects that several commands change: s3s-fs compares the `ETag` and writes in two steps, where servers
    /// do both in one.
    changing: tokio::sync::Mutex<()>,
}

impl UploadServer {
    fn start() -> Self {
        let front = Arc::new(Front::default());
        let hook = Arc::clone(&front);
        let server = runtime().block_on(S3Server::start(move |s3, request| Arc::clone(&hook).answer(s3, request)));
        Self { server: server.expect("the S3 server starts on a free port"), front }
    }

    fn site(&self) -> TestSite {
        TestSite::new(&FakeOrigin::start()).origin(&self.server.endpoint())
    }
}

impl Front {
    async fn answer(self: Arc<Self>, s3: S3Service, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let has_checksum = request
            .headers()
            .keys()
            .any(|name| name.as_str().starts_with("x-amz-checksum-") && name != "x-amz-checksum-mode");
        if has_checksum && self.refuses_checksums.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let text =
                "<Error><Code>InvalidArgument</Code><Message>Unsupported header x-amz-checksum</Message></Error>";
            return Ok(Response::builder().status(400).body(Body::from(text.to_owned())).expect("a reply"));
        }
        let token = request.headers().get("x-amz-security-token");
        if self.has_expired.load(Ordering::Relaxed) && token.is_some_and(|token| token == "first") {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let text = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
            return Ok(Response::builder().status(400).body(Body::from(text.to_owned())).expect("a reply"));
        }
        let refusal = *self.refusal.lock().expect("no test panics with it");
        if request.method() == Method::PUT
            && request.uri().path().ends_with("/x/full.img")
            && let Some((status, code)) = refusal
        {
            let text = format!("<Error><Code>{code}</Code><Message>refused by the test</Message></Error>");
            return Ok(Response::builder().status(status).body(Body::from(text)).expect("a reply"));
        }
        let is_part = request.method() == Method::PUT && query.contains("partNumber");
        if request.method() == Method::DELETE && query.contains("uploadId") {
            self.aborted.lock().expect("no test panics with it").push(query.clone());
        }
        let is_of_upload = query.contains("uploadId");
        if request.method() == Method::POST && is_of_upload && self.completes_late.load(Ordering::Relaxed) {
            return self.complete_late(s3, request).await;
        }
        let late =
            (request.method() == Method::GET && is_of_upload).then(|| self.late.lock().expect("no panic").take());
        if let Some((release, completion)) = late.flatten() {
            release.send(()).expect("the completion waits");
            completion.await.expect("it does not panic");
        }
        let length = request.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        if is_part {
            let number = self.parts.fetch_add(1, Ordering::Relaxed);
            if number == 2
                && let Some(file) = self.rotated.lock().expect("no test panics with it").take()
            {
                std::fs::write(file, session("second")).expect("a file can be written");
                self.has_expired.store(true, Ordering::Relaxed);
            }
            let hold_after = self.hold_after.load(Ordering::Relaxed);
            if hold_after > 0 && number >= hold_after {
                std::future::pending::<()>().await;
            }
        }
        let is_shared = ["/catalog.toml", "/metadata.json"].iter().any(|name| request.uri().path().ends_with(name));
        let _changing = if is_shared { Some(self.changing.lock().await) } else { None };
        let reply = s3.call(request.map(Body::from)).await?;
        if is_part && reply.status().is_success() {
            self.part_bytes.fetch_add(length.unwrap_or(0), Ordering::Relaxed);
        }
        Ok(reply)
    }

    /// Takes a completion, and never answers it.
    async fn complete_late(&self, s3: S3Service, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let (release, released) = oneshot::channel();
        let completion = tokio::spawn(async move {
            released.await.expect("the test releases it");
            let reply = s3.call(Request::from_parts(parts, Body::from(body))).await;
            assert!(reply.is_ok_and(|reply| reply.status().is_success()));
        });
        *self.late.lock().expect("no panic") = Some((release, completion));
        std::future::pending().await
    }
}

/// A file of credentials with this session token.
fn session(token: &str) -> String {
    format!(
        "[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\naws_session_token = {token}\n"
    )
}

/// A file in the site's directory.
fn file(site: &TestSite, name: &str, bytes: &[u8]) -> String {
    let path = site.file(name);
    std::fs::write(&path, bytes).expect("a file can be written");
    path.display().to_string()
}

fn command(site: &TestSite, args: &[&str]) -> Command {
    let mut command = site.command_line(&[&["publish"], args].concat());
    command.env("XDG_STATE_HOME", site.file("state")).stdin(Stdio::null());
    command
}

fn publish(site: &TestSite, args: &[&str]) -> Output {
    command(site, args).run_to_end()
}

/// Publishes, expects success, and returns standard output.
fn succeed(site: &TestSite, args: &[&str]) -> String {
    let output = publish(site, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Publishes, expects a failure, and returns standard error.
fn fail(site: &TestSite, args: &[&str]) -> String {
    let output = publish(site, args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
    assert!(!errors.contains("not-a-secret"), "{errors}");
    errors
}

/// The events of `--json` with this name.
fn events(output: &str, name: &str) -> Vec<Value> {
    let all = output.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    all.filter(|event| event["event"] == name).collect()
}

fn to(prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}")
}

#[test]
fn published_files_are_served() {
    let server = UploadServer::start();
    let site = server.site();
    let (small, large) = (random_bytes(1, 100_000), random_bytes(2, 2 * PART + 77));
    let files = [file(&site, "kernel", &small), file(&site, "rootfs.img", &large)];
    let args = [&files[0], &files[1], "--to", &to("okd"), "--version", "4.19", "--release", "okd-4.19"];
    let toml = succeed(&site, &args);
    let tables: toml::Table = toml.parse().expect("the catalog is TOML");
    assert_eq!(tables["release"][0]["assets"].as_array().map(Vec::len), Some(2), "{toml}");
    assert_eq!(server.front.part_bytes.load(Ordering::Relaxed), large.len() as u64);

    std::fs::write(site.file("published.toml"), &toml).expect("a file can be written");
    let mut include = toml::Table::new();
    include.insert("include".to_owned(), vec!["published.toml"].into());
    let boot = site.tables(include).start();
    assert!(boot.client().compare("/assets/okd/4.19/kernel", &small));
    assert!(boot.client().compare("/assets/okd/4.19/rootfs.img", &large));
}

#[test]
fn repeated_publish_sends_nothing() {
    let server = UploadServer::start();
    let site = server.site();
    let paths = [file(&site, "a.img", &random_bytes(1, 1000)), file(&site, "b.img", &random_bytes(2, PART + 7))];
    let args = [&paths[0], &paths[1], "--to", &to("x"), "--json"];
    let outcomes = |output: &str| -> Vec<(String, u64)> {
        let items = events(output, "item");
        items
            .iter()
            .map(|item| (item["outcome"].as_str().unwrap_or_default().to_owned(), item["sent"].as_u64().unwrap_or(9)))
            .collect()
    };
    let first = succeed(&site, &args);
    assert_eq!(outcomes(&first), [("published".to_owned(), 1000), ("published".to_owned(), PART as u64 + 7)]);
    let second = succeed(&site, &args);
    assert_eq!(outcomes(&second), [("unchanged".to_owned(), 0), ("unchanged".to_owned(), 0)]);
    assert_eq!(events(&first, "catalog"), events(&second, "catalog"));
}

#[test]
fn other_digest_needs_force() {
    let server = UploadServer::start();
    let site = server.site();
    let (old, new) = (random_bytes(1, 1000), random_bytes(2, 1000));
    let path = file(&site, "a.img", &old);
    succeed(&site, &[&path, "--to", &to("x")]);
    std::fs::write(&path, &new).expect("a file can be written");
    let errors = fail(&site, &[&path, "--to", &to("x")]);
    let digest = bootdepot::asset::Digest::of(&old).to_string();
    assert!(errors.contains("exists with other bytes") && errors.contains(&digest), "{errors}");
    let printed = succeed(&site, &[&path, "--to", &to("x"), "--force", "--verify"]);
    assert!(printed.contains(&bootdepot::asset::Digest::of(&new).to_string()), "{printed}");
}

#[test]
fn killed_publish_sends_missing_parts() {
    let server = UploadServer::start();
    let site = server.site();
    let bytes = random_bytes(1, 16 * PART + 5);
    let path = file(&site, "a.img", &bytes);
    let args = [path.as_str(), "--to", &to("x"), "--json", "--verify"];
    let mut rounds = 0;
    // More parts than are sent at a time: some are stored.
    for held in [8, 7] {
        server.front.parts.store(0, Ordering::Relaxed);
        server.front.hold_after.store(held, Ordering::Relaxed);
        let mut child = command(&site, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let seen = || server.front.parts.load(Ordering::Relaxed);
        wait_until(|| (seen() > held).then_some(()), || format!("{} parts", seen()));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        rounds += 1;
    }
    server.front.hold_after.store(0, Ordering::Relaxed);
    let output = succeed(&site, &args);
    let item = &events(&output, "item")[0];
    assert_eq!((&item["outcome"], &item["size"]), (&"resumed".into(), &bytes.len().into()), "{item}");
    let sent = server.front.part_bytes.load(Ordering::Relaxed);
    let most = bytes.len() + rounds * CONNECTIONS * PART;
    assert!(sent <= most as u64, "{sent} of at most {most} bytes");
    assert!(item["sent"].as_u64().is_some_and(|sent| sent < bytes.len() as u64 - 2 * PART as u64), "{item}");
    assert_eq!(std::fs::read_dir(site.file("state/bootdepot/uploads")).expect("a directory").count(), 0);
}

/// Kills at random moments: at the start, while parts are sent, while the sidecars are written, or never.
#[test]
fn random_kills_lose_no_stored_part() {
    let server = UploadServer::start();
    let site = server.site();
    let bytes = random_bytes(1, 12 * PART + 5);
    let path = file(&site, "a.img", &bytes);
    let args = [path.as_str(), "--to", &to("x"), "--json", "--verify"];
    let mut random = fastrand::Rng::with_seed(seed());
    let mut killed = 0;
    for _ in 0..20 {
        let mut child = command(&site, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(random.u64(0..400)));
        killed += usize::from(child.try_wait().expect("it can be asked").is_none());
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    let output = succeed(&site, &args);
    let item = &events(&output, "item")[0];
    assert_eq!(item["sha256"], bootdepot::asset::Digest::of(&bytes).to_string(), "{item}");
    let sent = server.front.part_bytes.load(Ordering::Relaxed);
    let most = bytes.len() + killed * CONNECTIONS * PART;
    assert!(sent <= most as u64, "{sent} of at most {most} bytes after {killed} kills");
    assert_eq!(std::fs::read_dir(site.file("state/bootdepot/uploads")).expect("a directory").count(), 0);
}

/// The completion of a killed run takes effect after the next run has looked for the object: its upload has ended then.
#[test]
fn late_completion_is_found_by_next_run() {
    let server = UploadServer::start();
    let site = server.site();
    let bytes = random_bytes(1, 2 * PART + 5);
    let path = file(&site, "a.img", &bytes);
    let args = [path.as_str(), "--to", &to("x"), "--json", "--verify"];
    server.front.completes_late.store(true, Ordering::Relaxed);
    let mut child = command(&site, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let is_held = || server.front.late.lock().expect("no panic").is_some();
    wait_until(|| is_held().then_some(()), || "no completion".to_owned());
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    server.front.completes_late.store(false, Ordering::Relaxed);
    let output = succeed(&site, &args);
    assert!(!is_held(), "the completion took effect");
    let item = &events(&output, "item")[0];
    assert_eq!(item["sha256"], bootdepot::asset::Digest::of(&bytes).to_string(), "{item}");
    assert_eq!(server.front.part_bytes.load(Ordering::Relaxed), bytes.len() as u64, "no byte is sent twice");
    assert_eq!(std::fs::read_dir(site.file("state/bootdepot/uploads")).expect("a directory").count(), 0);
}

#[test]
fn changed_file_starts_new_upload() {
    let server = UploadServer::start();
    let site = server.site();
    let path = file(&site, "a.img", &random_bytes(1, 4 * PART));
    let args = [path.as_str(), "--to", &to("x"), "--json", "--verify"];
    server.front.hold_after.store(2, Ordering::Relaxed);
    let mut child = command(&site, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let seen = || server.front.parts.load(Ordering::Relaxed);
    wait_until(|| (seen() > 2).then_some(()), || format!("{} parts", seen()));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    server.front.hold_after.store(0, Ordering::Relaxed);
    let other = random_bytes(2, 3 * PART);
    std::fs::write(&path, &other).expect("a file can be written");
    let output = succeed(&site, &args);
    let item = &events(&output, "item")[0];
    assert_eq!(item["sent"], other.len(), "{item}");
    assert_eq!(server.front.aborted.lock().expect("no test panics with it").len(), 1);
}

#[test]
fn concurrent_publishes_keep_all_entries() {
    let server = UploadServer::start();
    let site = server.site();
    site.write();
    let catalog = to("catalog.toml");
    let old = "# The catalog of the lab.\n[[asset]]\nname = \"old\" # stays\n";
    runtime().block_on(server.server.put("catalog.toml", old.into())).expect("the catalog can be stored");
    let names: Vec<String> = (0..4).map(|number| format!("{number}.img")).collect();
    let commands: Vec<Command> = names
        .iter()
        .map(|name| {
            let path = file(&site, name, name.as_bytes());
            let mut command = command(&site, &[&path, "--to", &to("x"), "--catalog", &catalog, "--release", "r"]);
            command.stdout(Stdio::null()).stderr(Stdio::inherit());
            command
        })
        .collect();
    let running: Vec<_> = commands.into_iter().map(|mut command| command.spawn().expect("it starts")).collect();
    for mut child in running {
        assert!(child.wait().expect("it ends").success());
    }
    // Merging the same entry again changes nothing and prints nothing; the local copy shows what is there.
    let local = site.file("catalog.toml").display().to_string();
    let text = read(&server, "catalog.toml");
    assert!(text.starts_with(old), "{text}");
    for name in &names {
        assert!(text.contains(&format!("\"x/{name}\",")) || text.contains(&format!("\"x/{name}\"]")), "{text}");
        assert!(text.contains(&format!("name = \"x/{name}\"")), "{text}");
    }
    std::fs::write(&local, old).expect("a file can be written");
    let path = site.file("0.img").display().to_string();
    succeed(&site, &[&path, "--to", &to("x"), "--catalog", &local]);
    let text = std::fs::read_to_string(&local).expect("the catalog can be read");
    assert!(text.starts_with(old) && text.contains("name = \"x/0.img\""), "{text}");
}

/// Reads an object as text.
fn read(server: &UploadServer, key: &str) -> String {
    let bytes = server.server.get(key).expect("the object can be read");
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn refused_checksums_fail_no_publish() {
    let server = UploadServer::start();
    server.front.refuses_checksums.store(true, Ordering::Relaxed);
    let site = server.site();
    let paths = [file(&site, "a.img", &random_bytes(1, 1000)), file(&site, "b.img", &random_bytes(2, PART + 7))];
    succeed(&site, &[&paths[0], "--to", &to("x"), "--verify"]);
    let refused = server.front.refused.load(Ordering::Relaxed);
    assert!(refused > 0, "the probe tries");
    succeed(&site, &[&paths[1], "--to", &to("x"), "--verify"]);
    assert_eq!(server.front.refused.load(Ordering::Relaxed), refused, "the result of the probe is kept");
}

#[test]
fn checksums_refused_later_fail_no_publish() {
    let server = UploadServer::start();
    let site = server.site();
    // The probe finds a server that keeps checksums; then the server is replaced.
    let paths = [file(&site, "a.img", &random_bytes(1, 1000)), file(&site, "b.img", &random_bytes(2, PART + 7))];
    succeed(&site, &[&paths[0], "--to", &to("x")]);
    server.front.refuses_checksums.store(true, Ordering::Relaxed);
    succeed(&site, &[&paths[1], "--to", &to("x"), "--verify"]);
}

#[test]
fn refusal_of_store_is_named() {
    let server = UploadServer::start();
    let site = server.site();
    let path = file(&site, "full.img", b"abc");
    for (status, code, step) in [
        (403, "QuotaExceeded", "raise the quota"),
        (507, "XMinioStorageFull", "free space there"),
        (400, "ExpiredToken", "renew the session token"),
        (403, "SignatureDoesNotMatch", "check the secret access key"),
    ] {
        *server.front.refusal.lock().expect("no test panics with it") = Some((status, code));
        let errors = fail(&site, &[&path, "--to", &to("x")]);
        assert!(errors.contains(code) && errors.contains(step), "{errors}");
    }
    *server.front.refusal.lock().expect("no test panics with it") = None;
    succeed(&site, &[&path, "--to", &to("x"), "--verify"]);
}

#[test]
fn renewed_credentials_continue_upload() {
    let server = UploadServer::start();
    let site = server.site();
    let credentials = PathBuf::from(file(&site, "credentials", session("first").as_bytes()));
    let profile = format!("from = \"profile\"\nfile = \"{}\"", credentials.display()).parse().expect("a table");
    let site = site.origin_with(&server.server.endpoint(), profile);
    *server.front.rotated.lock().expect("no test panics with it") = Some(credentials);
    let bytes = random_bytes(9, 6 * PART);
    let path = file(&site, "large.img", &bytes);
    succeed(&site, &[&path, "--to", &to("x"), "--verify"]);
    assert!(server.front.refused.load(Ordering::Relaxed) > 0, "the first credentials have expired");
    assert_eq!(server.front.part_bytes.load(Ordering::Relaxed), bytes.len() as u64, "each part was stored once");
}

#[test]
fn throttled_publish_is_retried() {
    let origin = FakeOrigin::start();
    let site = TestSite::new(&origin);
    let path = file(&site, "a.img", b"abc");
    origin.times(2, "x/a.img", Fault::Status(503, "SlowDown"));
    succeed(&site, &[&path, "--to", &to("x"), "--verify"]);
}

#[test]
fn dry_run_sends_no_request() {
    let origin = FakeOrigin::start();
    let site = TestSite::new(&origin).origin("http://127.0.0.1:1");
    let path = file(&site, "a.img", b"abc");
    let text = succeed(&site, &[&path, "--to", &to("x"), "--version", "1", "--dry-run"]);
    assert!(text.contains(&to("x/1/a.img")), "{text}");
    let output = succeed(&site, &[&path, "--to", &to("x"), "--dry-run", "--json"]);
    assert_eq!(events(&output, "plan")[0]["files"][0]["size"], 3);
    assert!(!site.file("state").exists());
}

#[test]
fn wrong_usage_of_publish_exits_with_2() {
    let site = TestSite::new(&FakeOrigin::start());
    let path = file(&site, "a.img", b"abc");
    for args in [
        vec!["-", "--to", "s3://assets"],
        vec![&path, "--to", "https://h/x"],
        vec![&path, "--to", "s3://elsewhere/x"],
        vec![&path, "--to", "s3://assets", "--meta", "x"],
    ] {
        let output = publish(&site, &args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
    }
}

#[test]
fn standard_input_is_published() {
    let server = UploadServer::start();
    let site = server.site();
    let bytes = random_bytes(3, PART + 9);
    let path = file(&site, "input", &bytes);
    let run = |path: &str| {
        let mut command = command(&site, &["-", "--name", "in.img", "--to", &to("x"), "--json", "--verify"]);
        command.stdin(std::fs::File::open(path).expect("the file can be opened")).run_to_end()
    };
    let digest = bootdepot::asset::Digest::of(&bytes).to_string();
    for outcome in ["published", "unchanged"] {
        let output = run(&path);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let item = &events(&String::from_utf8_lossy(&output.stdout), "item")[0];
        assert_eq!((&item["sha256"], &item["outcome"]), (&digest.as_str().into(), &outcome.into()));
    }
    let other = file(&site, "input", b"other");
    assert_eq!(run(&other).status.code(), Some(1));
}

#[test]
fn moto_keeps_objects_and_sidecars() {
    let Some(moto) = Moto::start() else { return };
    let site = TestSite::new(&FakeOrigin::start()).origin(&moto.endpoint());
    let (small, large) = (random_bytes(1, 5000), random_bytes(2, PART + 100));
    let paths = [file(&site, "kernel", &small), file(&site, "rootfs.img", &large)];
    let labels = ["--server-id", "r630-01", "--hostname", "node-1", "--meta", "ticket=7"];
    let flags = ["--to", &to("okd"), "--version", "4.19", "--verify", "--json", "--public", &to("public")];
    let args = [&[paths[0].as_str(), &paths[1]][..], &flags, &labels].concat();
    let output = succeed(&site, &args);
    assert_eq!(events(&output, "item").len(), 2, "{output}");
    let get = |key: &str| moto.send("GET", &format!("/{BUCKET}/{key}"), &[], b"").body().to_owned();
    let digest = |bytes: &[u8]| bootdepot::asset::Digest::of(bytes).to_string();
    assert_eq!(get("okd/4.19/kernel.sha256"), format!("{}  kernel\n", digest(&small)));
    let list: Value = serde_json::from_str(&get("okd/4.19/rootfs.img.blocks")).expect("a block list");
    assert_eq!((&list["sha256"], list["blocks"].as_array().map(Vec::len)), (&digest(&large).as_str().into(), Some(2)));
    let metadata: Value = serde_json::from_str(&get("okd/4.19/metadata.json")).expect("JSON");
    let kernel = &metadata["files"]["kernel"];
    assert_eq!(
        (&kernel["version"], &kernel["server_id"], &kernel["hostname"], &kernel["meta"]["ticket"], &kernel["size"]),
        (&"4.19".into(), &"r630-01".into(), &"node-1".into(), &"7".into(), &5000.into())
    );
    assert!(kernel["sha256"] == digest(&small) && metadata["files"]["rootfs.img"]["sha256"] == digest(&large));
    assert_eq!(get("public/okd/4.19/kernel.sha256"), format!("{}  kernel\n", digest(&small)));
    // All is there: nothing is sent again.
    let again = succeed(&site, &args);
    assert!(events(&again, "item").iter().all(|item| item["outcome"] == "unchanged"), "{again}");
}
