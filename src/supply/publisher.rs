//! Publishes one input: the object, proven at the store, then its sidecars. The catalog's entry is the caller's last step.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tracing::warn;

use super::catalog_entry::CatalogEntry;
use super::condition::Condition;
use super::copy;
use super::error::StoreError;
use super::existing::{self, Existing};
use super::hashed::Hashed;
use super::input::{FileIdentity, Input, InputError, Reader};
use super::journal::{Begun, Journal, Unfinished};
use super::object::{ObjectHead, ObjectHeaders};
use super::part_plan::PartPlan;
use super::publish_error::PublishError;
use super::sidecars::{METADATA_FILE, ObjectMetadata, merge_metadata, sha256_line};
use super::state_dir::StateDir;
use super::store::Store;
use super::upload::{Multipart, Upload, UploadProgress};
use crate::asset::AssetName;
use crate::catalog::content_type;
use crate::clock;
use crate::origin::Origins;
use crate::task::blocking;

/// How inputs are published.
#[derive(Clone)]
pub struct Publisher {
    /// Reads objects back.
    pub origins: Origins,
    /// Where objects go.
    pub store: Store,
    /// The bucket of the public copy, and the prefix there. `None`: no copy.
    pub public: Option<(Store, String)>,
    /// Where uploads are recorded. `None`: they cannot be resumed.
    pub state: Option<StateDir>,
    /// Replaces objects with other bytes.
    pub force: bool,
    /// Reads all objects back.
    pub verify: bool,
    /// For `metadata.json`.
    pub labels: Labels,
}

/// Values for `metadata.json` that are the same for all inputs of a command.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// The version.
    pub version: Option<String>,
    /// The server that the objects are for.
    pub server_id: Option<String>,
    /// The name of that server.
    pub hostname: Option<String>,
    /// Other values.
    pub meta: BTreeMap<String, String>,
}

/// An input, and the object that it becomes.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The bytes.
    pub input: Input,
    /// The object's key.
    pub key: String,
    /// The asset's name.
    pub name: AssetName,
}

/// The result of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The entry for the catalog.
    pub entry: CatalogEntry,
    /// Whether the object was there before, with these bytes.
    pub was_there: bool,
    /// The URL of the public copy.
    pub public: Option<String>,
}

impl Publication {
    /// The last segment of the key.
    fn file(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }
}

impl Publisher {
    /// Publishes an input. When it returns, object and sidecars are complete. After an error, what was sent of a large file is
    /// kept for a later run, unless the file changed.
    pub async fn publish(
        &self,
        publication: &Publication,
        progress: &UploadProgress,
    ) -> Result<Published, PublishError> {
        let (hashed, was_there) = self.place(publication, progress).await?;
        let (store, key) = (&self.store, publication.key.as_str());
        let head = store.head(key).await?.ok_or_else(|| PublishError::Vanished { url: store.url(key) })?;
        check_head(&store.url(key), &head, &hashed)?;
        if self.verify {
            existing::verify(&self.origins, store, key, &hashed).await?;
        }
        let entry = self.describe(store, publication, &hashed).await?;
        let public = match &self.public {
            Some((public, prefix)) => Some(self.copy_to(public, prefix, publication, &hashed).await?),
            None => None,
        };
        Ok(Published { entry, was_there, public })
    }

    /// Makes sure that the object has the bytes of the input. Returns whether it had them before.
    async fn place(
        &self,
        publication: &Publication,
        progress: &UploadProgress,
    ) -> Result<(Hashed, bool), PublishError> {
        let (store, key) = (&self.store, publication.key.as_str());
        let size = publication.input.size()?;
        let plan = PartPlan::new(size).ok_or_else(|| PublishError::TooLarge(publication.input.shown()))?;
        let there = store.head(key).await?;
        if let (Some(head), Input::File(_)) = (&there, &publication.input)
            && let Some(hashed) = self.find_same(publication, plan, head, progress).await?
        {
            return Ok((hashed, true));
        }
        let is_new = there.is_none() && matches!(publication.input, Input::File(_));
        match self.upload(publication, plan, there, progress).await {
            // An earlier run was ended before the store answered its completion, which took effect after the look above.
            Err(error) if is_new && error.may_mean_ended_upload() => {
                let Some(head) = store.head(key).await? else { return Err(error) };
                let found = self.find_same(publication, plan, &head, progress).await?;
                found.map(|hashed| (hashed, true)).ok_or(error)
            }
            placed => placed,
        }
    }

