//! Origins: one ranged read of one source URL, with the validator of what was read. Errors are told apart by meaning.
//!
//! It proves no digests and knows nothing of the cache. A reply is distrusted: its status, `Content-Range`, length and
//! validator are checked against what was asked before a byte is handed on.
//!
//! A read goes `remote` (URL, credentials, redirects) → `exchange` (one request and its answer) → `reply` (what a head
//! promises) → `body` (exactly that many bytes); what goes wrong becomes an [`OriginError`] in `failure` (no answer) or
//! `refusal` (an answer that says no). Files have a short way of their own, `file`.

mod body;
mod client;
mod document;
mod error;
mod exchange;
mod failure;
mod file;
mod health;
mod keyring;
mod refusal;
mod remote;
mod reply;
mod route;
mod s3;
mod settings;
mod stat;
mod validator;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

pub use body::Body;
pub use error::{OriginError, TlsFault};
pub use health::{OriginFailure, OriginStatus};
pub use route::{Route, Server};
pub use settings::{Addressing, Credentials, OriginSettings, Timeouts};
pub use stat::{Advertised, Answer, Stat};
pub use validator::Validator;

use crate::asset::{ByteRange, Place, SourceUrl};
use crate::span::{Kind, Span};
use crate::trust;
use health::Health;
use http::Method;
use remote::{Question, Remote};

/// All configured origins; for each source URL the one whose `match` is its longest prefix is used, else a plain one.
#[derive(Clone)]
pub struct Origins {
    inner: Arc<Inner>,
    health: Arc<Health>,
}

struct Inner {
    /// Longest prefix first.
    remotes: Vec<Remote>,
    /// For what no `match` names.
    plain: Remote,
    timeouts: Timeouts,
}

/// The answer to a ranged read, its head checked.
pub struct Reply {
    /// What the body holds: the asked range cut to the object's end, or the whole object from 0 when the source
    /// ignored the range ([`Reply::ignored_range`]).
    pub range: ByteRange,
    /// The object's whole length.
    pub total: u64,
    /// What to send along so that the next part is of the same object; none if the source gives none.
    pub validator: Option<Validator>,
    /// When the object was last changed, where the source says so.
    pub last_modified: Option<SystemTime>,
    /// The source sent everything although a range was asked: it can only be read as one stream.
    pub ignored_range: bool,
    /// The digest that the source says it has. A claim: nobody has hashed the bytes for it now.
    pub advertised: Option<Advertised>,
    /// The bytes.
    pub body: Body,
}

impl Origins {
    /// The origins of these settings, or what is wrong with them (a CA file that cannot be read, say). Blocks for the
    /// reading of certificates.
    pub fn new(settings: Vec<OriginSettings>, timeouts: Timeouts) -> Result<Self, OriginError> {
        let roots = trust::system_roots();
        let mut remotes = settings
            .into_iter()
            .map(|settings| Remote::new(settings, &roots, timeouts))
            .collect::<Result<Vec<_>, _>>()?;
        remotes.sort_by(|a, b| b.prefix().len().cmp(&a.prefix().len()).then_with(|| a.prefix().cmp(b.prefix())));
        if let Some(twice) = remotes.windows(2).find(|pair| pair[0].prefix() == pair[1].prefix()) {
            return Err(OriginError::Settings {
                origin: twice[0].prefix().to_owned(),
                reason: "two origins have this match; remove one".to_owned(),
            });
        }
        for remote in &remotes {
            exchange::begin_counting(remote.prefix());
        }
        let plain = Remote::plain(&roots, timeouts)?;
        Ok(Self { inner: Arc::new(Inner { remotes, plain, timeouts }), health: Arc::default() })
    }

    /// The same, which go on with the books that `before` kept of how each fared.
    #[must_use]
    pub fn following(self, before: &Self) -> Self {
        Self { health: Arc::clone(&before.health), ..self }
    }

    /// Reads `range` of `source` (all of it where none is given). With `expect`, only of the object that has this
    /// validator: else [`OriginError::Changed`].
    ///
    /// A range that begins at or past the object's end gives an empty body and tells the length. Over HTTP a range of no
    /// bytes costs one byte, which is dropped: requests cannot name nothing.
    pub async fn read(
        &self,
        source: &SourceUrl,
        range: Option<ByteRange>,
        expect: Option<&Validator>,
    ) -> Result<Reply, OriginError> {
        let question = Question { source, method: Method::GET, range, expect, unless: None, seen: None };
        wanted(source, self.observed(question).await?)
    }

    /// Reads all of `source`, unless it is still in the state that `known` names: then nothing, for one request without a
    /// body.
    pub async fn read_changed(
        &self,
        source: &SourceUrl,
        known: Option<&Validator>,
    ) -> Result<Option<Reply>, OriginError> {
        let question = Question { source, method: Method::GET, range: None, expect: None, unless: known, seen: None };
        self.observed(question).await
    }

    /// The same, with books kept of it.
    async fn observed(&self, question: Question<'_>) -> Result<Option<Reply>, OriginError> {
        let span = Span::begin("origin.read", Kind::Client);
        span.text("url.full", question.source);
        if let Some(range) = &question.range {
            span.text("bootdepot.range", range);
        }
        let record = self.health.of(&self.remote(question.source).label(question.source));
        let read = self.put(question).await;
        record.asked(&read);
        match read {
            Ok(reply) => Ok(reply.map(|reply| Reply { body: reply.body.with_record(record).with_span(span), ..reply })),
            Err(error) => {
                span.fail(error.word(), &error);
                Err(error)
            }
        }
    }

    async fn put(&self, question: Question<'_>) -> Result<Option<Reply>, OriginError> {
        let source = question.source;
        let remote = self.remote(source);
        match source.place() {
            Place::File(path) => {
                let asked = file::Asked { source, path, range: question.range, expect: question.expect };
                let reply = file::read(asked, &remote.label(source), self.inner.timeouts.stall).await?;
                let known = question.unless.is_some() && reply.validator.as_ref() == question.unless;
                Ok(Some(reply).filter(|_| !known))
            }
            Place::Http(url) => remote.ask_http(question, url).await,
            Place::S3 { bucket, key, version } => {
                let object = s3::Object { bucket, key, version: version.as_deref() };
                remote.ask_s3(question, object).await
            }
        }
    }

    /// How the origins that were asked for anything fared, in the order of their names.
    pub fn health(&self) -> Vec<OriginStatus> {
        self.health.list()
    }

    fn remote(&self, source: &SourceUrl) -> &Remote {
        let text = source.as_str();
        self.inner.remotes.iter().find(|remote| text.starts_with(remote.prefix())).unwrap_or(&self.inner.plain)
    }
}

/// The reply, where one was asked for in whatever state the object is.
fn wanted(source: &SourceUrl, reply: Option<Reply>) -> Result<Reply, OriginError> {
    reply.ok_or_else(|| OriginError::BadReply {
        source_url: source.to_string(),
        reason: "it answered that nothing has changed, which was not asked".to_owned(),
    })
}
