use proptest::prelude::*;

use super::*;

const MAC: Mac = Mac([0x24, 0x6e, 0x96, 0x00, 0x0a, 0x01]);

#[test]
fn mac_parses_every_spelling() {
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
}

#[test]
fn mac_malformed_text_is_rejected() {
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

proptest! {
    #[test]
    fn mac_display_round_trips(bytes: [u8; 6]) {
        let mac = Mac(bytes);
        let text = mac.to_string();
        let dashes = text.replace(':', "-");
        for spelling in [text.clone(), text.to_uppercase(), dashes.clone(), text.replace(':', ""), format!("01-{dashes}")] {
            prop_assert_eq!(spelling.parse(), Ok(mac));
        }
    }
}
