//! Bytes on their way into a store: requests to a bucket, and uploads that become visible as a whole.
//!
//! [`Store`] sends requests to one bucket and retries them. [`Upload`] takes the bytes of one object as a stream, hashes them
//! in one pass, and sends them in parts; the object exists only after [`Upload::finish`]. [`Publisher`] publishes files with
//! their sidecars, and [`CatalogTarget`] takes their entries last. [`mirror`] copies what upstreams publish: [`recipes`] read their
//! documents, and [`proof`](crate::proof) decides which bytes may become visible. Errors are classified by the store's code ([`StoreError`]). The
//! room knows no cache and no listener.

pub mod bucket;
mod capabilities;
mod catalog_edit;
mod catalog_entry;
mod catalog_target;
mod condition;
mod copy;
mod error;
mod existing;
mod hashed;
mod input;
mod journal;
mod key_scheme;
mod list;
pub mod mirror;
mod multipart;
mod object;
mod part;
mod part_plan;
mod probe;
mod publish_error;
mod publisher;
pub mod recipes;
mod sidecars;
mod state_dir;
mod store;
mod text_object;
mod upload;
mod xml;

#[cfg(test)]
mod tests;

pub use capabilities::{Capabilities, EtagForm};
pub use catalog_edit::{CatalogChange, EditError};
pub use catalog_entry::{CatalogEntry, ReleaseEntry};
pub use catalog_target::{CatalogTarget, CatalogTargetError};
pub use condition::Condition;
pub use error::StoreError;
pub use hashed::Hashed;
pub use input::{Input, InputError};
pub use key_scheme::{DEFAULT_SCHEME, KeyScheme, KeySchemeError};
pub use object::{ObjectHead, ObjectHeaders, Stored};
pub use part::{CompletedPart, ListedPart, PendingUpload};
pub use part_plan::PartPlan;
pub use publish_error::PublishError;
pub use publisher::{Labels, Publication, Published, Publisher};
pub use sidecars::{METADATA_FILE, ObjectMetadata, sha256_line};
pub use state_dir::StateDir;
pub use store::Store;
pub use text_object::TextObjectError;
pub use upload::{Multipart, PartRecord, Upload, UploadProgress};
