use super::*;
use hyper::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

const ETAG: &str = "\"sha256-abc\"";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn asset() -> Validators<'static> {
    Validators { etag: ETAG, modified: at(100) }
}

fn request(fields: &[(&'static str, String)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

fn written(seconds: u64) -> String {
    httpdate::fmt_http_date(at(seconds))
}

#[test]
fn unconditional_request_proceeds() {
    assert_eq!(asset().evaluate(&HeaderMap::new()), Precondition::Proceed);
    assert!(asset().allow_range(&HeaderMap::new(), at(100)));
}

#[test]
fn tag_matches_within_list() {
    for (list, strong, weak) in [
        (ETAG, true, true),
        ("*", true, true),
        (" * ", true, true),
        ("W/\"sha256-abc\"", false, true),
        ("\"x\", \"sha256-abc\"", true, true),
        ("\"x\",\"sha256-abc\",\"y\"", true, true),
        ("\"a,b\", W/\"sha256-abc\"", false, true),
        (",, \"sha256-abc\"", true, true),
        ("\"x\"", false, false),
        ("sha256-abc", false, false),
        ("\"sha256-abc", false, false),
        ("w/\"sha256-abc\"", false, false),
        ("\"x\", *", false, false),
        ("", false, false),
    ] {
        let judged = |name| asset().evaluate(&request(&[(name, list.to_owned())]));
        assert_eq!(judged("if-match") == Precondition::Proceed, strong, "If-Match: {list}");
        assert_eq!(judged("if-none-match") == Precondition::NotModified, weak, "If-None-Match: {list}");
    }
}

#[test]
fn tag_matches_in_repeated_fields() {
    let fields = request(&[("if-none-match", "\"x\"".to_owned()), ("if-none-match", ETAG.to_owned())]);
    assert_eq!(asset().evaluate(&fields), Precondition::NotModified);
}

#[test]
fn invalid_date_is_ignored() {
    for text in ["yesterday", "", "2023-11-14"] {
        for name in ["if-modified-since", "if-unmodified-since"] {
            assert_eq!(asset().evaluate(&request(&[(name, text.to_owned())])), Precondition::Proceed, "{name}: {text}");
        }
    }
}

#[test]
fn if_range_requires_same_state() {
    let allowed = |text: String, now| asset().allow_range(&request(&[("if-range", text)]), now);
    assert!(allowed(ETAG.to_owned(), at(100)));
    assert!(!allowed(format!("W/{ETAG}"), at(500)));
    assert!(!allowed("\"other\"".to_owned(), at(500)));
    assert!(!allowed("garbage".to_owned(), at(500)));
    assert!(allowed(written(100), at(101)));
    assert!(!allowed(written(100), at(100)), "the date may yet stand for two states");
    // An exact match, no comparison.
    assert!(!allowed(written(99), at(500)));
    assert!(!allowed(written(101), at(500)));
    let twice = request(&[("if-range", ETAG.to_owned()), ("if-range", ETAG.to_owned())]);
    assert!(!asset().allow_range(&twice, at(500)));
}

proptest! {
    // RFC 9110 13.2.2, implemented a second time from its text.
    #[test]
    fn preconditions_follow_rfc_order(
        if_match in proptest::option::of(any::<bool>()),
        unmodified in proptest::option::of(95u64..105),
        none_match in proptest::option::of(any::<bool>()),
        modified in proptest::option::of(95u64..105),
    ) {
        let tag = |same: bool| if same { ETAG.to_owned() } else { "\"other\"".to_owned() };
        let mut fields = Vec::new();
        fields.extend(if_match.map(|same| ("if-match", tag(same))));
        fields.extend(unmodified.map(|date| ("if-unmodified-since", written(date))));
        fields.extend(none_match.map(|same| ("if-none-match", tag(same))));
        fields.extend(modified.map(|date| ("if-modified-since", written(date))));

        let holds = match (if_match, unmodified) {
            (Some(same), _) => same,
            (None, Some(date)) => 100 <= date,
            (None, None) => true,
        };
        let known = match (none_match, modified) {
            (Some(same), _) => same,
            (None, Some(date)) => 100 <= date,
            (None, None) => false,
        };
        let expected = match (holds, known) {
            (false, _) => Precondition::Failed,
            (true, true) => Precondition::NotModified,
            (true, false) => Precondition::Proceed,
        };
        prop_assert_eq!(asset().evaluate(&request(&fields)), expected);
    }

    #[test]
    fn arbitrary_field_never_panics(text in "[W/\"*, a\\t-]{0,30}") {
        for name in ["if-match", "if-none-match", "if-range", "if-modified-since", "if-unmodified-since"] {
            let fields = request(&[(name, text.clone())]);
            asset().evaluate(&fields);
            asset().allow_range(&fields, at(500));
        }
    }
}