    /// Compares a file with the object that its key has, before any byte is sent. Returns `None` if the object is to be
    /// replaced.
    async fn find_same(
        &self,
        publication: &Publication,
        plan: PartPlan,
        head: &ObjectHead,
        progress: &UploadProgress,
    ) -> Result<Option<Hashed>, PublishError> {
        let (store, key) = (&self.store, publication.key.as_str());
        let size = publication.input.size()?;
        let found = if size.is_none_or(|size| size == head.size) {
            let hashed = existing::hash(&publication.input, plan).await?;
            match self.compare(publication, head, &hashed).await? {
                Existing::Same => {
                    progress.finish(hashed.size);
                    self.forget_upload(key).await;
                    return Ok(Some(hashed));
                }
                Existing::Other(found) => found,
            }
        } else {
            format!("{} bytes", head.size)
        };
        if self.force { Ok(None) } else { Err(PublishError::Exists { url: store.url(key), found }) }
    }

    /// Removes the record of an upload that an earlier run began: the object is complete.
    async fn forget_upload(&self, key: &str) {
        let Some(state) = &self.state else { return };
        let path = state.upload(self.store.endpoint(), self.store.bucket(), key);
        blocking(move || {
            if let Ok(true) = path.try_exists()
                && let Ok(Some((journal, _))) = Journal::open(&path)
            {
                journal.remove();
            }
        })
        .await;
    }

