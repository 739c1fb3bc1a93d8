//! The dashboard in a browser: what operators see of a server at work, and what they do with it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::UdpSocket;

use crate::support::browser::{Browser, DOWN, ENTER, ESCAPE};
use crate::support::{Client, Object, Origin, PATIENCE, Server, Site, noise, runtime};

const MIB: usize = 1 << 20;
const VIEWER: &str = "viewer-token-of-the-dashboard-test-0001";
const OPERATOR: &str = "operator-token-of-the-dashboard-test-01";

/// What the API says at this path.
fn api(admin: SocketAddr, path: &str) -> Value {
    let fields = [("Authorization", format!("Bearer {OPERATOR}"))];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = Client::of(admin).request("GET", &format!("/api/v1/{path}"), &fields);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("the API answers with JSON")
}

/// Waits until the API says of `path` what is wanted.
fn wait_for_api(admin: SocketAddr, path: &str, wanted: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = api(admin, path);
        if wanted(&said) {
            return;
        }
        assert!(Instant::now() < deadline, "the API still says of {path}: {said:#}");
        std::thread::yield_now();
    }
}

/// A profile of a kernel, an initramfs and a root file system, and hosts from 1 on with MACs that end in their number.
fn rack(hosts: u8) -> toml::Table {
    let mut tables = r#"
        [[profile]]
        name = "okd-worker"
        kernel = "okd/4.19/kernel"
        initrd = ["okd/4.19/initramfs.img"]
        args = ["coreos.live.rootfs_url={{ asset_url('okd/4.19/rootfs.img') }}"]
    "#
    .to_owned();
    for number in 1..=hosts {
        let mac = format!("24:6e:96:00:00:{number:02x}");
        let host = format!("name = \"r630-{number:02}\"\nmatch = {{ mac = [\"{mac}\"] }}\nprofile = \"okd-worker\"\n");
        tables += &["[[host]]\n", &host].concat();
    }
    toml::from_str(&tables).expect("the test's own settings")
}

/// A site with a rack of this many hosts, and what they boot: 6, 3 and 12 MiB.
fn site(origin: &Origin, hosts: u8) -> (Site, [Object; 3]) {
    site_of(origin, hosts, [6, 3, 12])
}

/// The same with a kernel, an initramfs and a root file system of so many MiB.
fn site_of(origin: &Origin, hosts: u8, sizes: [usize; 3]) -> (Site, [Object; 3]) {
    let object = |name: &str, at: usize| origin.put(&format!("okd/4.19/{name}"), noise(at as u64, sizes[at] * MIB));
    let objects = [object("kernel", 0), object("initramfs.img", 1), object("rootfs.img", 2)];
    // One connection, so that parts come one after the other; and a fill that waits is no fill that stalls.
    let site = Site::new(origin).set("fill.connections", 1).set("fill.stall_timeout", "10m").tables(rack(hosts));
    (objects.iter().fold(site, Site::asset), objects)
}

/// The browser said nothing that a page without faults does not say, and asked nobody but `server`.
fn check_conduct(browser: &Browser, admin: SocketAddr) {
    let said = browser.console();
    assert!(said.is_empty(), "the console: {said:#?}");
    let asked = browser.requests();
    let own = format!("http://{admin}/");
    assert!(asked.iter().any(|url| url.starts_with(&own)), "{asked:#?}");
    // Chromium shows its blank page by that.
    let strangers: Vec<_> = asked.iter().filter(|url| !url.starts_with(&own) && !url.starts_with("data:")).collect();
    assert!(strangers.is_empty(), "requests left for {strangers:#?}");
    // What was never asked for of the network counts as well, and what a worker or a frame loaded.
    let loaded = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)");
    let loaded: Vec<&str> = loaded.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(loaded.iter().all(|url| url.starts_with(&own)), "{loaded:#?}");
}

/// The percentage that the one bar of progress under `place` shows, as soon as it fits.
fn wait_for_bar(browser: &Browser, place: &str, wanted: &str) -> u64 {
    let bar = format!("Number(document.querySelector('{place} [role=progressbar]').getAttribute('aria-valuenow'))");
    browser.wait_for(&format!("((now) => {wanted} && now)({bar})")).as_u64().expect("a percentage")
}

