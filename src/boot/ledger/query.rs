//! A search for one machine, in any spelling.

use std::net::IpAddr;

use super::identity::Identity;
use crate::boot::mac::Mac;
use crate::boot::machine::folded;
use crate::boot::uuid::Uuid;

/// A text by which an operator calls a machine: the name of its host, a MAC or a UUID in any spelling, an address, a serial number or an
/// asset tag.
#[derive(Debug)]
pub(in crate::boot) struct MachineQuery<'q> {
    text: &'q str,
    mac: Option<Mac>,
    uuid: Option<Uuid>,
    address: Option<IpAddr>,
}

impl<'q> MachineQuery<'q> {
    /// The rank of a machine's last address. Those after it are by what a machine says of itself.
    pub(super) const ADDRESS: usize = 2;

    pub(in crate::boot) fn new(text: &'q str) -> Self {
        let address = text.parse().ok().map(|address: IpAddr| address.to_canonical());
        Self { text, mac: text.parse().ok(), uuid: text.parse().ok(), address }
    }

    /// How a machine fits, the surest first: 0 for the name of its host; `None` if it does not fit. A text may be the
    /// serial number of one machine and spell the MAC of another.
    pub(in crate::boot) fn rank(&self, name: Option<&str>, identity: &Identity) -> Option<usize> {
        let folded_text = folded(self.text);
        let is = |own: Option<&str>| own.is_some_and(|own| folded(own) == folded_text);
        let fits = [
            name == Some(self.text),
            self.mac.is_some_and(|mac| identity.macs.contains(&mac)),
            self.address.is_some() && self.address == identity.address(),
            self.uuid.is_some() && self.uuid == identity.uuid,
            is(identity.serial.as_deref()),
            is(identity.asset_tag.as_deref()),
            is(name),
            self.address.is_some_and(|address| identity.addresses.contains(&address)),
        ];
        fits.iter().position(|fits| *fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_finds_every_spelling() {
        let identity = Identity {
            macs: vec![Mac([0x24, 0x6e, 0x96, 0, 0, 1]), Mac([0x24, 0x6e, 0x96, 0, 0, 2])],
            addresses: ["192.0.2.7", "2001:db8::7"].map(|address| address.parse().unwrap()).into(),
            uuid: "4c4c4544-0042-3110-8043-b2c04f564232".parse().ok(),
            serial: Some("ABC1234".to_owned()),
            asset_tag: Some("Rack 7".to_owned()),
            ..Identity::default()
        };
        let rank = |text: &str| MachineQuery::new(text).rank(Some("r630-07"), &identity);
        for (text, expected) in [
            ("r630-07", 0),
            ("24:6e:96:00:00:01", 1),
            ("246E.9600.0002", 1),
            ("24-6E-96-00-00-02", 1),
            ("246e96000001", 1),
            ("192.0.2.7", 2),
            ("::ffff:192.0.2.7", 2),
            ("4C4C4544004231108043B2C04F564232", 3),
            ("{44454c4c-4200-1031-8043-b2c04f564232}", 3),
            ("abc1234", 4),
            (" rack 7", 5),
            ("R630-07", 6),
            ("2001:DB8:0::7", 7),
        ] {
            assert_eq!(rank(text), Some(expected), "{text}");
        }
        for text in ["", "r630-0", "24:6e:96:00:00:03", "192.0.2.8", "ABC123"] {
            assert_eq!(rank(text), None, "{text}");
        }
        let nothing = Identity::default();
        for text in ["", "24:6e:96:00:00:01", "192.0.2.7", "4c4c4544-0042-3110-8043-b2c04f564232"] {
            assert_eq!(MachineQuery::new(text).rank(None, &nothing), None, "{text}");
        }
    }
}
