//! proxyDHCP beside a real DHCP server, and the settings for those who let their own DHCP server name the boot files.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};

use crate::support::dhcp::{BRIDGE, Card, SERVER, Stage, class, file, firmware, ipxe};
use crate::support::{Object, Origin, PATIENCE, Site, Tool};

/// An address of the DHCP server's range.
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);

/// A site with a boot file for each of three kinds of firmware, that serves HTTP on port 8080.
fn site(origin: &Origin) -> Site {
    let put = |key: &str| -> Object { origin.put(key, key.as_bytes().to_vec()) };
    let (bios, x64, arm64) = (put("boot/undionly.kpxe"), put("boot/snponly.efi"), put("boot/arm64/snponly.efi"));
    let files = toml::toml! {
        "undionly.kpxe" = "boot/undionly.kpxe"
        "snponly.efi" = "boot/snponly.efi"
        "snponly-arm64.efi" = "boot/arm64/snponly.efi"
    };
    let site = Site::new(origin).asset(&bios).asset(&x64).asset(&arm64).set("tftp.files", files);
    site.set("http.listen", vec!["0.0.0.0:8080"]).set("tftp.listen", vec!["0.0.0.0:69"])
}

/// Which kinds of firmware ask, and what they are told.
const TOLD: [(&str, u16, &str); 6] = [
    ("PXEClient", 0, "undionly.kpxe"),
    ("PXEClient", 7, "snponly.efi"),
    ("PXEClient", 9, "snponly.efi"),
    ("PXEClient", 11, "snponly-arm64.efi"),
    ("HTTPClient", 16, "http://10.77.0.1:8080/assets/boot/snponly.efi"),
    ("HTTPClient", 19, "http://10.77.0.1:8080/assets/boot/arm64/snponly.efi"),
];
const SCRIPT: &str = "http://10.77.0.1:8080/boot.ipxe";

#[test]
fn firmware_is_told_its_boot_file_beside_a_dhcp_server() {
    const NAME: &str = "dhcp::firmware_is_told_its_boot_file_beside_a_dhcp_server";
    let Some(dnsmasq) = Tool::find("dnsmasq") else { return };
    match Stage::of(NAME) {
        None => {}
        Some(Stage::Site(ip)) => {
            let _dhcp = Dnsmasq::start(&dnsmasq, None);
            let origin = Origin::start();
            let server = site(&origin).set("dhcp.mode", "proxy").set("dhcp.interface", BRIDGE).start();
            server.wait_for(|line| line.text("message") == "proxyDHCP listening");
            Stage::client(&ip, NAME);

            for (_, _, file) in TOLD {
                let line = server.wait_for(|line| line.is("bootdepot::dhcp") && line.text("file") == file);
                assert_eq!(line.text("mac"), "52:54:00:00:00:01");
            }
            let unanswered = server.wait_for(|line| line.number("architecture") == 6);
            assert_eq!(unanswered.text("arch"), "efi-ia32");
            assert!(server.stop().success());
        }
        Some(Stage::Client) => proxy_client(),
    }
}

fn proxy_client() {
    let mut card = Card::listening(68);
    let ours = |answer: &Message| answer.yiaddr().is_unspecified();
    let leased = |answer: &Message| !answer.yiaddr().is_unspecified();

    // One that wants an address gets it, and hears nothing of us: our answer to what it asks next is the first from us.
    let plain = card.packet(MessageType::Discover, Vec::new());
    card.broadcast(&plain);
    let mut heard = card.hear_until(&plain, leased);
    let foreign = card.packet(MessageType::Discover, firmware("PXEClient", 6));
    card.broadcast(&foreign);
    for (name, architecture, told) in TOLD {
        let asked = card.packet(MessageType::Discover, firmware(name, architecture));
        card.broadcast(&asked);
        heard.extend(card.hear_until(&asked, ours));
        let offer = heard.last().expect("there is one");
        assert_eq!((file(offer).as_str(), class(offer).as_str()), (told, name), "architecture {architecture}");
        assert_eq!((offer.opts().msg_type(), offer.siaddr()), (Some(MessageType::Offer), SERVER));
    }
    let of_us = |xid| heard.iter().filter(|answer| answer.xid() == xid && ours(answer)).count();
    assert_eq!((of_us(plain.xid()), of_us(foreign.xid())), (0, 0));
    let loaded = card.packet(MessageType::Discover, ipxe(7));
    card.broadcast(&loaded);
    assert_eq!(file(card.hear_until(&loaded, ours).last().expect("an offer")), SCRIPT);
    let request = card.packet(MessageType::Request, {
        let mut options = firmware("PXEClient", 0);
        options.extend([DhcpOption::ServerIdentifier(SERVER), DhcpOption::RequestedIpAddress(LEASED)]);
        options
    });
    // The lease is the DHCP server's affair, though it has our address; ours would be heard before its next offer.
    card.broadcast(&request);
    let after = card.packet(MessageType::Discover, firmware("PXEClient", 0));
    card.broadcast(&after);
    let answers = card.hear_until(&after, ours);
    assert!(!answers.iter().any(|answer| answer.xid() == request.xid() && ours(answer)));
    drop(card);

    // With its address, UEFI asks again: from port 4011 to port 4011.
    let ip = Tool::find("ip").expect("the site has it");
    Card::lease(&ip, LEASED);
    for port in [4011, 68] {
        let mut card = Card::listening(port);
        let mut request = card.packet(MessageType::Request, firmware("PXEClient", 7));
        request.set_ciaddr(LEASED);
        card.send(&request, SocketAddrV4::new(SERVER, 4011));
        let ack = card.hear();
        assert_eq!((ack.xid(), ack.opts().msg_type()), (request.xid(), Some(MessageType::Ack)));
        assert_eq!(file(&ack), "snponly.efi");
        assert!(!ack.opts().contains(OptionCode::AddressLeaseTime));
    }
}

