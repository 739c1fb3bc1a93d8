//! For Kea.

use serde_json::{Value, json};

use super::site::Site;

/// JSON to merge into `kea-dhcp4.conf`: valid by itself, its remarks included.
pub(super) fn settings(site: &Site) -> String {
    let ipxe = "bootdepot-ipxe";
    let mut classes = vec![json!({
        "name": ipxe,
        "comment": "iPXE, which the files below load",
        "test": "option[175].exists or option[77].hex == 'iPXE' or substring(option[77].hex, 1, 4) == 'iPXE'",
        "boot-file-name": site.script(),
    })];
    // Before the kinds of firmware: the first class that fits counts.
    for host in site.known_hosts() {
        let macs: Vec<_> =
            host.macs.iter().map(|mac| format!("pkt4.mac == 0x{}", mac.to_string().replace(':', ""))).collect();
        let test = |class: &str| {
            let length = class.len();
            let macs = macs.join(" or ");
            format!("not member('{ipxe}') and substring(option[60].hex, 0, {length}) == '{class}' and ({macs})")
        };
        classes.push(json!({
            "name": format!("bootdepot-host-{}", host.name),
            "comment": format!("the host {}", host.name),
            "test": test("PXEClient"),
            "next-server": site.address.to_string(),
            "boot-file-name": host.nbp.file,
        }));
        classes.push(json!({
            "name": format!("bootdepot-host-{}-http", host.name),
            "comment": format!("the host {}, over HTTP", host.name),
            "test": test("HTTPClient"),
            "boot-file-name": host.nbp.url(&site.base),
            "option-data": [{ "name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true }],
        }));
    }
    for (platform, nbp) in site.firmware.iter() {
        let architectures: Vec<_> = platform
            .architectures()
            .iter()
            .map(|architecture| format!("option[93].hex == 0x{architecture:04x}"))
            .collect();
        let (class, length) = if platform.boots_over_http() { ("HTTPClient", 10) } else { ("PXEClient", 9) };
        let mut entry = json!({
            "name": format!("bootdepot-{}", platform.name()),
            "comment": platform.title(),
            "test": format!(
                "not member('{ipxe}') and substring(option[60].hex, 0, {length}) == '{class}' and ({})",
                architectures.join(" or ")
            ),
        });
        if platform.boots_over_http() {
            entry["boot-file-name"] = Value::from(nbp.url(&site.base));
            // Firmware takes a URL only from a server that calls itself what it does.
            entry["option-data"] =
                json!([{ "name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true }]);
        } else {
            entry["next-server"] = Value::from(site.address.to_string());
            entry["boot-file-name"] = Value::from(nbp.file.as_str());
        }
        classes.push(entry);
    }
    let settings = json!({ "Dhcp4": {
        "comment": "Boot files from bootdepot. Merge these classes into /etc/kea/kea-dhcp4.conf, and reload kea-dhcp4. \
            Remove next-server and boot-file-name elsewhere: they would compete.",
        "client-classes": classes,
    } });
    format!("{settings:#}\n")
}