#[test]
fn a_cold_preload_is_seen_moving() {
    let origin = Origin::start();
    let (site, [kernel, ..]) = site(&origin, 1);
    origin.allow(&kernel.key, 2 * MIB as u64 + MIB as u64 / 2);
    let server = site.start();
    let Some(browser) = Browser::start(server.admin) else { return };
    browser.open("#/cache/okd%2F4.19%2Fkernel");
    browser.wait_for_text("missing");
    browser.click("Preload");

    browser.go("#/");
    let first = wait_for_bar(&browser, "#overview-fills", "now > 0 && now < 60");
    origin.allow(&kernel.key, 4 * MIB as u64 + MIB as u64 / 2);
    let second = wait_for_bar(&browser, "#overview-fills", &format!("now > {first}"));
    assert!(second < 100, "{second} % of what the origin holds back");
    assert_eq!(api(server.admin, "assets/okd/4.19/kernel")["state"], "filling");
    origin.allow(&kernel.key, u64::MAX);
    browser.wait_for_text("Nothing is being fetched.");
    browser.wait_for_text("okd/4.19/kernel is cached: 6.0 MiB in ");
    browser.go("#/jobs");
    browser.wait_for_text("1 of 1 asset · 6.0 MiB of 6.0 MiB");
    browser.go("#/cache/okd%2F4.19%2Fkernel");
    browser.wait_for("document.querySelector('.standing').textContent === 'cached'");
    check_conduct(&browser, server.admin);
}

#[test]
fn a_machine_that_boots_appears_step_by_step() {
    let origin = Origin::start();
    let (site, [kernel, initrd, rootfs]) = site(&origin, 2);
    origin.allow(&initrd.key, MIB as u64 + MIB as u64 / 2);
    let server = site.start();
    let Some(browser) = Browser::start(server.admin) else { return };
    browser.open("#/hosts");
    browser.wait_for("document.querySelector('.hosts-table table').getAttribute('aria-rowcount') === '3'");
    browser.wait_for("[...document.querySelectorAll('.hosts-table tbody tr')].some((row) => /r630-01.*not seen/s.test(row.innerText))");

    // As iPXE asks.
    let machine = server.client();
    assert_eq!(machine.get("/boot.ipxe").status, 200);
    let script = machine.get("/ipxe?mac=24:6e:96:00:00:01&buildarch=x86_64&platform=efi").text();
    assert!(script.contains("okd/4.19/kernel"), "{script}");
    assert!(machine.compare("/assets/okd/4.19/kernel", &kernel.bytes));
    let mut opened = machine.open("GET", "/assets/okd/4.19/initramfs.img", &[]);

    browser.wait_for("[...document.querySelectorAll('.hosts-table tbody tr')].some((row) => /r630-01.*booting/s.test(row.innerText))");
    browser.click("r630-01");
    browser.wait_for_text("the initrd okd/4.19/initramfs.img is being sent");
    let row = |role: &str, words: &str| {
        format!(
            "[...document.querySelectorAll('.steps tbody tr')].some((row) => row.innerText.startsWith('{role}') && /{words}/s.test(row.innerText))"
        )
    };
    browser.wait_for(&row("kernel", "okd/4.19/kernel.*6.0 MiB.*complete".replace('/', "\\/").as_str()));
    browser.wait_for(&row("initrd", "of 3.0 MiB.*under way"));
    // The stages before it are whole, and its own is not.
    browser.wait_for(
        "/^initrd, [1-9][0-9]? %$/.test(document.querySelector('[data-tone=busy].stages').getAttribute('aria-label'))",
    );

    // And it moves.
    let sent = "[...document.querySelectorAll('.steps tbody tr')].at(-1).children[2].firstChild.textContent";
    let before = browser.run(&format!("return {sent}"));
    origin.allow(&initrd.key, 2 * MIB as u64 + MIB as u64 / 2);
    opened.read(MIB);
    browser.wait_for(&format!("{sent} !== {before} && {sent}.endsWith(' of 3.0 MiB')"));

    origin.allow(&initrd.key, u64::MAX);
    assert!(opened.finish().complete);
    assert!(machine.compare("/assets/okd/4.19/rootfs.img", &rootfs.bytes));
    browser.wait_for(
        "/^done: everything that its script named was sent$/.test(document.querySelector('#panel .standing').textContent)",
    );
    browser.wait_for(&row("asset", "12.0 MiB.*complete"));
    browser.go("#/events");
    browser.wait_for_text("r630-01 has everything that its script named");
    check_conduct(&browser, server.admin);
}

