//! Configuration and catalog reloads of a running server: by SIGHUP, and from a shared catalog in S3.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::time::Instant;

use bootdepot::asset::Digest;

use crate::support::s3::BUCKET;
use crate::support::{
    Client, CommandExt, FakeOrigin, Fault, LogLine, Object, TestServer, TestSite, random_bytes, send, timeout,
};

/// The key of the shared catalog.
const CATALOG: &str = "fleet/catalog.toml";

/// Returns whether the line reports a reload with changes.
fn loaded(line: &LogLine) -> bool {
    line.text("message") == "reload complete"
}

/// Returns whether the line reports a failed reload, with the reason.
fn refused(line: &LogLine) -> bool {
    line.text("message") == "reload failed"
}

/// Reloads the site's configuration and waits until it takes effect.
fn reload(server: &TestServer, site: &TestSite) -> LogLine {
    let before = server.lines(loaded).len();
    site.write();
    server.reload();
    server.wait_for_lines(before + 1, loaded).remove(before)
}

/// Returns a site with a shared catalog.
fn site_with_shared_catalog(origin: &FakeOrigin) -> TestSite {
    let mut table = toml::Table::new();
    table.insert("catalog_url".to_owned(), format!("s3://{BUCKET}/{CATALOG}").into());
    table.insert("catalog_poll".to_owned(), "50ms".into());
    TestSite::new(origin).tables(table)
}

/// Returns a catalog of these objects.
fn catalog(objects: &[&Object]) -> String {
    let mut text = "# of the fleet\n".to_owned();
    for object in objects {
        let (key, sha256) = (&object.key, object.sha256());
        let _ =
            write!(text, "[[asset]]\nname = \"{key}\"\nsources = [\"s3://{BUCKET}/{key}\"]\nsha256 = \"{sha256}\"\n");
    }
    text
}

fn metric(server: &TestServer, line: &str) -> bool {
    Client::new(server.admin).get("/metrics").text().lines().any(|each| each == line)
}

#[test]
fn reload_applies_all_or_nothing() {
    let origin = FakeOrigin::start();
    let (first, second) =
        (origin.put("first", random_bytes(1, 100_000)), origin.put("second", random_bytes(2, 100_000)));
    let site = TestSite::new(&origin).asset(&first);
    let server = site.start();
    assert!(server.client().compare("/assets/first", &first.bytes));
    assert_eq!(server.client().get("/assets/second").status, 404);

    let site = site.without_assets().asset(&second).set("fill.retries", 3).set("http.max_connections", 17);
    let line = reload(&server, &site);
    assert_eq!(line.text("changes"), "1 asset added (second); 1 asset removed (first)");
    assert_eq!(line.text("trigger"), "signal");
    server.wait_for(|line| line.text("message") == "http.max_connections applies after a restart");
    assert!(server.client().compare("/assets/second", &second.bytes));
    assert_eq!(server.client().get("/assets/first").status, 404);

    // Again, without changes.
    server.reload();
    server.wait_for(|line| line.text("message") == "reload: no changes");

    let bad = format!("{}\n[cache]\ndri = 1\n[[asset]]\nname = 7\n", catalog(&[&first]));
    std::fs::write(site.file("bootdepot.toml"), bad).unwrap();
    server.reload();
    let reasons = server.wait_for_lines(4, refused).iter().map(|line| line.text("reason")).collect::<Vec<_>>();
    assert!(
        reasons.iter().any(|reason| reason.contains("bootdepot.toml:8: cache.dri: there is no such key")),
        "{reasons:?}"
    );
    assert!(reasons.iter().any(|reason| reason.contains("asset[1].sha256: this is missing")), "{reasons:?}");
    assert!(server.client().compare("/assets/second", &second.bytes));
    let admin = Client::new(server.admin);
    let answer = admin.request("POST", "/api/v1/reload", &[]);
    assert_eq!((answer.status, answer.header("content-type")), (422, "application/problem+json"));
    assert!(answer.text().contains("cache.dri: there is no such key"), "{}", answer.text());
    let status: serde_json::Value = serde_json::from_slice(&admin.get("/api/v1/status").body).unwrap();
    let last = &status["catalog"]["last_reload"];
    assert_eq!((&last["outcome"], &last["trigger"]), (&"failed".into(), &"api".into()), "{status}");
    assert!(
        reasons.iter().all(|reason| last["errors"].as_array().unwrap().contains(&reason.as_str().into())),
        "{last}"
    );
    site.write();
    let answer = admin.request("POST", "/api/v1/reload", &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let view: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&view["outcome"], &view["added"]), (&"unchanged".into(), &0.into()), "{view}");
    for line in [
        "bootdepot_reload_total{outcome=\"ok\"} 1",
        "bootdepot_reload_total{outcome=\"unchanged\"} 2",
        "bootdepot_reload_total{outcome=\"failed\"} 2",
        "bootdepot_catalog_assets 1",
    ] {
        assert!(metric(&server, line), "{line}");
    }
}

