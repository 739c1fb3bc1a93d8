use proptest::prelude::*;

use super::*;

const MAC: Mac = Mac([0x24, 0x6e, 0x96, 0x00, 0x0a, 0x01]);
const UUID: &str = "4c4c4544-0042-3110-8043-b2c04f564232";

#[test]
fn query_parses_every_key() {
    let query = "mac=24-6e-96-00-0a-01&uuid=4C4C4544-0042-3110-8043-B2C04F564232&serial=ABC+1234%20x&asset=r%26d%2F7\
                 &hostname=node1&buildarch=x86_64&platform=efi&new=1&bare";
    let machine = Machine::from_query(query);
    assert_eq!((machine.mac, machine.uuid), (Some(MAC), UUID.parse().ok()));
    assert_eq!((machine.serial.as_deref(), machine.asset_tag.as_deref()), (Some("ABC 1234 x"), Some("r&d/7")));
    assert_eq!((machine.hostname.as_deref(), machine.buildarch.as_deref()), (Some("node1"), Some("x86_64")));
    assert_eq!(machine.platform.as_deref(), Some("efi"));
    assert!(!machine.is_anonymous());
}

#[test]
fn query_placeholders_count_as_missing() {
    for serial in
        ["", "+", "To+be+filled+by+O.E.M.", "Not%20Specified", "none", "00000000", "FFFF", "Default string", "..."]
    {
        assert_eq!(Machine::from_query(&format!("serial={serial}&asset={serial}")), Machine::default(), "{serial}");
    }
    for query in [
        "mac=00:00:00:00:00:00",
        "mac=ff:ff:ff:ff:ff:ff",
        "mac=${net0/mac}",
        "uuid=00000000-0000-0000-0000-000000000000",
        "uuid=FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "uuid=",
        "hostname=",
    ] {
        assert_eq!(Machine::from_query(query), Machine::default(), "{query}");
    }
}

#[test]
fn query_repeated_key_takes_first_usable_value() {
    assert_eq!(Machine::from_query("mac=&mac=246e96000a01&mac=000000000001").mac, Some(MAC));
}

#[test]
fn machine_display_lists_known_values() {
    let machine = Machine::from_query("mac=24-6E-96-00-00-01&serial=ABC%221234&platform=efi");
    assert_eq!(machine.to_string(), "mac=24:6e:96:00:00:01 serial=ABC\\\"1234 platform=efi");
    assert_eq!(Machine::default().to_string(), "nothing");
}

proptest! {
    #[test]
    fn query_texts_are_bounded_single_lines(query in "(mac|uuid|serial|asset|hostname|x)=(\\PC|%[0-9a-f]{2}|\\+){0,200}(&serial=\\PC{0,9})?|\\PC{0,40}") {
        let machine = Machine::from_query(&query);
        for text in [machine.serial, machine.asset_tag, machine.hostname, machine.buildarch, machine.platform].into_iter().flatten() {
            prop_assert!(!text.is_empty() && text.chars().count() <= MAX_TEXT);
            prop_assert!(!text.contains(char::is_control));
        }
    }
}
