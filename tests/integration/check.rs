//! `bootdepot check`: its report of each problem, with the setting to change.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::Value;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

use crate::support::{CommandExt, FakeOrigin, Fault, Object, TestSite, Tool, random_bytes, runtime, timeout, tool};

/// The report of a check and its exit status.
struct CheckOutput {
    status: i32,
    text: String,
}

impl CheckOutput {
    fn of(site: &TestSite, args: &[&str]) -> Self {
        let output = site.command_line(&[&["check"], args].concat()).run_to_end();
        let text = String::from_utf8(output.stdout).expect("the output is text");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.is_empty(), "{errors}");
        Self { status: output.status.code().expect("the program exits"), text }
    }

    /// Returns the report of the checks of these names, with `there` for the address and `SITE` for the site's directory, without
    /// line breaks and column padding.
    fn section(&self, site: &TestSite, checks: &[&str], address: SocketAddr) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut wanted = false;
        let dir = site.file("").display().to_string();
        for line in self.text.lines() {
            let words: Vec<_> = line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
            if !line.starts_with(' ') {
                wanted = words.get(1).is_some_and(|check| checks.contains(check));
            }
            if !wanted {
                continue;
            }
            let line = if line.starts_with(' ') { line.to_owned() } else { words.join("  ") };
            match lines.last_mut() {
                Some(before) if line.starts_with("           ") && !line.trim_start().starts_with("do: ") => {
                    *before += " ";
                    *before += line.trim_start();
                }
                _ => lines.push(line),
            }
        }
        lines.join("\n").replace(&dir, "SITE/").replace(&address.to_string(), "there:9000")
    }

    fn sum(&self) -> &str {
        self.text.lines().last().unwrap_or_default()
    }
}

fn address(origin: &FakeOrigin) -> SocketAddr {
    origin.endpoint().trim_start_matches("http://").parse().expect("an address")
}

/// Returns an address without a listener.
fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Returns a site with an active release of two assets, which the origin has.
fn site_with_release() -> (FakeOrigin, TestSite, [Object; 2]) {
    let origin = FakeOrigin::start();
    let objects =
        [origin.put("okd/kernel", random_bytes(1, 100_000)), origin.put("okd/rootfs", random_bytes(2, 300_000))];
    let site = TestSite::new(&origin).asset(&objects[0]).asset(&objects[1]);
    let site = site.release("okd-1", true, &[&objects[0], &objects[1]]);
    (origin, site, objects)
}

/// Returns the report of the checks "origin" and "objects", of a check that fails.
fn failures(site: &TestSite, there: SocketAddr) -> String {
    let checked = CheckOutput::of(site, &[]);
    assert_eq!(checked.status, 1, "{}", checked.text);
    checked.section(site, &["origin", "objects"], there)
}

#[test]
fn healthy_setup_prints_few_lines() {
    let (origin, site, objects) = site_with_release();
    for object in &objects {
        let checksum = bootdepot::asset::Digest::of(&object.bytes).to_base64();
        origin.always(&object.key, Fault::Field("x-amz-checksum-sha256", checksum));
    }
    let checked = CheckOutput::of(&site, &[]);
    assert_eq!(checked.status, 0, "{}", checked.text);
    assert!(checked.text.lines().count() < 10, "{}", checked.text);
    assert_eq!(checked.sum(), "6 checks, all ok; checked by this command, without a server");
    insta::assert_snapshot!(checked.section(
        &site,
        &["settings", "ports", "firmware", "origin", "objects"],
        address(&origin)
    ));
    assert!(checked.text.contains("390.6 KiB still to be fetched"), "{}", checked.text);
    let requests = ["HEAD - 200", "GET bytes=0-1023 206", "GET bytes=98976-99999 206"];
    assert_eq!(origin.seen(&objects[0].key), requests, "both ends, as a fill reads them");

    let verbose = CheckOutput::of(&site, &["--verbose"]);
    insta::assert_snapshot!(verbose.section(&site, &["origin", "objects"], address(&origin)));
}

