//! Complete reads over loopback, from a real S3 server in this process and from servers that each misbehave in one way.

mod changed;
mod fake;
mod http;
mod s3;
mod stat;
mod tls;

use std::time::Duration;

use super::{Addressing, CredentialSource, OriginError, OriginSettings, Origins, Reply, Timeouts};
use crate::asset::{ByteRange, SourceUrl};
use crate::secret::Secret;

/// Long for a loopback, and still short for a test run.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), stall: Duration::from_secs(20) };

fn settings(prefix: &str) -> OriginSettings {
    OriginSettings {
        prefix: prefix.parse().unwrap(),
        endpoint: None,
        region: "us-east-1".to_owned(),
        addressing: Addressing::Path,
        credentials: CredentialSource::Anonymous,
        ca_file: None,
        insecure_skip_verify: false,
        proxy: None,
        headers: Vec::new(),
    }
}

fn origins(settings: Vec<OriginSettings>) -> Origins {
    Origins::new(settings, TIMEOUTS).unwrap()
}

fn keys(id: &str, secret: &str) -> CredentialSource {
    CredentialSource::Static {
        access_key_id: id.to_owned(),
        secret_access_key: Secret::new(secret),
        session_token: None,
    }
}

fn source(text: &str) -> SourceUrl {
    text.parse().unwrap()
}

async fn collect(reply: &mut Reply) -> Result<Vec<u8>, OriginError> {
    let mut read = Vec::new();
    while let Some(piece) = reply.body.chunk().await? {
        read.extend_from_slice(&piece);
    }
    assert_eq!(read.len() as u64, reply.range.len());
    Ok(read)
}

async fn read(origins: &Origins, url: &str, range: Option<(u64, u64)>) -> Result<Vec<u8>, OriginError> {
    let range = range.map(|(start, end)| ByteRange::new(start, end));
    collect(&mut origins.read(&source(url), range, None).await?).await
}

async fn error(origins: &Origins, url: &str, range: Option<(u64, u64)>) -> OriginError {
    match read(origins, url, range).await {
        Ok(read) => panic!("an error was expected, not {} bytes", read.len()),
        Err(error) => error,
    }
}

#[test]
fn longest_match_wins() {
    let origins = origins(["s3://", "s3://b/long/", "https://h/", "s3://b/"].map(settings).to_vec());
    for (url, prefix) in [
        ("s3://b/long/k", Some("s3://b/long/")),
        ("s3://b/k", Some("s3://b/")),
        ("s3://b/longer", Some("s3://b/")),
        ("s3://bucket/k", Some("s3://")),
        ("https://h/k", Some("https://h/")),
        ("https://h2/k", None),
        ("file:///k", None),
    ] {
        assert_eq!(origins.remote(&source(url)).prefix(), prefix, "{url}");
    }
}

#[test]
fn invalid_settings_name_reason() {
    let no_ca = tempfile::NamedTempFile::new().unwrap();
    let message = |change: &dyn Fn(&mut OriginSettings)| {
        let mut settings = settings("s3://b/");
        change(&mut settings);
        match Origins::new(vec![settings], TIMEOUTS) {
            Err(error @ OriginError::Settings { .. }) => error.to_string(),
            Err(other) => panic!("a settings error was expected, not {other}"),
            Ok(_) => panic!("a settings error was expected"),
        }
    };
    let cannot = "the origin s3://b/ cannot be used:";
    assert_eq!(
        message(&|s| s.ca_file = Some("/nonexistent/ca.pem".into())),
        format!("{cannot} its ca_file /nonexistent/ca.pem cannot be read: No such file or directory (os error 2)")
    );
    assert_eq!(
        message(&|s| s.ca_file = Some(no_ca.path().to_owned())),
        format!(
            "{cannot} its ca_file {} contains no certificate (-----BEGIN CERTIFICATE-----)",
            no_ca.path().display()
        )
    );
    assert_eq!(
        message(&|s| s.headers = vec![("X Bad".into(), Secret::new("v"))]),
        format!("{cannot} \"X Bad\" is not a valid header field name")
    );
    assert_eq!(
        message(&|s| {
            s.headers = vec![("X-Amz-Date".into(), Secret::new("v"))];
            s.credentials = keys("AKIA1", "s");
        }),
        format!(
            "{cannot} the header field x-amz-date belongs to the signature of S3 requests; remove it from headers and set \
             credentials"
        )
    );
    assert_eq!(
        message(&|s| {
            s.prefix = "S3://b/".parse().unwrap();
            s.headers = vec![("Authorization".into(), Secret::new("v"))];
            s.credentials = keys("AKIA1", "s");
        }),
        "the origin S3://b/ cannot be used: the header field authorization belongs to the signature of S3 requests; remove it \
         from headers and set credentials"
    );
    assert_eq!(
        message(&|s| s.proxy = Some("ftp://proxy".parse().unwrap())),
        format!("{cannot} its proxy has the scheme \"ftp\"; use http, https or socks5")
    );
    let duplicate = Origins::new(vec![settings("s3://b"), settings("s3://b/")], TIMEOUTS).err().unwrap();
    assert_eq!(duplicate.to_string(), format!("{cannot} two origins have the same match; remove one"));
}