#[test]
fn a_machine_without_a_name_and_wrong_bytes_need_a_look() {
    let origin = Origin::start();
    let (site, _) = site(&origin, 1);
    let named = Object { key: "boot/other.efi".to_owned(), bytes: noise(8, 50_000).into() };
    // So few bytes that the answer waits for all of them.
    origin.put(&named.key, noise(9, 50_000));
    let server = site.asset(&named).start();
    let Some(browser) = Browser::start(server.admin) else { return };
    browser.open("#/");
    browser.wait_for_text("Nothing. Every host goes on");
    browser.wait_for("document.getElementById('verdict').textContent.trim() === 'Ready'");

    let machine = server.client();
    assert_eq!(machine.get("/ipxe?mac=02:00:00:00:00:09").status, 200);
    let shown = |title: &str, text: &str| {
        browser.wait_for(&format!(
            "[...document.querySelectorAll('#attention a')].some((it) => it.innerText.includes('{title}') && it.innerText.includes('{text}'))"
        ));
    };
    shown("02:00:00:00:00:09 waiting", "nobody has named this machine");
    browser.wait_for("document.getElementById('verdict').innerText.includes('1 host needs a look')");
    assert_eq!(machine.get("/assets/boot/other.efi").status, 502);
    shown("boot/other.efi was not fetched: digest-mismatch", "");
    browser.wait_for("document.getElementById('verdict').innerText.includes('Ready, but boot/other.efi was not')");
    browser.wait_for("!document.getElementById('attention-none').checkVisibility()");
    check_conduct(&browser, server.admin);
}

/// No pointer is touched.
#[test]
fn an_asset_is_pinned_and_evicted_by_the_keyboard() {
    let origin = Origin::start();
    let (site, [kernel, ..]) = site(&origin, 1);
    let server = site.start();
    assert!(server.client().compare("/assets/okd/4.19/kernel", &kernel.bytes));
    let Some(browser) = Browser::start(server.admin) else { return };
    browser.open("#/cache");
    browser.wait_for("document.querySelector('.assets-table table').getAttribute('aria-rowcount') === '4'");

    browser.tab_to("it.closest('.assets-table')");
    browser.press(&[DOWN, DOWN]);
    browser.wait_for("document.activeElement.textContent === 'okd/4.19/kernel'");
    browser.press(&[ENTER]);
    browser.wait_for("document.activeElement.id === 'panel-title'");
    browser.wait_for_text("SHA-256");
    browser.tab_to("it.textContent === 'Pin'");
    browser.press(&[ENTER]);
    wait_for_api(server.admin, "assets/okd/4.19/kernel", |asset| asset["pinned_by"] == serde_json::json!(["operator"]));
    browser.wait_for("document.activeElement.textContent === 'Unpin'");

    // What is pinned is not evicted, and the page says why.
    browser.tab_to("it.textContent === 'Evict…'");
    browser.press(&[ENTER]);
    browser.wait_for("document.activeElement.id === 'confirm-no'");
    browser.tab_to("it.id === 'confirm-yes'");
    browser.press(&[ENTER]);
    browser.wait_for("document.querySelector('.toast[data-tone=bad]').textContent.includes('pin')");
    assert_eq!(api(server.admin, "assets/okd/4.19/kernel")["state"], "cached");

    browser.run("document.getElementById('panel-title').focus()");
    browser.tab_to("it.textContent === 'Unpin'");
    browser.press(&[ENTER]);
    wait_for_api(server.admin, "assets/okd/4.19/kernel", |asset| asset["pinned"] == false);
    browser.tab_to("it.textContent === 'Evict…'");
    browser.press(&[ENTER]);
    browser.wait_for("document.activeElement.id === 'confirm-no'");
    browser.press(&[ENTER]);
    browser.wait_for("!document.getElementById('confirm-dialog').open");
    assert_eq!(api(server.admin, "assets/okd/4.19/kernel")["state"], "cached", "a no is a no");
    browser.press(&[ENTER]);
    browser.tab_to("it.id === 'confirm-yes'");
    browser.press(&[ENTER]);
    wait_for_api(server.admin, "assets/okd/4.19/kernel", |asset| asset["state"] == "missing");
    browser.wait_for("document.querySelector('#panel .standing').textContent === 'missing'");
    browser.press(&[ESCAPE]);
    browser.wait_for(
        "document.activeElement.textContent === 'okd/4.19/kernel' && document.getElementById('panel').hidden",
    );
}

