//! proxyDHCP beside a real DHCP server, and the configurations for DHCP servers that name the boot files themselves.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use dhcproto::v4::relay::{RelayAgentInformation, RelayInfo};
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};

use crate::support::dhcp::{BRIDGE, DhcpClient, SERVER, Stage, class, file, firmware, ipxe};
use crate::support::{CommandExt, FakeOrigin, Object, TestSite, Tool, timeout};

/// An address in the DHCP server's range.
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);

/// Returns a site with boot files for three kinds of firmware, and HTTP on port 8080.
fn site(origin: &FakeOrigin) -> TestSite {
    let put = |key: &str| -> Object { origin.put(key, key.as_bytes().to_vec()) };
    let (bios, x64, arm64) = (put("boot/undionly.kpxe"), put("boot/snponly.efi"), put("boot/arm64/snponly.efi"));
    let files = toml::toml! {
        "undionly.kpxe" = "boot/undionly.kpxe"
        "snponly.efi" = "boot/snponly.efi"
        "snponly-arm64.efi" = "boot/arm64/snponly.efi"
    };
    let hosts = toml::toml! {
        [[profile]]
        name = "local"
        local = true
        [[host]]
        name = "own"
        match = { mac = ["52:54:00:00:00:09", "52:54:00:00:00:0a"] }
        profile = "local"
        nbp = "boot/arm64/snponly.efi"
    };
    let site = TestSite::new(origin).tables(hosts).asset(&bios).asset(&x64).asset(&arm64).set("tftp.files", files);
    site.set("http.listen", vec!["0.0.0.0:8080"]).set("tftp.listen", vec!["0.0.0.0:69"])
}

/// The vendor class and architecture of each kind of firmware, and its boot file.
const EXPECTED: [(&str, u16, &str); 6] = [
    ("PXEClient", 0, "undionly.kpxe"),
    ("PXEClient", 7, "snponly.efi"),
    ("PXEClient", 9, "snponly.efi"),
    ("PXEClient", 11, "snponly-arm64.efi"),
    ("HTTPClient", 16, "http://10.77.0.1:8080/assets/boot/snponly.efi"),
    ("HTTPClient", 19, "http://10.77.0.1:8080/assets/boot/arm64/snponly.efi"),
];
const SCRIPT: &str = "http://10.77.0.1:8080/boot.ipxe";

#[test]
fn proxy_offer_names_boot_file() {
    const NAME: &str = "dhcp::proxy_offer_names_boot_file";
    let Some(dnsmasq) = Tool::find("dnsmasq") else { return };
    match Stage::enter(NAME) {
        None => {}
        Some(Stage::Servers(ip)) => {
            let _dhcp = Dnsmasq::start(&dnsmasq, None);
            let origin = FakeOrigin::start();
            let server = site(&origin).set("dhcp.mode", "proxy").set("dhcp.interface", BRIDGE).start();
            server.wait_for(|line| line.text("message") == "proxyDHCP listening");
            Stage::run_client(&ip, NAME);

            for (_, _, file) in EXPECTED {
                let line = server.wait_for(|line| line.is("bootdepot::dhcp") && line.text("file") == file);
                assert_eq!(line.text("mac"), "52:54:00:00:00:01");
            }
            let unanswered = server.wait_for(|line| line.number("architecture") == 6);
            assert_eq!(unanswered.text("arch"), "efi-ia32");
            server.wait_for(|line| line.text("message").contains("a relay forwarded it"));
            assert!(server.stop().success());
        }
        Some(Stage::Client) => proxy_client(),
    }
}