#[test]
fn host_boot_file_needs_mac() {
    let origin = FakeOrigin::start();
    let nbp = origin.put("boot/x.efi", random_bytes(1, 1000));
    let hosts = toml::toml! {
        [[profile]]
        name = "local"
        local = true
        [[host]]
        name = "by-mac"
        match = { mac = "52:54:00:00:00:01" }
        profile = "local"
        nbp = "boot/x.efi"
        [[host]]
        name = "by-uuid"
        match = { uuid = "44454c4c-0077-1034-8054-000000000001" }
        profile = "local"
        nbp = "boot/x.efi"
    };
    let site = TestSite::new(&origin).asset(&nbp).tables(hosts);
    insta::assert_snapshot!(CheckOutput::of(&site, &["--verbose"]).section(&site, &["firmware"], address(&origin)));
}

#[test]
fn cached_assets_need_no_room() {
    let (origin, site, objects) = site_with_release();
    let server = site.start();
    assert!(server.client().compare("/assets/okd/kernel", &objects[0].bytes));
    server.wait_for(|line| line.text("message") == "release live");
    let running = CheckOutput::of(&site, &["--verbose"]);
    assert_eq!(running.status, 0, "{}", running.text);
    let cache = running.section(&site, &["cache"], address(&origin));
    assert!(cache.contains("can write, sync and rename files; in use by a running bootdepot, pid "), "{cache}");
    assert!(cache.contains("390.6 KiB are here, nothing is missing"), "{cache}");
    drop(origin);

    // The running server holds the ports.
    let (http, tftp, admin) = (server.http.to_string(), server.tftp.to_string(), server.admin.to_string());
    let listen = ["--http-listen", &http, "--tftp-listen", &tftp, "--admin-listen", &admin, "--verbose", "--local"];
    let checked = CheckOutput::of(&site, &listen);
    assert_eq!(checked.text.matches("held by the running bootdepot, pid ").count(), 3, "{}", checked.text);
}

#[test]
fn wrong_key_is_permission_denied() {
    let (origin, site, _) = site_with_release();
    insta::assert_snapshot!(failures(&site.wrong_secret(), address(&origin)));
}

#[test]
fn unknown_key_is_permission_denied() {
    let (origin, site, _) = site_with_release();
    let keys = toml::toml! {
        from = "static"
        access_key_id = "AKIAUNKNOWN"
        secret_access_key = "hush"
    };
    let report = failures(&site.origin_with(&origin.endpoint(), keys), address(&origin));
    assert!(!report.contains("hush"), "{report}");
    insta::assert_snapshot!(report);
}

#[test]
fn missing_credentials_name_the_setting() {
    let (origin, site, _) = site_with_release();
    let site = site.origin_with(&origin.endpoint(), toml::toml! { from = "web-identity" });
    insta::assert_snapshot!(failures(&site, address(&origin)));
}

#[test]
fn forbidden_object_is_permission_denied() {
    let (origin, site, objects) = site_with_release();
    origin.always(&objects[1].key, Fault::Status(403, "AccessDenied"));
    insta::assert_snapshot!(failures(&site, address(&origin)));
}

#[test]
fn missing_bucket_is_reported_once() {
    let (origin, _, objects) = site_with_release();
    // Without a bucket the S3 server would report a missing object.
    origin.always("", Fault::Status(404, "NoSuchBucket"));
    let site = TestSite::new(&origin).tables(toml::toml! {
        [[origin]]
        match = "s3://asets/"
        endpoint = (origin.endpoint())
        credentials = { from = "env" }
    });
    let site = objects.iter().fold(site, |site, object| {
        let source = format!("s3://asets/{}", object.key);
        site.asset_from(&object.key, &object.sha256(), &[&source])
    });
    insta::assert_snapshot!(failures(&site, address(&origin)));
}

