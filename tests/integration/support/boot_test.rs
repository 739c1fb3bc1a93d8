//! A test that boots the small guest in a network, and reads the ledger.

use serde_json::Value;

use super::boot_network::BootNetwork;
use super::{Client, FakeOrigin, Guest, Object, TestServer, TestSite, Tool, newer_debian};

/// The profile that boots the small guest.
pub(crate) const LINUX: &str = r#"
[[profile]]
name = "linux"
kernel = "debian/linux"
initrd = ["debian/initrd"]
args = ["console=ttyS0", "hostname={{ host.name }}"]
"#;

/// A profile whose kernel finds a file at a path, and prints it on the console `CONSOLE`.
pub(crate) const NOTED: &str = r#"
[[profile]]
name = "noted"
kernel = "debian/linux"
initrd = ["debian/initrd", { asset = "debian/note", path = "/of/the/depot/note" }]
args = ["console=CONSOLE", "hostname={{ host.name }}"]
"#;

/// A network with an origin, for a server that boots the small guest.
pub(crate) struct BootTest {
    pub(crate) network: BootNetwork,
    pub(crate) origin: FakeOrigin,
    pub(crate) guest: Guest,
}

impl BootTest {
    /// Enters the network in which the test `name` continues. `None` as for [`BootNetwork::enter`].
    pub(crate) fn enter(name: &str) -> Option<Self> {
        Self::enter_beside(name, &[])
    }

    /// Enters the network beside a DHCP server with these further arguments.
    pub(crate) fn enter_beside(name: &str, dhcp: &[&str]) -> Option<Self> {
        Self::enter_with(Guest::small()?, name, dhcp)
    }

    /// Enters the network for another guest.
    pub(crate) fn enter_with(guest: Guest, name: &str, dhcp: &[&str]) -> Option<Self> {
        let network = BootNetwork::enter(name, dhcp)?;
        Some(Self { network, origin: FakeOrigin::start(), guest })
    }

    /// Returns a site with the guest, the profile `linux` and these further tables.
    pub(crate) fn site(&self, tables: &str) -> TestSite {
        let [kernel, initrd] = self.guest.upload(&self.origin, "debian/linux", "debian/initrd");
        let site = self.network.site(TestSite::new(&self.origin)).asset(&kernel).asset(&initrd);
        site.tables(toml::from_str(&format!("{LINUX}{tables}")).expect("the configuration of the test is valid"))
    }

    /// Uploads a file of a package. `None` if it is missing: the test is skipped.
    pub(crate) fn file(&self, key: &str, path: &str) -> Option<Object> {
        Some(self.origin.put(key, std::fs::read(Tool::file(path)?).expect("the file can be read")))
    }

    /// Uploads a boot program of the newer Debian. `None` if it is missing: the test is skipped.
    pub(crate) fn newer_file(&self, key: &str, path: &str) -> Option<Object> {
        self.file(key, newer_debian::file(path)?.to_str().expect("the path is text"))
    }
}

/// Starts the site's server and waits until its proxyDHCP listens.
pub(crate) fn start(site: &TestSite) -> TestServer {
    let server = site.start();
    server.wait_for(|line| line.text("message") == "proxyDHCP listening");
    server
}

/// Returns a `[[host]]` with this name, one key and a profile.
pub(crate) fn host(name: &str, key: &str, value: &str, profile: &str) -> String {
    format!("[[host]]\nname = \"{name}\"\nmatch = {{ {key} = \"{value}\" }}\nprofile = \"{profile}\"\n")
}

/// Returns the steps of the last boot of a host, in order, and its state, from the ledger.
pub(crate) fn ledger(host: &str) -> (Vec<String>, String) {
    let answer = Client::new(([127, 0, 0, 1], 8081).into()).get(&format!("/api/v1/hosts/{host}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let machine: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let boot = &machine["boots"][0];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let step = |step: &Value| ["role", "name", "outcome"].map(|key| text(&step[key])).join(" ");
    (boot["steps"].as_array().map_or_else(Vec::new, |steps| steps.iter().map(step).collect()), text(&boot["state"]))
}