fn proxy_client() {
    let mut card = DhcpClient::listening(68);
    let from_proxy = |answer: &Message| answer.yiaddr().is_unspecified();
    let leased = |answer: &Message| !answer.yiaddr().is_unspecified();

    // A client that is not firmware gets an address and no reply from proxyDHCP: the first reply from proxyDHCP is to a later
    // request, and replies keep their order.
    let plain = card.packet(MessageType::Discover, Vec::new());
    card.broadcast(&plain);
    let mut received = card.receive_until(&plain, leased);
    let foreign = card.packet(MessageType::Discover, firmware("PXEClient", 6));
    card.broadcast(&foreign);
    for (name, architecture, expected) in EXPECTED {
        let request = card.packet(MessageType::Discover, firmware(name, architecture));
        card.broadcast(&request);
        received.extend(card.receive_until(&request, from_proxy));
        let offer = received.last().expect("a reply");
        assert_eq!((file(offer).as_str(), class(offer).as_str()), (expected, name), "architecture {architecture}");
        assert_eq!((offer.opts().msg_type(), offer.siaddr()), (Some(MessageType::Offer), SERVER));
    }
    let proxy_replies = |xid| received.iter().filter(|answer| answer.xid() == xid && from_proxy(answer)).count();
    assert_eq!((proxy_replies(plain.xid()), proxy_replies(foreign.xid())), (0, 0));
    let loaded = card.packet(MessageType::Discover, ipxe(7));
    card.broadcast(&loaded);
    assert_eq!(file(card.receive_until(&loaded, from_proxy).last().expect("an offer")), SCRIPT);
    let request = card.packet(MessageType::Request, {
        let mut options = firmware("PXEClient", 0);
        options.extend([DhcpOption::ServerIdentifier(SERVER), DhcpOption::RequestedIpAddress(LEASED)]);
        options
    });
    // Only the DHCP server replies to this request. A reply from proxyDHCP would arrive before the next offer.
    card.broadcast(&request);
    let after = card.packet(MessageType::Discover, firmware("PXEClient", 0));
    card.broadcast(&after);
    let answers = card.receive_until(&after, from_proxy);
    assert!(!answers.iter().any(|answer| answer.xid() == request.xid() && from_proxy(answer)));
    drop(card);

    // `relays` is off: a broadcast that a relay has marked gets no reply, and the log says why.
    let mut card = DhcpClient::listening(68);
    let mut relayed = card.packet(MessageType::Discover, firmware("PXEClient", 7));
    relayed.set_giaddr(LEASED);
    card.broadcast(&relayed);
    let after = card.packet(MessageType::Discover, firmware("PXEClient", 0));
    card.broadcast(&after);
    let answers = card.receive_until(&after, from_proxy);
    assert!(!answers.iter().any(|answer| answer.xid() == relayed.xid() && from_proxy(answer)));
    drop(card);

    // With an address UEFI sends another request, from port 4011 to port 4011.
    let ip = Tool::find("ip").expect("the servers' stage found it");
    DhcpClient::lease(&ip, LEASED);
    for port in [4011, 68] {
        let mut card = DhcpClient::listening(port);
        let mut request = card.packet(MessageType::Request, firmware("PXEClient", 7));
        request.set_ciaddr(LEASED);
        card.send(&request, SocketAddrV4::new(SERVER, 4011));
        let ack = card.receive();
        assert_eq!((ack.xid(), ack.opts().msg_type()), (request.xid(), Some(MessageType::Ack)));
        assert_eq!(file(&ack), "snponly.efi");
        assert!(!ack.opts().contains(OptionCode::AddressLeaseTime));
    }
}

#[test]
fn proxy_answers_relay_when_enabled() {
    const NAME: &str = "dhcp::proxy_answers_relay_when_enabled";
    match Stage::enter(NAME) {
        None => {}
        Some(Stage::Servers(ip)) => {
            let origin = FakeOrigin::start();
            let site = site(&origin).set("dhcp.mode", "proxy").set("dhcp.interface", BRIDGE).set("dhcp.relays", true);
            let server = site.start();
            server.wait_for(|line| line.text("message") == "proxyDHCP listening");
            Stage::run_client(&ip, NAME);
        }
        Some(Stage::Client) => {
            let ip = Tool::find("ip").expect("the servers' stage found it");
            DhcpClient::lease(&ip, LEASED);
            let mut relay = DhcpClient::listening(67);
            let mut forward = |options| {
                let mut message = relay.packet(MessageType::Discover, options);
                message.set_giaddr(LEASED);
                relay.send(&message, SocketAddrV4::new(SERVER, 67));
                message.xid()
            };
            // A circuit and a remote identifier (RFC 3046 3.1, 3.2).
            let mut identifiers = RelayAgentInformation::default();
            identifiers.insert(RelayInfo::AgentCircuitId(vec![0, 7, 0, 1]));
            identifiers.insert(RelayInfo::AgentRemoteId(vec![0x24, 0x6e, 0x96, 0, 0, 1]));
            let mut with_circuit = firmware("PXEClient", 7);
            with_circuit.push(DhcpOption::RelayAgentInformation(identifiers.clone()));
            let forwarded = [forward(firmware("PXEClient", 7)), forward(ipxe(7)), forward(with_circuit)];
            let answers = [relay.receive(), relay.receive(), relay.receive()];
            assert_eq!(answers.each_ref().map(Message::xid), forwarded, "one reply to each request");
            assert_eq!(answers.each_ref().map(file), ["snponly.efi", SCRIPT, "snponly.efi"]);
            let echoed = answers[2].opts().get(OptionCode::RelayAgentInformation);
            assert_eq!(echoed, Some(&DhcpOption::RelayAgentInformation(identifiers)));
            assert!(answers.iter().all(|answer| answer.giaddr() == LEASED));
        }
    }
}

