//! The XML documents of S3 requests and replies.

use std::fmt::Write as _;

use quick_xml::escape::escape;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;
use super::part::{CompletedPart, ListedPart, PendingUpload};
use crate::asset::Digest;

/// Parses the body of a reply about `url`.
pub(super) fn parse<T: DeserializeOwned>(url: &str, body: &[u8]) -> Result<T, StoreError> {
    let bad = |reason: String| StoreError::BadReply { url: url.to_owned(), reason };
    let text = std::str::from_utf8(body).map_err(|error| bad(error.to_string()))?;
    quick_xml::de::from_str(text).map_err(|error| bad(format!("its XML cannot be read: {error}")))
}

/// `InitiateMultipartUploadResult`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Initiated {
    pub(super) upload_id: String,
}

/// `CopyPartResult`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CopyResult {
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    #[serde(rename = "ChecksumSHA256", default)]
    pub(super) checksum: Option<String>,
}

/// `ListPartsResult`.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListParts {
    part: Vec<Part>,
    is_truncated: bool,
    next_part_number_marker: Option<String>,
}

#[expect(clippy::struct_field_names, reason = "the names of the reply")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    part_number: u32,
    #[serde(rename = "ETag", default)]
    etag: String,
    #[serde(default)]
    size: u64,
    #[serde(rename = "ChecksumSHA256", default)]
    checksum: Option<String>,
}

impl ListParts {
    /// Returns the parts, and where the next page begins.
    pub(super) fn into_parts(self) -> (Vec<ListedPart>, Option<String>) {
        let parts = self.part.into_iter().map(|part| ListedPart {
            number: part.part_number,
            size: part.size,
            etag: part.etag,
            digest: part.checksum.as_deref().and_then(Digest::from_base64),
        });
        (parts.collect(), self.next_part_number_marker.filter(|marker| self.is_truncated && !marker.is_empty()))
    }
}

/// `ListMultipartUploadsResult`.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListUploads {
    upload: Vec<PendingRow>,
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PendingRow {
    key: String,
    upload_id: String,
    #[serde(default)]
    initiated: Option<String>,
}

impl ListUploads {
    /// Returns the uploads, and the key and upload ID after which the next page begins.
    pub(super) fn into_uploads(self) -> (Vec<PendingUpload>, Option<(String, String)>) {
        let uploads = self.upload.into_iter().map(|upload| PendingUpload {
            key: upload.key,
            upload_id: upload.upload_id,
            initiated: upload.initiated,
        });
        let next = self.next_key_marker.filter(|_| self.is_truncated);
        (uploads.collect(), next.map(|marker| (marker, self.next_upload_id_marker.unwrap_or_default())))
    }
}

/// The body of `CompleteMultipartUpload`. `checksums`: with the SHA-256 of each part, as a server that keeps them wants it.
pub(super) fn complete(parts: &[CompletedPart], checksums: bool) -> String {
    let mut text = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for part in parts {
        let checksum = if checksums {
            format!("<ChecksumSHA256>{}</ChecksumSHA256>", part.digest.to_base64())
        } else {
            String::new()
        };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "<Part>{checksum}<ETag>{}</ETag><PartNumber>{}</PartNumber></Part>",
            escape(&part.etag),
            part.number
        );
    }
    text + "</CompleteMultipartUpload>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_uploads_are_parsed() {
        let digest = Digest::of(b"x");
        let text = format!(
            "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker><Part><PartNumber>2</PartNumber>\
             <ETag>\"e\"</ETag><Size>5</Size><ChecksumSHA256>{}</ChecksumSHA256></Part></ListPartsResult>",
            digest.to_base64()
        );
        let (parts, next) = parse::<ListParts>("s3://b/k", text.as_bytes()).unwrap().into_parts();
        assert_eq!(parts, [ListedPart { number: 2, size: 5, etag: "\"e\"".to_owned(), digest: Some(digest) }]);
        assert_eq!(next.as_deref(), Some("2"));
        let text = "<ListMultipartUploadsResult><NextKeyMarker/><IsTruncated>false</IsTruncated><Upload><Key>k</Key><UploadId>u</UploadId>\
                    <Initiated>t</Initiated></Upload></ListMultipartUploadsResult>";
        let (uploads, next) = parse::<ListUploads>("s3://b", text.as_bytes()).unwrap().into_uploads();
        assert_eq!((uploads[0].key.as_str(), uploads[0].upload_id.as_str(), next), ("k", "u", None));
    }

    #[test]
    fn completion_lists_parts_with_checksums() {
        let part = CompletedPart { number: 1, etag: "\"e\"".to_owned(), digest: Digest::of(b"x"), size: 1 };
        let base64 = part.digest.to_base64();
        let text = complete(std::slice::from_ref(&part), true);
        assert!(text.contains(&format!(
            "<Part><ChecksumSHA256>{base64}</ChecksumSHA256><ETag>&quot;e&quot;</ETag><PartNumber>1"
        )));
        assert!(!complete(&[part], false).contains("Checksum"));
    }
}
