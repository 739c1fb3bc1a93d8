//! Bytes on their way into a store: requests to a bucket, and uploads that become visible as a whole.
//!
//! [`Store`] sends requests to one bucket and retries them. [`Upload`] takes the bytes of one object as a stream, hashes them
//! in one pass, and sends them in parts; the object exists only after [`Upload::finish`]. Errors are classified by the
//! store's code ([`StoreError`]). [`mirror`] copies what upstreams publish: [`recipes`] read their documents, and [`proof`] decides
//! which bytes may become visible. The room knows no cache and no listener.

mod capabilities;
mod condition;
mod error;
mod hashed;
mod listing;
pub mod mirror;
mod multipart;
mod object;
mod part_plan;
pub mod proof;
pub mod recipes;
mod store;
mod upload;
mod xml;

#[cfg(test)]
mod tests;

pub use capabilities::Capabilities;
pub use condition::Condition;
pub use error::StoreError;
pub use hashed::Hashed;
pub use listing::{ListPage, ListedObject};
pub use multipart::{CompletedPart, ListedPart, PendingUpload};
pub use object::{ObjectHead, ObjectHeaders, Stored};
pub use part_plan::PartPlan;
pub use store::Store;
pub use upload::{Multipart, PartRecord, Upload, UploadProgress};