#[test]
fn sighup_during_start_is_followed() {
    let origin = FakeOrigin::start();
    let object = origin.put("first", random_bytes(1, 100_000));
    origin.put(CATALOG, catalog(&[&object]));
    // The server starts only when it has the catalog.
    origin.allow(CATALOG, 0);
    let site = site_with_shared_catalog(&origin);
    let server = TestSite::run_with(site.command(), |starting| {
        origin.wait_until_seen(CATALOG, 1);
        send(starting, rustix::process::Signal::HUP);
        origin.allow(CATALOG, u64::MAX);
    });
    let line = server.wait_for(|line| line.text("message") == "reload: no changes");
    assert_eq!(line.text("trigger"), "signal");
    assert!(server.client().compare("/assets/first", &object.bytes));
}

/// A TFTP transfer in blocks of 512 bytes that the test acknowledges one by one.
struct TftpTransfer {
    socket: UdpSocket,
    received: Vec<u8>,
    /// The last acknowledged block.
    block: u16,
}

impl TftpTransfer {
    fn open(server: &TestServer, name: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(timeout())).unwrap();
        socket.send_to(format!("\0\u{1}{name}\0octet\0").as_bytes(), server.tftp).unwrap();
        Self { socket, received: Vec::new(), block: 0 }
    }

    /// Receives and acknowledges the next block. Returns whether there is another one.
    fn step(&mut self) -> bool {
        let mut packet = [0; 600];
        let deadline = Instant::now() + timeout();
        loop {
            assert!(Instant::now() < deadline, "block {} is only sent again", self.block);
            let (length, from) = self.socket.recv_from(&mut packet).unwrap();
            assert_eq!(packet[..2], [0, 3], "{:?}", String::from_utf8_lossy(&packet[4..length]));
            let block = u16::from_be_bytes([packet[2], packet[3]]);
            // The server sends a block again if the test is slow.
            if block != self.block.wrapping_add(1) {
                continue;
            }
            self.block = block;
            self.received.extend_from_slice(&packet[4..length]);
            self.socket.send_to(&[0, 4, packet[2], packet[3]], from).unwrap();
            return length == 516;
        }
    }
}