#[test]
fn missing_object_is_named() {
    let (origin, site, objects) = site_with_release();
    let gone = Object { key: "okd/initramfs".to_owned(), bytes: objects[0].bytes.clone() };
    insta::assert_snapshot!(failures(&site.asset(&gone), address(&origin)));
}

#[test]
fn failed_source_beside_good_one_warns() {
    let (origin, _, objects) = site_with_release();
    let sources = ["s3://assets/gone", &format!("s3://assets/{}", objects[0].key)];
    let site = TestSite::new(&origin).asset_from("kernel", &objects[0].sha256(), &sources);
    let checked = CheckOutput::of(&site, &[]);
    assert_eq!(checked.status, 0, "{}", checked.text);
    assert_eq!(checked.sum(), "6 checks: 1 unverified, 1 with a warning; checked by this command, without a server");
    // The table breaks lines.
    let text = checked.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("s3://assets/gone does not exist; another source may have it"), "{text}");
}

#[test]
fn wrong_size_or_checksum_is_named() {
    let (origin, site, objects) = site_with_release();
    let other = origin.put("okd/other", random_bytes(3, 5_000));
    origin.always(&other.key, Fault::Field("x-amz-meta-sha256", objects[0].sha256()));
    let site = site.asset(&other).asset_in_blocks(&objects[0].clone().named("okd/kernel-2"), &objects[1]);
    origin.put("okd/kernel-2", objects[0].bytes.clone());
    let site = site.size_of_last(7);
    let report = failures(&site, address(&origin));
    let report = report.replace(&objects[0].sha256(), "KERNEL").replace(&other.sha256(), "OTHER");
    insta::assert_snapshot!(report);
}

#[test]
fn unreachable_store_skips_further_checks() {
    let (_, site, _) = site_with_release();
    let there = unused_address();
    insta::assert_snapshot!(failures(&site.origin(&format!("http://{there}")), there));
}

#[test]
fn unresolvable_name_is_reported() {
    let (_, site, _) = site_with_release();
    let report = failures(&site.origin("http://nonexistent.invalid:9000"), unused_address());
    // The resolver's text depends on the machine.
    let (before, rest) = report.split_once("resolved (").expect("the name cannot be resolved");
    let (_, after) = rest.split_once(")\n").expect("a reason");
    insta::assert_snapshot!(format!("{before}resolved (REASON)\n{after}"));
}

#[test]
fn silent_store_is_reported_once() {
    let (_, site, _) = site_with_release();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let there = listener.local_addr().expect("an address");
    let report = failures(&site.origin(&format!("http://{there}")), there);
    // The timeout is longer on a busy machine.
    let (before, rest) = report.split_once("nothing for ").expect("the timeout is reported");
    let (_, after) = rest.split_once(" s\n").expect("seconds");
    insta::assert_snapshot!(format!("{before}nothing for N s\n{after}"));
}

#[test]
fn private_ca_must_be_configured() {
    let (_, site, _) = site_with_release();
    let (there, _) = tls(false);
    insta::assert_snapshot!(failures(&site.origin(&format!("https://{there}")), there));
}

#[test]
fn expired_certificate_must_be_renewed() {
    let (_, site, _) = site_with_release();
    let (there, ca) = tls(true);
    std::fs::write(site.file("ca.pem"), ca).expect("a file can be written");
    let ca_file = site.file("ca.pem").display().to_string();
    let site = site.set_origin("ca_file", &ca_file);
    insta::assert_snapshot!(failures(&site.set_origin("endpoint", &format!("https://{there}")), there));
}

#[test]
fn soon_expiring_certificate_is_warning() {
    let (_, site, _) = site_with_release();
    let soon = SystemTime::now() + Duration::from_hours(5 * 24);
    let found = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n\r\nfirst bytes";
    let (there, ca) = tls_until(found, |params| params.not_after = soon.into());
    std::fs::write(site.file("ca.pem"), ca).expect("a file can be written");
    let ca_file = site.file("ca.pem").display().to_string();
    let site = site.set_origin("ca_file", &ca_file);
    let checked = CheckOutput::of(&site.set_origin("endpoint", &format!("https://{there}")), &[]);
    let sum = "6 checks: 1 unverified, 1 with a warning; checked by this command, without a server";
    assert_eq!((checked.status, checked.sum()), (0, sum), "{}", checked.text);
    assert!(checked.text.contains("tls: certificate: it expires on "), "{}", checked.text);
}

