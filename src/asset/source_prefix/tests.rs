use proptest::prelude::*;

use super::*;

fn prefix(text: &str) -> SourcePrefix {
    text.parse().unwrap()
}

fn covers(prefix_text: &str, source: &str) -> bool {
    let source: SourceUrl = source.parse().unwrap_or_else(|error| panic!("{source}: {error}"));
    prefix(prefix_text).covers(&source)
}

#[test]
fn s3_prefix_is_known_by_scheme() {
    for text in ["s3://", "S3://b/", "s3://b/k/"] {
        assert!(prefix(text).is_s3() && !prefix(text).covers_any_server(), "{text}");
    }
    for text in ["https://", "HTTP://h/s3:/"] {
        assert!(!prefix(text).is_s3(), "{text}");
    }
}

#[test]
fn equal_spellings_are_covered() {
    for (prefix, source) in [
        ("https://h/priv/", "HTTPS://H/priv/k"),
        ("https://h/priv/", "https://h:443/priv/k"),
        ("https://h:443/priv/", "https://h:0443/priv/k"),
        ("http://h", "http://h:/k"),
        ("http://h:80", "http://h/k"),
        ("http://h.", "http://h/k"),
        ("http://h", "http://h./k"),
        ("http://bücher.example/", "http://XN--bcher-kva.example/k"),
        ("http://127.0.0.1/", "http://0x7f.1/k"),
        ("http://127.0.0.1/", "http://017700000001/k"),
        ("http://[::1]/", "http://[0:0:0:0:0:0:0:1]/k"),
        ("https://h/priv/", "https://h/%70ri%76/k"),
        ("https://h/a%7eb/", "https://h/a~b/k"),
        ("https://h/a b/", "https://h/a%20b/k"),
        ("https://h/priv/", "https://h/x/../priv/./k"),
        ("https://h/priv/", "https://h/%2e/priv/k"),
        ("https://h/priv/", "https://h/priv/a/../k"),
        ("https://h/priv/", "https://h/priv//k"),
        ("https://h/priv/", "https://h/priv/100%25.img"),
        ("https://h/priv", "https://h/priv"),
        ("https://h/priv", "https://h/priv?sig=1"),
        ("s3://", "s3://any/key"),
        ("https://", "https://any:1/key"),
        ("s3://b", "s3://b/key"),
        ("s3://b/", "S3://b/key"),
        ("s3://b/pre", "s3://b/pre"),
        ("s3://b/pre", "s3://b/pre/k"),
        ("s3://b/pre/", "s3://b/pre/k?versionId=1"),
        ("s3://b/a%3Fb/", "s3://b/a%3fb/k"),
    ] {
        assert!(covers(prefix, source), "{prefix} must cover {source}");
    }
}

#[test]
fn other_places_are_not_covered() {
    for (prefix, source) in [
        ("http://host", "http://host.evil.example/k"),
        ("http://host", "http://hostile/k"),
        ("http://host", "http://evil/host/k"),
        ("http://host", "http://host:8080/k"),
        ("http://127.0.0.1", "http://127.0.0.1:8080/k"),
        ("http://h:80", "http://h:8080/k"),
        ("https://h", "http://h/k"),
        ("https://h:443", "http://h:443/k"),
        ("http://good", "http://evil\\@good/k"),
        ("http://good", "http://evil/\t@good/k"),
        ("http://good/priv/", "http://good\\other\\k"),
        ("http://127.0.0.1", "http://[::ffff:127.0.0.1]/k"),
        ("https://h/priv", "https://h/private-else/k"),
        ("https://h/priv", "https://h/priv.bak"),
        ("https://h/priv", "https://h/PRIV/k"),
        ("https://h/priv/", "https://h/priv"),
        ("https://h/priv/", "https://h/priv/../other/k"),
        ("https://h/priv/", "https://h/priv/%2e%2e/other/k"),
        ("https://h/priv/", "https://h/priv/.%2E/other/k"),
        ("https://h/priv/", "https://h/priv/.\t./other/k"),
        ("https://h/priv/", "https://h/priv/..\\other/k"),
        ("https://h/priv/", "https://h/priv/..%2Fother/k"),
        ("https://h/priv/", "https://h/priv/..%5cother/k"),
        ("https://h/priv/", "https://h/priv/%252e%252e/other/k"),
        ("https://h/priv/", "https://h/priv/%25252e%25252e%25252fother/k"),
        ("https://h/priv/", "https://h/priv//..%2f..%2fother/k"),
        ("https://h/priv/", "https://h/priv/..;/other/k"),
        ("https://h/priv/", "https://h/priv/%00../other/k"),
        ("https://h/priv/", "https://h/priv/%c0%ae%c0%ae/other/k"),
        ("https://h/priv/", "https://h//priv/k"),
        ("https://h/priv/", "https://h/priv%2Fk"),
        ("https://h/priv/", "https://h/other?/priv/k"),
        ("https://h/priv/", "https://h/other#/priv/k"),
        ("s3://b/pre", "s3://b/prefix/k"),
        ("s3://b/pre/", "s3://b/pre"),
        ("s3://b/pre/", "s3://b/pre/../other"),
        ("s3://b", "s3://bucket/k"),
        ("s3://b", "s3://B/k"),
        ("s3://b", "https://b/k"),
        ("https://b", "s3://b/k"),
        ("s3://", "file:///k"),
        ("s3://", "https://h/k"),
        ("https://", "http://h/k"),
        ("https://", "s3://b/k"),
    ] {
        assert!(!covers(prefix, source), "{prefix} must not cover {source}");
    }
}

