//! `[dhcp]` as the room `dhcp` uses it.

use std::collections::HashMap;

use super::super::raw;
use crate::catalog::Catalog;
use crate::dhcp::{DhcpSettings, Nbp, NbpTable, Platform};
use crate::http::{HttpSettings, plain_port};

/// The available network boot programs: under each platform's name, if TFTP serves the file.
pub(super) fn firmware(raw: &raw::Nbp, files: &HashMap<String, String>, catalog: &Catalog) -> NbpTable {
    let nbp = |platform: Platform| {
        let file = raw.of(platform);
        let asset = files.get(file).map_or(file, String::as_str);
        catalog.by_name(asset)?;
        Some((platform, Nbp { file: file.to_owned(), asset: asset.to_owned() }))
    };
    Platform::ALL.iter().copied().filter_map(nbp).collect()
}

/// The room's settings; `None` if it is off.
pub(super) fn settings(
    raw: raw::Dhcp,
    firmware: NbpTable,
    files: &HashMap<String, String>,
    http: &HttpSettings,
) -> Option<DhcpSettings> {
    match raw.mode {
        raw::Mode::Off => None,
        raw::Mode::Proxy => Some(DhcpSettings {
            // The validation requires an interface.
            interface: raw.interface?,
            relays: raw.relays,
            nbps: firmware,
            files: files.clone(),
            advertise: http.advertise.clone(),
            http_port: plain_port(&http.listen, None),
        }),
    }
}
