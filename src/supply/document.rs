//! A small text object that several writers change: read, changed, and written only if it is still the one that was read.

use std::time::Duration;

use super::condition::Condition;
use super::error::StoreError;
use super::object::ObjectHeaders;
use super::store::Store;
use crate::backoff::{Backoff, BackoffPolicy};

/// The delays between the attempts, while others write.
const RETRY: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(50), max: Duration::from_secs(2), jitter: 1.0 };

/// The attempts at most.
const ATTEMPTS: u32 = 20;

/// Why a text object was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change cannot be made.
    #[error("{url} cannot be changed: {reason}")]
    Change {
        /// The object.
        url: String,
        /// The reason.
        reason: String,
    },
    /// Others changed it each time.
    #[error("{url} was not changed: others change it all the time ({ATTEMPTS} attempts); run the command again")]
    Contended {
        /// The object.
        url: String,
    },
}

impl Store {
    /// Changes the text of the object `key` by `change`, which gets the old text, or `None` if there is no object. Returns
    /// whether it was written: not if the text is the same. Where the server does not take conditions, reads the object again
    /// after the write and repeats the change if another writer replaced it.
    pub async fn change_text(
        &self,
        key: &str,
        content_type: &str,
        change: impl Fn(Option<&str>) -> Result<String, String>,
    ) -> Result<bool, DocumentError> {
        let url = self.url(key);
        let bad = |reason| DocumentError::Change { url: url.clone(), reason };
        let headers = ObjectHeaders { content_type: Some(content_type.to_owned()), metadata: Vec::new() };
        let mut backoff = Backoff::new(RETRY);
        let mut written = false;
        while backoff.failures() < ATTEMPTS {
            let old = self.get(key).await?;
            let (text, condition) = match &old {
                Some((bytes, head)) => {
                    let text = std::str::from_utf8(bytes).map_err(|error| bad(format!("it is not text: {error}")))?;
                    (Some(text), head.etag.clone().map_or(Condition::Always, Condition::Matches))
                }
                None => (None, Condition::Absent),
            };
            let new = change(text).map_err(bad)?;
            if text == Some(&new) {
                return Ok(written);
            }
            let is_guarded = match &condition {
                Condition::Always => false,
                Condition::Absent => self.capabilities().if_absent,
                Condition::Matches(_) => self.capabilities().if_matches,
            };
            match self.put(key, new.into(), &headers, &condition).await {
                Ok(_) if is_guarded => return Ok(true),
                // The next round finds the text as it was written, or with the change of another.
                Ok(_) => written = true,
                Err(StoreError::Precondition { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
        Err(DocumentError::Contended { url })
    }
}
