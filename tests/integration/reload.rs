//! Settings and catalog that change under a running server: by SIGHUP, and by a catalog in S3 that nodes share.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::time::Instant;

use crate::support::s3::BUCKET;
use crate::support::{Client, Fault, Line, Object, Origin, PATIENCE, Server, Site, noise, send};

/// Where the shared catalog of these tests is.
const CATALOG: &str = "fleet/catalog.toml";

/// A line that tells of a load that changed something.
fn loaded(line: &Line) -> bool {
    line.text("message") == "reload complete"
}

/// A line that tells of a load that came to nothing, with the reason.
fn refused(line: &Line) -> bool {
    line.text("message") == "reload failed"
}

/// Has the settings loaded again, and waits until they are in force.
fn change(server: &Server, site: &Site) -> Line {
    let before = server.lines(loaded).len();
    site.write();
    server.hang_up();
    server.wait_for_lines(before + 1, loaded).remove(before)
}

/// A site whose settings say where the shared catalog is.
fn sharing(origin: &Origin) -> Site {
    let mut table = toml::Table::new();
    table.insert("catalog_url".to_owned(), format!("s3://{BUCKET}/{CATALOG}").into());
    table.insert("catalog_poll".to_owned(), "50ms".into());
    Site::new(origin).tables(table)
}

/// These objects as a catalog writes them.
fn catalog(objects: &[&Object]) -> String {
    let mut text = "# of the fleet\n".to_owned();
    for object in objects {
        let (key, sha256) = (&object.key, object.sha256());
        let _ =
            write!(text, "[[asset]]\nname = \"{key}\"\nsources = [\"s3://{BUCKET}/{key}\"]\nsha256 = \"{sha256}\"\n");
    }
    text
}

fn metric(server: &Server, line: &str) -> bool {
    Client::of(server.admin).get("/metrics").text().lines().any(|each| each == line)
}