#[test]
fn who_holds_no_token_is_asked_and_who_may_look_is_told_so() {
    let origin = Origin::start();
    let (site, [kernel, ..]) = site(&origin, 1);
    for (name, token) in [("viewer", VIEWER), ("operator", OPERATOR)] {
        std::fs::write(site.file(name), format!("{token}\n")).expect("a token can be written");
    }
    let path = |name: &str| site.file(name).display().to_string();
    let (viewer, operator) = (path("viewer"), path("operator"));
    let site = site.set("admin.viewer_token_file", viewer).set("admin.operator_token_file", operator);
    let server = site.start();
    assert!(server.client().compare("/assets/okd/4.19/kernel", &kernel.bytes));
    let Some(browser) = Browser::start(server.admin) else { return };
    let give = |token: &str| {
        browser.wait_for("document.getElementById('token-dialog').open && document.activeElement.id === 'token-input'");
        browser.type_text(token);
        browser.press(&[ENTER]);
    };

    browser.open("#/cache/okd%2F4.19%2Fkernel");
    give("of-another-server-or-of-another-time-1");
    browser.wait_for("document.getElementById('token-why').textContent.includes('none of those')");
    browser.screenshot("token");
    give(VIEWER);
    browser.wait_for("document.getElementById('session-button').textContent === 'Viewer'");
    browser.wait_for_text("SHA-256");
    browser.wait_for("[...document.querySelectorAll('#panel .actions button')].every((one) => one.getAttribute('aria-disabled') === 'true' && document.getElementById(one.getAttribute('aria-describedby')).textContent.includes('may only look'))");
    browser.click("Pin");
    browser.wait_for("document.querySelector('.toast').textContent.includes('may only look')");
    assert_eq!(api(server.admin, "assets/okd/4.19/kernel")["pinned"], false);

    browser.click("Viewer");
    give(OPERATOR);
    browser.wait_for("document.getElementById('session-button').textContent === 'Operator'");
    browser.click("Pin");
    wait_for_api(server.admin, "assets/okd/4.19/kernel", |asset| asset["pinned"] == true);
    // The token is where the tab forgets it, and nowhere else.
    assert_eq!(browser.run("return sessionStorage.getItem('bootdepot.token')"), OPERATOR);
    assert_eq!(
        browser
            .run("return JSON.stringify({ ...localStorage }) + document.cookie + location.href")
            .as_str()
            .map(|all| all.contains("token-of")),
        Some(false)
    );
    let asked = browser.requests();
    assert!(!asked.iter().any(|url| url.contains("token-of")), "{asked:#?}");
    // Chromium notes each refusal, and nothing else is wrong.
    let said = browser.console();
    assert!(
        said.iter().all(|line| line.contains("401 (Unauthorized)") || line.contains("403 (Forbidden)")),
        "{said:#?}"
    );
}

