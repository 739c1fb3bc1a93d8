//! What a request says of the machine that made it. All of it is the client's word, and none of it a command: it knows
//! nothing of scripts.

#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// The most characters that are kept of a text: more than SMBIOS tables hold (64 in practice), and a line of a screen.
const LONGEST_TEXT: usize = 128;

/// What boards say whose maker filled nothing in, in lower case.
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

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// Why a text is no MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a MAC address has twelve hexadecimal digits, such as 24:6e:96:00:00:01, 24-6e-96-00-00-01 or 246e.9600.0001")]
pub struct MacError;

/// A UUID as SMBIOS has it.
///
/// SMBIOS 2.6 (7.2.1) swaps the bytes of the first three fields, older firmware does not, and each tool shows one or the
/// other. So two UUIDs are equal when they are in either of the two orders.
#[derive(Debug, Clone, Copy)]
pub struct Uuid(pub [u8; 16]);

/// Why a text is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a UUID has 32 hexadecimal digits, such as 4c4c4544-0042-3110-8043-b2c04f564232")]
pub struct UuidError;

/// What is known of a machine. Texts are as the client wrote them, cut to 128 characters and without control characters.
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
    /// The name that DHCP gave it. Information, and never a key: whoever runs the DHCP server gives it.
    pub hostname: Option<String>,
    /// iPXE's `buildarch`: `i386`, `x86_64`, `arm64`.
    pub buildarch: Option<String>,
    /// iPXE's `platform`: `pcbios` or `efi`.
    pub platform: Option<String>,
}

impl fmt::Display for Machine {
    /// What is known of it, as the query of a request says it: `mac=24:6e:96:00:00:01 serial=ABC1234`.
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
        let mut between = "";
        known.try_for_each(|(key, value)| {
            write!(f, "{}{key}={}", std::mem::replace(&mut between, " "), value.escape_debug())
        })
    }
}

impl Machine {
    /// What the query of a request target says: `mac=`, `uuid=`, `serial=`, `asset=`, `hostname=`, `buildarch=`, `platform=`.
    ///
    /// Of a key that is repeated the first usable value counts. What is no address or UUID, or what a maker left where a
    /// serial number belongs, counts as not given; unknown keys are passed over.
    pub fn from_query(query: &str) -> Self {
        let mut machine = Self::default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace('+', " ");
            let value = text(&percent_decode_str(&value).decode_utf8_lossy());
            match key {
                "mac" => {
                    machine.mac = machine.mac.or_else(|| value.parse().ok().filter(|mac: &Mac| mac.is_of_a_card()));
                }
                "uuid" => machine.uuid = machine.uuid.or_else(|| value.parse().ok().filter(Uuid::is_of_a_machine)),
                "serial" => keep(&mut machine.serial, identifying(value)),
                "asset" => keep(&mut machine.asset_tag, identifying(value)),
                "hostname" => keep(&mut machine.hostname, Some(value)),
                "buildarch" => keep(&mut machine.buildarch, Some(value)),
                "platform" => keep(&mut machine.platform, Some(value)),
                _ => {}
            }
        }
        machine
    }

    /// Whether nothing is known that could tell it from another.
    pub fn is_anonymous(&self) -> bool {
        self.mac.is_none() && self.uuid.is_none() && self.serial.is_none() && self.asset_tag.is_none()
    }
}

fn keep(field: &mut Option<String>, value: Option<String>) {
    if field.is_none() {
        *field = value.filter(|value| !value.is_empty());
    }
}

/// A text of a request: trimmed, cut, and without characters that would write lines of their own.
fn text(value: &str) -> String {
    let kept: String = value.trim().chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
    kept.trim().to_owned()
}

/// `value`, unless it is what makers leave in every board.
fn identifying(value: String) -> Option<String> {
    let folded = folded(&value);
    let filler = folded.chars().all(|c| matches!(c, '0' | '.' | '-' | ' ')) || folded.chars().all(|c| c == 'f');
    (!filler && !PLACEHOLDERS.contains(&folded.as_str())).then_some(value)
}

/// Whether a machine can ever say `text` of itself as its serial number or asset tag: what is cut or passed over in a request
/// identifies nobody.
pub(super) fn can_identify(text: &str) -> bool {
    identifying(self::text(text)).is_some_and(|kept| folded(&kept) == folded(text))
}

/// How serial numbers and asset tags are compared: trimmed, whatever their case.
pub(super) fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

impl Mac {
    /// Whether a card could have it: not what is shown for none.
    pub(super) fn is_of_a_card(self) -> bool {
        self.0 != [0; 6] && self.0 != [0xff; 6]
    }
}

impl FromStr for Mac {
    type Err = MacError;

    /// Any spelling: pairs with colons or dashes, groups of four with dots, or no separator; either case. PXELINUX and GRUB
    /// put the hardware type before it (`01-24-6e-…`; ARP's number of Ethernet, RFC 826), which is passed over.
    fn from_str(text: &str) -> Result<Self, MacError> {
        let text = text.trim();
        let separator = text.chars().find(|c| matches!(c, ':' | '-' | '.'));
        let mut groups: Vec<&str> = match separator {
            Some(separator) => text.split(separator).collect(),
            None => vec![text],
        };
        if let ["01", rest @ ..] = groups.as_slice()
            && rest.len() == 6
        {
            groups = rest.to_vec();
        }
        let width = match groups.len() {
            1 => 12,
            2 => 6,
            3 => 4,
            6 => 2,
            _ => return Err(MacError),
        };
        // Some tools leave a pair's leading zero out.
        let complete = |group: &&str| group.len() == width || (width == 2 && group.len() == 1);
        if !groups.iter().all(complete) {
            return Err(MacError);
        }
        let digits: Vec<String> = groups.iter().map(|group| format!("{group:0>width$}")).collect();
        bytes(&digits.concat()).map(Self).ok_or(MacError)
    }
}

impl fmt::Display for Mac {
    /// Six pairs of lower-case hex digits with colons between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Uuid {
    /// The same in the other byte order: the first three fields swapped (SMBIOS 2.6, 7.2.1).
    #[must_use]
    pub fn swapped(&self) -> Self {
        let mut bytes = self.0;
        for field in [0..4, 4..6, 6..8] {
            bytes[field].reverse();
        }
        Self(bytes)
    }

    /// Of the two orders the one that stands for both.
    fn canonical(&self) -> [u8; 16] {
        self.0.min(self.swapped().0)
    }

    /// Whether a machine could have it: not what is shown for none.
    pub(super) fn is_of_a_machine(&self) -> bool {
        self.0 != [0; 16] && self.0 != [0xff; 16]
    }
}

impl PartialEq for Uuid {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for Uuid {}

impl Hash for Uuid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    /// With hyphens (RFC 9562 4) or without, in braces or not, in either case.
    fn from_str(text: &str) -> Result<Self, UuidError> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        if !matches!(lengths.as_slice(), [32] | [8, 4, 4, 4, 12]) {
            return Err(UuidError);
        }
        bytes(&groups.concat()).map(Self).ok_or(UuidError)
    }
}

impl fmt::Display for Uuid {
    /// Lower-case hex digits, with hyphens (RFC 9562 4), in the order in which it was given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

/// The bytes that hex digits stand for, where there are just as many.
fn bytes<const LENGTH: usize>(digits: &str) -> Option<[u8; LENGTH]> {
    if digits.len() != LENGTH * 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}
