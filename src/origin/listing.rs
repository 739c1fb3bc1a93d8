//! Listings of a bucket (`ListObjectsV2`): the request for a page, and what is in it.

use http::Method;
use serde::Deserialize;

use super::call::Call;
use super::html_page::HtmlPage;

/// The root element of a listing.
const ROOT: &[u8] = b"ListBucketResult";

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its `ETag`, quotes included.
    pub etag: Option<String>,
    /// When it was last modified (RFC 3339), as written.
    pub last_modified: Option<String>,
    /// Its storage class. `None`: the standard one.
    pub storage_class: Option<String>,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// The objects, by key.
    pub objects: Vec<ListedObject>,
    /// The prefixes up to a delimiter, each once.
    pub prefixes: Vec<String>,
    /// Where the next page begins. `None`: this is the last one.
    pub next: Option<String>,
}

impl Call {
    /// The request for a page of at most 1,000 objects whose key begins with `prefix`. With a delimiter, keys that have it after the
    /// prefix are grouped in [`ListPage::prefixes`]. `from` is the [`ListPage::next`] of the page before.
    pub fn list(prefix: &str, delimiter: Option<&str>, from: Option<&str>) -> Self {
        let mut call = Self::new(Method::GET, "").query("list-type", "2").query("prefix", prefix);
        if let Some(delimiter) = delimiter {
            call = call.query("delimiter", delimiter);
        }
        if let Some(from) = from {
            call = call.query("continuation-token", from);
        }
        call
    }
}

impl ListPage {
    /// Reads the reply of `endpoint`. Fails with the reason if it is not a listing.
    pub fn parse(body: &[u8], endpoint: &str) -> Result<Self, String> {
        // Anything else, such as a web page, would pass for the listing of an empty bucket.
        if !body.windows(ROOT.len()).any(|piece| piece == ROOT) {
            let found = HtmlPage::parse(body).map_or_else(|| "another document".to_owned(), |it| it.to_string());
            return Err(format!("{found} in place of a listing; check that {endpoint} is an S3 server"));
        }
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        let list: ListObjects =
            quick_xml::de::from_str(text).map_err(|error| format!("its XML cannot be read: {error}"))?;
        Ok(list.into_page())
    }
}

/// `ListBucketResult` of `ListObjectsV2`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListObjects {
    contents: Vec<Contents>,
    common_prefixes: Vec<CommonPrefix>,
    is_truncated: bool,
    next_continuation_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    #[serde(default)]
    size: u64,
    #[serde(rename = "ETag", default)]
    etag: Option<String>,
    #[serde(default)]
    last_modified: Option<String>,
    #[serde(default)]
    storage_class: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CommonPrefix {
    prefix: String,
}

impl ListObjects {
    fn into_page(self) -> ListPage {
        let objects = self.contents.into_iter().map(|object| ListedObject {
            key: object.key,
            size: object.size,
            etag: object.etag,
            last_modified: object.last_modified,
            storage_class: object.storage_class.filter(|class| class != "STANDARD"),
        });
        ListPage {
            objects: objects.collect(),
            prefixes: self.common_prefixes.into_iter().map(|common| common.prefix).collect(),
            next: self.next_continuation_token.filter(|token| self.is_truncated && !token.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_with_special_keys_is_parsed() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix/><KeyCount>2</KeyCount>
            <IsTruncated>true</IsTruncated><NextContinuationToken>t=</NextContinuationToken>
            <Contents><Key>a b/ü+&amp;</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>
            <Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>
            <CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes></ListBucketResult>"#;
        let page = ListPage::parse(text.as_bytes(), "s3.example").unwrap();
        let object = &page.objects[0];
        assert_eq!((object.key.as_str(), object.size, object.etag.as_deref()), ("a b/ü+&", 7, Some("\"e\"")));
        assert_eq!(
            (page.prefixes, page.next, object.storage_class.clone()),
            (vec!["c/".to_owned()], Some("t=".to_owned()), None)
        );
    }

    #[test]
    fn empty_listing_has_no_pages() {
        let text = "<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken></NextContinuationToken></ListBucketResult>";
        assert_eq!(ListPage::parse(text.as_bytes(), "s3.example").unwrap(), ListPage::default());
    }
}
