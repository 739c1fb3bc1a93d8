//! For ISC dhcpd.

use std::fmt::Write as _;

use super::site::Site;

/// Lines for `dhcpd.conf`.
pub(super) fn settings(site: &Site) -> String {
    let mut text = format!(
        "# Boot files from bootdepot. Put this into /etc/dhcp/dhcpd.conf outside of any subnet, or into a file that it\n\
         # includes, and restart isc-dhcp-server. Remove other filename and next-server lines: they would compete.\n\n\
         if exists user-class and (option user-class = \"iPXE\" or substring(option user-class, 1, 4) = \"iPXE\") {{\n    \
         # iPXE, which the files below load.\n    filename \"{}\";\n}}",
        site.script()
    );
    for (host, mac) in site.known_hosts().flat_map(|host| host.macs.iter().map(move |mac| (host, mac))) {
        let is_host = format!("hardware = 1:{mac} and substring(option vendor-class-identifier, 0,");
        // Writing to a String does not fail.
        let _ = write!(
            text,
            " elsif {is_host} 10) = \"HTTPClient\" {{\n    # The host {name}, over HTTP.\n    option vendor-class-identifier \"HTTPClient\";\n    \
             filename \"{}\";\n}} elsif {is_host} 9) = \"PXEClient\" {{\n    # The host {name}.\n    next-server {};\n    \
             filename \"{}\";\n}}",
            host.nbp.url(&site.base),
            site.address,
            quoted(&host.nbp.file),
            name = host.name,
        );
    }
    for (platform, nbp) in site.firmware.iter() {
        let architectures: Vec<_> = platform
            .architectures()
            .iter()
            .map(|architecture| {
                let [high, low] = architecture.to_be_bytes();
                format!("option pxe-system-type = {high:02x}:{low:02x}")
            })
            .collect();
        let (class, length) = if platform.boots_over_http() { ("HTTPClient", 10) } else { ("PXEClient", 9) };
        // Writing to a String does not fail.
        let _ = write!(
            text,
            " elsif substring(option vendor-class-identifier, 0, {length}) = \"{class}\" and ({}) {{\n    # {}\n",
            architectures.join(" or "),
            platform.title()
        );
        if platform.boots_over_http() {
            // Firmware takes a URL only from a server that calls itself what it does.
            let _ = write!(
                text,
                "    option vendor-class-identifier \"HTTPClient\";\n    filename \"{}\";\n}}",
                nbp.url(&site.base)
            );
        } else {
            let _ = write!(text, "    next-server {};\n    filename \"{}\";\n}}", site.address, quoted(&nbp.file));
        }
    }
    text.push('\n');
    text
}

/// The inside of a quoted text.
fn quoted(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"")
}