#[test]
fn clock_difference_is_measured() {
    for (behind, words) in [
        (
            Duration::from_secs(20 * 60 + 30),
            "clock: the store's clock is 20 min behind this machine's; S3 refuses from 15 minutes on",
        ),
        (Duration::from_secs(3 * 60 + 30), "clock: the store's clock is 3 min behind this machine's"),
    ] {
        let (_, _, objects) = site_with_release();
        let there = scripted(move || {
            let date = httpdate::fmt_http_date(SystemTime::now() - behind);
            format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nDate: {date}\r\nConnection: close\r\n\r\nfirst bytes")
        });
        let origin = FakeOrigin::start();
        let site = TestSite::new(&origin).asset(&objects[0]).origin(&format!("http://{there}"));
        let checked = CheckOutput::of(&site, &[]);
        assert_eq!(checked.status, i32::from(behind > Duration::from_mins(15)), "{}", checked.text);
        let report = checked.section(&site, &["origin"], there);
        assert!(report.contains(words) && report.contains("do: set this machine's clock"), "{report}");
    }
}

#[test]
fn small_disk_fails_the_check() {
    let (_origin, site, _) = site_with_release();
    let dir = site.cache_dir();
    std::fs::create_dir(&dir).expect("a directory can be made");
    let Some(_disk) = Tmpfs::mount(&dir, "256k") else { return };
    let checked = CheckOutput::of(&site, &[]);
    assert_eq!(checked.status, 1, "{}", checked.text);
    insta::assert_snapshot!(checked.section(&site, &["cache"], unused_address()));

    let site = site.set("cache.max_size", "100 KiB");
    insta::assert_snapshot!(CheckOutput::of(&site, &[]).section(&site, &["cache"], unused_address()));
}

#[test]
fn occupied_port_names_its_owner() {
    let (_, site, _) = site_with_release();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let there = listener.local_addr().expect("an address");
    let checked = CheckOutput::of(&site, &["--http-listen", &there.to_string()]);
    assert_eq!(checked.status, 1, "{}", checked.text);
    let report = checked.section(&site, &["ports"], there);
    let (name, pid) = (comm(), std::process::id());
    let report = report
        .replace(&format!("{name} (pid {pid})"), "integration (pid 7)")
        .replace(&format!("stop {name}"), "stop integration");
    insta::assert_snapshot!(report.replace(&there.port().to_string(), "9000"));
}

#[test]
fn port_below_1024_needs_capability() {
    let Some(setpriv) = Tool::find("setpriv") else { return };
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if start.trim().parse::<u16>().unwrap_or(0) < 1024 {
        return tool::skip("this machine lets everyone listen on port 1023");
    }
    let (_, site, _) = site_with_release();
    let command = site.command_line(&["check", "--tftp-listen", "127.0.0.1:1023"]);
    let drop = "--bounding-set=-net_bind_service";
    let mut without = setpriv.command();
    without.args([drop, "--inh-caps=-net_bind_service"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => without.env(name, value),
            None => without.env_remove(name),
        };
    }
    let output = without.run_to_end();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let checked = CheckOutput { status: output.status.code().expect("the program exits"), text };
    assert_eq!(checked.status, 1, "{} {}", checked.text, String::from_utf8_lossy(&output.stderr));
    let user = format!("(id {})", rustix::process::geteuid().as_raw());
    insta::assert_snapshot!(checked.section(&site, &["ports"], unused_address()).replace(&user, "(id 1000)"));
}

