//! S3 error documents: the XML body of an error reply.

use serde::Deserialize;

/// An error document. All fields are `None` if the body is not one.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ErrorDocument {
    /// The error code, such as `NoSuchKey`.
    pub(super) code: Option<String>,
    /// The human-readable message.
    pub(super) message: Option<String>,
    /// The bucket's region, if the request went to another.
    pub(super) region: Option<String>,
    /// The bucket's endpoint, if the request went to another.
    pub(super) endpoint: Option<String>,
    /// The bucket's name.
    pub(super) bucket_name: Option<String>,
    /// The object's length in bytes, if the range began past its end.
    pub(super) actual_object_size: Option<u64>,
}

impl ErrorDocument {
    /// Bytes of a body that are read at most.
    pub(super) const MAX_LENGTH: usize = 64 << 10;

    /// Characters that are kept of a field at most.
    const MAX_TEXT: usize = 200;

    /// Parses a body. Returns an empty document if it is not an error document.
    pub(super) fn parse(body: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(body) else { return Self::default() };
        // Skips a web server's HTML pages.
        if !text.contains("<Error") {
            return Self::default();
        }
        let mut document: Self = quick_xml::de::from_str(text).unwrap_or_default();
        for field in [
            &mut document.code,
            &mut document.message,
            &mut document.region,
            &mut document.endpoint,
            &mut document.bucket_name,
        ] {
            *field = field.as_deref().map(one_line).filter(|text| !text.is_empty());
        }
        document
    }

    /// Returns `Code: message`, or the one of them that is present.
    pub(super) fn summary(&self) -> Option<String> {
        match (&self.code, &self.message) {
            (Some(code), Some(message)) => Some(format!("{code}: {message}")),
            (Some(text), None) | (None, Some(text)) => Some(text.clone()),
            (None, None) => None,
        }
    }
}

/// Makes remote text safe to log: one line of bounded length.
fn one_line(text: &str) -> String {
    let line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ErrorDocument::MAX_TEXT).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn s3_error_document_is_parsed() {
        let document = ErrorDocument::parse(
            br#"<?xml version="1.0" encoding="UTF-8"?>
            <Error><Code>PermanentRedirect</Code><Message>Use &lt;that&gt; endpoint.</Message>
            <Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint><RequestId>1</RequestId><BucketName>b</BucketName></Error>"#,
        );
        assert_eq!(document.summary().as_deref(), Some("PermanentRedirect: Use <that> endpoint."));
        assert_eq!(document.endpoint.as_deref(), Some("b.s3.eu-west-1.amazonaws.com"));
        assert_eq!(document.bucket_name.as_deref(), Some("b"));
        let document =
            ErrorDocument::parse(b"<Error><Code>InvalidRange</Code><ActualObjectSize>5</ActualObjectSize></Error>");
        assert_eq!(document.actual_object_size, Some(5));
    }

    #[test]
    fn remote_text_becomes_one_line() {
        let long = format!("<Error><Code>A\n\u{1b}B</Code><Message>{}</Message></Error>", "x".repeat(900));
        let document = ErrorDocument::parse(long.as_bytes());
        assert_eq!(document.code.as_deref(), Some("A  B"));
        assert_eq!(document.message.unwrap().len(), 200);
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_parse_without_panic(body in prop::collection::vec(any::<u8>(), 0..200), xml in "<Error>[<>/&;A-Za-z ]{0,60}") {
            ErrorDocument::parse(&body);
            ErrorDocument::parse(xml.as_bytes());
        }
    }
}
