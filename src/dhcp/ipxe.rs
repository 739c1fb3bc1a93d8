//! The features that iPXE says it has.

use dhcproto::v4::borrowed::DhcpOptionIterator;

/// The codes of features within option 175 (iPXE `include/ipxe/features.h`).
const FEATURES: std::ops::RangeInclusive<u8> = 0x10..=0x4f;
const HTTP: u8 = 0x13;
const HTTPS: u8 = 0x14;

/// The protocols that a build of iPXE can load a script over, besides TFTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpxeFeatures {
    /// It has HTTP.
    pub http: bool,
    /// It has HTTPS.
    pub https: bool,
}

impl IpxeFeatures {
    /// The features in the value of option 175. Where it lists none, iPXE counts as having all: so says its user class alone.
    pub(super) fn read(encapsulated: Option<&[u8]>) -> Self {
        let listed: Vec<u8> = DhcpOptionIterator::new(encapsulated.unwrap_or_default())
            .map(|option| option.code().into())
            .filter(|code| FEATURES.contains(code))
            .collect();
        let has = |feature| listed.is_empty() || listed.contains(&feature);
        Self { http: has(HTTP), https: has(HTTPS) }
    }

    /// Whether it can load a script from this URL.
    pub(super) fn can_load(self, url: &str) -> bool {
        if url.starts_with("https:") { self.https } else { self.http }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_features_decide_protocol() {
        let features = |bytes: &[u8]| {
            let features = IpxeFeatures::read(Some(bytes));
            (features.can_load("http://h/boot.ipxe"), features.can_load("https://h/boot.ipxe"))
        };
        // As Debian's iPXE sends it: the bus of the card, its version, and features.
        assert_eq!(features(&[177, 5, 1, 16, 0, 16, 0, 0x13, 1, 1, 0x15, 1, 1]), (true, false));
        assert_eq!(features(&[0x13, 1, 1, 0x14, 1, 1]), (true, true));
        assert_eq!(features(&[0x15, 1, 1]), (false, false), "TFTP alone");
        assert_eq!(features(&[177, 1, 0]), (true, true), "no list");
        assert_eq!(features(&[]), (true, true));
    }
}