#[test]
fn a_good_change_is_taken_whole_and_a_bad_one_not_at_all() {
    let origin = Origin::start();
    let (first, second) = (origin.put("first", noise(1, 100_000)), origin.put("second", noise(2, 100_000)));
    let site = Site::new(&origin).asset(&first);
    let server = site.start();
    assert!(server.client().compare("/assets/first", &first.bytes));
    assert_eq!(server.client().get("/assets/second").status, 404);

    let site = site.without_assets().asset(&second).set("fill.retries", 3).set("http.max_connections", 17);
    let told = change(&server, &site);
    assert_eq!(told.text("changes"), "1 asset added (second); 1 asset removed (first)");
    assert_eq!(told.text("trigger"), "signal");
    server.wait_for(|line| line.text("message") == "http.max_connections applies after a restart");
    assert!(server.client().compare("/assets/second", &second.bytes));
    assert_eq!(server.client().get("/assets/first").status, 404);

    // The same again.
    server.hang_up();
    server.wait_for(|line| line.text("message") == "reload: no changes");

    let bad = format!("{}\n[cache]\ndri = 1\n[[asset]]\nname = 7\n", catalog(&[&first]));
    std::fs::write(site.file("bootdepot.toml"), bad).unwrap();
    server.hang_up();
    let reasons = server.wait_for_lines(4, refused).iter().map(|line| line.text("reason")).collect::<Vec<_>>();
    assert!(
        reasons.iter().any(|reason| reason.contains("bootdepot.toml:8: cache.dri: there is no such key")),
        "{reasons:?}"
    );
    assert!(reasons.iter().any(|reason| reason.contains("asset[1].sha256: this is missing")), "{reasons:?}");
    assert!(server.client().compare("/assets/second", &second.bytes));
    let admin = Client::of(server.admin);
    let answer = admin.request("POST", "/api/v1/reload", &[]);
    assert_eq!((answer.status, answer.header("content-type")), (422, "application/problem+json"));
    assert!(answer.text().contains("cache.dri: there is no such key"), "{}", answer.text());
    let status: serde_json::Value = serde_json::from_slice(&admin.get("/api/v1/status").body).unwrap();
    let last = &status["catalog"]["last_reload"];
    assert_eq!((&last["outcome"], &last["trigger"]), (&"failed".into(), &"api".into()), "{status}");
    assert!(reasons.iter().all(|it| last["errors"].as_array().unwrap().contains(&it.as_str().into())), "{last}");
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
fn a_signal_that_comes_while_the_server_starts_ends_nothing_and_is_followed() {
    let origin = Origin::start();
    let object = origin.put("first", noise(1, 100_000));
    origin.put(CATALOG, catalog(&[&object]));
    // The start waits for the catalog.
    origin.allow(CATALOG, 0);
    let site = sharing(&origin);
    let server = Site::run_through(site.command(), |starting| {
        let deadline = Instant::now() + PATIENCE;
        while origin.seen(CATALOG).is_empty() {
            assert!(Instant::now() < deadline, "the server asks for the catalog when it starts");
            std::thread::yield_now();
        }
        send(starting, rustix::process::Signal::HUP);
        origin.allow(CATALOG, u64::MAX);
    });
    let told = server.wait_for(|line| line.text("message") == "reload: no changes");
    assert_eq!(told.text("trigger"), "signal");
    assert!(server.client().compare("/assets/first", &object.bytes));
}

/// A TFTP transfer in blocks of 512 bytes that is as slow as the test wants it.
struct Tftp {
    socket: UdpSocket,
    got: Vec<u8>,
    /// The last block that was acknowledged.
    block: u16,
}

impl Tftp {
    fn open(server: &Server, name: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(format!("\0\u{1}{name}\0octet\0").as_bytes(), server.tftp).unwrap();
        Self { socket, got: Vec::new(), block: 0 }
    }

    /// Takes the next block; whether there is one after it.
    fn step(&mut self) -> bool {
        let mut packet = [0; 600];
        loop {
            let (length, from) = self.socket.recv_from(&mut packet).unwrap();
            assert_eq!(packet[..2], [0, 3], "{:?}", String::from_utf8_lossy(&packet[4..length]));
            let block = u16::from_be_bytes([packet[2], packet[3]]);
            // What was sent again because the test was slow.
            if block != self.block.wrapping_add(1) {
                continue;
            }
            self.block = block;
            self.got.extend_from_slice(&packet[4..length]);
            self.socket.send_to(&[0, 4, packet[2], packet[3]], from).unwrap();
            return length == 516;
        }
    }
}

#[test]
fn nothing_in_flight_breaks() {
    let origin = Origin::start();
    let (warm, cold) = (origin.put("warm", noise(1, 64 << 20)), origin.put("cold", noise(2, 3 << 20)));
    let (tftp, other) = (origin.put("tftp", noise(3, 100_000)), origin.put("other", noise(4, 100_000)));
    let site = Site::new(&origin).asset(&warm).asset(&cold).asset(&tftp).set("fill.stall_timeout", "1h");
    let server = site.start();
    assert!(server.client().compare("/assets/warm", &warm.bytes));
    assert!(server.client().compare("/assets/tftp", &tftp.bytes));

    // A download that nobody reads on, a fill that waits for its origin, and a transfer that waits for its client.
    let mut slow = server.client().open("GET", "/assets/warm", &[]);
    let begun = slow.read(1000);
    origin.allow("cold", 1 << 20);
    let filling = server.client().open("GET", "/assets/cold", &[]);
    origin.wait_until_sent("cold", 1 << 20);
    let mut transfer = Tftp::open(&server, "tftp");
    assert!(transfer.step());

    let mut site = site;
    for round in 0..6 {
        site = site.without_assets().asset(&other).set("fill.retries", round);
        if round % 2 == 1 {
            site = site.asset(&cold);
        }
        change(&server, &site);
        assert!(transfer.step());
    }
    for gone in ["warm", "tftp"] {
        assert_eq!(server.client().get(&format!("/assets/{gone}")).status, 404);
    }
    assert!(server.client().compare("/assets/other", &other.bytes));
    while transfer.step() {}
    assert!(transfer.got == tftp.bytes);
    origin.allow("cold", u64::MAX);
    assert!(filling.compare(&cold.bytes));
    assert_eq!(origin.sent("cold"), cold.size(), "every byte crossed once");
    let rest = slow.finish();
    assert!(rest.complete && begun == warm.bytes[..1000] && rest.body == warm.bytes[1000..]);
    server.wait_for_transfer("tftp", "complete");
    assert!(server.lines(|line| line.is("bootdepot::transfer") && line.text("outcome") == "aborted").is_empty());
}

#[test]
fn a_machine_that_began_with_a_release_ends_with_it() {
    let origin = Origin::start();
    let object = |key: &str, seed| origin.put(key, noise(seed, 200_000));
    let (kernel, rootfs) = (object("okd/1/kernel", 1), object("okd/1/rootfs", 2));
    let newer = [object("okd/2/kernel", 3), Object { key: "okd/2/rootfs".to_owned(), bytes: noise(4, 9).into() }];
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
    let site = Site::new(&origin).tables(machines).asset(&kernel).asset(&rootfs).set("fill.negative_ttl", "0s");
    let site = site.release("okd-1", true, &[&kernel, &rootfs]);
    let server = site.start();
    let live = |name: &str| {
        server.wait_for(|line| line.text("message").starts_with("live: ") && line.text("release") == name);
    };
    live("okd-1");
    let script = || server.client().get("/ipxe?mac=24:6e:96:00:00:01").text();
    assert!(script().contains("/assets/okd/1/rootfs"), "{}", script());
    assert!(server.client().compare("/assets/okd/1/kernel", &kernel.bytes));

    // The settings go over to the next release, which is not all there yet.
    let site = site.without_assets().asset(&newer[0]).asset(&newer[1]);
    let site = site.release("okd-2", true, &[&newer[0], &newer[1]]);
    change(&server, &site);
    assert!(script().contains("/assets/okd/1/rootfs"), "machines that boot now get what is proven: {}", script());
    let ready = Client::of(server.admin).get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text());
    origin.put(&newer[1].key, newer[1].bytes.clone());
    live("okd-2");
    assert!(script().contains("/assets/okd/2/rootfs"), "{}", script());
    // The machine of before goes on with what its script named.
    assert!(server.client().compare("/assets/okd/1/rootfs", &rootfs.bytes));
    change(&server, &site.set("fill.retries", 9));
    assert!(server.client().compare("/assets/okd/1/rootfs", &rootfs.bytes));
    assert_eq!(Client::of(server.admin).get("/readyz").status, 200);
}

