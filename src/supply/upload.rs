//! The upload of one object, as a sink for a stream of bytes: hashed in one pass, sent in parts, visible only at the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use md5::{Digest as _, Md5};
use tokio::task::{JoinHandle, JoinSet};

use super::condition::Condition;
use super::error::StoreError;
use super::hashed::{Hashed, Hasher};
use super::object::{ObjectHead, ObjectHeaders, Stored};
use super::part::{CompletedPart, ListedPart};
use super::part_plan::PartPlan;
use super::store::Store;
use crate::asset::Digest;
use crate::task::{blocking, join_or_panic};

/// Bytes of parts that are being sent, at most: five parts of the usual size. One more is being filled. Of parts above
/// 12.5 MiB, one is sent at a time.
const IN_FLIGHT: u64 = 25 << 20;

/// Parts that are sent at a time, at most, however small they are.
const MOST_PARTS: usize = 5;

/// An upload in parts that has begun at the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    /// Its ID.
    pub upload_id: String,
    /// The parts that the store has already. A part that has the right bytes for certain is not sent again.
    pub existing: Vec<ListedPart>,
    /// The parts that an earlier run has sent: the proof where the store does not say what is in a part.
    pub recorded: Vec<CompletedPart>,
}

/// Is given each part that was sent, on a blocking thread, to record it.
pub type PartRecord = Arc<dyn Fn(&CompletedPart) + Send + Sync>;

/// The upload of one object. Dropping it sends nothing more and leaves the parts at the store; [`Upload::abort`] deletes them.
///
/// An object that fits one part is stored by one PUT in [`Upload::finish`]; before, nothing of it is at the store. Memory: at
/// most six parts, which is 30 MiB for an object of up to 48 GiB.
pub struct Upload {
    store: Store,
    key: String,
    headers: ObjectHeaders,
    plan: PartPlan,
    /// The part that is being filled.
    buffer: BytesMut,
    /// The number of that part.
    number: u32,
    multipart: Option<Multipart>,
    existing: Arc<HashMap<u32, StoredPart>>,
    record: Option<PartRecord>,
    /// Hashes whole parts in their order, one behind the one that is being filled.
    whole: Option<JoinHandle<Hasher>>,
    sending: JoinSet<Result<CompletedPart, StoreError>>,
    parts: Vec<CompletedPart>,
    progress: UploadProgress,
    sealed: Option<Hashed>,
}

/// How far an upload is. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct UploadProgress {
    stored: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

/// A part that the store has, and what an earlier run recorded of it.
#[derive(Clone)]
struct StoredPart {
    listed: ListedPart,
    recorded: Option<CompletedPart>,
}

impl UploadProgress {
    /// Bytes of the object that the store has.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Bytes of the object that were sent in this run: the store had the others.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The store has all bytes of the object, whatever was counted before.
    pub(super) fn finish(&self, size: u64) {
        self.stored.store(size, Ordering::Relaxed);
    }

    /// Counts bytes that the store has.
    pub(super) fn note(&self, size: u64, was_sent: bool) {
        self.stored.fetch_add(size, Ordering::Relaxed);
        if was_sent {
            self.sent.fetch_add(size, Ordering::Relaxed);
        }
    }
}

impl Upload {
    /// An upload that has sent nothing yet.
    pub fn new(store: Store, key: impl Into<String>, headers: ObjectHeaders, plan: PartPlan) -> Self {
        Self {
            store,
            key: key.into(),
            headers,
            plan,
            buffer: BytesMut::new(),
            number: 1,
            multipart: None,
            existing: Arc::default(),
            record: None,
            whole: None,
            sending: JoinSet::new(),
            parts: Vec::new(),
            progress: UploadProgress::default(),
            sealed: None,
        }
    }

    /// The same for an upload in parts that has begun: new, or one to resume from its first byte. `plan` must be the one that it
    /// began with.
    #[must_use]
    pub fn with_multipart(mut self, mut multipart: Multipart) -> Self {
        let mut recorded: HashMap<u32, CompletedPart> =
            multipart.recorded.drain(..).map(|part| (part.number, part)).collect();
        let existing = multipart.existing.drain(..).map(|listed| {
            let number = listed.number;
            (number, StoredPart { listed, recorded: recorded.remove(&number) })
        });
        self.existing = Arc::new(existing.collect());
        Self { multipart: Some(multipart), ..self }
    }