#[test]
fn reload_interrupts_nothing_in_flight() {
    let origin = FakeOrigin::start();
    let (warm, cold) = (origin.put("warm", random_bytes(1, 64 << 20)), origin.put("cold", random_bytes(2, 3 << 20)));
    let (tftp, other) = (origin.put("tftp", random_bytes(3, 100_000)), origin.put("other", random_bytes(4, 100_000)));
    let site = TestSite::new(&origin).asset(&warm).asset(&cold).asset(&tftp);
    let server = site.start();
    assert!(server.client().compare("/assets/warm", &warm.bytes));
    assert!(server.client().compare("/assets/tftp", &tftp.bytes));

    // A download without a reader, a fill that waits for its origin, and a transfer that waits for its client.
    let mut slow = server.client().open("GET", "/assets/warm", &[]);
    let begun = slow.read(1000);
    origin.allow("cold", 1 << 20);
    let filling = server.client().open("GET", "/assets/cold", &[]);
    origin.wait_until_sent("cold", 1 << 20);
    let mut transfer = TftpTransfer::open(&server, "tftp");
    assert!(transfer.step());

    let mut site = site;
    for round in 0..6 {
        site = site.without_assets().asset(&other).set("fill.retries", round);
        if round % 2 == 1 {
            site = site.asset(&cold);
        }
        reload(&server, &site);
        assert!(transfer.step());
    }
    for removed in ["warm", "tftp"] {
        assert_eq!(server.client().get(&format!("/assets/{removed}")).status, 404);
    }
    assert!(server.client().compare("/assets/other", &other.bytes));
    while transfer.step() {}
    assert!(transfer.received == tftp.bytes);
    origin.allow("cold", u64::MAX);
    assert!(filling.compare(&cold.bytes));
    assert_eq!(origin.sent("cold"), cold.size(), "the origin sent each byte once");
    let rest = slow.finish();
    assert!(rest.complete && begun == warm.bytes[..1000] && rest.body == warm.bytes[1000..]);
    server.wait_for_transfer("tftp", "complete");
    assert!(server.lines(|line| line.is("bootdepot::transfer") && line.text("outcome") == "aborted").is_empty());
}

#[test]
fn booting_machine_keeps_its_release() {
    let origin = FakeOrigin::start();
    let object = |key: &str, seed| origin.put(key, random_bytes(seed, 200_000));
    let (kernel, rootfs) = (object("okd/1/kernel", 1), object("okd/1/rootfs", 2));
    let newer =
        [object("okd/2/kernel", 3), Object { key: "okd/2/rootfs".to_owned(), bytes: random_bytes(4, 9).into() }];
    let machines = toml::toml! {
        [[profile]]
        name = "okd"
        kernel = "okd:kernel"
        args = ["root={{ asset_url('okd:rootfs') }}"]
        [[host]]
        name = "r1"
        match = { mac = "24:6e:96:00:00:01" }
        profile = "okd"
    };
    let site = TestSite::new(&origin).tables(machines).asset(&kernel).asset(&rootfs).set("fill.negative_ttl", "0s");
    let site = site.release("okd-1", true, &[&kernel, &rootfs]);
    let server = site.start();
    let wait_until_live = |name: &str| {
        server.wait_for(|line| line.text("message") == "release live" && line.text("release") == name);
    };
    wait_until_live("okd-1");
    let script = || server.client().get("/ipxe?mac=24:6e:96:00:00:01").text();
    assert!(script().contains("/assets/okd/1/rootfs"), "{}", script());
    assert!(server.client().compare("/assets/okd/1/kernel", &kernel.bytes));

    // The configuration activates the next release, whose objects are not complete yet.
    let site = site.without_assets().asset(&newer[0]).asset(&newer[1]);
    let site = site.release("okd-2", true, &[&newer[0], &newer[1]]);
    reload(&server, &site);
    assert!(script().contains("/assets/okd/1/rootfs"), "machines that boot now get the cached release: {}", script());
    let ready = Client::new(server.admin).get("/readyz");
    let is_warned = ready.text().contains("release okd-2 is not live yet, and okd-1 stays live");
    assert_eq!((ready.status, is_warned), (200, true), "{}", ready.text());
    origin.put(&newer[1].key, newer[1].bytes.clone());
    wait_until_live("okd-2");
    assert!(script().contains("/assets/okd/2/rootfs"), "{}", script());
    // The earlier machine continues with the assets that its script names.
    assert!(server.client().compare("/assets/okd/1/rootfs", &rootfs.bytes));
    reload(&server, &site.set("fill.retries", 9));
    assert!(server.client().compare("/assets/okd/1/rootfs", &rootfs.bytes));
    assert_eq!(Client::new(server.admin).get("/readyz").status, 200);
}

