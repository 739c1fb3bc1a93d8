//! `bootdepot check`, as an operator reads it: each trouble in its own words, with the setting to change.

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

use crate::support::{Fault, Object, Origin, Site, Tool, noise, runtime, tool};

/// What a check printed, and its exit status.
struct Checked {
    status: i32,
    text: String,
}

impl Checked {
    fn of(site: &Site, args: &[&str]) -> Self {
        let output = site.command_line(&[&["check"], args].concat()).output().expect("the program can be run");
        let text = String::from_utf8(output.stdout).expect("it prints text");
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert!(trouble.is_empty(), "{trouble}");
        Self { status: output.status.code().expect("it exits"), text }
    }

    /// What is said of the checks of these names, with `there` for the address, `SITE` for the site's directory, and as if
    /// the terminal were wide and columns narrow.
    fn said(&self, site: &Site, checks: &[&str], address: SocketAddr) -> String {
        let mut said: Vec<String> = Vec::new();
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
            match said.last_mut() {
                Some(before) if line.starts_with("           ") && !line.trim_start().starts_with("do: ") => {
                    *before += " ";
                    *before += line.trim_start();
                }
                _ => said.push(line),
            }
        }
        said.join("\n").replace(&dir, "SITE/").replace(&address.to_string(), "there:9000")
    }

    fn sum(&self) -> &str {
        self.text.lines().last().unwrap_or_default()
    }
}

fn address(origin: &Origin) -> SocketAddr {
    origin.endpoint().trim_start_matches("http://").parse().expect("an address")
}

/// An address that nobody listens on.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A release of two assets that is active, in a bucket.
fn rack() -> (Origin, Site, [Object; 2]) {
    let origin = Origin::start();
    let objects = [origin.put("okd/kernel", noise(1, 100_000)), origin.put("okd/rootfs", noise(2, 300_000))];
    let site = Site::new(&origin).asset(&objects[0]).asset(&objects[1]);
    let site = site.release("okd-1", true, &[&objects[0], &objects[1]]);
    (origin, site, objects)
}

/// The troubles of a rack, by the checks "origin" and "objects".
fn troubles(site: &Site, there: SocketAddr) -> String {
    let checked = Checked::of(site, &[]);
    assert_eq!(checked.status, 1, "{}", checked.text);
    checked.said(site, &["origin", "objects"], there)
}

#[test]
fn a_rack_that_is_well_is_a_few_lines() {
    let (origin, site, objects) = rack();
    for object in &objects {
        let checksum = bootdepot::asset::Digest::of(&object.bytes).to_base64();
        origin.always(&object.key, Fault::Field("x-amz-checksum-sha256", checksum));
    }
    let checked = Checked::of(&site, &[]);
    assert_eq!(checked.status, 0, "{}", checked.text);
    assert!(checked.text.lines().count() < 10, "{}", checked.text);
    assert_eq!(checked.sum(), "all 6 checks are well");
    insta::assert_snapshot!(checked.said(
        &site,
        &["settings", "ports", "firmware", "origin", "objects"],
        address(&origin)
    ));
    assert!(checked.text.contains("390.6 KiB still to be fetched"), "{}", checked.text);
    assert_eq!(origin.seen(&objects[0].key), ["HEAD - 200"], "nothing is read");

    let verbose = Checked::of(&site, &["--verbose"]);
    insta::assert_snapshot!(verbose.said(&site, &["origin", "objects"], address(&origin)));
}

#[test]
fn what_is_proven_already_needs_no_room() {
    let (origin, site, objects) = rack();
    let server = site.start();
    assert!(server.client().compare("/assets/okd/kernel", &objects[0].bytes));
    server.wait_for(|line| line.text("message").starts_with("live: "));
    let running = Checked::of(&site, &["--verbose"]);
    assert_eq!(running.status, 0, "{}", running.text);
    assert!(running.text.contains("directory: in use by a running bootdepot, pid "), "{}", running.text);
    assert!(running.text.contains("390.6 KiB are here, nothing is missing"), "{}", running.text);
    drop(origin);

    // Its ports are its own.
    let (http, tftp, admin) = (server.http.to_string(), server.tftp.to_string(), server.admin.to_string());
    let listen = ["--http-listen", &http, "--tftp-listen", &tftp, "--admin-listen", &admin, "--verbose"];
    let checked = Checked::of(&site, &listen);
    assert_eq!(checked.text.matches("held by the running bootdepot, pid ").count(), 3, "{}", checked.text);
    assert!(checked.text.contains("held by the running bootdepot"), "{}", checked.text);
}

#[test]
fn a_wrong_key_is_permission_denied() {
    let (origin, site, _) = rack();
    insta::assert_snapshot!(troubles(&site.wrong_secret(), address(&origin)));
}

