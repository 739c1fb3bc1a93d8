use serde_json::{Value, json};

use super::*;

/// Values that YAML would read as syntax, or as no text.
const VALUES: [&str; 22] = [
    "plain",
    "yes",
    "0x10",
    "1e3",
    "12:30:45",
    "~",
    "",
    "a: b",
    "a #b",
    "- a",
    "[a]",
    "\"q\" 'r'",
    "a\nb: c\n",
    "\ttab",
    "x\\n",
    "\u{7f}\u{85}\u{2028}\u{feff}",
    "ä 🦀",
    "%a",
    "@a",
    "|",
    "2026-01-01",
    "ends:",
];

fn literal(text: &str) -> Piece {
    Piece::Literal(text.to_owned())
}

fn parse(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

fn joined(before: &str, value: &str, after: &str) -> Result<String, DocumentError> {
    join(&[literal(before), Piece::Value(value.to_owned()), literal(after)])
}

#[test]
fn whole_scalar_stays_text() {
    for value in VALUES {
        for (before, after, expected) in [
            ("a: ", "\n", json!({ "a": value })),
            ("a: ", "  # comment\nb: 1\n", json!({ "a": value, "b": 1 })),
            ("a:\n  - ", "\n  - x\n", json!({ "a": [value, "x"] })),
            ("- a: ", "\n  b: x\n", json!([{ "a": value, "b": "x" }])),
            ("a: { b: ", ", c: [x] }\n", json!({ "a": { "b": value, "c": ["x"] } })),
            ("a: [x, ", "]\n", json!({ "a": ["x", value] })),
            ("a: {\"b\":", "}\n", json!({ "a": { "b": value } })),
            ("a: !!str ", "\n", json!({ "a": value })),
            ("", "", json!(value)),
        ] {
            let yaml = joined(before, value, after).unwrap();
            assert_eq!(parse(&yaml), expected, "{yaml}");
        }
        let yaml = joined("? ", value, "\n: x\n").unwrap();
        assert_eq!(parse(&yaml)[value], json!("x"), "{yaml}");
        let yaml = joined("", value, ": x\n").unwrap();
        assert_eq!(parse(&yaml)[value], json!("x"), "{yaml}");
    }
    assert_eq!(joined("a: ", "r630-01.lab", "\n").unwrap(), "a: r630-01.lab\n", "plain words stay as they are");
}

#[test]
fn quoted_scalar_keeps_value() {
    for value in VALUES {
        let expected = json!({ "a": format!("it's {value}!"), "b": "#c" });
        let yaml = joined("a: \"it's ", value, "!\"\nb: '#c'\n").unwrap();
        assert_eq!(parse(&yaml), expected, "{yaml}");
        match joined("a: 'it''s ", value, "!'\nb: '#c'\n") {
            Ok(yaml) => assert_eq!(parse(&yaml), expected, "{yaml}"),
            Err(error) => {
                assert!(
                    matches!(error, DocumentError::Value(_)) && value.contains(char::is_control),
                    "{value:?}: {error}"
                );
            }
        }
    }
}

#[test]
fn block_scalar_indents_value() {
    let key = "-----BEGIN-----\nabc\n\n  def: #x\n-----END-----";
    for (before, after) in [
        ("a:\n  b: |\n    ", "\n  c: x\n"),
        ("a:\n    b: |-\n      ", "\n    c: x\n"),
        ("a:\n  b: |2\n    ", "\n  c: x\n"),
        ("a: &anchor\n  b: !!str |\n    ", "\n  c: x\n"),
    ] {
        let yaml = joined(before, key, after).unwrap();
        let parsed = parse(&yaml);
        assert_eq!(
            (parsed["a"]["b"].as_str().map(|text| text.trim_start().lines().count()), parsed["a"]["c"].as_str()),
            (Some(5), Some("x")),
            "{yaml}"
        );
    }
    let lists = "a:\n  - b: |\n      first\n      ";
    let yaml = joined(lists, key, "\n    c: x\n  - |\n    y\n").unwrap();
    assert_eq!(parse(&yaml), json!({ "a": [{ "b": format!("first\n{key}\n"), "c": "x" }, "y\n"] }), "{yaml}");
    // The filter indent has done it already.
    let yaml = joined("a: |\n  ", "x\n  y\n    z", "\n").unwrap();
    assert_eq!(yaml, "a: |\n  x\n  y\n    z\n");
    assert!(matches!(joined("a: |\n  ", "\u{1}", "\n"), Err(DocumentError::Value(_))));
}

#[test]
fn plain_scalar_takes_plain_parts() {
    for (before, value, after) in [
        ("a: ", "web-1", ".lab\n"),
        ("a: http://", "10.0.0.1:80", "/x\n"),
        ("runcmd:\n  - echo ", "a [b], {c}", " >/x\n"),
    ] {
        assert_eq!(joined(before, value, after).unwrap(), format!("{before}{value}{after}"));
    }
    for (before, value, after) in [
        ("a: x ", "y: z", "\n"),
        ("a: x ", "# y", "\n"),
        ("a: x ", "y\nb: z", "\n"),
        ("a: x", "y:", " z\n"),
        ("a: [x ", "y, z", "]\n"),
        ("a: ", "[x", " y\n"),
        ("a: ", "&x", " y\n"),
    ] {
        assert_eq!(joined(before, value, after), Err(UNQUOTED), "{before}{value}");
    }
    assert_eq!(joined("# ", "a\nb: c", "\nd: e\n").unwrap(), "# a b: c\nd: e\n");
}

#[test]
fn data_and_filters_are_written_once() {
    let quoted = |syntax, text: &str| Piece::Quoted(syntax, text.to_owned());
    let yaml = join(&[
        literal("a: "),
        Piece::Data("{\"x\":[1,null]}".to_owned()),
        literal("\nb: "),
        quoted(Syntax::Json, "\"yes\""),
        literal("\nc: \""),
        quoted(Syntax::Json, "\"yes\""),
        literal("\"\nd: "),
        quoted(Syntax::Shell, "'x y'"),
        literal("\ne: |\n  echo "),
        quoted(Syntax::Shell, "'x y'"),
        literal("\nf: p"),
        Piece::Data("1".to_owned()),
        literal("\n"),
    ])
    .unwrap();
    let expected =
        json!({ "a": { "x": [1, null] }, "b": "yes", "c": "\"yes\"", "d": "'x y'", "e": "echo 'x y'\n", "f": "p1" });
    assert_eq!(parse(&yaml), expected, "{yaml}");
    assert_eq!(join(&[literal("a: x "), Piece::Data("[1]".to_owned())]), Err(DocumentError::Structure));
}

#[test]
fn several_documents_are_parsed() {
    assert!(joined("---\na: 1\n---\nb: ", "x", "\n").is_ok());
    assert!(joined("#cloud-config\n# ", "x", "\n").is_ok());
    assert!(joined("a: !vault |\n  ", "x", "\nb: !include y\n").is_ok());
    for text in ["a: [\n", "a: b: c\n", "a: 1\n---\nb: [\n"] {
        assert!(matches!(join(&[literal(text)]), Err(DocumentError::Invalid { syntax: "YAML", .. })), "{text}");
    }
}
