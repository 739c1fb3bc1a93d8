//! Origins: ranged reads of source URLs (S3, HTTP, files) with validators. Errors are classified by meaning.
//!
//! The room verifies no digests and does not know the cache. It distrusts replies: status, `Content-Range`, length and
//! validator are checked against the request before any byte is handed on.
//!
//! A read passes through [`Origins`] → `remote` (URL, credentials, redirects) → `exchange` (one request, one reply) →
//! `head` (checks the reply's head) → `body` (exactly the promised number of bytes). [`SourceReader`] keeps the target of
//! redirects for several reads. `failure` turns transport errors
//! and error statuses into an [`OriginError`]. Files take a shorter path, `file`.

mod body;
mod checksum;
mod client;
mod credentials;
mod error;
mod error_document;
mod exchange;
mod failure;
mod file;
mod file_reader;
mod head;
mod header_fields;
mod health;
mod kept_target;
mod origins;
mod proxy;
mod remote;
mod reply;
mod request;
mod resolver;
mod route;
mod s3;
mod server_info;
mod settings;
mod source_reader;
mod stall;
mod stat;
mod validator;

#[cfg(test)]
mod tests;

pub use body::Body;
pub use checksum::Checksum;
pub use error::{Cause, OriginError, TlsFault};
pub use health::{OriginFailure, OriginStatus};
pub use origins::Origins;
pub use reply::Reply;
pub use route::{Route, Server};
pub use settings::{Addressing, CredentialSource, OriginSettings, Timeouts};
pub use source_reader::SourceReader;
pub use stat::{Stat, StatReport};
pub use validator::Validator;