#[test]
fn a_shared_catalog_is_followed_and_an_unchanged_one_costs_a_head() {
    let origin = Origin::start();
    let (own, first) = (origin.put("own", noise(1, 1000)), origin.put("first", noise(2, 1000)));
    let second = origin.put("second", noise(3, 1000));
    origin.put(CATALOG, catalog(&[&first]));
    let site = sharing(&origin).asset(&own);
    let server = site.start();
    assert!(server.client().compare("/assets/own", &own.bytes));
    assert!(server.client().compare("/assets/first", &first.bytes));
    while origin.seen(CATALOG).len() < 4 {
        std::thread::yield_now();
    }
    assert_eq!(origin.seen(CATALOG)[..4], ["GET - 200", "GET - 304", "GET - 304", "GET - 304"]);

    origin.put(CATALOG, catalog(&[&first, &second]));
    let told = server.wait_for(loaded);
    assert_eq!(
        (told.text("trigger"), told.text("message").contains("1 asset added (second)")),
        ("poll".to_owned(), true)
    );
    assert!(server.client().compare("/assets/second", &second.bytes));

    // A bad one changes nothing, and is told of once.
    origin.put(CATALOG, format!("{}[[asset]]\nname = \"own\"\n[[origin]]\nmatch = \"s3://x/\"\n", catalog(&[])));
    let reasons: Vec<_> = server.wait_for_lines(4, refused).iter().map(|line| line.text("reason")).collect();
    let url = format!("s3://{BUCKET}/{CATALOG}");
    assert!(
        reasons.iter().any(|it| it.starts_with(&format!("{url} line 4: origin: a shared catalog cannot have this"))),
        "{reasons:?}"
    );
    assert!(reasons.iter().any(|it| it.contains("asset[0].sha256 (own): this is missing")), "{reasons:?}");
    let seen = origin.seen(CATALOG).len();
    while origin.seen(CATALOG).len() < seen + 3 {
        std::thread::yield_now();
    }
    assert_eq!(server.lines(refused).len(), reasons.len());
    assert!(server.client().compare("/assets/second", &second.bytes));

    // Two layers that name one asset.
    origin.put(CATALOG, catalog(&[&own]));
    server.wait_for(|line| {
        refused(line) && line.text("reason").contains("own is taken by ") && line.text("reason").starts_with(&url)
    });
    origin.put(CATALOG, catalog(&[&second]));
    server.wait_for(|line| loaded(line) && line.text("message").contains("1 asset removed (first)"));
    assert_eq!(server.client().get("/assets/first").status, 404);
    assert!(metric(&server, "bootdepot_reload_total{outcome=\"ok\"} 2"));
}