#[test]
fn certificate_and_token_files_are_checked() {
    let (_origin, site, _) = site_with_release();
    let (tokens, cert) = (site.file("tokens").display().to_string(), site.file("cert.pem").display().to_string());
    let site = site.set("admin.operator_token_file", tokens);
    let site = site.set("http.tls.cert", cert.clone()).set("http.tls.key", cert);
    let site = site.set("http.tls.listen", vec!["127.0.0.1:0"]);
    std::fs::write(site.file("cert.pem"), "no PEM").expect("a file can be written");
    let checked = CheckOutput::of(&site, &[]);
    assert_eq!(checked.status, 1, "{}", checked.text);
    insta::assert_snapshot!(checked.section(&site, &["tls", "tokens"], unused_address()));

    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    let both = pair.cert.pem() + &pair.signing_key.serialize_pem();
    std::fs::write(site.file("cert.pem"), both).expect("a file can be written");
    std::fs::write(site.file("tokens"), "a-token-of-some-length-0123456789\n").expect("a file can be written");
    let checked = CheckOutput::of(&site, &[]);
    assert_eq!(checked.status, 0, "{}", checked.text);
}

#[test]
fn json_reports_the_same_findings() {
    let (_origin, site, _) = site_with_release();
    let gone = Object { key: "okd/initramfs".to_owned(), bytes: random_bytes(9, 10).into() };
    let site = site.asset(&gone);
    let checked = CheckOutput::of(&site, &["--json"]);
    assert_eq!(checked.status, 1);
    let json: Value = serde_json::from_str(&checked.text).expect("JSON");
    assert_eq!((&json["result"], &json["by"]), (&"failed".into(), &"command".into()));
    let objects = json["checks"].as_array().expect("a list").iter().find(|check| check["check"] == "objects");
    let objects = objects.expect("the objects are checked");
    assert_eq!(objects["counts"], serde_json::json!({ "ok": 0, "unverified": 2, "failed": 1 }));
    let findings = objects["findings"].as_array().expect("a list").clone();
    let results: Vec<_> =
        findings.iter().map(|finding| (finding["what"].as_str(), finding["result"].as_str())).collect();
    assert_eq!(
        results,
        [
            (Some("okd/initramfs"), Some("failed")),
            (Some("okd/kernel"), Some("unverified")),
            (Some("okd/rootfs"), Some("unverified"))
        ]
    );
    assert_eq!(findings[0]["trouble"], "no such object");
    assert!(findings[0]["do"].as_str().is_some_and(|words| words.contains("`sources` of [[asset]]")), "{findings:?}");
}

#[test]
fn wrong_settings_exit_with_status_2() {
    let (_, site, _) = site_with_release();
    let site = site.set("fill.conections", 3);
    let output = site.command_line(&["check"]).run_to_end();
    assert_eq!(output.status.code(), Some(2));
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(report.contains("there is no such key; the nearest is connections"), "{report}");
    let json = CheckOutput::of(&site, &["--json"]);
    assert_eq!(json.status, 2);
    let json: Value = serde_json::from_str(&json.text).expect("JSON");
    assert_eq!(json["checks"][0]["findings"][0]["result"], "failed");
}

/// Returns the name of this process, as in /proc.
fn comm() -> String {
    std::fs::read_to_string("/proc/self/comm").expect("a name").trim().to_owned()
}

/// Starts a server that sends the same response to every request.
fn scripted(answer: impl Fn() -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let there = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let Ok(reading) = socket.try_clone() else { continue };
            let head =
                BufReader::new(reading).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).count();
            if head > 0 {
                // Fails if the client has closed the connection.
                let _ = socket.write_all(answer().as_bytes());
            }
        }
    });
    there
}

fn tls(expired: bool) -> (SocketAddr, String) {
    let missing = "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    tls_until(missing, |params| params.not_after = rcgen::date_time_ymd(if expired { 2020 } else { 2120 }, 1, 1))
}