#[test]
fn an_unknown_key_is_permission_denied() {
    let (origin, site, _) = rack();
    let keys = toml::toml! {
        from = "static"
        access_key_id = "AKIAUNKNOWN"
        secret_access_key = "hush"
    };
    let said = troubles(&site.origin_with(&origin.endpoint(), keys), address(&origin));
    assert!(!said.contains("hush"), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn without_credentials_the_setting_is_named() {
    let (origin, site, _) = rack();
    let site = site.origin_with(&origin.endpoint(), toml::toml! { from = "web-identity" });
    insta::assert_snapshot!(troubles(&site, address(&origin)));
}

#[test]
fn a_forbidden_object_is_permission_denied() {
    let (origin, site, objects) = rack();
    origin.always(&objects[1].key, Fault::Status(403, "AccessDenied"));
    insta::assert_snapshot!(troubles(&site, address(&origin)));
}

#[test]
fn a_bucket_that_is_not_there_is_said_once() {
    let (origin, _, objects) = rack();
    // The S3 server says of an object in no bucket that the object is not there.
    origin.always("", Fault::Status(404, "NoSuchBucket"));
    let site = Site::new(&origin).tables(toml::toml! {
        [[origin]]
        match = "s3://asets/"
        endpoint = (origin.endpoint())
        credentials = { from = "env" }
    });
    let site = objects.iter().fold(site, |site, object| {
        let source = format!("s3://asets/{}", object.key);
        site.asset_from(&object.key, &object.sha256(), &[&source])
    });
    insta::assert_snapshot!(troubles(&site, address(&origin)));
}

#[test]
fn an_object_that_is_not_there_is_named() {
    let (origin, site, objects) = rack();
    let gone = Object { key: "okd/initramfs".to_owned(), bytes: objects[0].bytes.clone() };
    insta::assert_snapshot!(troubles(&site.asset(&gone), address(&origin)));
}

#[test]
fn a_source_that_fails_beside_one_that_has_it_is_a_warning() {
    let (origin, _, objects) = rack();
    let sources = ["s3://assets/gone", &format!("s3://assets/{}", objects[0].key)];
    let site = Site::new(&origin).asset_from("kernel", &objects[0].sha256(), &sources);
    let checked = Checked::of(&site, &[]);
    assert_eq!(checked.status, 0, "{}", checked.text);
    assert_eq!(checked.sum(), "of 6 checks: 1 with a warning");
    assert!(checked.text.contains("s3://assets/gone does not exist; another source has it"), "{}", checked.text);
}

#[test]
fn an_object_of_another_size_or_checksum_is_named() {
    let (origin, site, objects) = rack();
    let other = origin.put("okd/other", noise(3, 5_000));
    origin.always(&other.key, Fault::Field("x-amz-meta-sha256", objects[0].sha256()));
    let site = site.asset(&other).asset_in_blocks(&objects[0].clone().named("okd/kernel-2"), &objects[1]);
    origin.put("okd/kernel-2", objects[0].bytes.clone());
    let site = site.size_of_last(7);
    let said = troubles(&site, address(&origin));
    let said = said.replace(&objects[0].sha256(), "KERNEL").replace(&other.sha256(), "OTHER");
    insta::assert_snapshot!(said);
}

#[test]
fn nobody_listening_is_said_once_and_the_rest_is_skipped() {
    let (_, site, _) = rack();
    let there = nobody();
    insta::assert_snapshot!(troubles(&site.origin(&format!("http://{there}")), there));
}

#[test]
fn a_name_that_cannot_be_resolved_is_said_so() {
    let (_, site, _) = rack();
    let said = troubles(&site.origin("http://nonexistent.invalid:9000"), nobody());
    // The resolver's own words differ from machine to machine.
    let (before, rest) = said.split_once("resolved (").expect("it cannot be resolved");
    let (_, after) = rest.split_once(")\n").expect("a reason");
    insta::assert_snapshot!(format!("{before}resolved (REASON)\n{after}"));
}

#[test]
fn a_store_that_says_nothing_is_said_once() {
    let (_, site, _) = rack();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let there = listener.local_addr().expect("an address");
    insta::assert_snapshot!(troubles(&site.origin(&format!("http://{there}")), there));
}

#[test]
fn a_private_ca_is_to_be_named() {
    let (_, site, _) = rack();
    let (there, _) = tls(false);
    insta::assert_snapshot!(troubles(&site.origin(&format!("https://{there}")), there));
}

#[test]
fn an_expired_certificate_is_to_be_renewed() {
    let (_, site, _) = rack();
    let (there, ca) = tls(true);
    std::fs::write(site.file("ca.pem"), ca).expect("a file can be written");
    let ca_file = site.file("ca.pem").display().to_string();
    let site = site.set_origin("ca_file", &ca_file);
    insta::assert_snapshot!(troubles(&site.set_origin("endpoint", &format!("https://{there}")), there));
}

#[test]
fn a_certificate_that_soon_expires_is_a_warning() {
    let (_, site, _) = rack();
    let soon = SystemTime::now() + Duration::from_hours(5 * 24);
    let (there, ca) = tls_until(|params| params.not_after = soon.into());
    std::fs::write(site.file("ca.pem"), ca).expect("a file can be written");
    let ca_file = site.file("ca.pem").display().to_string();
    let site = site.set_origin("ca_file", &ca_file);
    let said = troubles(&site.set_origin("endpoint", &format!("https://{there}")), there);
    assert!(said.contains("tls: certificate: it expires on "), "{said}");
}

#[test]
fn a_clock_that_differs_is_measured() {
    for (behind, words) in [
        (
            Duration::from_secs(20 * 60 + 30),
            "clock: the store's clock is 20 min behind this machine's; S3 refuses from 15 minutes on",
        ),
        (Duration::from_secs(3 * 60 + 30), "clock: the store's clock is 3 min behind this machine's"),
    ] {
        let (_, _, objects) = rack();
        let there = scripted(move || {
            let date = httpdate::fmt_http_date(SystemTime::now() - behind);
            format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nDate: {date}\r\nConnection: close\r\n\r\n")
        });
        let origin = Origin::start();
        let site = Site::new(&origin).asset(&objects[0]).origin(&format!("http://{there}"));
        let checked = Checked::of(&site, &[]);
        assert_eq!(checked.status, i32::from(behind > Duration::from_mins(15)), "{}", checked.text);
        let said = checked.said(&site, &["origin"], there);
        assert!(said.contains(words) && said.contains("do: set this machine's clock"), "{said}");
    }
}

#[test]
fn a_disk_that_is_too_small_is_said_before_it_is_full() {
    let (_origin, site, _) = rack();
    let dir = site.cache_dir();
    std::fs::create_dir(&dir).expect("a directory can be made");
    let Some(_disk) = Tmpfs::mount(&dir, "256k") else { return };
    let checked = Checked::of(&site, &[]);
    assert_eq!(checked.status, 1, "{}", checked.text);
    insta::assert_snapshot!(checked.said(&site, &["cache"], nobody()));

    let site = site.set("cache.max_size", "100 KiB");
    insta::assert_snapshot!(Checked::of(&site, &[]).said(&site, &["cache"], nobody()));
}

#[test]
fn a_port_in_use_names_who_has_it() {
    let (_, site, _) = rack();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let there = listener.local_addr().expect("an address");
    let checked = Checked::of(&site, &["--http-listen", &there.to_string()]);
    assert_eq!(checked.status, 1, "{}", checked.text);
    let said = checked.said(&site, &["ports"], there);
    let (name, pid) = (comm(), std::process::id());
    let said = said
        .replace(&format!("{name} (pid {pid})"), "integration (pid 7)")
        .replace(&format!("stop {name}"), "stop integration");
    insta::assert_snapshot!(said.replace(&there.port().to_string(), "9000"));
}

#[test]
fn a_port_below_1024_needs_a_right() {
    let Some(setpriv) = Tool::find("setpriv") else { return };
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if start.trim().parse::<u16>().unwrap_or(0) < 1024 {
        return tool::skip("this machine lets everyone listen on port 1023");
    }
    let (_, site, _) = rack();
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
    let output = without.output().expect("it can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let checked = Checked { status: output.status.code().expect("it exits"), text };
    assert_eq!(checked.status, 1, "{} {}", checked.text, String::from_utf8_lossy(&output.stderr));
    let user = format!("(id {})", rustix::process::geteuid().as_raw());
    insta::assert_snapshot!(checked.said(&site, &["ports"], nobody()).replace(&user, "(id 1000)"));
}

#[test]
fn files_of_the_server_are_read_as_it_would() {
    let (_origin, site, _) = rack();
    let (tokens, cert) = (site.file("tokens").display().to_string(), site.file("cert.pem").display().to_string());
    let site = site.set("admin.operator_token_file", tokens);
    let site = site.set("http.tls.cert", cert.clone()).set("http.tls.key", cert);
    let site = site.set("http.tls.listen", vec!["127.0.0.1:0"]);
    std::fs::write(site.file("cert.pem"), "no PEM").expect("a file can be written");
    let checked = Checked::of(&site, &[]);
    assert_eq!(checked.status, 1, "{}", checked.text);
    insta::assert_snapshot!(checked.said(&site, &["tls", "tokens"], nobody()));

    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    let both = pair.cert.pem() + &pair.signing_key.serialize_pem();
    std::fs::write(site.file("cert.pem"), both).expect("a file can be written");
    std::fs::write(site.file("tokens"), "a-token-of-some-length-0123456789\n").expect("a file can be written");
    let checked = Checked::of(&site, &[]);
    assert_eq!(checked.status, 0, "{}", checked.text);
}

#[test]
fn programs_are_told_the_same() {
    let (_origin, site, _) = rack();
    let gone = Object { key: "okd/initramfs".to_owned(), bytes: noise(9, 10).into() };
    let site = site.asset(&gone);
    let checked = Checked::of(&site, &["--json"]);
    assert_eq!(checked.status, 1);
    let json: Value = serde_json::from_str(&checked.text).expect("JSON");
    assert_eq!(json["result"], "failed");
    let objects = json["checks"].as_array().expect("a list").iter().find(|check| check["check"] == "objects");
    let findings = objects.expect("objects are checked")["findings"].as_array().expect("a list").clone();
    let results: Vec<_> = findings.iter().map(|it| (it["what"].as_str(), it["result"].as_str())).collect();
    assert_eq!(
        results,
        [(Some("okd/initramfs"), Some("failed")), (Some("okd/kernel"), Some("ok")), (Some("okd/rootfs"), Some("ok"))]
    );
    assert_eq!(findings[0]["trouble"], "no such object");
    assert!(findings[0]["do"].as_str().is_some_and(|words| words.contains("`sources` of [[asset]]")), "{findings:?}");
}

#[test]
fn wrong_settings_are_status_2() {
    let (_, site, _) = rack();
    let site = site.set("fill.conections", 3);
    let output = site.command_line(&["check"]).output().expect("the program can be run");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no such key; the nearest is connections"), "{said}");
    let json = Checked::of(&site, &["--json"]);
    assert_eq!(json.status, 2);
    let json: Value = serde_json::from_str(&json.text).expect("JSON");
    assert_eq!(json["checks"][0]["findings"][0]["result"], "failed");
}

/// The name of this process, as the system knows it.
fn comm() -> String {
    std::fs::read_to_string("/proc/self/comm").expect("a name").trim().to_owned()
}

/// A server that answers every request with these words.
fn scripted(answer: impl Fn() -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let there = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let Ok(reading) = socket.try_clone() else { continue };
            let head =
                BufReader::new(reading).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).count();
            if head > 0 {
                // The client may have gone.
                let _ = socket.write_all(answer().as_bytes());
            }
        }
    });
    there
}