#[test]
fn a_lost_connection_is_told_of_and_taken_up_again() {
    let origin = Origin::start();
    let (site, _) = site(&origin, 3);
    let server = site.start();
    let admin = server.admin;
    let site = site.set("admin.listen", admin.to_string());
    let Some(browser) = Browser::start(admin) else { return };
    browser.open("#/hosts");
    browser.wait_for("document.getElementById('link-state').dataset.state === 'live'");
    browser.wait_for("!document.getElementById('lost').checkVisibility()");

    server.kill();
    browser.wait_for("document.getElementById('lost').checkVisibility()");
    browser.wait_for(
        "/Connection lost since [0-9:]{8}\\. .* Next try within/.test(document.getElementById('lost').innerText)",
    );
    browser.wait_for_text("r630-02");
    browser.screenshot("lost");

    let server = site.start();
    browser.click("Try now");
    browser.wait_for("document.getElementById('link-state').dataset.state === 'live' && !document.getElementById('lost').checkVisibility()");
    // The new server's events are followed.
    assert_eq!(server.client().get("/ipxe?mac=24:6e:96:00:00:03").status, 200);
    browser.wait_for("[...document.querySelectorAll('.hosts-table tbody tr')].some((row) => /r630-03.*booting/s.test(row.innerText))");
}

/// A browser has six connections to a server, for all its tabs together.
#[test]
fn any_number_of_tabs_may_be_open() {
    let origin = Origin::start();
    let (site, _) = site(&origin, 3);
    let server = site.start();
    let Some(browser) = Browser::start(server.admin) else { return };
    browser.open("#/hosts");
    let first = browser.tab();
    let live = "document.getElementById('link-state').dataset.state === 'live'";
    browser.wait_for(live);
    for _ in 0..6 {
        browser.open_tab("#/hosts");
    }
    browser.wait_for(live);

    // What happened meanwhile the first is told when somebody looks at it again, and nothing was lost.
    assert_eq!(server.client().get("/ipxe?mac=24:6e:96:00:00:03").status, 200);
    browser.see(first);
    browser.wait_for("[...document.querySelectorAll('.hosts-table tbody tr')].some((row) => /r630-03.*booting/s.test(row.innerText))");
    browser.go("#/events");
    browser.wait_for_text("r630-03");
    assert_eq!(browser.run("return document.body.innerText.includes('was lost')"), false);
}

/// A rack in the middle of its morning, every page of it, by day and by night, and on a phone.
#[test]
fn every_page_is_without_fault_in_light_and_dark() {
    let origin = Origin::start();
    let morning = Morning::begin(&origin);
    let Some(browser) = Browser::start(morning.server.admin) else { return };
    browser.open("#/");
    browser.wait_for("Number(document.querySelector('#figures li strong').textContent) > 3");
    browser.wait_for("document.querySelector('#overview-fills li')");
    if pictures() {
        // With something in the plot.
        std::thread::sleep(Duration::from_secs(80));
    }
    for dark in [false, true] {
        let theme = if dark { "dark" } else { "light" };
        browser.dark(dark);
        for page in [
            "hosts/r630-01",
            "cache",
            "cache/okd%2F4.19%2Fkernel",
            "releases",
            "traffic",
            "jobs",
            "events",
            "system",
            "",
        ] {
            browser.go(&format!("#/{page}"));
            let name = page.split('/').next().filter(|name| !name.is_empty()).unwrap_or("overview");
            browser.wait_for(&format!("document.getElementById('page-{name}').checkVisibility()"));
            browser.wait_for("document.getElementById('link-state').dataset.state === 'live'");
            browser.wait_for(
                "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))",
            );
            let side = if page.contains('/') { "-panel" } else { "" };
            let png = browser.screenshot(&format!("{name}{side}-{theme}"));
            if name == "overview" && pictures() {
                let docs = crate::support::program::root().join("docs");
                std::fs::write(docs.join(format!("dashboard-{theme}.png")), png).expect("a picture can be kept");
            }
        }
    }
    browser.dark(false);
    browser.resize(390, 844);
    for page in ["", "hosts", "cache", "releases", "traffic"] {
        browser.go(&format!("#/{page}"));
        browser.wait_for("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))");
        browser.screenshot(&format!("phone-{}", if page.is_empty() { "overview" } else { page }));
        let wide = browser.run("return document.documentElement.scrollWidth - innerWidth");
        assert_eq!(wide, 0, "{page} is wider than a phone");
    }
    check_conduct(&browser, morning.server.admin);
}

