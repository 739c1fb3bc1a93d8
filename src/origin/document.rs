//! S3 error documents: the small XML body in which a store says what is wrong.

use serde::Deserialize;

/// What an error document says; all of it empty where there was none.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Document {
    /// The error's code, such as `NoSuchKey`.
    pub(super) code: Option<String>,
    /// The same for people.
    pub(super) message: Option<String>,
    /// The region that the bucket is in, where another was asked.
    pub(super) region: Option<String>,
    /// The endpoint that the bucket is at, where another was asked.
    pub(super) endpoint: Option<String>,
    /// The bucket.
    pub(super) bucket_name: Option<String>,
    /// The object's length, where a range lay past it.
    pub(super) actual_object_size: Option<u64>,
}

impl Document {
    /// The most bytes of one that are read.
    pub(super) const MAX_LENGTH: usize = 64 << 10;

    /// Longest text taken over from a document into our own words, in characters.
    const MAX_TEXT: usize = 200;

    /// Reads the document; what is none says nothing.
    pub(super) fn parse(body: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(body) else { return Self::default() };
        // Of a web server's own pages nothing would be left but a title.
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
            *field = field.as_deref().map(plain).filter(|text| !text.is_empty());
        }
        document
    }

    /// `Code: message`, as far as they are known.
    pub(super) fn words(&self) -> Option<String> {
        match (&self.code, &self.message) {
            (Some(code), Some(message)) => Some(format!("{code}: {message}")),
            (Some(words), None) | (None, Some(words)) => Some(words.clone()),
            (None, None) => None,
        }
    }
}

/// A stranger's text made fit for a log: one line, of bounded length.
fn plain(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(Document::MAX_TEXT).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_stores_write() {
        let document = Document::parse(
            br#"<?xml version="1.0" encoding="UTF-8"?>
            <Error><Code>PermanentRedirect</Code><Message>Use &lt;that&gt; endpoint.</Message>
            <Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint><RequestId>1</RequestId><BucketName>b</BucketName></Error>"#,
        );
        assert_eq!(document.words().as_deref(), Some("PermanentRedirect: Use <that> endpoint."));
        assert_eq!(document.endpoint.as_deref(), Some("b.s3.eu-west-1.amazonaws.com"));
        assert_eq!(document.bucket_name.as_deref(), Some("b"));
        let document =
            Document::parse(b"<Error><Code>InvalidRange</Code><ActualObjectSize>5</ActualObjectSize></Error>");
        assert_eq!(document.actual_object_size, Some(5));
    }

    #[test]
    fn keeps_a_strangers_words_to_one_line() {
        let long = format!("<Error><Code>A\n\u{1b}B</Code><Message>{}</Message></Error>", "x".repeat(900));
        let document = Document::parse(long.as_bytes());
        assert_eq!(document.code.as_deref(), Some("A  B"));
        assert_eq!(document.message.unwrap().len(), 200);
    }

    proptest! {
        #[test]
        fn survives_anything(body in prop::collection::vec(any::<u8>(), 0..200), xml in "<Error>[<>/&;A-Za-z ]{0,60}") {
            Document::parse(&body);
            Document::parse(xml.as_bytes());
        }
    }
}