#[test]
fn a_relay_is_answered_where_relays_are_wanted() {
    const NAME: &str = "dhcp::a_relay_is_answered_where_relays_are_wanted";
    match Stage::of(NAME) {
        None => {}
        Some(Stage::Site(ip)) => {
            let origin = Origin::start();
            let site = site(&origin).set("dhcp.mode", "proxy").set("dhcp.interface", BRIDGE).set("dhcp.relays", true);
            let server = site.start();
            server.wait_for(|line| line.text("message") == "proxyDHCP listening");
            Stage::client(&ip, NAME);
        }
        Some(Stage::Client) => {
            let ip = Tool::find("ip").expect("the site has it");
            Card::lease(&ip, LEASED);
            let mut relay = Card::listening(67);
            let mut passed_on = |options| {
                let mut message = relay.packet(MessageType::Discover, options);
                message.set_giaddr(LEASED);
                relay.send(&message, SocketAddrV4::new(SERVER, 67));
                message.xid()
            };
            let asked = [passed_on(firmware("PXEClient", 7)), passed_on(ipxe(7))];
            let answers = [relay.hear(), relay.hear()];
            assert_eq!(answers.each_ref().map(Message::xid), asked, "each once");
            assert_eq!(answers.each_ref().map(file), ["snponly.efi", SCRIPT]);
            assert!(answers.iter().all(|answer| answer.giaddr() == LEASED));
        }
    }
}

#[test]
fn dnsmasq_tells_firmware_its_boot_file_with_our_settings() {
    const NAME: &str = "dhcp::dnsmasq_tells_firmware_its_boot_file_with_our_settings";
    let Some(dnsmasq) = Tool::find("dnsmasq") else { return };
    match Stage::of(NAME) {
        None => {}
        Some(Stage::Site(ip)) => {
            let origin = Origin::start();
            let site = site(&origin);
            let settings = site.file("bootdepot.conf");
            std::fs::write(&settings, printed(&site, "dnsmasq")).expect("it can be written");
            dnsmasq.succeed(["--test".to_owned(), format!("--conf-file={}", settings.display())]);
            let _dhcp = Dnsmasq::start(&dnsmasq, Some(&settings));
            Stage::client(&ip, NAME);
        }
        Some(Stage::Client) => {
            let mut card = Card::listening(68);
            let mut told = |options| {
                let asked = card.packet(MessageType::Discover, options);
                card.broadcast(&asked);
                card.hear_until(&asked, |_| true).pop().expect("there is one")
            };
            for (name, architecture, expected) in TOLD {
                let offer = told(firmware(name, architecture));
                assert_eq!(file(&offer), expected, "architecture {architecture}");
                if name == "HTTPClient" {
                    assert_eq!(class(&offer), name);
                } else {
                    assert_eq!(offer.siaddr(), SERVER);
                }
                assert_eq!(file(&told(ipxe(architecture))), SCRIPT);
            }
            assert_eq!(file(&told(Vec::new())), "", "one that wants an address alone");
        }
    }
}

#[test]
fn kea_and_dhcpd_take_our_settings() {
    let origin = Origin::start();
    let site = site(&origin);
    let kea = printed(&site, "kea");
    let mut json: serde_json::Value = serde_json::from_str(&kea).expect("it is JSON");
    assert_eq!(json["Dhcp4"]["client-classes"].as_array().map(Vec::len), Some(1 + 5));
    if let Some(tool) = Tool::find("kea-dhcp4") {
        // What an operator has already.
        json["Dhcp4"]["interfaces-config"] = serde_json::json!({ "interfaces": [] });
        json["Dhcp4"]["lease-database"] = serde_json::json!({ "type": "memfile", "persist": false });
        let file = site.file("kea.json");
        std::fs::write(&file, json.to_string()).expect("it can be written");
        tool.succeed(["-t".into(), file.into_os_string()]);
    }
    if let Some(tool) = Tool::find("dhcpd") {
        let (file, leases) = (site.file("dhcpd.conf"), site.file("dhcpd.leases"));
        let subnet = "subnet 10.77.0.0 netmask 255.255.255.0 { range 10.77.0.50 10.77.0.99; }\n";
        std::fs::write(&file, subnet.to_owned() + &printed(&site, "isc")).expect("it can be written");
        std::fs::write(&leases, "").expect("it can be written");
        tool.succeed(["-t".into(), "-cf".into(), file.into_os_string(), "-lf".into(), leases.into_os_string()]);
    }
}

/// What `bootdepot dhcp-config` prints.
fn printed(site: &Site, server: &str) -> String {
    let mut command = site.command_line(&["dhcp-config", server, "--address", &SERVER.to_string()]);
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("settings are text")
}

/// A DHCP server that gives addresses, and names boot files as far as `settings` say so.
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
        let (said, hear) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().expect("stderr is piped"));
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                println!("{line}");
                // Nobody listens any more once it was heard.
                let _ = said.send(line);
            }
        });
        let dnsmasq = Self(child);
        while !hear.recv_timeout(PATIENCE).expect("dnsmasq listens").contains("sockets bound") {}
        dnsmasq
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        // Both fail when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
