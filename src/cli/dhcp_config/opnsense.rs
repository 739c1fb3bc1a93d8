//! For `OPNsense`.

use std::fmt::Write as _;

use super::dnsmasq;
use super::site::Site;
use crate::dhcp::Platform;

/// The fields of ISC DHCP's "Network booting", in their order.
const FIELDS: [(&str, Platform); 5] = [
    ("Set default bios filename", Platform::Bios),
    ("Set x86 UEFI (32-bit) filename", Platform::EfiIa32),
    ("Set x64 UEFI/EBC (64-bit) filename", Platform::EfiX64),
    ("Set ARM UEFI (32-bit) filename", Platform::EfiArm32),
    ("Set ARM UEFI (64-bit) filename", Platform::EfiArm64),
];

/// Form fields and values: `OPNsense` has one form for each of its DHCP servers.
pub(super) fn settings(site: &Site) -> String {
    let mut text = "# Boot files from bootdepot, for OPNsense. Take the part of the DHCP server that you use.\n\n\
        # --- Services > Dnsmasq DNS & DHCP (the default since 25.7) ---\n\
        # Put the last part of this text into /usr/local/etc/dnsmasq.conf.d/bootdepot.conf on the firewall, and restart the\n\
        # service.\n\n\
        # --- Services > ISC DHCPv4 > [your network] > Network booting ---\n"
        .to_owned();
    let mut field = |name: &str, value: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "#   {name:37}{value}");
    };
    field("Enable network booting", "checked");
    field("Set next-server IP", &site.address.to_string());
    for (name, platform) in FIELDS {
        field(name, site.firmware.get(platform).map_or("(leave empty)", |nbp| nbp.file.as_str()));
    }
    field("Set iPXE boot filename", &site.script());
    text.push_str("# It has no field for UEFI HTTP Boot.\n\n");
    text.push_str("# --- Services > Kea DHCP > Kea DHCPv4 > Subnets > [your network] ---\n");
    let file = site.firmware.get(Platform::EfiX64).or(site.firmware.get(Platform::Bios));
    let file = file.map_or("(none)", |nbp| nbp.file.as_str());
    let _ = writeln!(text, "#   next server {}, boot file {file}", site.address);
    text.push_str(
        "# It has one boot file for all machines: BIOS and UEFI cannot be mixed, and iPXE is given itself again, unless it\n\
         # is a build of 2021 or later, which takes autoexec.ipxe from this server first. For mixed machines use Dnsmasq,\n\
         # or leave booting out of the firewall and set bootdepot's [dhcp] mode = \"proxy\".\n\n",
    );
    if site.known_hosts().next().is_some() {
        text.push_str(
            "# --- Hosts with a boot file of their own ---\n\
             # Dnsmasq has them in the lines below. For ISC DHCPv4 and Kea, set the boot file by hand in the static mapping\n\
             # (reservation) of the machine. iPXE is then given itself again, unless it is a build of 2021 or later.\n",
        );
        for (host, mac) in site.known_hosts().flat_map(|host| host.macs.iter().map(move |mac| (host, mac))) {
            let _ = writeln!(text, "#   {}, MAC address {mac}: {}", host.name, host.nbp.file);
        }
        text.push('\n');
    }
    text.push_str(
        "# --- /usr/local/etc/dnsmasq.conf.d/bootdepot.conf, for Dnsmasq ---\n\
         # Remove other dhcp-boot, pxe-service and enable-tftp settings: they would compete.\n\n",
    );
    text.push_str(&dnsmasq::lines(site));
    text
}
