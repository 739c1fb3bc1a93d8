use proptest::prelude::*;

use super::*;

const UUID: &str = "4c4c4544-0042-3110-8043-b2c04f564232";
/// The same UUID from firmware that does not swap.
const SWAPPED: &str = "44454c4c-4200-1031-8043-b2c04f564232";

#[test]
fn uuid_parses_every_spelling() {
    let uuid: Uuid = UUID.parse().unwrap();
    for text in [UUID, &UUID.to_uppercase(), &UUID.replace('-', ""), &format!("{{{UUID}}}"), SWAPPED] {
        assert_eq!(text.parse(), Ok(uuid), "{text}");
    }
    assert_eq!(SWAPPED.parse::<Uuid>().unwrap().to_string(), SWAPPED);
    assert_ne!("4c4c4544-0042-3110-8043-b2c04f564233".parse(), Ok(uuid));
}

#[test]
fn uuid_malformed_text_is_rejected() {
    for text in ["", "4c4c4544", "4c4c4544-0042-3110-8043-b2c04f56423", "4c4c45440042-3110-8043-b2c04f564232-", "{"] {
        assert_eq!(text.parse::<Uuid>(), Err(UuidError), "{text}");
    }
}

proptest! {
    #[test]
    fn uuid_display_round_trips(bytes: [u8; 16]) {
        let uuid = Uuid(bytes);
        let text = uuid.to_string();
        prop_assert_eq!(text.parse::<Uuid>().map(|uuid| uuid.0), Ok(bytes));
        prop_assert_eq!(text.replace('-', "").to_uppercase().parse(), Ok(uuid));
        prop_assert_eq!(uuid.swapped(), uuid);
        prop_assert_eq!(uuid.swapped().swapped().0, bytes);
    }
}
