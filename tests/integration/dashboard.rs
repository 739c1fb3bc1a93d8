//! The dashboard in a browser: it shows the state of a running server, and operators act on it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::UdpSocket;

use crate::support::browser::{Browser, DOWN, ENTER, ESCAPE};
use crate::support::{
    ChildExt, Client, FakeOrigin, Object, TestServer, TestSite, random_bytes, runtime, timeout, wait_until,
};

const MIB: usize = 1 << 20;
const VIEWER: &str = "viewer-token-of-the-dashboard-test-0001";
const OPERATOR: &str = "operator-token-of-the-dashboard-test-01";

/// Returns the API's JSON at this path.
fn api(admin: SocketAddr, path: &str) -> Value {
    let fields = [("Authorization", format!("Bearer {OPERATOR}"))];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = Client::new(admin).request("GET", &format!("/api/v1/{path}"), &fields);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("the API returns JSON")
}

/// Waits until `wanted` holds for the API's JSON at `path`.
fn wait_for_api(admin: SocketAddr, path: &str, wanted: impl Fn(&Value) -> bool) {
    wait_until(
        || wanted(&api(admin, path)).then_some(()),
        || format!("the API still returns for {path}: {:#}", api(admin, path)),
    );
}

/// Returns a profile with a kernel, an initramfs and a root file system, and hosts numbered from 1, whose MACs end in their number.
fn profile_and_hosts(hosts: u8) -> toml::Table {
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
    toml::from_str(&tables).expect("the configuration of the test is valid")
}

/// Returns a site with this many hosts, and the objects that they boot: 6, 3 and 12 MiB.
fn site(origin: &FakeOrigin, hosts: u8) -> (TestSite, [Object; 3]) {
    site_with_sizes(origin, hosts, [6, 3, 12])
}

/// Returns a site with this many hosts, whose kernel, initramfs and root file system have these sizes in MiB.
fn site_with_sizes(origin: &FakeOrigin, hosts: u8, sizes: [usize; 3]) -> (TestSite, [Object; 3]) {
    let object =
        |name: &str, at: usize| origin.put(&format!("okd/4.19/{name}"), random_bytes(at as u64, sizes[at] * MIB));
    let objects = [object("kernel", 0), object("initramfs.img", 1), object("rootfs.img", 2)];
    // One connection, so that parts arrive in order. The long timeout keeps a fill that is held back from failing.
    let site = TestSite::new(origin).set("fill.connections", 1).tables(profile_and_hosts(hosts));
    (objects.iter().fold(site, TestSite::asset), objects)
}

/// Asserts that the console is empty and that the page only sent requests to the server.
fn assert_no_errors_or_foreign_requests(browser: &Browser, admin: SocketAddr) {
    let console = browser.console();
    assert!(console.is_empty(), "the console: {console:#?}");
    let requests = browser.requests();
    let own = format!("http://{admin}/");
    assert!(requests.iter().any(|url| url.starts_with(&own)), "{requests:#?}");
    // Chromium's blank page is a data URL.
    let foreign: Vec<_> = requests.iter().filter(|url| !url.starts_with(&own) && !url.starts_with("data:")).collect();
    assert!(foreign.is_empty(), "requests to other servers: {foreign:#?}");
    // Resources from caches, workers and frames count too.
    let loaded = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)");
    let loaded: Vec<&str> = loaded.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(loaded.iter().all(|url| url.starts_with(&own)), "{loaded:#?}");
}

/// Waits until `wanted` holds for the percentage `now` of the progress bar in `place`, and returns it.
fn wait_for_bar(browser: &Browser, place: &str, wanted: &str) -> u64 {
    let bar = format!("Number(document.querySelector('{place} [role=progressbar]').getAttribute('aria-valuenow'))");
    browser.wait_for(&format!("((now) => {wanted} && now)({bar})")).as_u64().expect("a percentage")
}

#[test]
fn cold_preload_shows_progress() {
    let origin = FakeOrigin::start();
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
    assert!(second < 100, "{second} % although the origin holds back the rest");
    assert_eq!(api(server.admin, "assets/okd/4.19/kernel")["state"], "filling");
    origin.allow(&kernel.key, u64::MAX);
    browser.wait_for_text("No active fills.");
    browser.wait_for_text("okd/4.19/kernel is cached: 6.0 MiB in ");
    browser.go("#/jobs");
    browser.wait_for_text("1 of 1 asset · 6.0 MiB of 6.0 MiB");
    browser.go("#/cache/okd%2F4.19%2Fkernel");
    browser.wait_for("document.querySelector('.standing').textContent === 'cached'");
    assert_no_errors_or_foreign_requests(&browser, server.admin);
}

