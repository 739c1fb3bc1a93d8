//! Origins: ranged reads of source URLs (S3, HTTP, files) with validators, and signed requests to S3 buckets. Errors are
//! classified by meaning.
//!
//! The room verifies no digests and does not know the cache. It distrusts replies: status, `Content-Range`, length and
//! validator are checked against the request before any byte is handed on.
//!
//! A read passes through [`Origins`] → `remote` (URL, credentials, redirects) → `exchange` (one request, one reply) →
//! `head` (checks the reply's head) → `body` (exactly the promised number of bytes). [`SourceReader`] keeps the target of
//! redirects for several reads. `failure` turns transport errors into an [`OriginError`], and `error_status` turns error
//! statuses into one, by the meaning of the S3 code (`error_code`). Files take a shorter path, `file`. A [`BucketClient`] sends a [`Call`] of any method through
//! the same `remote`, and `outbound` is what both have in common: one HTTP request.

mod answer;
mod body;
mod bucket_client;
mod call;
mod checksum;
mod client;
mod confined_file;
mod credentials;
mod denial;
mod directory;
mod error;
mod error_code;
mod error_document;
mod error_status;
mod exchange;
mod failure;
mod file;
mod file_reader;
mod head;
mod header_fields;
mod health;
mod html_page;
mod identity;
mod kept_target;
mod listing;
mod origins;
mod outbound;
mod payload;
mod peer_probe;
mod proxy;
mod redirect;
mod region;
mod remote;
mod remote_text;
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
mod storage;
mod validator;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use body::Body;
pub use bucket_client::BucketClient;
pub use call::{Call, CallError, CallReply};
pub use checksum::Checksum;
pub use denial::Denial;
pub use directory::{DirectoryListing, ListedFile};
pub use error::{Cause, OriginError, Unanswered};
pub use health::{OriginFailure, OriginStatus};
pub use html_page::HtmlPage;
pub use listing::{ListPage, ListedObject};
pub use origins::Origins;
pub use reply::Reply;
pub use route::{Route, Server};
pub use settings::{Addressing, CredentialSource, OriginSettings, Timeouts};
pub use source_reader::SourceReader;
pub use stat::{Stat, StatReport};
pub use storage::{RestoredCopy, Storage};
pub use validator::Validator;

pub use crate::trust::TlsFault;
