//! A small text object that several writers change: read, changed, and written only if it is still the one that was read.

use std::str::{Utf8Error, from_utf8};
use std::time::Duration;

use tracing::debug;

use super::capabilities::Capabilities;
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
pub enum TextObjectError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is not text.
    #[error("{url} is not text: {source}")]
    NotText {
        /// The object.
        url: String,
        /// Where it is not.
        source: Utf8Error,
    },
    /// The change cannot be made.
    #[error("{url} cannot be changed: {source}")]
    Change {
        /// The object.
        url: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others changed it each time.
    #[error("{url} was not changed: others change it all the time ({ATTEMPTS} attempts); run the command again")]
    Contended {
        /// The object.
        url: String,
    },
}

impl Store {
    /// The text of the object `key`. `None` if there is no object.
    pub async fn text(&self, key: &str) -> Result<Option<String>, TextObjectError> {
        match self.get(key).await? {
            Some((bytes, _)) => Ok(Some(as_text(&bytes, &self.url(key))?.to_owned())),
            None => Ok(None),
        }
    }

    /// Changes the text of the object `key` by `change`, which gets the old text, or `None` if there is no object. Returns
    /// whether it was written: not if the text is the same. Where the server does not take conditions, reads the object again
    /// after the write and repeats the change if another writer replaced it. The same where the server refuses a condition that
    /// holds: Ceph does so in a bucket that got versions after it was probed.
    pub async fn change_text<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        key: &str,
        content_type: &str,
        change: impl Fn(Option<&str>) -> Result<String, E>,
    ) -> Result<bool, TextObjectError> {
        let url = self.url(key);
        let headers = ObjectHeaders { content_type: Some(content_type.to_owned()), metadata: Vec::new() };
        let mut backoff = Backoff::new(RETRY);
        let mut store = self.clone();
        let mut refused = None;
        let mut written = false;
        while backoff.failures() < ATTEMPTS {
            let old = self.get(key).await?;
            let (text, condition) = match &old {
                Some((bytes, head)) => {
                    (Some(as_text(bytes, &url)?), head.etag.clone().map_or(Condition::Always, Condition::Matches))
                }
                None => (None, Condition::Absent),
            };
            let new =
                change(text).map_err(|error| TextObjectError::Change { url: url.clone(), source: error.into() })?;
            if text == Some(&new) {
                return Ok(written);
            }
            if refused.as_ref() == Some(&condition) {
                debug!(url, ?condition, "condition refused although it holds");
                let capabilities = Capabilities { if_absent: false, if_matches: None, ..store.capabilities() };
                store = store.with_capabilities(capabilities);
            }
            let is_guarded = condition.field(store.capabilities()).is_some();
            match store.put(key, new.into(), &headers, &condition).await {
                Ok(_) if is_guarded => return Ok(true),
                // The next round finds the text as it was written, or with the change of another.
                Ok(_) => written = true,
                Err(StoreError::Precondition { .. }) => refused = Some(condition),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
        Err(TextObjectError::Contended { url })
    }
}

fn as_text<'t>(bytes: &'t [u8], url: &str) -> Result<&'t str, TextObjectError> {
    from_utf8(bytes).map_err(|source| TextObjectError::NotText { url: url.to_owned(), source })
}