#[test]
fn booting_machine_appears_step_by_step() {
    let origin = FakeOrigin::start();
    let (site, [kernel, initrd, rootfs]) = site(&origin, 2);
    origin.allow(&initrd.key, MIB as u64 + MIB as u64 / 2);
    let server = site.start();
    let Some(browser) = Browser::start(server.admin) else { return };
    browser.open("#/hosts");
    browser.wait_for("document.querySelector('.hosts-table table').getAttribute('aria-rowcount') === '3'");
    browser.wait_for("[...document.querySelectorAll('.hosts-table tbody tr')].some((row) => /r630-01.*not seen/s.test(row.innerText))");

    // The requests of iPXE.
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
    browser.wait_for(&row("initrd", "of 3.0 MiB.*in progress"));
    // The earlier stages are complete, this one is not.
    browser.wait_for(
        "/^initrd, [1-9][0-9]? %$/.test(document.querySelector('[data-tone=busy].stages').getAttribute('aria-label'))",
    );

    // The progress changes.
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
    browser.wait_for_text("r630-01 is done: everything that its script named was sent");
    assert_no_errors_or_foreign_requests(&browser, server.admin);
}

#[test]
fn unnamed_machine_and_mismatch_need_attention() {
    let origin = FakeOrigin::start();
    let (site, _) = site(&origin, 1);
    let named = Object { key: "boot/other.efi".to_owned(), bytes: random_bytes(8, 50_000).into() };
    // So few bytes that the response starts only after all are verified.
    origin.put(&named.key, random_bytes(9, 50_000));
    let server = site.asset(&named).start();
    let Some(browser) = Browser::start(server.admin) else { return };
    browser.open("#/");
    browser.wait_for_text("Nothing: no host is stuck or failed");
    browser.wait_for("document.getElementById('verdict').textContent.trim() === 'Ready'");

    let machine = server.client();
    assert_eq!(machine.get("/ipxe?mac=02:00:00:00:00:09").status, 200);
    let shown = |title: &str, text: &str| {
        browser.wait_for(&format!(
            "[...document.querySelectorAll('#attention a')].some((it) => it.innerText.includes('{title}') && it.innerText.includes('{text}'))"
        ));
    };
    shown("02:00:00:00:00:09 waiting", "no [[host]] matches this machine");
    browser.wait_for("document.getElementById('verdict').innerText.includes('1 host needs attention')");
    assert_eq!(machine.get("/assets/boot/other.efi").status, 502);
    shown("boot/other.efi: fill failed, digest-mismatch", "");
    browser.wait_for(
        "document.getElementById('verdict').innerText.includes('Ready with problems boot/other.efi: fill failed')",
    );
    browser.wait_for("!document.getElementById('attention-none').checkVisibility()");
    assert_no_errors_or_foreign_requests(&browser, server.admin);
}

#[test]
fn stranger_is_copied_and_forgotten() {
    let origin = FakeOrigin::start();
    let (site, _) = site(&origin, 1);
    let server = site.start();
    let Some(browser) = Browser::start(server.admin) else { return };
    assert_eq!(server.client().get("/ipxe?mac=24:6e:96:00:00:09&serial=ABC%221234&platform=efi").status, 200);
    browser.open("#/hosts");
    let rows = "document.querySelector('.hosts-table table').getAttribute('aria-rowcount')";
    browser.wait_for(&format!("{rows} === '3'"));
    let search = "const it = document.getElementById('hosts-search'); it.value = '246E.9600.0009'; it.dispatchEvent(new Event('input'))";
    browser.run(search);
    browser.wait_for(&format!("{rows} === '2'"));
    browser.click("24:6e:96:00:00:09");
    browser.wait_for_text("its MAC address is one character from r630-01's");
    browser.click("Copy as [[host]]");
    browser.wait_for("document.querySelector('#panel pre').checkVisibility()");
    let table = browser.run("return document.querySelector('#panel pre').textContent");
    let table: toml::Table = toml::from_str(table.as_str().expect("a text")).expect("it is configuration");
    let keys = &table["host"][0]["match"];
    assert_eq!((keys["mac"][0].as_str(), keys["serial"].as_str()), (Some("24:6e:96:00:00:09"), Some("ABC\"1234")));

    browser.click("Forget");
    browser.wait_for("document.getElementById('confirm-dialog').open");
    browser.run("document.getElementById('confirm-yes').click()");
    browser.wait_for(&format!("{rows} === '1'"));
    browser.run(&search.replace("246E.9600.0009", ""));
    browser.wait_for(&format!("{rows} === '2'"));
    assert_no_errors_or_foreign_requests(&browser, server.admin);
}