    /// The same with `record` for the parts that are sent.
    #[must_use]
    pub fn with_record(self, record: PartRecord) -> Self {
        Self { record: Some(record), ..self }
    }

    /// The same with a progress that its owner watches from before.
    #[must_use]
    pub fn with_progress(self, progress: UploadProgress) -> Self {
        Self { progress, ..self }
    }

    /// A handle to its progress.
    pub fn progress(&self) -> UploadProgress {
        self.progress.clone()
    }

    /// The URL of the object.
    pub fn url(&self) -> String {
        self.store.url(&self.key)
    }

    /// Takes the next bytes. Waits while as many parts as are allowed are being sent. After an error the upload can only be
    /// aborted.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            let size = self.plan.part_size(self.number).ok_or_else(|| StoreError::BadRequest {
                url: self.url(),
                reason: "it has more than 10,000 parts; say its length, so that larger parts are made".to_owned(),
            })?;
            // A part is in memory, so its size is a usize.
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            // Only now is it known that the part before is not the last.
            if self.buffer.len() == size {
                self.send_part().await?;
                continue;
            }
            self.buffer.reserve(if self.buffer.is_empty() { size } else { 0 });
            let (now, later) = bytes.split_at(bytes.len().min(size - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Ends the stream: sends the rest, and waits until the store has all bytes. They are not visible. An object that fits one
    /// part is only hashed. Then the digests can be compared, before [`Upload::finish`] or [`Upload::abort`].
    pub async fn seal(&mut self) -> Result<&Hashed, StoreError> {
        let hashed = match self.sealed.take() {
            Some(hashed) => hashed,
            None if self.multipart.is_some() || self.number > 1 => self.seal_parts().await?,
            None => {
                let bytes = self.buffer.split().freeze();
                self.buffer = BytesMut::from(bytes.clone());
                blocking(move || Hashed::of(&bytes)).await
            }
        };
        Ok(self.sealed.insert(hashed))
    }

    /// Makes the object visible, if `condition` holds. After an error it can be finished again, or aborted.
    pub async fn finish(&mut self, condition: &Condition) -> Result<(Stored, Hashed), StoreError> {
        let hashed = self.seal().await?.clone();
        let Some(multipart) = &self.multipart else {
            let body = self.buffer.split().freeze();
            self.buffer = BytesMut::from(body.clone());
            let mut headers = self.headers.clone();
            if headers.metadata.iter().all(|(name, _)| name != "sha256") {
                headers.metadata.push(("sha256".to_owned(), hashed.digest.to_string()));
            }
            let stored = self.store.put(&self.key, body, &headers, condition).await?;
            self.progress.note(hashed.size, true);
            return Ok((stored, hashed));
        };
        match self.store.complete_upload(&self.key, &multipart.upload_id, &self.parts, condition).await {
            Ok(stored) => Ok((stored, hashed)),
            // The reply to an earlier attempt may have been lost.
            Err(StoreError::NoSuchUpload { url, answer }) => match self.store.head(&self.key).await? {
                Some(head) if head.size == hashed.size && is_of_parts(&head, &self.parts) => {
                    Ok((Stored { etag: head.etag, version: head.version }, hashed))
                }
                _ => Err(StoreError::NoSuchUpload { url, answer }),
            },
            Err(error) => Err(error),
        }
    }

    /// Stops, and deletes what is at the store of it.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        // A part that arrives after the abort would stay.
        self.sending.shutdown().await;
        match &self.multipart {
            Some(multipart) => self.store.abort_upload(&self.key, &multipart.upload_id).await,
            None => Ok(()),
        }
    }

    async fn seal_parts(&mut self) -> Result<Hashed, StoreError> {
        if !self.buffer.is_empty() || self.number == 1 {
            self.send_part().await?;
        }
        while self.next_sent().await? {}
        self.parts.sort_by_key(|part| part.number);
        let parts = self.parts.iter().map(|part| part.digest).collect();
        Ok(Hashed { parts, ..self.hasher().await.finish() })
    }

    /// Waits until the parts so far are hashed as a whole.
    async fn hasher(&mut self) -> Hasher {
        match self.whole.take() {
            Some(whole) => join_or_panic(whole).await,
            None => Hasher::without_parts(),
        }
    }

    /// Hands the filled part over: to the hash of the whole, and to a task that hashes and sends it.
    async fn send_part(&mut self) -> Result<(), StoreError> {
        let upload_id = if let Some(multipart) = &self.multipart {
            multipart.upload_id.clone()
        } else {
            let upload_id = self.store.create_upload(&self.key, &self.headers).await?;
            self.multipart =
                Some(Multipart { upload_id: upload_id.clone(), existing: Vec::new(), recorded: Vec::new() });
            upload_id
        };
        let bytes = std::mem::take(&mut self.buffer).freeze();
        let (mut hasher, piece) = (self.hasher().await, bytes.clone());
        self.whole = Some(tokio::task::spawn_blocking(move || {
            hasher.update(&piece);
            hasher
        }));
        let fitting = usize::try_from(IN_FLIGHT / (bytes.len() as u64).max(1)).unwrap_or(usize::MAX);
        while self.sending.len() >= fitting.clamp(1, MOST_PARTS) {
            self.next_sent().await?;
        }
        let number = self.number;
        let (store, key, existing) = (self.store.clone(), self.key.clone(), Arc::clone(&self.existing));
        let (progress, record) = (self.progress.clone(), self.record.clone());
        self.sending.spawn(async move {
            let stored = existing.get(&number).cloned();
            let piece = bytes.clone();
            let hashed = blocking(move || HashedPart::of(&piece, stored.as_ref())).await;
            let HashedPart { digest, stored_etag } = hashed;
            let (size, is_stored) = (bytes.len() as u64, stored_etag.is_some());
            let completed = match stored_etag {
                Some(etag) => CompletedPart { number, etag, digest, size },
                None => store.upload_part(&key, &upload_id, number, bytes, digest).await?,
            };
            if let Some(record) = record.filter(|_| !is_stored) {
                let part = completed.clone();
                blocking(move || record(&part)).await;
            }
            progress.note(size, !is_stored);
            Ok(completed)
        });
        self.number += 1;
        Ok(())
    }

    /// Waits for a part that is being sent. Returns `false` if there is none.
    async fn next_sent(&mut self) -> Result<bool, StoreError> {
        let Some(joined) = self.sending.join_next().await else { return Ok(false) };
        let part = join_or_panic(async { joined }).await?;
        self.parts.push(part);
        Ok(true)
    }
}