fn tls(expired: bool) -> (SocketAddr, String) {
    tls_until(|params| params.not_after = rcgen::date_time_ymd(if expired { 2020 } else { 2120 }, 1, 1))
}

/// A TLS server with nothing to say, whose certificate is made so; and the certificate of its CA.
fn tls_until(make: impl FnOnce(&mut CertificateParams)) -> (SocketAddr, String) {
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
    let (told, address) = std::sync::mpsc::channel();
    runtime().spawn(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        told.send(listener.local_addr().expect("an address")).expect("the test waits");
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let answer = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                // The client may have gone.
                let _ = tokio::io::AsyncReadExt::read_u8(&mut stream).await;
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            });
        }
    });
    (address.recv().expect("it listens"), ca_pem)
}

/// A file system of its own in memory.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(dir: &'a Path, size: &str) -> Option<Self> {
        let size = std::ffi::CString::new(format!("size={size}")).expect("no zero");
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
        // It may be busy no more, or never was.
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_cache_that_is_a_file_is_no_directory_and_an_unknown_size_is_no_lack_of_room() {
    let (origin, site, _) = rack();
    let file = site.file("file");
    std::fs::write(&file, "").expect("a file can be written");
    let there = address(&origin);
    let wrong = Checked::of(&site, &["--cache-dir", &file.display().to_string()]);
    let said = wrong.said(&site, &["cache"], there);
    assert!(said.contains("directory: no directory: SITE/file is a file\n"), "{said}");
    assert_eq!(wrong.status, 1);

    let site = site.origin(&format!("http://{}", nobody()));
    let said = Checked::of(&site, &[]).said(&site, &["cache"], there);
    assert!(said.contains("0 B are here, 2 assets of unknown size still to be fetched, "), "{said}");
    assert!(said.contains("room: unknown size: how large 2 assets of the active releases "), "{said}");
    assert!(!said.contains("no room"), "{said}");
}

#[test]
fn ports_of_a_server_with_another_cache_are_not_this_ones() {
    let (_origin, site, _) = rack();
    let server = site.start();
    let other = site.file("other").display().to_string();
    let http = server.http.to_string();
    let checked = Checked::of(&site, &["--cache-dir", &other, "--http-listen", &http, "--verbose"]);
    let ports = checked.said(&site, &["ports"], nobody());
    assert!(ports.starts_with("warning  ports  this machine  1 of 3 listeners in trouble\n"), "{ports}");
    assert!(ports.contains(") that has another cache than this"), "{ports}");
}