#[test]
fn unrequested_file_of_collection_is_preloaded() {
    let origin = FakeOrigin::start();
    let image = origin.put("openshift/sno/a.iso", random_bytes(9, 4_000));
    origin.put("openshift/sno/a.iso.sha256", image.sha256());
    let source = format!("s3://{}/openshift/", crate::support::s3::BUCKET);
    let table = format!("[[collection]]\nprefix = \"isos/\"\nsource = \"{source}\"");
    let server = TestSite::new(&origin).tables(table.parse().expect("a table")).start();
    let Some(browser) = Browser::start(server.admin) else { return };
    browser.open("#/cache");
    browser.wait_for("!document.getElementById('collections').hidden");
    browser.run("document.querySelector('#collections-list summary').click()");
    browser.wait_for("document.querySelectorAll('#collections-list summary').length === 2");
    browser.run("document.querySelectorAll('#collections-list summary')[1].click()");
    browser.wait_for_text("not requested yet");
    browser.tab_to("it.textContent === 'Preload' && it.closest('#collections')");
    browser.press(&[ENTER]);
    server.wait_for_fill("isos/sno/a.iso", "complete");
}

/// Without a pointer.
#[test]
fn keyboard_pins_and_evicts_asset() {
    let origin = FakeOrigin::start();
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

    // A pinned asset is not evicted, and the page shows the reason.
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
    assert_eq!(api(server.admin, "assets/okd/4.19/kernel")["state"], "cached", "nothing was evicted");
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
fn viewer_token_cannot_change_anything() {
    let origin = FakeOrigin::start();
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
    let enter_token = |token: &str| {
        browser.wait_for("document.getElementById('token-dialog').open && document.activeElement.id === 'token-input'");
        browser.type_text(token);
        browser.press(&[ENTER]);
    };

    browser.open("#/cache/okd%2F4.19%2Fkernel");
    enter_token("of-another-server-or-of-another-time-1");
    browser.wait_for("document.getElementById('token-why').textContent.includes('not valid')");
    browser.screenshot("token");
    enter_token(VIEWER);
    browser.wait_for("document.getElementById('session-button').textContent === 'Viewer'");
    browser.wait_for_text("SHA-256");
    browser.wait_for("[...document.querySelectorAll('#panel .actions button')].every((one) => one.getAttribute('aria-disabled') === 'true' && document.getElementById(one.getAttribute('aria-describedby')).textContent.includes('read-only'))");
    browser.click("Pin");
    browser.wait_for("document.querySelector('.toast').textContent.includes('read-only')");
    assert_eq!(api(server.admin, "assets/okd/4.19/kernel")["pinned"], false);

    browser.click("Viewer");
    enter_token(OPERATOR);
    browser.wait_for("document.getElementById('session-button').textContent === 'Operator'");
    browser.click("Pin");
    wait_for_api(server.admin, "assets/okd/4.19/kernel", |asset| asset["pinned"] == true);
    // The token is only in the tab's session storage.
    assert_eq!(browser.run("return sessionStorage.getItem('bootdepot.token')"), OPERATOR);
    assert_eq!(
        browser
            .run("return JSON.stringify({ ...localStorage }) + document.cookie + location.href")
            .as_str()
            .map(|all| all.contains("token-of")),
        Some(false)
    );
    let requests = browser.requests();
    assert!(!requests.iter().any(|url| url.contains("token-of")), "{requests:#?}");
    // Chromium logs each refused request. Nothing else is logged.
    let console = browser.console();
    assert!(
        console.iter().all(|line| line.contains("401 (Unauthorized)") || line.contains("403 (Forbidden)")),
        "{console:#?}"
    );
}

#[test]
fn lost_connection_is_shown_and_restored() {
    let origin = FakeOrigin::start();
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
        "/Connection lost since [0-9:]{8}\\. .* Retrying within/.test(document.getElementById('lost').innerText)",
    );
    browser.wait_for_text("r630-02");
    browser.screenshot("lost");

    let server = site.start();
    // In one step: on a busy machine the page may have tried by itself, and then the button is hidden.
    browser.run("document.getElementById('lost-retry').click()");
    browser.wait_for("document.getElementById('link-state').dataset.state === 'live' && !document.getElementById('lost').checkVisibility()");
    // The page gets the new server's events.
    assert_eq!(server.client().get("/ipxe?mac=24:6e:96:00:00:03").status, 200);
    browser.wait_for("[...document.querySelectorAll('.hosts-table tbody tr')].some((row) => /r630-03.*booting/s.test(row.innerText))");
}