#[test]
fn canonical_spelling_identifies_duplicates() {
    for (one, other) in [
        ("https://h", "HTTPS://H:443/"),
        ("http://h./a%7Eb", "http://h/a~b"),
        ("http://127.1/", "http://127.0.0.1"),
        ("s3://b", "s3://b/"),
    ] {
        assert_eq!(prefix(one).canonical(), prefix(other).canonical());
    }
    for (one, other) in [("https://h/a", "https://h/a/"), ("http://h", "https://h"), ("s3://", "s3://b")] {
        assert_ne!(prefix(one).canonical(), prefix(other).canonical());
    }
}

#[test]
fn most_specific_prefix_is_longest() {
    let prefixes = ["s3://", "s3://b", "s3://b/x", "s3://b/x/", "s3://b/x/y/z/w"].map(prefix);
    let longest = |source: &str| {
        let source = source.parse().unwrap();
        SourcePrefix::longest(prefixes.iter(), &source).map(SourcePrefix::as_str)
    };
    assert_eq!(longest("s3://other/k"), Some("s3://"));
    assert_eq!(longest("s3://b/k"), Some("s3://b"));
    assert_eq!(longest("s3://b/x"), Some("s3://b/x"));
    assert_eq!(longest("s3://b/x/k"), Some("s3://b/x/"));
    assert_eq!(longest("https://b/x"), None);
}

#[test]
fn unusable_prefix_names_next_step() {
    let message = |text: &str| text.parse::<SourcePrefix>().unwrap_err().to_string();
    for text in ["harmony-assets", "file:///srv/", "ftp://h/", "https:/h"] {
        assert_eq!(message(text), "the scheme is s3, https or http", "{text}");
    }
    for text in ["https:///", "http:///path", "s3:///key"] {
        assert_eq!(message(text), "it names no host; write https://HOST/PATH, or s3://BUCKET/PREFIX", "{text}");
    }
    assert_eq!(
        message("https://user:hunter2@h/"),
        "it has a user name or a password; send them with `headers`, such as Authorization"
    );
    assert_eq!(
        message("https://h/x?sig=1"),
        "it has a query or a fragment, which is not compared; leave out everything from '?' on"
    );
    assert_eq!(message("s3://b/x?versionId=1"), message("https://h/x?sig=1"));
    for text in ["https://*.example/", "https://h/a/*", "s3://b*/", "s3://b/a*"] {
        assert!(message(text).starts_with("'*' stands for itself"), "{text}");
    }
    for text in ["https://h/a/../b", "https://h/%2e%2e/b", "https://h/a%2Fb", "https://h/a\\b", "s3://b/a/./b"] {
        assert!(message(text).ends_with("write the plain path"), "{text}");
    }
    assert!(message("https://[fe80::1%25eth0]/").starts_with("a URL cannot have an IPv6 zone"));
    assert_eq!(message("https://h:99999/"), "this is not a URL: invalid port number");
}

/// All readings of a path that some server has: each a list of segments from the root.
fn readings(path: &str) -> Vec<Vec<String>> {
    let mut readings = Vec::new();
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..4 {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for backslash in [false, true] {
            for merged in [false, true] {
                for parameters in [false, true] {
                    let text = if backslash { text.replace('\\', "/") } else { text.clone() };
                    let mut segments: Vec<String> = Vec::new();
                    for segment in text.split('/').skip(1) {
                        let name = segment.split(';').next().unwrap();
                        match if parameters { name } else { segment } {
                            "" if merged => {}
                            "." => {}
                            ".." => drop(segments.pop()),
                            name => segments.push(name.to_owned()),
                        }
                    }
                    readings.push(segments);
                }
            }
        }
        bytes = percent_decode(&bytes).collect();
    }
    readings
}

proptest! {
    /// Whatever is written in a source, the secret of `http://good:81/priv/` is requested from that place only.
    #[test]
    fn secret_never_leaves_the_match(
        before in "(http|HTTP|https)://((evil|good)[:@\\\\/.]){0,2}",
        authority in "(good|GOOD|good\\.|good\\.evil|evil|g%6Fod|127\\.0\\.0\\.1)(:(81|081|80|8181))?",
        path in "(/|\\\\|%2[fF]|%5c|%252f|//|\\.\\.|\\.|%2e|%2E%2e|%252e|;|;x|priv|PRIV|%70riv|other|k|\t|%09|%00|\\?|#|@){0,12}",
        inside in any::<bool>(),
    ) {
        let source = format!("{before}{authority}{}{path}", if inside { "/priv/" } else { "" });
        let prefix = prefix("http://good:81/priv/");
        if let Ok(source) = source.parse::<SourceUrl>() && prefix.covers(&source) {
            let SourceTarget::Http(url) = source.target() else { panic!("{source} is a web source") };
            prop_assert_eq!(url.scheme(), "http");
            prop_assert_eq!(url.host_str().unwrap().trim_end_matches('.'), "good");
            prop_assert_eq!(url.port(), Some(81));
            prop_assert!(url.username().is_empty() && url.password().is_none());
            for segments in readings(url.path()) {
                prop_assert!(segments.first().is_some_and(|first| first == "priv"), "{} is read as {:?}", url, segments);
            }
        }
    }

    #[test]
    fn no_text_makes_a_prefix_panic(text in "\\PC{0,30}|(https|s3)://[a-z@:?#/%*.\\\\]{0,20}") {
        if let Ok(prefix) = text.parse::<SourcePrefix>() && !text.starts_with("s3") {
            let again = prefix.canonical().parse::<SourcePrefix>().map(|again| again.canonical());
            prop_assert_eq!(again, Ok(prefix.canonical()));
        }
    }
}