#[test]
fn dnsmasq_config_names_boot_file() {
    const NAME: &str = "dhcp::dnsmasq_config_names_boot_file";
    let Some(dnsmasq) = Tool::find("dnsmasq") else { return };
    match Stage::enter(NAME) {
        None => {}
        Some(Stage::Servers(ip)) => {
            let origin = FakeOrigin::start();
            let site = site(&origin);
            let settings = site.file("bootdepot.conf");
            std::fs::write(&settings, printed(&site, "dnsmasq")).expect("the file can be written");
            dnsmasq.succeed(["--test".to_owned(), format!("--conf-file={}", settings.display())]);
            let _dhcp = Dnsmasq::start(&dnsmasq, Some(&settings));
            Stage::run_client(&ip, NAME);
        }
        Some(Stage::Client) => {
            let mut card = DhcpClient::listening(68);
            let mut offer_for = |options| {
                let request = card.packet(MessageType::Discover, options);
                card.broadcast(&request);
                card.receive_until(&request, |_| true).pop().expect("a reply")
            };
            for (name, architecture, expected) in EXPECTED {
                let offer = offer_for(firmware(name, architecture));
                assert_eq!(file(&offer), expected, "architecture {architecture}");
                if name == "HTTPClient" {
                    assert_eq!(class(&offer), name);
                } else {
                    assert_eq!(offer.siaddr(), SERVER);
                }
                assert_eq!(file(&offer_for(ipxe(architecture))), SCRIPT);
            }
            assert_eq!(file(&offer_for(Vec::new())), "", "a client that is not firmware");
            // A host with a boot file of its own.
            card.become_machine(10);
            let mut offer_for = |options| {
                let request = card.packet(MessageType::Discover, options);
                card.broadcast(&request);
                card.receive_until(&request, |_| true).pop().expect("a reply")
            };
            for (name, architecture, expected) in [
                ("PXEClient", 0, "boot/arm64/snponly.efi"),
                ("PXEClient", 7, "boot/arm64/snponly.efi"),
                ("HTTPClient", 16, "http://10.77.0.1:8080/assets/boot/arm64/snponly.efi"),
            ] {
                let offer = offer_for(firmware(name, architecture));
                assert_eq!(file(&offer), expected, "architecture {architecture}");
                assert_eq!(file(&offer_for(ipxe(architecture))), SCRIPT);
                if name == "HTTPClient" {
                    assert_eq!(class(&offer), name);
                } else {
                    // In the header, where firmware finds a NUL behind it.
                    assert_eq!(offer.fname().map(|name| name.starts_with(expected.as_bytes())), Some(true));
                }
            }
        }
    }
}

#[test]
fn kea_and_dhcpd_accept_config() {
    let origin = FakeOrigin::start();
    let site = site(&origin);
    let kea = printed(&site, "kea");
    let mut json: serde_json::Value = serde_json::from_str(&kea).expect("JSON");
    assert_eq!(json["Dhcp4"]["client-classes"].as_array().map(Vec::len), Some(1 + 2 + 5));
    if let Some(tool) = Tool::find("kea-dhcp4") {
        // The rest of an operator's configuration.
        json["Dhcp4"]["interfaces-config"] = serde_json::json!({ "interfaces": [] });
        json["Dhcp4"]["lease-database"] = serde_json::json!({ "type": "memfile", "persist": false });
        let file = site.file("kea.json");
        std::fs::write(&file, json.to_string()).expect("the file can be written");
        tool.succeed(["-t".into(), file.into_os_string()]);
    }
    if let Some(tool) = Tool::find("dhcpd") {
        let (file, leases) = (site.file("dhcpd.conf"), site.file("dhcpd.leases"));
        let subnet = "subnet 10.77.0.0 netmask 255.255.255.0 { range 10.77.0.50 10.77.0.99; }\n";
        std::fs::write(&file, subnet.to_owned() + &printed(&site, "isc")).expect("the file can be written");
        std::fs::write(&leases, "").expect("the file can be written");
        tool.succeed(["-t".into(), "-cf".into(), file.into_os_string(), "-lf".into(), leases.into_os_string()]);
    }
}

/// Returns the output of `bootdepot dhcp-config`.
fn printed(site: &TestSite, server: &str) -> String {
    let mut command = site.command_line(&["dhcp-config", server, "--address", &SERVER.to_string()]);
    let output = command.run_to_end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is text")
}

/// A DHCP server that assigns addresses, and names boot files only if `settings` do.
struct Dnsmasq(Child);

impl Dnsmasq {
    fn start(dnsmasq: &Tool, settings: Option<&Path>) -> Self {
        let settings = settings.unwrap_or(Path::new("/dev/null"));
        let mut command: Command = dnsmasq.command();
        command
            .args(["--keep-in-foreground", "--port=0", "--user=root", "--pid-file=", "--no-ping"])
            .arg(format!("--conf-file={}", settings.display()))
            .args([&format!("--interface={BRIDGE}"), "--bind-interfaces", "--leasefile-ro", "--log-facility=-"])
            .arg("--dhcp-range=10.77.0.50,10.77.0.99,255.255.255.0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("dnsmasq can be started");
        let (sender, receiver) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().expect("stderr is piped"));
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                println!("{line}");
                // Fails after the start: no receiver.
                let _ = sender.send(line);
            }
        });
        let dnsmasq = Self(child);
        let deadline = Instant::now() + timeout();
        let next = || receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        while !next().expect("dnsmasq listens").contains("sockets bound") {}
        dnsmasq
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        // Both fail if it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