/// A browser has six connections to a server, for all its tabs together.
#[test]
fn many_tabs_stay_live() {
    let origin = FakeOrigin::start();
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

    // The first tab shows events of the time when it was hidden. None is lost.
    assert_eq!(server.client().get("/ipxe?mac=24:6e:96:00:00:03").status, 200);
    browser.switch_to(first);
    browser.wait_for("[...document.querySelectorAll('.hosts-table tbody tr')].some((row) => /r630-03.*booting/s.test(row.innerText))");
    browser.go("#/events");
    browser.wait_for_text("r630-03");
    assert_eq!(browser.run("return document.body.innerText.includes('was lost')"), false);
}

/// Every page with a busy rack, in light and dark, and in the width of a phone.
#[test]
fn pages_render_in_light_and_dark() {
    let origin = FakeOrigin::start();
    let rack = BusyRack::start(&origin);
    let Some(browser) = Browser::start(rack.server.admin) else { return };
    browser.open("#/");
    browser.wait_for("Number(document.querySelector('#figures li strong').textContent) > 3");
    browser.wait_for("document.querySelector('#overview-fills li')");
    if pictures() {
        // So that the plot has some history.
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
                std::fs::write(docs.join(format!("dashboard-{theme}.png")), png).expect("a picture can be written");
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
    assert_no_errors_or_foreign_requests(&browser, rack.server.admin);
}

/// By axe-core from npm, because no Debian package has it.
#[test]
fn pages_pass_accessibility_checker() {
    let Some(axe) = axe() else { return };
    let origin = FakeOrigin::start();
    let rack = BusyRack::start(&origin);
    let Some(browser) = Browser::start(rack.server.admin) else { return };
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
                "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'] }).then((result) => result.violations.flatMap((one) => \
                 one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)}: ${node.failureSummary}`)))",
            );
            faults
                .extend(found.as_array().into_iter().flatten().map(|fault| format!("#/{page}, dark {dark}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
}

/// Returns the checker's program, which is downloaded once. `None` if it cannot be downloaded: the test is skipped, in CI too.
fn axe() -> Option<String> {
    let dir = crate::support::program::root().join("tests/.cache/axe");
    let file = dir.join("node_modules/axe-core/axe.min.js");
    if !file.is_file() {
        std::fs::create_dir_all(&dir).expect("the cache of the tests can be created");
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--silent",
            "--fetch-retries=0",
            "--fetch-timeout=30000",
            "--no-save",
            "--ignore-scripts",
            "--prefix",
        ])
        .arg(&dir)
        .arg("axe-core@4");
        // Without npm, or without a network, there is no file.
        let _ = npm.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map(ChildExt::finish);
    }
    let program = std::fs::read_to_string(&file).ok();
    if program.is_none() {
        crate::support::note_skipped("axe-core is not in tests/.cache and cannot be downloaded from npm");
    }
    program
}

/// A server with many hosts: some have booted, some are booting, some gave up, and some are off.
struct BusyRack {
    server: TestServer,
}

/// The behaviour of a simulated host.
#[derive(Clone, Copy)]
enum Behaviour {
    /// Boots completely, as fast as possible.
    Complete,
    /// Reads slowly in this step.
    Slow(usize),
    /// Disconnects in this step.
    Disconnect(usize),
}

impl BusyRack {
    fn start(origin: &FakeOrigin) -> Self {
        let (site, objects) = site_with_sizes(origin, 48, [12, 24, 48]);
        let [kernel, initrd, rootfs] = &objects;
        let iso = origin.put("isos/agent.x86_64.iso", random_bytes(7, 24 * MIB));
        let small = ["boot/snponly.efi", "boot/grubx64.efi", "firmware/bios-2.19.exe", "firmware/idrac-2.86.exe"];
        let small = small.map(|key| origin.put(key, key.bytes().cycle().take(MIB).collect::<Vec<_>>()));
        let gone = Object { key: "okd/4.20/kernel".to_owned(), bytes: random_bytes(9, 100).into() };
        let site = small.iter().chain([&iso, &gone]).fold(site, TestSite::asset);
        let site =
            site.release("okd-4.19", true, &[kernel, initrd, rootfs]).release("okd-4.20", false, &[&gone, initrd]);
        origin.allow(&iso.key, 9 * MIB as u64);
        let server = site.set("fill.connections", 2).start();
        server.wait_for(|line| line.text("message") == "release live");
        let preloaded = Client::new(server.admin).request("POST", "/api/v1/assets/isos/agent.x86_64.iso/preload", &[]);
        assert_eq!(preloaded.status, 202, "{}", preloaded.text());
        // For the pictures in the guides they start one after the other.
        let apart = if pictures() { Duration::from_secs(2) } else { Duration::ZERO };
        for number in 1..=40_u8 {
            let step = usize::from(number / 2) % 3;
            let behaviour = match number % 3 {
                _ if number % 13 == 4 => Behaviour::Disconnect(step),
                0 => Behaviour::Complete,
                _ => Behaviour::Slow(step),
            };
            let machine = SimulatedHost::of(&server, number);
            runtime().spawn(async move {
                tokio::time::sleep(apart * number.into()).await;
                machine.boot(behaviour).await;
            });
        }
        let enough = |json: &Value| {
            let hosts = json["hosts"].as_array().expect("a list");
            let count = |state: &str| hosts.iter().filter(|host| host["state"] == state).count();
            count("done") >= 12 && count("booting") >= 12 && count("failed") >= 2
        };
        if !pictures() {
            wait_for_api(server.admin, "hosts", enough);
        }
        Self { server }
    }
}

/// Returns whether to write the pictures in `docs`. A normal run does not.
fn pictures() -> bool {
    std::env::var_os("BOOTDEPOT_PICTURES").is_some()
}

/// A host with an address of its own on the loopback.
struct SimulatedHost {
    number: u8,
    client: hyper_util::client::legacy::Client<HttpConnector, Empty<Bytes>>,
    address: IpAddr,
    http: SocketAddr,
    tftp: SocketAddr,
}

impl SimulatedHost {
    fn of(server: &TestServer, number: u8) -> Self {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 7, number));
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(address));
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { number, client, address, http: server.http, tftp: server.tftp }
    }

    /// Boots: the firmware's file over TFTP, everything else over HTTP.
    async fn boot(self, behaviour: Behaviour) {
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
            match behaviour {
                Behaviour::Slow(slow) if slow == step => {
                    // As slow as an old management controller.
                    self.read(&path, usize::MAX, Duration::from_millis(400)).await;
                }
                Behaviour::Disconnect(end) if end == step => return self.read(&path, 1, at_once).await,
                _ => self.read(&path, usize::MAX, usual).await,
            }
        }
    }

    /// Reads at most this many bytes of the response at `path`, with a pause after each eighth of a MiB, and disconnects.
    async fn read(&self, path: &str, most: usize, pause: Duration) {
        let url = format!("http://{}{path}", self.http).parse().expect("a URL");
        let Ok(response) = self.client.get(url).await else { return };
        let (mut body, mut read, mut due): (Incoming, _, _) = (response.into_body(), 0, MIB / 8);
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

    /// Fetches the firmware's first file by TFTP without options (RFC 1350).
    async fn nbp(&self) -> io::Result<()> {
        let socket = UdpSocket::bind((self.address, 0)).await?;
        socket.send_to(b"\0\x01boot/snponly.efi\0octet\0", self.tftp).await?;
        let mut packet = [0; 516];
        loop {
            // Without a retry: on the loopback a lost datagram is an error.
            let (length, peer) = tokio::time::timeout(timeout(), socket.recv_from(&mut packet)).await??;
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