/// By axe-core, where npm has it: it is a checker, and comes with no package of the system.
#[test]
fn every_page_passes_the_accessibility_checker() {
    let Some(axe) = axe() else { return };
    let origin = Origin::start();
    let morning = Morning::begin(&origin);
    let Some(browser) = Browser::start(morning.server.admin) else { return };
    browser.open("#/");
    browser.wait_for("Number(document.querySelector('#figures li strong').textContent) > 3");
    browser.run(&axe);
    let mut faults = Vec::new();
    for dark in [false, true] {
        browser.dark(dark);
        for page in [
            "",
            "hosts",
            "hosts/r630-01",
            "cache",
            "cache/okd%2F4.19%2Fkernel",
            "releases",
            "traffic",
            "jobs",
            "events",
            "system",
        ] {
            browser.go(&format!("#/{page}"));
            browser.wait_for(
                "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))",
            );
            let found = browser.wait_for(
                "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'] }).then((told) => told.violations.flatMap((one) => \
                 one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)}: ${node.failureSummary}`)))",
            );
            faults
                .extend(found.as_array().into_iter().flatten().map(|fault| format!("#/{page}, dark {dark}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
}

/// The checker's program; fetched once. `None` names the test as skipped: it is no part of what a machine for tests has.
fn axe() -> Option<String> {
    let dir = crate::support::program::root().join("tests/.cache/axe");
    let file = dir.join("node_modules/axe-core/axe.min.js");
    if !file.is_file() {
        std::fs::create_dir_all(&dir).expect("the cache of the tests can be made");
        let mut npm = std::process::Command::new("npm");
        npm.args(["install", "--silent", "--no-save", "--ignore-scripts", "--prefix"]).arg(&dir).arg("axe-core@4");
        // Without npm, or without a network, there is no file.
        let _ = npm.output();
    }
    let program = std::fs::read_to_string(&file).ok();
    if program.is_none() {
        crate::support::note_skipped("axe-core is not in tests/.cache and cannot be had from npm");
    }
    program
}

/// A server with a rack of which some machines have booted, some boot, some let go, and others are off.
struct Morning {
    server: Server,
}

/// How a machine goes about its boot.
#[derive(Clone, Copy)]
enum Way {
    /// As fast as it can, to the end.
    Whole,
    /// In this step it becomes slow.
    Slow(usize),
    /// In this step it lets go.
    Ends(usize),
}

impl Morning {
    fn begin(origin: &Origin) -> Self {
        let (site, objects) = site_of(origin, 48, [12, 24, 48]);
        let [kernel, initrd, rootfs] = &objects;
        let iso = origin.put("isos/agent.x86_64.iso", noise(7, 24 * MIB));
        let small = ["boot/snponly.efi", "boot/grubx64.efi", "firmware/bios-2.19.exe", "firmware/idrac-2.86.exe"];
        let small = small.map(|key| origin.put(key, key.bytes().cycle().take(MIB).collect::<Vec<_>>()));
        let gone = Object { key: "okd/4.20/kernel".to_owned(), bytes: noise(9, 100).into() };
        let site = small.iter().chain([&iso, &gone]).fold(site, Site::asset);
        let site =
            site.release("okd-4.19", true, &[kernel, initrd, rootfs]).release("okd-4.20", false, &[&gone, initrd]);
        origin.allow(&iso.key, 9 * MIB as u64);
        let server = site.set("fill.connections", 2).start();
        server.wait_for(|line| line.text("message").starts_with("live: "));
        let preloaded = Client::of(server.admin).request("POST", "/api/v1/assets/isos/agent.x86_64.iso/preload", &[]);
        assert_eq!(preloaded.status, 202, "{}", preloaded.text());
        // For the pictures of the guides they come one after the other.
        let apart = if pictures() { Duration::from_secs(2) } else { Duration::ZERO };
        for number in 1..=40_u8 {
            let step = usize::from(number / 2) % 3;
            let way = match number % 3 {
                _ if number % 13 == 4 => Way::Ends(step),
                0 => Way::Whole,
                _ => Way::Slow(step),
            };
            let machine = Machine::of(&server, number);
            runtime().spawn(async move {
                tokio::time::sleep(apart * number.into()).await;
                machine.boot(way).await;
            });
        }
        let enough = |said: &Value| {
            let hosts = said["hosts"].as_array().expect("a list");
            let how_many = |state: &str| hosts.iter().filter(|host| host["state"] == state).count();
            how_many("done") >= 12 && how_many("booting") >= 12 && how_many("failed") >= 2
        };
        if !pictures() {
            wait_for_api(server.admin, "hosts", enough);
        }
        Self { server }
    }
}

/// Whether the pictures in `docs` are to be taken anew; the tests alone do not touch them.
fn pictures() -> bool {
    std::env::var_os("BOOTDEPOT_PICTURES").is_some()
}

/// A machine with an address of its own on the loopback.
struct Machine {
    number: u8,
    client: hyper_util::client::legacy::Client<HttpConnector, Empty<Bytes>>,
    address: IpAddr,
    http: SocketAddr,
    tftp: SocketAddr,
}

impl Machine {
    fn of(server: &Server, number: u8) -> Self {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 7, number));
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(address));
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { number, client, address, http: server.http, tftp: server.tftp }
    }

    /// Boots its way: its firmware over TFTP, all else over HTTP.
    async fn boot(self, way: Way) {
        let number = self.number;
        if self.nbp().await.is_err() {
            return;
        }
        let at_once = Duration::ZERO;
        self.read("/boot.ipxe", usize::MAX, at_once).await;
        self.read(&format!("/ipxe?mac=24:6e:96:00:00:{number:02x}&platform=efi"), usize::MAX, at_once).await;
        // For a picture of traffic, a card of an eighth of a gigabit.
        let usual = if pictures() { Duration::from_millis(8) } else { at_once };
        for (step, name) in ["kernel", "initramfs.img", "rootfs.img"].into_iter().enumerate() {
            let path = format!("/assets/okd/4.19/{name}");
            match way {
                Way::Slow(slow) if slow == step => {
                    // As slow as an old management controller.
                    self.read(&path, usize::MAX, Duration::from_millis(400)).await;
                }
                Way::Ends(end) if end == step => return self.read(&path, 1, at_once).await,
                _ => self.read(&path, usize::MAX, usual).await,
            }
        }
    }

    /// Reads this much of the answer at `path`, or all of it, with a pause after each eighth of a MiB, and lets go.
    async fn read(&self, path: &str, most: usize, pause: Duration) {
        let url = format!("http://{}{path}", self.http).parse().expect("a URL");
        let Ok(answer) = self.client.get(url).await else { return };
        let (mut body, mut read, mut due): (Incoming, _, _) = (answer.into_body(), 0, MIB / 8);
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read >= most {
                return;
            }
            if read >= due && !pause.is_zero() {
                due = read + MIB / 8;
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Fetches its firmware's first file as RFC 1350 has it, block after block.
    async fn nbp(&self) -> io::Result<()> {
        let socket = UdpSocket::bind((self.address, 0)).await?;
        socket.send_to(b"\0\x01boot/snponly.efi\0octet\0", self.tftp).await?;
        let mut packet = [0; 516];
        loop {
            let (length, peer) = socket.recv_from(&mut packet).await?;
            if length < 4 || packet[..2] != [0, 3] {
                return Err(io::Error::other("no data"));
            }
            socket.send_to(&[0, 4, packet[2], packet[3]], peer).await?;
            if length < packet.len() {
                return Ok(());
            }
        }
    }
}
