use proptest::prelude::*;

use super::*;

const MAC: Mac = Mac([0x24, 0x6e, 0x96, 0x00, 0x0a, 0x01]);
const UUID: &str = "4c4c4544-0042-3110-8043-b2c04f564232";
/// The same as firmware shows it that does not swap.
const SWAPPED: &str = "44454c4c-4200-1031-8043-b2c04f564232";

#[test]
fn a_mac_is_read_in_any_spelling() {
    for text in [
        "24:6e:96:00:0a:01",
        "24-6E-96-00-0A-01",
        "246e.9600.0a01",
        "246E96000A01",
        "246e96-000a01",
        "01-24-6e-96-00-0a-01",
        "01:24:6e:96:00:0a:01",
        "24:6e:96:0:a:1",
        " 24:6e:96:00:0a:01 ",
    ] {
        assert_eq!(text.parse(), Ok(MAC), "{text}");
    }
    for text in [
        "",
        "24:6e:96:00:0a",
        "24:6e:96:00:0a:01:02",
        "02-24-6e-96-00-0a-01",
        "24:6e-96:00:0a:01",
        "24:6e:96:00:0a:0g",
        "246e96000a0",
        "246e96000a011",
        "+24:6e:96:00:a:01",
        "24:6e:96:00:0a:",
        "２４:6e:96:00:0a:01",
    ] {
        assert_eq!(text.parse::<Mac>(), Err(MacError), "{text}");
    }
}

#[test]
fn a_uuid_is_read_in_any_spelling_and_equal_in_either_byte_order() {
    let uuid: Uuid = UUID.parse().unwrap();
    for text in [UUID, &UUID.to_uppercase(), &UUID.replace('-', ""), &format!("{{{UUID}}}"), SWAPPED] {
        assert_eq!(text.parse(), Ok(uuid), "{text}");
    }
    assert_eq!(SWAPPED.parse::<Uuid>().unwrap().to_string(), SWAPPED);
    assert_ne!("4c4c4544-0042-3110-8043-b2c04f564233".parse(), Ok(uuid));
    for text in ["", "4c4c4544", "4c4c4544-0042-3110-8043-b2c04f56423", "4c4c45440042-3110-8043-b2c04f564232-", "{"] {
        assert_eq!(text.parse::<Uuid>(), Err(UuidError), "{text}");
    }
}

#[test]
fn a_query_tells_what_ipxe_knows() {
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
fn what_makers_leave_in_every_board_counts_as_not_given() {
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
    // The first that can be used.
    assert_eq!(Machine::from_query("mac=&mac=246e96000a01&mac=000000000001").mac, Some(MAC));
}

proptest! {
    #[test]
    fn every_mac_is_found_again(bytes: [u8; 6]) {
        let mac = Mac(bytes);
        let text = mac.to_string();
        for spelling in [text.clone(), text.to_uppercase(), text.replace(':', "-"), text.replace(':', ""), format!("01-{}", text.replace(':', "-"))] {
            prop_assert_eq!(spelling.parse(), Ok(mac));
        }
    }

    #[test]
    fn every_uuid_is_found_again(bytes: [u8; 16]) {
        let uuid = Uuid(bytes);
        let text = uuid.to_string();
        prop_assert_eq!(text.parse::<Uuid>().map(|uuid| uuid.0), Ok(bytes));
        prop_assert_eq!(text.replace('-', "").to_uppercase().parse(), Ok(uuid));
        prop_assert_eq!(uuid.swapped(), uuid);
        prop_assert_eq!(uuid.swapped().swapped().0, bytes);
    }

    #[test]
    fn no_query_makes_a_text_long_or_many_lines(query in "(mac|uuid|serial|asset|hostname|x)=(\\PC|%[0-9a-f]{2}|\\+){0,200}(&serial=\\PC{0,9})?|\\PC{0,40}") {
        let machine = Machine::from_query(&query);
        for text in [machine.serial, machine.asset_tag, machine.hostname, machine.buildarch, machine.platform].into_iter().flatten() {
            prop_assert!(!text.is_empty() && text.chars().count() <= LONGEST_TEXT);
            prop_assert!(!text.contains(char::is_control));
        }
    }
}

#[test]
fn a_log_line_says_what_is_known_of_a_machine() {
    let machine = Machine::from_query("mac=24-6E-96-00-00-01&serial=ABC%221234&platform=efi");
    assert_eq!(machine.to_string(), "mac=24:6e:96:00:00:01 serial=ABC\\\"1234 platform=efi");
    assert_eq!(Machine::default().to_string(), "nothing");
}
