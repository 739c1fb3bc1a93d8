use proptest::prelude::*;

use super::*;

fn endpoint(url: &str, addressing: Addressing) -> Result<Endpoint, String> {
    Endpoint::new(Some(url.parse().unwrap()), addressing, "us-east-1")
}

fn object<'a>(bucket: &'a str, key: &'a str) -> Object<'a> {
    Object { bucket, key, version: None }
}

#[test]
fn keys_are_encoded_as_signed() {
    let lab = endpoint("http://s3.lab:9000", Addressing::Path).unwrap();
    for (key, path) in [
        ("okd/4.19/rootfs.img", "/b/okd/4.19/rootfs.img"),
        ("a b+c=d&e?f#g%h", "/b/a%20b%2Bc%3Dd%26e%3Ff%23g%25h"),
        ("ünï~_-.img", "/b/%C3%BCn%C3%AF~_-.img"),
        ("/lead//double/", "/b//lead//double/"),
        ("back\\slash", "/b/back%5Cslash"),
        ("...", "/b/..."),
    ] {
        let url = lab.object(object("b", key)).unwrap();
        assert_eq!(url.as_str(), format!("http://s3.lab:9000{path}"));
    }
    let version = Object { bucket: "b", key: "k", version: Some("3/L4+") };
    assert_eq!(lab.object(version).unwrap().as_str(), "http://s3.lab:9000/b/k?versionId=3%2FL4%2B");
}

#[test]
fn endpoint_path_is_kept() {
    let nested = endpoint("https://gate.lab/s3/", Addressing::Path).unwrap();
    assert_eq!(nested.object(object("b", "k")).unwrap().as_str(), "https://gate.lab/s3/b/k");
    assert_eq!(nested.shown(), "https://gate.lab/s3");
}

#[test]
fn dot_segments_in_keys_are_refused() {
    let lab = endpoint("http://s3.lab:9000", Addressing::Path).unwrap();
    for key in ["../other/secret", "a/../b", "a/./b", ".."] {
        assert_eq!(
            lab.object(object("b", key)).unwrap_err(),
            "an object key with a '.' or '..' segment cannot be requested: URLs have no such segments"
        );
    }
    assert!(lab.object(object("..", "k")).is_err());
}

#[test]
fn virtual_addressing_prepends_bucket() {
    let lab = endpoint("https://s3.lab:9000", Addressing::Virtual).unwrap();
    assert_eq!(lab.object(object("bucket-1", "a b")).unwrap().as_str(), "https://bucket-1.s3.lab:9000/a%20b");
    assert_eq!(
        lab.object(object("a.b", "k")).unwrap_err(),
        "the bucket \"a.b\" has dots, so no certificate covers it as part of the host name; use addressing = \"path\""
    );
    let plain = endpoint("http://s3.lab", Addressing::Virtual).unwrap();
    assert_eq!(plain.object(object("a.b", "k")).unwrap().as_str(), "http://a.b.s3.lab/k");
    for bucket in ["a@evil.example", "evil.example/", "UPPER", "a b", "."] {
        assert_eq!(
            plain.object(object(bucket, "k")).unwrap_err(),
            format!("the bucket {bucket:?} cannot be part of a host name; use addressing = \"path\"")
        );
    }
}

#[test]
fn region_selects_aws_endpoint() {
    let shown = |region| Endpoint::new(None, Addressing::Path, region).map(|endpoint| endpoint.shown().to_owned());
    assert_eq!(shown("eu-west-1").unwrap(), "https://s3.eu-west-1.amazonaws.com");
    assert_eq!(shown("cn-north-1").unwrap(), "https://s3.cn-north-1.amazonaws.com.cn");
    assert_eq!(
        shown("evil.example/").unwrap_err(),
        "its region \"evil.example/\" is not an AWS region; for another store set its endpoint"
    );
}

#[test]
fn invalid_endpoint_names_reason() {
    for (url, addressing, reason) in [
        ("ftp://s3.lab", Addressing::Path, "its endpoint has the scheme \"ftp\"; use https or http"),
        (
            "https://key:secret@s3.lab",
            Addressing::Path,
            "its endpoint must be a plain URL, without user, query or fragment",
        ),
        (
            "https://10.0.0.1:9000",
            Addressing::Virtual,
            "its endpoint is an IP address, which cannot follow a bucket name; use addressing = \"path\"",
        ),
    ] {
        assert_eq!(endpoint(url, addressing).unwrap_err(), reason);
    }
}

#[tokio::test]
async fn signature_covers_host_and_amz_fields() {
    let lab = endpoint("http://s3.lab:9000", Addressing::Path).unwrap();
    let url = lab.object(object("b", "a b")).unwrap();
    let credential = Credential {
        access_key_id: "AKIAEXAMPLE".into(),
        secret_access_key: "secret".into(),
        session_token: Some("token".into()),
        expires_in: None,
    };
    let headers = lab.sign(&Method::GET, &url, HeaderMap::new(), None, &credential).await.unwrap();
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"), "{authorization}");
    assert!(
        authorization.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"),
        "{authorization}"
    );
    assert_eq!(headers["host"], "s3.lab:9000");
    assert!(!authorization.contains("secret"));
}

#[tokio::test]
async fn only_amz_fields_are_signed() {
    let lab = endpoint("http://s3.lab:9000", Addressing::Path).unwrap();
    let url = lab.object(object("b", "k")).unwrap();
    let credential = Credential {
        access_key_id: "AKIAEXAMPLE".into(),
        secret_access_key: "secret".into(),
        session_token: None,
        expires_in: None,
    };
    let fields = HeaderMap::from_iter(
        [("x-amz-request-payer", "requester"), ("x-gateway-key", "one"), ("accept", "a/b")]
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value))),
    );
    let headers = lab.sign(&Method::GET, &url, fields, None, &credential).await.unwrap();
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(
        authorization.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-request-payer,"),
        "{authorization}"
    );
    assert_eq!((&headers["x-gateway-key"], &headers["accept"]), (&"one".parse().unwrap(), &"a/b".parse().unwrap()));
}

proptest! {
    #[test]
    fn keys_round_trip_or_are_refused(key in "\\PC{1,20}|[./%\\\\ ]{1,12}") {
        let lab = endpoint("http://s3.lab:9000/s3", Addressing::Path).unwrap();
        let dots = key.split('/').any(|segment| matches!(segment, "." | ".."));
        match lab.object(object("bucket", &key)) {
            Ok(url) => {
                let sent = url.path().strip_prefix("/s3/bucket/").unwrap();
                let read = percent_encoding::percent_decode_str(sent).decode_utf8().unwrap();
                prop_assert_eq!(read, key);
                prop_assert!(!dots);
                prop_assert_eq!((url.host_str(), url.port(), url.query()), (Some("s3.lab"), Some(9000), None));
            }
            Err(_) => prop_assert!(dots),
        }
    }
}
