//! Collections: which digest an object of a directory has, and the record that binds it to a name.
//!
//! [`Finder`] looks for the digest of one object where the collection says that digests are. [`Bindings`] is the durable record:
//! a name is bound to a digest, together with the object's validator and size, before its first byte leaves. The room decides
//! nothing about requests and reads no asset.

mod binding;
mod bindings;
mod directories;
mod document;
mod finder;
mod statement;

pub use binding::Binding;
pub use bindings::{Bindings, BindingsError};
pub use directories::Directories;
pub use document::ReadDocumentError;
pub use finder::{FindError, Finder};