/// Starts a TLS server that sends `response` to the first request of a connection, with a certificate changed by `make`. Returns its address and the certificate of its CA.
pub(crate) fn tls_until(response: &'static str, make: impl FnOnce(&mut CertificateParams)) -> (SocketAddr, String) {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).expect("a certificate").pem();
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    make(&mut params);
    let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().expect("a key"))
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (sender, address) = std::sync::mpsc::channel();
    runtime().spawn(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        sender.send(listener.local_addr().expect("an address")).expect("the test waits for it");
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                // Fails if the client has closed the connection.
                let _ = tokio::io::AsyncReadExt::read_u8(&mut stream).await;
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, response.as_bytes()).await;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            });
        }
    });
    (address.recv_timeout(timeout()).expect("the server listens"), ca_pem)
}

/// A file system in memory. Dropping it unmounts it.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(dir: &'a Path, size: &str) -> Option<Self> {
        let size = std::ffi::CString::new(format!("size={size}")).expect("the size has no zero byte");
        match mount("tmpfs", dir, "tmpfs", MountFlags::empty(), size.as_c_str()) {
            Ok(()) => Some(Self(dir)),
            Err(error) => {
                tool::skip(&format!("no tmpfs can be mounted here: {error}"));
                None
            }
        }
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        // Fails if it is already unmounted.
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn cache_file_and_unknown_size_are_reported() {
    let (origin, site, _) = site_with_release();
    let file = site.file("file");
    std::fs::write(&file, "").expect("a file can be written");
    let there = address(&origin);
    let wrong = CheckOutput::of(&site, &["--cache-dir", &file.display().to_string()]);
    let report = wrong.section(&site, &["cache"], there);
    assert!(report.contains("directory: no directory: SITE/file is a file\n"), "{report}");
    assert_eq!(wrong.status, 1);

    let site = site.origin(&format!("http://{}", unused_address()));
    let report = CheckOutput::of(&site, &[]).section(&site, &["cache"], there);
    assert!(report.contains("0 B are here, 2 assets of unknown size still to be fetched, "), "{report}");
    assert!(report.contains("room: unknown size: how large 2 assets of the active releases "), "{report}");
    assert!(!report.contains("no room"), "{report}");
}

#[test]
fn ports_of_other_server_are_foreign() {
    let (_origin, site, _) = site_with_release();
    let server = site.start();
    let other = site.file("other").display().to_string();
    let http = server.http.to_string();
    let checked = CheckOutput::of(&site, &["--cache-dir", &other, "--http-listen", &http, "--verbose"]);
    let ports = checked.section(&site, &["ports"], unused_address());
    assert!(ports.starts_with("ok  ports  this machine  1 of 3 listeners in trouble\n"), "{ports}");
    assert!(ports.contains(") that has another cache than this"), "{ports}");
}

/// Runs `check --json` with these arguments and returns its exit status and report.
fn json(site: &TestSite, args: &[&str]) -> (i32, Value) {
    let checked = CheckOutput::of(site, &[&["--json"], args].concat());
    (checked.status, serde_json::from_str(&checked.text).expect("JSON"))
}

/// Returns the row of this name, if there is one.
fn row<'r>(report: &'r Value, check: &str) -> Option<&'r Value> {
    report["checks"].as_array().expect("a list").iter().find(|row| row["check"] == check)
}

