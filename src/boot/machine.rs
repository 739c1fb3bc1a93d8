//! The identity that a request claims for its machine. All values are the client's word; scripts must quote them.

#[cfg(test)]
mod tests;

use std::fmt;

use percent_encoding::percent_decode_str;

use super::mac::Mac;
use super::uuid::Uuid;

/// The most characters kept of a text: more than SMBIOS tables hold (64 in practice), and one line of a screen.
const MAX_TEXT: usize = 128;

/// Placeholders of vendors that left a field empty, in lower case.
const PLACEHOLDERS: [&str; 14] = [
    "to be filled by o.e.m.",
    "to be filled by oem",
    "not specified",
    "not available",
    "not applicable",
    "n/a",
    "none",
    "unknown",
    "default string",
    "system serial number",
    "chassis serial number",
    "asset tag",
    "no asset tag",
    "0123456789",
];

/// The known identity of a machine. Texts are as the client wrote them, cut to 128 characters, without control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The address of the network card it boots from.
    pub mac: Option<Mac>,
    /// The SMBIOS UUID.
    pub uuid: Option<Uuid>,
    /// The serial number; Dell's service tag.
    pub serial: Option<String>,
    /// The asset tag.
    pub asset_tag: Option<String>,
    /// The name assigned by DHCP. Information only, never a key: the DHCP server may belong to someone else.
    pub hostname: Option<String>,
    /// iPXE's `buildarch`: `i386`, `x86_64`, `arm64`.
    pub buildarch: Option<String>,
    /// iPXE's `platform`: `pcbios` or `efi`.
    pub platform: Option<String>,
}

impl fmt::Display for Machine {
    /// The known values as in a query: `mac=24:6e:96:00:00:01 serial=ABC1234`; `nothing` if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mac, uuid) = (self.mac.map(|mac| mac.to_string()), self.uuid.map(|uuid| uuid.to_string()));
        let keys = [
            ("mac", &mac),
            ("uuid", &uuid),
            ("serial", &self.serial),
            ("asset", &self.asset_tag),
            ("hostname", &self.hostname),
            ("buildarch", &self.buildarch),
            ("platform", &self.platform),
        ];
        let mut known = keys.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).peekable();
        if known.peek().is_none() {
            return f.write_str("nothing");
        }
        let mut separator = "";
        known.try_for_each(|(key, value)| {
            write!(f, "{}{key}={}", std::mem::replace(&mut separator, " "), value.escape_debug())
        })
    }
}

impl Machine {
    /// Parses the query of a request target: `mac=`, `uuid=`, `serial=`, `asset=`, `hostname=`, `buildarch=`, `platform=`.
    ///
    /// If a key is repeated, the first usable value counts. Values that are not an address or UUID, and vendors'
    /// placeholders for a serial number, count as missing. Unknown keys are ignored.
    pub fn from_query(query: &str) -> Self {
        let mut machine = Self::default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace('+', " ");
            let value = clean(&percent_decode_str(&value).decode_utf8_lossy());
            match key {
                "mac" => {
                    machine.mac = machine.mac.or_else(|| value.parse().ok().filter(|mac: &Mac| mac.is_real()));
                }
                "uuid" => machine.uuid = machine.uuid.or_else(|| value.parse().ok().filter(Uuid::is_real)),
                "serial" => set_once(&mut machine.serial, identifying(value)),
                "asset" => set_once(&mut machine.asset_tag, identifying(value)),
                "hostname" => set_once(&mut machine.hostname, Some(value)),
                "buildarch" => set_once(&mut machine.buildarch, Some(value)),
                "platform" => set_once(&mut machine.platform, Some(value)),
                _ => {}
            }
        }
        machine
    }

    /// Whether no value identifies the machine.
    pub fn is_anonymous(&self) -> bool {
        self.mac.is_none() && self.uuid.is_none() && self.serial.is_none() && self.asset_tag.is_none()
    }
}

fn set_once(field: &mut Option<String>, value: Option<String>) {
    if field.is_none() {
        *field = value.filter(|value| !value.is_empty());
    }
}

/// Trims a text of a request, cuts it, and removes control characters.
fn clean(value: &str) -> String {
    let kept: String = value.trim().chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    kept.trim().to_owned()
}

/// Returns `value` unless it is a vendor's placeholder.
fn identifying(value: String) -> Option<String> {
    let folded = folded(&value);
    let filler = folded.chars().all(|c| matches!(c, '0' | '.' | '-' | ' ')) || folded.chars().all(|c| c == 'f');
    (!filler && !PLACEHOLDERS.contains(&folded.as_str())).then_some(value)
}

/// Whether a request can carry `text` as a serial number or asset tag. A text that would be cut or ignored there matches
/// no machine.
pub(super) fn can_identify(text: &str) -> bool {
    identifying(clean(text)).is_some_and(|kept| folded(&kept) == folded(text))
}

/// The form in which serial numbers and asset tags are compared: trimmed, in lower case.
pub(super) fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}
