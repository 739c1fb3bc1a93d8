//! The body of an error reply: an S3 error document, a proxy's HTML page, or a line of text.

use http::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;

use super::html_page::HtmlPage;
use super::remote_text::{MAX_TEXT, one_line};

/// The body of an error reply. All fields are `None` without a body, and for one of no known form.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ErrorDocument {
    /// The error code, such as `NoSuchKey`.
    pub(super) code: Option<String>,
    /// The human-readable message, or the title of an HTML page.
    pub(super) message: Option<String>,
    /// The store's region. Garage and `MinIO` name it in every document.
    pub(super) region: Option<String>,
    /// The bucket's endpoint, if the request went to another.
    pub(super) endpoint: Option<String>,
    /// The bucket's name.
    pub(super) bucket_name: Option<String>,
    /// `DeleteMarker`, if the version is one.
    pub(super) resource_type: Option<String>,
    /// The storage class of an archived object.
    pub(super) storage_class: Option<String>,
    /// The object's length in bytes, if the range began past its end.
    pub(super) actual_object_size: Option<u64>,
}

impl ErrorDocument {
    /// Bytes of a body that are read at most.
    pub(super) const MAX_LENGTH: usize = 64 << 10;

    /// Parses the body of a reply with these header fields. Without a code in the body, which a reply to HEAD never has, takes
    /// it from the fields that `MinIO` and AWS's website endpoints send.
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Self {
        let mut document = Self::parse_body(headers, body);
        if document.code.is_none() {
            let field = |names: [&str; 2]| names.into_iter().find_map(|name| headers.get(name)?.to_str().ok());
            let line = |text: &str| one_line(text.trim_matches('"'), MAX_TEXT);
            document.code = field(["x-minio-error-code", "x-amz-error-code"]).map(line);
            let message = || field(["x-minio-error-desc", "x-amz-error-message"]).map(line);
            document.message = document.message.or_else(message);
        }
        document
    }

    fn parse_body(headers: &HeaderMap, body: &[u8]) -> Self {
        if let Some(page) = HtmlPage::parse(body) {
            return Self { message: Some(page.to_string()), ..Self::default() };
        }
        let Ok(text) = std::str::from_utf8(body) else { return Self::default() };
        if !text.contains("<Error") {
            return Self { message: plain_text(headers, text), ..Self::default() };
        }
        // Gateways in front of other services wrap it: <ErrorResponse><Error>….
        let inner = text.find("<Error>").filter(|_| text.contains("<ErrorResponse"));
        let inner = inner.and_then(|start| Some(start..start + text[start..].find("</Error>")? + "</Error>".len()));
        let mut document: Self = quick_xml::de::from_str(&text[inner.unwrap_or(0..text.len())]).unwrap_or_default();
        for field in document.texts() {
            *field = field.as_deref().map(|text| one_line(text, MAX_TEXT)).filter(|text| !text.is_empty());
        }
        document
    }

    /// Replaces these secrets, which were sent with the request, in all texts.
    pub(super) fn without(mut self, secrets: &HeaderMap) -> Self {
        let secrets = || secrets.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
        for field in self.texts() {
            for secret in secrets().flat_map(|value| value.split(' ')).filter(|secret| secret.len() >= 4) {
                *field = field.as_deref().map(|text| text.replace(secret, "…"));
            }
        }
        self
    }

    fn texts(&mut self) -> [&mut Option<String>; 7] {
        [
            &mut self.code,
            &mut self.message,
            &mut self.region,
            &mut self.endpoint,
            &mut self.bucket_name,
            &mut self.resource_type,
            &mut self.storage_class,
        ]
    }
}

/// Returns the first line of a short text, such as Go's "Client sent an HTTP request to an HTTPS server.".
fn plain_text(headers: &HeaderMap, text: &str) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("text/plain");
    let readable = ["text/plain", "application/json", "application/problem+json"].iter().any(|it| kind.starts_with(it));
    let line = one_line(text, MAX_TEXT);
    Some(line).filter(|line| readable && !line.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> ErrorDocument {
        ErrorDocument::parse(&HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn s3_error_document_is_parsed() {
        let document = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <Error><Code>PermanentRedirect</Code><Message>Use &lt;that&gt; endpoint.</Message>
            <Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint><RequestId>1</RequestId><BucketName>b</BucketName></Error>"#,
        );
        assert_eq!(document.code.as_deref(), Some("PermanentRedirect"));
        assert_eq!(document.message.as_deref(), Some("Use <that> endpoint."));
        assert_eq!(document.endpoint.as_deref(), Some("b.s3.eu-west-1.amazonaws.com"));
        assert_eq!(document.bucket_name.as_deref(), Some("b"));
        let document = parse("<Error><Code>InvalidRange</Code><ActualObjectSize>5</ActualObjectSize></Error>");
        assert_eq!(document.actual_object_size, Some(5));
    }

    #[test]
    fn long_message_becomes_one_line() {
        let document = parse(&format!("<Error><Code>A\n\u{1b}B</Code><Message>{}</Message></Error>", "x".repeat(900)));
        assert_eq!(document.code.as_deref(), Some("A B"));
        assert_eq!(document.message.unwrap().chars().count(), 201);
    }

    #[test]
    fn other_error_bodies_give_words() {
        assert_eq!(
            parse("<html><title>Sign in</title>").message.as_deref(),
            Some("an HTML page with the title \"Sign in\"")
        );
        let text = "Client sent an HTTP request to an HTTPS server.\n";
        assert_eq!(parse(text).message.as_deref(), Some(text.trim()));
        let image = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("image/png"))]);
        assert_eq!(ErrorDocument::parse(&image, b"PNG").message, None);
        assert_eq!(ErrorDocument::parse(&HeaderMap::new(), b"\xff\xfe"), ErrorDocument::default());
    }

    #[test]
    fn code_is_found_in_fields_and_wrappers() {
        let fields = [("x-minio-error-code", "NoSuchVersion"), ("x-minio-error-desc", "\"no such version\"")];
        let fields = fields.map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let document = ErrorDocument::parse(&HeaderMap::from_iter(fields), b"");
        assert_eq!(document.code.as_deref(), Some("NoSuchVersion"));
        assert_eq!(document.message.as_deref(), Some("no such version"));
        let wrapped = "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>m</Message></Error>\
                       <RequestId>1</RequestId></ErrorResponse>";
        assert_eq!(parse(wrapped).code.as_deref(), Some("ExpiredToken"));
        let named = "<?xml version=\"1.0\"?><Error xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Code>NoSuchKey</Code></Error>";
        assert_eq!(parse(named).code.as_deref(), Some("NoSuchKey"));
    }

    #[test]
    fn sent_secrets_are_removed() {
        let mut secret = HeaderValue::from_static("Bearer hush-hush");
        secret.set_sensitive(true);
        let sent = HeaderMap::from_iter([(http::header::AUTHORIZATION, secret)]);
        let document = parse("<Error><Code>AccessDenied</Code><Message>no user has hush-hush</Message></Error>");
        assert_eq!(document.without(&sent).message.as_deref(), Some("no user has …"));
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_parse_without_panic(body in prop::collection::vec(any::<u8>(), 0..200), xml in "<Error>[<>/&;A-Za-z ]{0,60}") {
            ErrorDocument::parse(&HeaderMap::new(), &body);
            parse(&xml);
        }
    }
}