/// The digest of one part.
struct HashedPart {
    digest: Digest,
    /// The `ETag` at the store, if the store has these bytes.
    stored_etag: Option<String>,
}

impl HashedPart {
    /// Hashes a part, and compares it with the one that the store has under its number.
    fn of(bytes: &Bytes, stored: Option<&StoredPart>) -> Self {
        let digest = Digest::of(bytes);
        let stored_etag = stored.filter(|stored| stored.listed.size == bytes.len() as u64).and_then(|stored| {
            let StoredPart { listed, recorded } = stored;
            let is_same = |etag: &str| listed.etag.is_empty() || listed.etag == etag;
            let recorded = recorded.as_ref().filter(|part| part.digest == digest && is_same(&part.etag));
            match (recorded, listed.digest) {
                (_, Some(kept)) => (kept == digest).then(|| listed.etag.clone()),
                (Some(recorded), None) => Some(recorded.etag.clone()),
                // The ETag of a part is the MD5 of its bytes, unless the server encrypts them. Then it is sent again.
                (None, None) => {
                    let etag = listed.etag.trim_matches('"');
                    etag.eq_ignore_ascii_case(&md5_hex(bytes)).then(|| listed.etag.clone())
                }
            }
        });
        Self { digest, stored_etag }
    }
}