#[test]
fn shared_catalog_changes_are_followed() {
    let origin = FakeOrigin::start();
    let (own, first) = (origin.put("own", random_bytes(1, 1000)), origin.put("first", random_bytes(2, 1000)));
    let second = origin.put("second", random_bytes(3, 1000));
    origin.put(CATALOG, catalog(&[&first]));
    let site = site_with_shared_catalog(&origin).asset(&own);
    let server = site.start();
    assert!(server.client().compare("/assets/own", &own.bytes));
    assert!(server.client().compare("/assets/first", &first.bytes));
    assert_eq!(origin.wait_until_seen(CATALOG, 4)[..4], ["GET - 200", "GET - 304", "GET - 304", "GET - 304"]);

    origin.put(CATALOG, catalog(&[&first, &second]));
    let line = server.wait_for(loaded);
    assert_eq!(
        (line.text("trigger"), line.text("changes").contains("1 asset added (second)")),
        ("poll".to_owned(), true)
    );
    assert!(server.client().compare("/assets/second", &second.bytes));

    // An invalid catalog changes nothing, and is logged once.
    origin.put(CATALOG, format!("{}[[asset]]\nname = \"own\"\n[[origin]]\nmatch = \"s3://x/\"\n", catalog(&[])));
    let reasons: Vec<_> = server.wait_for_lines(4, refused).iter().map(|line| line.text("reason")).collect();
    let url = format!("s3://{BUCKET}/{CATALOG}");
    assert!(
        reasons
            .iter()
            .any(|reason| reason.starts_with(&format!("{url} line 4: origin: not allowed in a shared catalog"))),
        "{reasons:?}"
    );
    assert!(reasons.iter().any(|reason| reason.contains("asset[0].sha256 (own): this is missing")), "{reasons:?}");
    origin.wait_until_seen(CATALOG, origin.seen(CATALOG).len() + 3);
    assert_eq!(server.lines(refused).len(), reasons.len());
    assert!(server.client().compare("/assets/second", &second.bytes));

    // Two layers define the same asset.
    origin.put(CATALOG, catalog(&[&own]));
    server.wait_for(|line| {
        refused(line)
            && line.text("reason").contains("own is already used in ")
            && line.text("reason").starts_with(&url)
    });
    origin.put(CATALOG, catalog(&[&second]));
    server.wait_for(|line| loaded(line) && line.text("changes").contains("1 asset removed (first)"));
    assert_eq!(server.client().get("/assets/first").status, 404);
    assert!(metric(&server, "bootdepot_reload_total{outcome=\"ok\"} 2"));
}

#[test]
fn start_without_shared_catalog_uses_copy() {
    let origin = FakeOrigin::start();
    let (own, first) = (origin.put("own", random_bytes(1, 1000)), origin.put("first", random_bytes(2, 1000)));
    let site = site_with_shared_catalog(&origin).asset(&own);
    let server = site.start();
    assert!(server.client().compare("/assets/own", &own.bytes), "the assets of the local configuration are served");
    let ready = Client::new(server.admin).get("/readyz");
    let expected =
        format!("the shared catalog is missing, and there is no copy of it: s3://{BUCKET}/{CATALOG} does not exist");
    assert!(ready.status == 503 && ready.text().starts_with(&expected), "{}", ready.text());
    origin.put(CATALOG, catalog(&[&first]));
    server.wait_for(loaded);
    assert_eq!(Client::new(server.admin).get("/readyz").status, 200);
    assert!(server.client().compare("/assets/first", &first.bytes));
    server.kill();

    origin.always(CATALOG, Fault::Status(500, "InternalError"));
    let server = site.start();
    let uses_copy = |line: &LogLine| line.text("message").contains("using the copy last modified at");
    assert!(server.wait_for(uses_copy).text("message").starts_with("the shared catalog cannot be read: "));
    assert!(server.client().compare("/assets/first", &first.bytes));
    assert_eq!(Client::new(server.admin).get("/readyz").status, 200);
    server.kill();
    origin.heal();

    // A server starts with an invalid shared catalog too.
    origin.put(CATALOG, "[[asset]]\nname = 7\n");
    let server = site.start();
    assert!(
        server.wait_for(uses_copy).text("message").contains("line 2: asset[0].name: found 7, expected an asset's name")
    );
    assert!(server.client().compare("/assets/first", &first.bytes));
    server.kill();
    let shown = site.command_line(&["config", "show"]).run_to_end();
    assert_eq!(shown.status.code(), Some(2), "a command that reads it fails");
    origin.put(CATALOG, catalog(&[&first]));
    let shown = site.command_line(&["config", "show"]).run_to_end();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("# s3://{BUCKET}/{CATALOG} line 3")), "{shown}");
}