#[test]
fn a_start_without_the_shared_catalog_takes_its_copy_or_waits_for_it() {
    let origin = Origin::start();
    let (own, first) = (origin.put("own", noise(1, 1000)), origin.put("first", noise(2, 1000)));
    let site = sharing(&origin).asset(&own);
    let server = site.start();
    assert!(server.client().compare("/assets/own", &own.bytes), "what the files have is served");
    let ready = Client::of(server.admin).get("/readyz");
    let wanted =
        format!("the shared catalog is missing, and there is no copy of it: s3://{BUCKET}/{CATALOG} does not exist");
    assert!(ready.status == 503 && ready.text().starts_with(&wanted), "{}", ready.text());
    origin.put(CATALOG, catalog(&[&first]));
    server.wait_for(loaded);
    assert_eq!(Client::of(server.admin).get("/readyz").status, 200);
    assert!(server.client().compare("/assets/first", &first.bytes));
    server.kill();

    origin.always(CATALOG, Fault::Status(500, "InternalError"));
    let server = site.start();
    let stands_in = |line: &Line| line.text("message").contains("using the copy last modified at");
    assert!(server.wait_for(stands_in).text("message").starts_with("the shared catalog cannot be read: "));
    assert!(server.client().compare("/assets/first", &first.bytes));
    assert_eq!(Client::of(server.admin).get("/readyz").status, 200);
    server.kill();
    origin.heal();

    // One that cannot be taken keeps nobody from starting, either.
    origin.put(CATALOG, "[[asset]]\nname = 7\n");
    let server = site.start();
    assert!(
        server.wait_for(stands_in).text("message").contains("line 2: asset[0].name: found 7, expected an asset's name")
    );
    assert!(server.client().compare("/assets/first", &first.bytes));
    server.kill();
    let shown = site.command_line(&["config", "show"]).output().unwrap();
    assert_eq!(shown.status.code(), Some(2), "but a command that looks at it says so");
    origin.put(CATALOG, catalog(&[&first]));
    let shown = site.command_line(&["config", "show"]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("# s3://{BUCKET}/{CATALOG} line 3")), "{shown}");
}

#[test]
fn a_thousand_loads_lose_and_leak_nothing() {
    let origin = Origin::start();
    let (image, other) = (origin.put("image", noise(1, 200_000)), origin.put("other", noise(2, 1000)));
    let site = Site::new(&origin).asset(&image);
    let server = site.start();
    assert!(server.client().compare("/assets/image", &image.bytes));
    let text = std::fs::read_to_string(site.write()).unwrap();
    let path = site.file("bootdepot.toml");
    let mut open = 0;
    for round in 0..1000 {
        let more = if round % 2 == 0 { catalog(&[&other]) } else { String::new() };
        // As an editor does it: a file that is half written is another matter.
        std::fs::write(site.file("new"), format!("{text}{more}")).unwrap();
        std::fs::rename(site.file("new"), &path).unwrap();
        let reading = server.client().open("GET", "/assets/image", &[]);
        server.hang_up();
        assert!(reading.compare(&image.bytes), "a download was cut");
        server.wait_for_lines(round + 1, loaded);
        if round == 20 {
            open = server.open_files();
        }
    }
    assert!(server.open_files() <= open + 8, "{} files were open, then {}", open, server.open_files());
    assert!(metric(&server, "bootdepot_reload_total{outcome=\"ok\"} 1000"));
    assert!(server.lines(refused).is_empty());
}