/// Returns the finding about this object.
fn object<'r>(report: &'r Value, name: &str) -> &'r Value {
    let findings = row(report, "objects").expect("objects are checked")["findings"].as_array().expect("a list");
    findings.iter().find(|finding| finding["what"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn changed_file_source_fails_check() {
    let origin = FakeOrigin::start();
    let site = TestSite::new(&origin);
    let (bytes, path) = (random_bytes(1, 3_000_000), site.file("kernel"));
    std::fs::write(&path, &bytes).expect("a file can be written");
    let digest = bootdepot::asset::Digest::of(&bytes).to_string();
    let site = site.asset_from("kernel", &digest, &[&format!("file://{}", path.display())]).size_of_last(3_000_000);
    let (status, report) = json(&site, &[]);
    assert_eq!((status, &object(&report, "kernel")["result"]), (0, &"ok".into()), "{report:#}");
    let mut changed = bytes;
    changed[2_000_000] ^= 1;
    std::fs::write(&path, &changed).expect("a file can be written");
    let (status, report) = json(&site, &[]);
    assert_eq!((status, &object(&report, "kernel")["trouble"]), (1, &"wrong bytes".into()), "{report:#}");
}

#[test]
fn placeholder_digest_is_named_with_place() {
    let (_origin, site, objects) = site_with_release();
    let placeholder = format!("{}1", "0".repeat(63));
    let source = format!("s3://assets/{}", objects[0].key);
    let site = site.without_assets().asset_from("menu", &placeholder, &[&source]).asset(&objects[1]);
    let checked = CheckOutput::of(&site, &[]);
    assert_eq!(checked.status, 1, "{}", checked.text);
    insta::assert_snapshot!(checked.section(&site, &["digests", "objects"], unused_address()));
    let (_, report) = json(&site, &["--deep"]);
    let found = object(&report, "menu")["found"].as_str().expect("a text").to_owned();
    assert!(found.contains(&objects[0].sha256()), "the digest that is missing: {found}");
}

#[test]
fn deep_check_hashes_every_object() {
    let (origin, site, objects) = site_with_release();
    let (status, report) = json(&site, &["--deep"]);
    assert_eq!((status, &row(&report, "objects").expect("a row")["counts"]["ok"]), (0, &2.into()), "{report:#}");
    origin.always(&objects[1].key, Fault::Flip(200_000));
    let (status, report) = json(&site, &[]);
    assert_eq!((status, &object(&report, "okd/rootfs")["result"]), (0, &"unverified".into()), "{report:#}");
    let (status, report) = json(&site, &["--deep"]);
    assert_eq!((status, &object(&report, "okd/rootfs")["trouble"]), (1, &"wrong bytes".into()), "{report:#}");
    assert!(!site.cache_dir().exists(), "a check makes no cache");
}

#[test]
fn refused_conditions_are_no_failure() {
    let (origin, site, objects) = site_with_release();
    for object in &objects {
        // The replies to HEAD and to the first range.
        origin.times(2, &object.key, Fault::Etag("\"another node\""));
    }
    let checked = CheckOutput::of(&site, &["--verbose"]);
    assert_eq!(checked.status, 0, "{}", checked.text);
    let report = checked.section(&site, &["origin"], address(&origin));
    assert!(report.contains("ranges work, conditions do not: fills run without them"), "{report}");
    origin.heal();
    origin.always(&objects[0].key, Fault::IgnoreRange);
    let checked = CheckOutput::of(&site, &[]);
    assert_eq!(checked.status, 0, "{}", checked.text);
    let report = checked.section(&site, &["origin"], address(&origin));
    assert!(report.contains("ranges do not work: fills read each object as one stream"), "{report}");
}

#[test]
fn file_in_blobs_place_fails_check() {
    let (_origin, site, _) = site_with_release();
    std::fs::create_dir_all(site.cache_dir().join("blobs")).expect("a directory can be made");
    std::fs::write(site.cache_dir().join("blobs/sha256"), "").expect("a file can be written");
    let (status, report) = json(&site, &[]);
    let cache = row(&report, "cache").expect("the cache is checked");
    assert_eq!((status, &cache["findings"][0]["trouble"]), (1, &"cannot write".into()), "{cache:#}");
    assert!(cache["findings"][0]["found"].as_str().is_some_and(|text| text.contains("blobs/sha256")), "{cache:#}");
}

#[test]
fn names_and_prefixes_limit_the_check() {
    let (origin, site, objects) = site_with_release();
    let other = origin.put("fcos/kernel", random_bytes(3, 1000));
    let site = site.asset(&other);
    let (status, report) = json(&site, &["okd/"]);
    let objects_row = row(&report, "objects").expect("objects are checked");
    assert_eq!((status, objects_row["findings"].as_array().map(Vec::len)), (0, Some(2)), "{report:#}");
    assert!(row(&report, "ports").is_none() && row(&report, "cache").is_none(), "{report:#}");
    assert_eq!(origin.seen(&other.key), [""; 0]);
    let (status, report) = json(&site, &["fcos/kernel", "okd/rotfs", "rhel/"]);
    let names = row(&report, "names").expect("the names are told");
    assert_eq!((status, names["findings"].as_array().map(Vec::len)), (1, Some(2)), "{report:#}");
    assert!(
        names.to_string().contains(&format!("the nearest is {:?}", objects[1].key).replace('"', "\\\"")),
        "{names:#}"
    );
}

#[test]
fn running_server_checks_with_its_own_secrets() {
    let (origin, site, objects) = site_with_release();
    for object in &objects {
        let checksum = bootdepot::asset::Digest::of(&object.bytes).to_base64();
        origin.always(&object.key, Fault::Field("x-amz-checksum-sha256", checksum));
    }
    let server = site.start();
    server.wait_for(|line| line.text("message") == "release live");
    let admin = server.admin.to_string();
    // The command's environment has a wrong secret.
    let site = site.wrong_secret();
    let (status, report) = json(&site, &["--admin-listen", &admin]);
    assert_eq!((status, &report["by"], &report["result"]), (0, &"server".into(), &"ok".into()), "{report:#}");
    let ports = row(&report, "ports").expect("ports are checked");
    assert_eq!(ports["result"], "ok", "{ports:#}");
    let (status, report) = json(&site, &["--admin-listen", &admin, "--local"]);
    assert_eq!((status, &report["by"]), (1, &"command".into()), "{report:#}");
    // Settings that the server has not loaded are checked and reported.
    let gone = Object { key: "okd/initramfs".to_owned(), bytes: objects[0].bytes.clone() };
    let site = site.asset(&gone);
    let (status, report) = json(&site, &["--admin-listen", &admin]);
    assert_eq!((status, &object(&report, "okd/initramfs")["trouble"]), (1, &"no such object".into()), "{report:#}");
    let settings = row(&report, "settings").expect("settings are checked");
    assert_eq!(settings["findings"][0]["trouble"], "not loaded", "{settings:#}");
    server.stop();
}

#[test]
fn broken_settings_fail_beside_running_server() {
    let (_origin, site, _) = site_with_release();
    let server = site.start();
    let site = site.set("fill.conections", 3);
    let admin = server.admin.to_string();
    let output = site.command_line(&["check", "--json", "--admin-listen", &admin]).run_to_end();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let settings = row(&report, "settings").expect("settings are checked");
    assert_eq!((&report["by"], &settings["result"]), (&"command".into(), &"failed".into()), "{report:#}");
    assert!(settings.to_string().contains("there is no such key"), "{settings:#}");
}

#[test]
fn shared_catalog_is_checked() {
    let (origin, site, objects) = site_with_release();
    let catalog = format!(
        "[[asset]]\nname = \"shared\"\nsha256 = \"{}\"\nsources = [\"s3://assets/{}\"]\n",
        objects[0].sha256(),
        objects[0].key
    );
    origin.put("catalog.toml", catalog.into_bytes());
    let url = toml::toml! { catalog_url = "s3://assets/catalog.toml" };
    let site = site.tables(url);
    let (status, report) = json(&site, &[]);
    let found = row(&report, "catalog").expect("the catalog is checked");
    assert_eq!((status, &found["where"], &found["result"]), (0, &"s3://assets/catalog.toml".into(), &"ok".into()));
    assert_eq!(object(&report, "shared")["result"], "unverified");
    let gone = toml::toml! { catalog_url = "s3://assets/gone.toml" };
    let (status, report) = json(&site.tables(gone), &[]);
    let found = row(&report, "catalog").expect("the catalog is checked");
    assert_eq!((status, &found["findings"][0]["trouble"]), (1, &"no such object".into()), "{report:#}");
    assert!(found.to_string().contains("catalog_url"), "{found:#}");
}
