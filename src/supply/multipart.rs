//! Uploads in parts: the requests. An upload is invisible until it is completed.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ETAG, HeaderName, HeaderValue};

use super::condition::Condition;
use super::error::StoreError;
use super::object::{ObjectHeaders, Stored};
use super::store::Store;
use super::xml::{self, Initiated, ListParts, ListUploads};
use crate::asset::Digest;
use crate::origin::Call;

/// How long a store may take to put the parts together: some copy all bytes.
const COMPLETE_TIMEOUT: Duration = Duration::from_mins(30);

/// The field that says which checksum the parts of an upload will have.
const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");

/// A part that a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// Its number, from 1.
    pub number: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Its `ETag`, quotes included.
    pub etag: String,
    /// Its SHA-256, if the server keeps it.
    pub digest: Option<Digest>,
}

/// A part that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its number, from 1.
    pub number: u32,
    /// The `ETag` that the store gave it, quotes included.
    pub etag: String,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// An upload that is neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpload {
    /// The key of the object that it will become.
    pub key: String,
    /// Its ID.
    pub upload_id: String,
    /// When it began (RFC 3339), as written.
    pub initiated: Option<String>,
}

impl Store {
    /// Begins an upload in parts, and returns its ID.
    pub async fn create_upload(&self, key: &str, headers: &ObjectHeaders) -> Result<String, StoreError> {
        let mut call = Call::new(Method::POST, key).query("uploads", "");
        self.describe(key, headers, &mut call.headers)?;
        if self.capabilities().checksums {
            call.headers.insert(ALGORITHM, HeaderValue::from_static("SHA256"));
        }
        let reply = self.send(call).await?;
        Ok(xml::parse::<Initiated>(&self.url(key), &reply.body)?.upload_id)
    }

    /// Sends part `number`, from 1, with the digest `digest`.
    pub async fn upload_part(
        &self,
        key: &str,
        upload_id: &str,
        number: u32,
        body: Bytes,
        digest: Digest,
    ) -> Result<CompletedPart, StoreError> {
        let size = body.len() as u64;
        let mut call = Call { body, body_digest: Some(digest), ..Call::new(Method::PUT, key) }
            .query("partNumber", number.to_string())
            .query("uploadId", upload_id);
        self.add_checksum(&digest, &mut call.headers);
        let reply = self.send(call).await?;
        let etag = reply.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let etag = etag.ok_or_else(|| StoreError::BadReply {
            url: self.url(key),
            reason: format!("part {number} has no ETag, without which the upload cannot be completed"),
        })?;
        Ok(CompletedPart { number, etag, digest, size })
    }

    /// Lists the parts that the store has of an upload, by number. Fails with [`StoreError::NoSuchUpload`] if the upload has
    /// ended.
    pub async fn list_parts(&self, key: &str, upload_id: &str) -> Result<Vec<ListedPart>, StoreError> {
        let mut parts = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let mut call = Call::new(Method::GET, key).query("uploadId", upload_id);
            if let Some(marker) = &marker {
                call = call.query("part-number-marker", marker);
            }
            let reply = self.send(call).await.map_err(|error| match error {
                StoreError::NotFound { url, answer } => StoreError::NoSuchUpload { url, answer },
                error => error,
            })?;
            let (page, next) = xml::parse::<ListParts>(&self.url(key), &reply.body)?.into_parts();
            parts.extend(page);
            // A marker that does not move would never end.
            match next {
                Some(next) if marker.as_ref() != Some(&next) => marker = Some(next),
                _ => break,
            }
        }
        parts.sort_by_key(|part: &ListedPart| part.number);
        Ok(parts)
    }

    /// Puts the parts together: the object becomes visible.
    pub async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[CompletedPart],
        condition: &Condition,
    ) -> Result<Stored, StoreError> {
        let body = xml::complete(parts, self.capabilities().checksums).into();
        let call = Call { body, answer_timeout: COMPLETE_TIMEOUT, ..Call::new(Method::POST, key) };
        let mut call = call.query("uploadId", upload_id);
        self.add_condition(condition, &mut call.headers);
        let reply = self.send(call).await?;
        Ok(Stored::parse(&reply.headers))
    }

    /// Ends an upload and deletes its parts. One that has ended is no error.
    pub async fn abort_upload(&self, key: &str, upload_id: &str) -> Result<(), StoreError> {
        match self.send(Call::new(Method::DELETE, key).query("uploadId", upload_id)).await {
            Ok(_) | Err(StoreError::NoSuchUpload { .. } | StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lists the uploads of keys that begin with `prefix` and are neither completed nor aborted.
    pub async fn list_uploads(&self, prefix: &str) -> Result<Vec<PendingUpload>, StoreError> {
        let mut uploads = Vec::new();
        let mut marker: Option<(String, String)> = None;
        loop {
            let mut call = Call::new(Method::GET, "").query("uploads", "").query("prefix", prefix);
            if let Some((key, upload_id)) = &marker {
                call = call.query("key-marker", key).query("upload-id-marker", upload_id);
            }
            let reply = self.send(call).await?;
            let (page, next) = xml::parse::<ListUploads>(&self.url(""), &reply.body)?.into_uploads();
            uploads.extend(page);
            match next {
                Some(next) if marker.as_ref() != Some(&next) => marker = Some(next),
                _ => return Ok(uploads),
            }
        }
    }
}
