//! For dnsmasq.

use std::fmt::Write as _;

use super::site::Site;
use crate::dhcp::Platform;

/// A file for `/etc/dnsmasq.d`.
pub(super) fn settings(site: &Site) -> String {
    let text = "# Boot files from bootdepot. Put this into /etc/dnsmasq.d/bootdepot.conf beside your dhcp-range, and restart\n\
        # dnsmasq. Remove other dhcp-boot, pxe-service and enable-tftp lines: they would compete.\n\n";
    text.to_owned() + &lines(site)
}

/// The lines of such a file, wherever it is.
pub(super) fn lines(site: &Site) -> String {
    let mut text = "# The name of the boot file stays in the header of the packet, ended by a NUL. In option 67, some firmware reads past\n\
        # its end, and shim does not find its own directory.\n\
        dhcp-no-override\n\n\
        # iPXE, which the files below load, says so in its user class, and in option 175.\n\
        dhcp-userclass=set:bootdepot-ipxe,iPXE\n\
        dhcp-match=set:bootdepot-ipxe,175\n"
        .to_owned();
    // Writing to a String does not fail.
    let _ = writeln!(text, "dhcp-boot=tag:bootdepot-ipxe,{}", site.script());
    for (platform, nbp) in site.firmware.iter() {
        let tag = format!("bootdepot-{}", platform.name());
        let _ = writeln!(text, "\n# {}", platform.title());
        for architecture in platform.architectures() {
            let _ = writeln!(text, "dhcp-match=set:{tag},option:client-arch,{architecture}");
        }
        if platform.boots_over_http() {
            // Firmware takes a URL only from a server that calls itself what it does.
            let _ = writeln!(text, "dhcp-option-force=tag:{tag},60,HTTPClient");
            let _ = writeln!(text, "dhcp-boot=tag:{tag},tag:!bootdepot-ipxe,{}", nbp.url(&site.base));
        } else {
            let _ = writeln!(text, "dhcp-boot=tag:{tag},tag:!bootdepot-ipxe,{},,{}", value(&nbp.file), site.address);
        }
    }
    text + &hosts(site)
}

/// The lines for hosts with a boot file of their own.
fn hosts(site: &Site) -> String {
    if site.known_hosts().next().is_none() {
        return String::new();
    }
    let mut text = "\n# Hosts with a boot file of their own. The last line that fits counts.\n".to_owned();
    let http = || Platform::ALL.iter().copied().filter(|platform| platform.boots_over_http());
    // Those that have no lines above.
    let is_new = |platform: Platform| site.firmware.get(platform).is_none();
    for platform in http().filter(|platform| is_new(*platform)) {
        for architecture in platform.architectures() {
            // Writing to a String does not fail.
            let _ = writeln!(text, "dhcp-match=set:bootdepot-{},option:client-arch,{architecture}", platform.name());
        }
    }
    for host in site.known_hosts() {
        let tag = format!("bootdepot-host-{}", host.name);
        text.push('\n');
        for mac in &host.macs {
            let _ = writeln!(text, "dhcp-mac=set:{tag},{mac}");
        }
        let _ = writeln!(text, "dhcp-boot=tag:{tag},tag:!bootdepot-ipxe,{},,{}", value(&host.nbp.file), site.address);
        for platform in http() {
            let (kind, url) = (format!("bootdepot-{}", platform.name()), host.nbp.url(&site.base));
            if is_new(platform) {
                let _ = writeln!(text, "dhcp-option-force=tag:{tag},tag:{kind},60,HTTPClient");
            }
            let _ = writeln!(text, "dhcp-boot=tag:{tag},tag:{kind},tag:!bootdepot-ipxe,{url}");
        }
    }
    text
}

/// A value of a line: quoted where it holds what would end it.
fn value(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/~+".contains(c));
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")) }
}
