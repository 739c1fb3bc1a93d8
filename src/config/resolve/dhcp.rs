//! `[dhcp]` as the room `dhcp` uses it.

use std::collections::HashMap;

use super::super::raw;
use crate::catalog::Catalog;
use crate::dhcp::{DhcpSettings, Nbp, NbpTable, Platform};
use crate::http::{HttpSettings, plain_port};

/// The available network boot programs: of each platform and architecture type, if TFTP serves the file.
pub(super) fn firmware(raw: &raw::Nbp, files: &HashMap<String, String>, catalog: &Catalog) -> NbpTable {
    let nbp = |file: &str| {
        let asset = files.get(file).map_or(file, String::as_str);
        catalog.by_name(asset)?;
        Some(Nbp { file: file.to_owned(), asset: asset.to_owned() })
    };
    NbpTable::new(
        Platform::ALL.iter().copied().filter_map(|platform| Some((platform, nbp(raw.of(platform))?))),
        raw.numbers().filter_map(|(architecture, file)| Some((architecture, nbp(file)?))),
    )
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
            shares: http.shares.clone(),
        }),
    }
}