    async fn upload(
        &self,
        publication: &Publication,
        plan: PartPlan,
        there: Option<ObjectHead>,
        progress: &UploadProgress,
    ) -> Result<(Hashed, bool), PublishError> {
        let (store, key) = (&self.store, publication.key.as_str());
        let headers =
            ObjectHeaders { content_type: Some(content_type(publication.file()).to_owned()), metadata: Vec::new() };
        let mut reader = publication.input.read()?;
        let (plan, multipart, journal) = match reader.identity().filter(|file| file.size > plan.first()) {
            Some(file) => self.begin(key, &headers, plan, file).await?,
            None => (plan, None, None),
        };
        let mut upload = Upload::new(store.clone(), key, headers, plan).with_progress(progress.clone());
        if let Some(multipart) = multipart {
            upload = upload.with_multipart(multipart);
        }
        if let Some(journal) = journal.clone() {
            upload = upload.with_record(Arc::new(move |part| journal.note(part)));
        }
        let end = async |upload: Upload| {
            if let Err(error) = upload.abort().await {
                warn!(url = store.url(key), %error, "upload not aborted");
            }
            if let Some(journal) = journal.clone() {
                blocking(move || journal.remove()).await;
            }
        };
        let hashed = match fill(&mut upload, &mut reader).await {
            Ok(hashed) => hashed,
            Err(error) => {
                // Without a record, no later run finds the parts. Those of a file that has changed are of no use. An upload that
                // ended elsewhere takes no part from any run.
                let has_ended = error.may_mean_ended_upload() && progress.stored() == 0;
                if journal.is_none() || has_ended || matches!(error, PublishError::Input(InputError::Changed(_))) {
                    end(upload).await;
                }
                return Err(error);
            }
        };
        let condition = if self.force { Condition::Always } else { Condition::Absent };
        // The bytes of standard input are compared only now.
        let mut found = there.filter(|_| matches!(publication.input, Input::Stdin));
        if found.is_none() {
            match upload.finish(&condition).await {
                Ok(_) => {
                    if let Some(journal) = journal.clone() {
                        blocking(move || journal.remove()).await;
                    }
                    return Ok((hashed, false));
                }
                // Another publish was faster, or an answer was lost.
                Err(StoreError::Precondition { url, answer }) => {
                    found = store.head(key).await?;
                    if found.is_none() {
                        end(upload).await;
                        return Err(StoreError::Precondition { url, answer }.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Some(head) = found else { return Err(PublishError::Vanished { url: store.url(key) }) };
        match self.compare(publication, &head, &hashed).await? {
            Existing::Same => {
                end(upload).await;
                Ok((hashed, true))
            }
            Existing::Other(found) if !self.force => {
                end(upload).await;
                Err(PublishError::Exists { url: store.url(key), found })
            }
            Existing::Other(_) => {
                upload.finish(&Condition::Always).await?;
                Ok((hashed, false))
            }
        }
    }

    async fn compare(
        &self,
        publication: &Publication,
        head: &ObjectHead,
        hashed: &Hashed,
    ) -> Result<Existing, PublishError> {
        existing::compare(&self.origins, &self.store, &publication.key, publication.file(), head, hashed).await
    }

    /// Begins an upload in parts, or takes up the one that an earlier run began for the same state of the file.
    async fn begin(
        &self,
        key: &str,
        headers: &ObjectHeaders,
        plan: PartPlan,
        file: FileIdentity,
    ) -> Result<(PartPlan, Option<Multipart>, Option<Arc<Journal>>), PublishError> {
        let store = &self.store;
        let Some(state) = &self.state else { return Ok((plan, None, None)) };
        let path = state.upload(store.endpoint(), store.bucket(), key);
        let opened = {
            let path = path.clone();
            blocking(move || Journal::open(&path)).await
        };
        let (journal, unfinished) = match opened {
            Ok(Some((journal, unfinished))) => (Arc::new(journal), unfinished),
            Ok(None) => return Err(PublishError::Busy { url: store.url(key) }),
            Err(error) => {
                warn!(path = %path.display(), %error, "upload record not opened");
                return Ok((plan, None, None));
            }
        };
        let url = store.url(key);
        if let Some(Unfinished { begun, parts }) = unfinished {
            if begun.file == file && begun.url == url {
                match store.list_parts(key, &begun.upload_id).await {
                    Ok(existing) => {
                        let multipart = Multipart { upload_id: begun.upload_id, existing, recorded: parts };
                        return Ok((PartPlan::of_size(begun.part_size), Some(multipart), Some(journal)));
                    }
                    Err(StoreError::NoSuchUpload { .. }) => {}
                    Err(error) if error.is_transient() => return Err(error.into()),
                    // Some stores deny access to an upload that has ended, and some keys may not list parts.
                    Err(error) => warn!(url, %error, "upload not resumed"),
                }
            } else if begun.url == url
                && let Err(error) = store.abort_upload(key, &begun.upload_id).await
            {
                warn!(url, %error, "old upload not aborted");
            }
        }
        let upload_id = store.create_upload(key, headers).await?;
        let begun = Begun { url, upload_id: upload_id.clone(), part_size: plan.first(), file };
        let written = {
            let journal = Arc::clone(&journal);
            blocking(move || journal.begin(&begun)).await
        };
        if let Err(error) = written {
            warn!(path = %path.display(), %error, "upload record not written");
        }
        let multipart = Multipart { upload_id, existing: Vec::new(), recorded: Vec::new() };
        Ok((plan, Some(multipart), Some(journal)))
    }

    /// Writes the sidecars of an object, and returns its entry.
    async fn describe(
        &self,
        store: &Store,
        publication: &Publication,
        hashed: &Hashed,
    ) -> Result<CatalogEntry, PublishError> {
        let key = publication.key.as_str();
        let put = async |key: &str, kind: &str, text: String| {
            let headers = ObjectHeaders { content_type: Some(kind.to_owned()), metadata: Vec::new() };
            store.put(key, Bytes::from(text), &headers, &Condition::Always).await
        };
        let (blocks, list) = (format!("{key}.blocks"), hashed.block_list());
        let blocks_sha256 = crate::asset::Digest::of(list.as_bytes());
        put(&blocks, "application/json", list).await?;
        put(&format!("{key}.sha256"), "text/plain", sha256_line(&hashed.digest, publication.file())).await?;
        let metadata = ObjectMetadata {
            name: publication.name.to_string(),
            version: self.labels.version.clone(),
            size: hashed.size,
            sha256: hashed.digest.to_string(),
            published_at: Timestamp::from_second(clock::now().as_second()).unwrap_or_default().to_string(),
            published_by: concat!("bootdepot ", env!("CARGO_PKG_VERSION")).to_owned(),
            server_id: self.labels.server_id.clone(),
            hostname: self.labels.hostname.clone(),
            meta: self.labels.meta.clone(),
        };
        let directory = key.strip_suffix(publication.file()).unwrap_or_default();
        let merge = |old: Option<&str>| merge_metadata(old, publication.file(), &metadata);
        store.change_text(&format!("{directory}{METADATA_FILE}"), "application/json", merge).await?;
        Ok(CatalogEntry {
            name: publication.name.clone(),
            source: store.url(key),
            sha256: hashed.digest,
            size: hashed.size,
            blocks: Some((store.url(&blocks), blocks_sha256)),
        })
    }

    /// Copies an object to the public bucket, with its sidecars. Returns its URL there.
    async fn copy_to(
        &self,
        public: &Store,
        prefix: &str,
        publication: &Publication,
        hashed: &Hashed,
    ) -> Result<String, PublishError> {
        let key = format!("{prefix}{}", publication.key);
        let copy = Publication { key: key.clone(), ..publication.clone() };
        let there = public.head(&key).await?;
        let state = match &there {
            Some(head) => existing::compare(&self.origins, public, &key, copy.file(), head, hashed).await?,
            None => Existing::Other(String::new()),
        };
        match state {
            Existing::Same => {}
            Existing::Other(found) if there.is_some() && !self.force => {
                return Err(PublishError::Exists { url: public.url(&key), found });
            }
            Existing::Other(_) => copy::copy(&self.store, &publication.key, public, &key, hashed.size).await?,
        }
        let url = public.url(&key);
        let head = public.head(&key).await?.ok_or_else(|| PublishError::Vanished { url: url.clone() })?;
        if head.size != hashed.size {
            return Err(PublishError::WrongSize { url, expected: hashed.size, found: head.size });
        }
        if self.verify {
            existing::verify(&self.origins, public, &key, hashed).await?;
        }
        self.describe(public, &copy, hashed).await?;
        Ok(url)
    }
}

/// Sends all bytes of an input.
async fn fill(upload: &mut Upload, reader: &mut Reader) -> Result<Hashed, PublishError> {
    while let Some(piece) = reader.next().await? {
        upload.write(&piece).await?;
    }
    Ok(upload.seal().await?.clone())
}

/// Compares what the store says of an object with the bytes that were sent.
fn check_head(url: &str, head: &ObjectHead, hashed: &Hashed) -> Result<(), PublishError> {
    let url = url.to_owned();
    if head.size != hashed.size {
        return Err(PublishError::WrongSize { url, expected: hashed.size, found: head.size });
    }
    let kept = head.checksum.as_deref();
    match kept.filter(|kept| hashed.matches_checksum(kept) == Some(false)) {
        // The object was there before, and was uploaded in other parts.
        Some(kept) if !head.has_parts() || kept.ends_with(&format!("-{}", hashed.parts.len())) => {
            Err(PublishError::WrongChecksum { url, expected: hashed.s3_checksum(), found: kept.to_owned() })
        }
        _ => Ok(()),
    }
}