/// Whether an object is the one of these parts, as far as its `ETag` says: the MD5 of the parts' MD5s, and their number. Where the
/// fields of the parts are no MD5s (encryption with a customer's keys), only the form of the object's field counts.
fn is_of_parts(head: &ObjectHead, parts: &[CompletedPart]) -> bool {
    let found = head.etag.as_deref().unwrap_or_default().trim_matches('"');
    let md5s: Option<Vec<u128>> = parts.iter().map(|part| md5_of(part.etag.trim_matches('"'))).collect();
    md5s.map_or(head.has_parts(), |md5s| {
        let md5s: Vec<u8> = md5s.into_iter().flat_map(u128::to_be_bytes).collect();
        found.eq_ignore_ascii_case(&format!("{}-{}", md5_hex(&md5s), parts.len()))
    })
}

fn md5_of(etag: &str) -> Option<u128> {
    u128::from_str_radix(etag, 16).ok().filter(|_| etag.len() == 32)
}

fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored_etag(etag: &str, kept: Option<Digest>, recorded: Option<(&str, Digest)>) -> Option<String> {
        let listed = ListedPart { number: 1, size: 3, etag: etag.to_owned(), digest: kept };
        let recorded =
            recorded.map(|(etag, digest)| CompletedPart { number: 1, etag: etag.to_owned(), digest, size: 3 });
        HashedPart::of(&Bytes::from_static(b"abc"), Some(&StoredPart { listed, recorded })).stored_etag
    }

    #[test]
    fn object_of_other_parts_is_not_ours() {
        let etags = ["900150983cd24fb0d6963f7d28e17f72", "4911e516e5aa21d327512e0c8b197616"];
        let part = |number: u32, etag: &str| CompletedPart {
            number,
            etag: format!("\"{etag}\""),
            digest: Digest::of(b"abc"),
            size: 3,
        };
        let parts = [part(1, etags[0]), part(2, etags[1])];
        let head = |etag: &str| {
            let mut fields = http::HeaderMap::new();
            fields.insert("content-length", "6".parse().unwrap());
            fields.insert("etag", etag.parse().unwrap());
            ObjectHead::parse("s3://b/k", &fields).unwrap()
        };
        // From hashlib of Python.
        let ours = "\"dcafbe7237243e388c786f1b0e688790-2\"";
        assert!(is_of_parts(&head(ours), &parts), "the MD5 of both MD5s");
        assert!(!is_of_parts(&head("\"00000000000000000000000000000000-2\""), &parts), "another object of that size");
        assert!(!is_of_parts(&head(ours), &parts[..1]));
        let encrypted = [part(1, "opaque")];
        assert!(is_of_parts(&head("\"opaque-1\""), &encrypted));
        assert!(!is_of_parts(&head("\"opaque\""), &encrypted));
    }

    #[test]
    fn stored_part_needs_proof_of_bytes() {
        let (right, wrong) = (Digest::of(b"abc"), Digest::of(b"abd"));
        let md5 = "\"900150983cd24fb0d6963f7d28e17f72\"";
        assert_eq!(stored_etag("\"e\"", Some(right), None).as_deref(), Some("\"e\""));
        assert_eq!(stored_etag(md5, Some(wrong), Some((md5, right))), None, "the store's checksum decides");
        assert_eq!(stored_etag(md5, None, None).as_deref(), Some(md5));
        assert_eq!(stored_etag("\"e\"", None, None), None);
        assert_eq!(stored_etag("\"e\"", None, Some(("\"e\"", right))).as_deref(), Some("\"e\""));
        assert_eq!(stored_etag("", None, Some(("\"e\"", right))).as_deref(), Some("\"e\""));
        assert_eq!(stored_etag("\"f\"", None, Some(("\"e\"", right))), None, "it was sent again since");
        assert_eq!(stored_etag("", None, Some(("\"e\"", wrong))), None);
        let longer = ListedPart { number: 1, size: 4, etag: md5.to_owned(), digest: Some(right) };
        let longer = StoredPart { listed: longer, recorded: None };
        assert_eq!(HashedPart::of(&Bytes::from_static(b"abc"), Some(&longer)).stored_etag, None);
    }
}
