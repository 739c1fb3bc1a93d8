//! For dnsmasq.

use std::fmt::Write as _;

use super::site::Site;

/// A file for `/etc/dnsmasq.d`.
pub(super) fn settings(site: &Site) -> String {
    let text = "# Boot files from bootdepot. Put this into /etc/dnsmasq.d/bootdepot.conf beside your dhcp-range, and restart\n\
        # dnsmasq. Remove other dhcp-boot, pxe-service and enable-tftp lines: they would compete.\n\n";
    text.to_owned() + &lines(site)
}

/// The lines of such a file, wherever it is.
pub(super) fn lines(site: &Site) -> String {
    let mut text = "# iPXE, which the files below load, says so in its user class, and in option 175.\n\
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
    text
}

/// A value of a line: quoted where it holds what would end it.
fn value(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/~+".contains(c));
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")) }
}
