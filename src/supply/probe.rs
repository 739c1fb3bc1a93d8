//! Finds out which optional header fields a server takes, with an object that is deleted again. The result is kept.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::capabilities::{Capabilities, EtagForm};
use super::condition::Condition;
use super::error::StoreError;
use super::hashed::Hashed;
use super::object::ObjectHeaders;
use super::state_dir::StateDir;
use super::store::Store;
use crate::durable_file::{DurableFile, read_regular};
use crate::task::blocking;

/// How long a result is kept. Servers are upgraded more seldom.
const KEEP: Duration = Duration::from_hours(7 * 24);

/// How the name of the object begins, below the prefix. A random number follows: probes of several machines must not meet.
const NAME: &str = ".bootdepot-probe-";

/// The bytes of the object.
const BYTES: &[u8] = b"bootdepot looks which header fields this server takes; this object can be deleted\n";

/// An `ETag` that the object does not have.
const OTHER_ETAG: &str = "\"00000000000000000000000000000000\"";

/// The result of a write under a condition.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    /// It was written, and has this `ETag`.
    Stored(Option<String>),
    /// The condition does not hold, as the server says.
    Unmet,
    /// The server does not take the condition.
    Refused,
}

/// A kept result.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    endpoint: String,
    bucket: String,
    /// Seconds since the Unix epoch.
    at: u64,
    capabilities: Capabilities,
}

impl Store {
    /// Returns the store with the header fields that its server takes: those that were found in the last week, else those that
    /// an object below `prefix` shows, which is written and deleted. Fails if the object cannot be written.
    pub async fn probed(self, prefix: &str, state: Option<&StateDir>) -> Result<Self, StoreError> {
        let path = state.map(|state| state.endpoint(self.endpoint(), self.bucket()));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Some(path) = path.clone()
            && let Some(kept) = blocking(move || read(&path)).await
            && kept.endpoint == self.endpoint()
            && kept.bucket == self.bucket()
            && (kept.at..kept.at + KEEP.as_secs()).contains(&now)
        {
            return Ok(self.with_capabilities(kept.capabilities));
        }
        let capabilities = self.probe(prefix).await?;
        debug!(endpoint = self.endpoint(), ?capabilities, "endpoint probed");
        if let Some(path) = path {
            let (endpoint, bucket) = (self.endpoint().to_owned(), self.bucket().to_owned());
            let kept = Kept { endpoint, bucket, at: now, capabilities };
            // Without the file, the next command probes again.
            let written = blocking(move || write(&path, &kept)).await;
            written.unwrap_or_else(|error| debug!(%error, "endpoint probe not kept"));
        }
        Ok(self.with_capabilities(capabilities))
    }

    async fn probe(&self, prefix: &str) -> Result<Capabilities, StoreError> {
        let store = self.clone().with_capabilities(Capabilities::ALL);
        let key = format!("{prefix}{NAME}{:016x}", fastrand::u64(..));
        let stored = store.put(&key, Bytes::from_static(BYTES), &ObjectHeaders::default(), &Condition::Always).await?;
        let kept = store.head(&key).await?.and_then(|head| head.checksum);
        let mut etag = stored.etag;
        let if_absent = match store.try_condition(&key, Condition::Absent).await? {
            Attempt::Stored(new) => {
                etag = new;
                false
            }
            other => other == Attempt::Unmet,
        };
        let other = store.try_condition(&key, Condition::Matches(OTHER_ETAG.to_owned())).await?;
        let mut if_matches = None;
        if let (Attempt::Unmet, Some(etag)) = (other, etag) {
            // A server that refuses whatever is sent would pass for one that compares.
            for form in [EtagForm::Quoted, EtagForm::Bare] {
                let store =
                    store.clone().with_capabilities(Capabilities { if_matches: Some(form), ..Capabilities::ALL });
                if let Attempt::Stored(_) = store.try_condition(&key, Condition::Matches(etag.clone())).await? {
                    if_matches = Some(form);
                    break;
                }
            }
        }
        if let Err(error) = store.delete(&key).await {
            debug!(url = store.url(&key), %error, "probe object not deleted");
        }
        let checksums = kept.is_some_and(|kept| Hashed::of(BYTES).matches_checksum(&kept) == Some(true));
        Ok(Capabilities { checksums: checksums && store.capabilities().checksums, if_absent, if_matches })
    }

    /// Writes the probe's object under a condition.
    async fn try_condition(&self, key: &str, condition: Condition) -> Result<Attempt, StoreError> {
        match self.put(key, Bytes::from_static(BYTES), &ObjectHeaders::default(), &condition).await {
            Ok(stored) => Ok(Attempt::Stored(stored.etag)),
            Err(StoreError::Precondition { .. }) => Ok(Attempt::Unmet),
            Err(error) if error.refuses_form() => Ok(Attempt::Refused),
            Err(error) => Err(error),
        }
    }
}

fn read(path: &Path) -> Option<Kept> {
    serde_json::from_slice(&read_regular(path).ok()?).ok()
}

fn write(path: &Path, kept: &Kept) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    DurableFile::new(path).replace(&serde_json::to_vec(kept)?)
}