#[test]
fn many_reloads_leak_no_files() {
    // A file that is left open by each would be many.
    const RELOADS: usize = 300;
    let origin = FakeOrigin::start();
    let (image, other) = (origin.put("image", random_bytes(1, 200_000)), origin.put("other", random_bytes(2, 1000)));
    let site = TestSite::new(&origin).asset(&image);
    let server = site.start();
    assert!(server.client().compare("/assets/image", &image.bytes));
    let text = std::fs::read_to_string(site.write()).unwrap();
    let path = site.file("bootdepot.toml");
    let mut open = 0;
    for round in 0..RELOADS {
        let more = if round % 2 == 0 { catalog(&[&other]) } else { String::new() };
        // By a rename, as editors do, so that the server never reads a partial file.
        std::fs::write(site.file("new"), format!("{text}{more}")).unwrap();
        std::fs::rename(site.file("new"), &path).unwrap();
        let reading = server.client().open("GET", "/assets/image", &[]);
        server.reload();
        assert!(reading.compare(&image.bytes), "a download was interrupted");
        server.wait_for_lines(round + 1, loaded);
        if round == 20 {
            open = server.open_files();
        }
    }
    assert!(server.open_files() <= open + 8, "{} files were open, then {}", open, server.open_files());
    assert!(metric(&server, &format!("bootdepot_reload_total{{outcome=\"ok\"}} {RELOADS}")));
    assert!(server.lines(refused).is_empty());
}

#[test]
fn shared_catalog_reads_listed_files_only() {
    let origin = FakeOrigin::start();
    let site = TestSite::new(&origin);
    let (image, secret) = (random_bytes(4, 1000), random_bytes(5, 1000));
    let shelf = site.file("shelf");
    std::fs::create_dir(&shelf).unwrap();
    std::fs::write(shelf.join("image"), &image).unwrap();
    std::fs::write(site.file("secret"), &secret).unwrap();
    std::os::unix::fs::symlink("../secret", shelf.join("link")).unwrap();
    let mut catalog = String::new();
    for (name, bytes) in [("image", &image), ("link", &secret)] {
        let (path, sha256) = (shelf.join(name), Digest::of(bytes));
        let _ = write!(
            catalog,
            "[[asset]]\nname = \"{name}\"\nsources = [\"file://{}\"]\nsha256 = \"{sha256}\"\n",
            path.display()
        );
    }
    std::fs::write(site.file("catalog.toml"), catalog).unwrap();
    let mut table = toml::Table::new();
    table.insert("catalog_url".to_owned(), format!("file://{}", site.file("catalog.toml").display()).into());
    let site = site.tables(table.clone());
    let server = site.start();
    let advice = format!("to allow it, add {shelf:?} to catalog_files");
    server.wait_for(|line| line.text("message").contains(&advice));
    assert_eq!(server.client().get("/assets/image").status, 404);

    table.insert("catalog_files".to_owned(), vec![shelf.display().to_string()].into());
    reload(&server, &site.tables(table));
    assert!(server.client().compare("/assets/image", &image));
    assert_eq!(server.client().get("/assets/link").status, 503);
    let line = server.wait_for(|line| line.text("message") == "source not readable");
    assert!(line.text("error").contains(&format!("leads out of {}", shelf.display())), "{line:?}");
}
