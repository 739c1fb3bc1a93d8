use super::*;
use proptest::prelude::*;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end)
}

#[test]
fn common_range_fields_are_selected() {
    use RangeSelection::{Many, One, Unsatisfiable, Whole};
    for (field, size, expected) in [
        ("bytes=0-511", 1000, One(range(0, 512))),
        ("bytes=512-", 1000, One(range(512, 1000))),
        ("bytes=-100", 1000, One(range(900, 1000))),
        ("bytes=-2000", 1000, One(range(0, 1000))),
        ("bytes=900-2000", 1000, One(range(900, 1000))),
        ("Bytes=0-0", 1000, One(range(0, 1))),
        (" bytes=0-0 ", 1000, One(range(0, 1))),
        ("bytes=0-0,-1", 1000, Many(vec![range(0, 1), range(999, 1000)])),
        ("bytes= ,0-0,\t, 500-501 ,", 1000, Many(vec![range(0, 1), range(500, 502)])),
        // In the order of the request; adjacent ranges do not overlap and stay separate.
        ("bytes=500-599,0-99,100-199", 1000, Many(vec![range(500, 600), range(0, 100), range(100, 200)])),
        ("bytes=0-99,2000-", 1000, One(range(0, 100))),
        // Overlapping ranges are merged at the position of the first.
        ("bytes=0-99,50-149", 1000, One(range(0, 150))),
        ("bytes=0-9,100-199,500-599,150-550", 1000, Many(vec![range(0, 10), range(100, 600)])),
        ("bytes=1000-", 1000, Unsatisfiable),
        ("bytes=-0", 1000, Unsatisfiable),
        ("bytes=1000-,-0", 1000, Unsatisfiable),
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=0-0", 0, Unsatisfiable),
        ("bytes=-0", 0, Unsatisfiable),
        ("bytes=-5", 0, Whole),
        // Numbers past 2^64 neither fail nor wrap.
        ("bytes=0-99999999999999999999999", 1000, One(range(0, 1000))),
        ("bytes=-99999999999999999999999", 1000, One(range(0, 1000))),
        ("bytes=99999999999999999999999-", 1000, Unsatisfiable),
        ("bytes=18446744073709551615-18446744073709551615", u64::MAX, Unsatisfiable),
        ("bytes=0-18446744073709551615", u64::MAX, One(range(0, u64::MAX))),
        // Malformed: ignored.
        ("bytes=u-u", 1000, Whole),
        ("bytes=5-4", 1000, Whole),
        ("bytes=0-1,u-u", 1000, Whole),
        ("bytes=-", 1000, Whole),
        ("bytes=", 1000, Whole),
        ("bytes=,,", 1000, Whole),
        ("bytes 0-1", 1000, Whole),
        ("bytes=+1-2", 1000, Whole),
        ("bytes=0x1-2", 1000, Whole),
        ("bytes=1 - 2", 1000, Whole),
        ("bytes =0-1", 1000, Whole),
        ("bytes=1-2-3", 1000, Whole),
        ("items=0-1", 1000, Whole),
        ("", 1000, Whole),
    ] {
        assert_eq!(select(field.as_bytes(), size), expected, "{field:?} of {size}");
    }
}

#[test]
fn too_many_ranges_select_whole() {
    let field = |count: u64| {
        let specs: Vec<String> = (0..count).map(|n| format!("{0}-{0}", n * 2)).collect();
        format!("bytes={}", specs.join(","))
    };
    assert!(matches!(select(field(16).as_bytes(), 1000), RangeSelection::Many(parts) if parts.len() == 16));
    assert_eq!(select(field(17).as_bytes(), 1000), RangeSelection::Whole);
}

/// Returns whether a range set covers the byte at `at`: an independent model, byte by byte.
fn covers(specs: &[RangeSpec], size: u64, at: u64) -> bool {
    specs.iter().any(|spec| match *spec {
        RangeSpec::From(first, None) => at >= first,
        RangeSpec::From(first, Some(last)) => at >= first && at <= last,
        RangeSpec::Suffix(length) => size - at <= length,
    })
}

fn spec() -> impl Strategy<Value = RangeSpec> {
    prop_oneof![
        (0u64..70, proptest::option::of(0u64..70))
            .prop_map(|(first, more)| RangeSpec::From(first, more.map(|more| first + more))),
        (0u64..70).prop_map(RangeSpec::Suffix),
    ]
}

fn written(specs: &[RangeSpec]) -> String {
    let texts: Vec<String> = specs
        .iter()
        .map(|spec| match spec {
            RangeSpec::From(first, None) => format!("{first}-"),
            RangeSpec::From(first, Some(last)) => format!("{first}-{last}"),
            RangeSpec::Suffix(length) => format!("-{length}"),
        })
        .collect();
    format!("bytes={}", texts.join(", "))
}

proptest! {
    #[test]
    fn field_round_trips(specs in proptest::collection::vec(spec(), 1..30)) {
        prop_assert_eq!(parse(written(&specs).as_bytes()), Some(specs));
    }

    #[test]
    fn each_requested_byte_is_selected_once(specs in proptest::collection::vec(spec(), 1..=MAX_RANGES), size in 1u64..60) {
        let parts = match select(written(&specs).as_bytes(), size) {
            RangeSelection::Whole => return Err(TestCaseError::fail("a well-formed range was ignored")),
            RangeSelection::One(part) => vec![part],
            RangeSelection::Many(parts) => {
                prop_assert!(parts.len() >= 2);
                parts
            }
            RangeSelection::Unsatisfiable => vec![],
        };
        for part in &parts {
            prop_assert!(!part.is_empty() && part.end <= size);
        }
        for at in 0..size {
            let served = parts.iter().filter(|part| part.start <= at && at < part.end).count();
            prop_assert_eq!(served, usize::from(covers(&specs, size, at)), "byte {}", at);
        }
    }

    #[test]
    fn disjoint_parts_keep_request_order(starts in proptest::sample::subsequence((0u64..20).collect::<Vec<_>>(), 2..=MAX_RANGES).prop_shuffle()) {
        let specs: Vec<RangeSpec> = starts.iter().map(|start| RangeSpec::From(start * 10, Some(start * 10 + 8))).collect();
        let expected = starts.iter().map(|start| range(start * 10, start * 10 + 9)).collect();
        prop_assert_eq!(select(written(&specs).as_bytes(), 1000), RangeSelection::Many(expected));
    }

    #[test]
    fn arbitrary_field_stays_within_asset(field in "(bytes=)?[-0-9u, \\t]{0,60}|\\PC{0,20}", size in any::<u64>()) {
        match select(field.as_bytes(), size) {
            RangeSelection::One(part) => prop_assert!(part.end <= size),
            RangeSelection::Many(parts) => prop_assert!(parts.iter().all(|part| part.end <= size)),
            RangeSelection::Whole | RangeSelection::Unsatisfiable => {}
        }
    }
}
