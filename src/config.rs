//! The configuration: one TOML file and its includes, overridden by environment variables, overridden by flags;
//! validated as a whole.
//!
//! The types that operators write ([`raw`]) and those that the program uses ([`Config`], a settings struct for each room) are separate
//! types. The other rooms do not know this one.

mod access;
mod bucket_format;
mod check;
mod collection_format;
mod draft;
mod error;
mod explain;
mod file;
mod flags;
mod format;
mod inputs;
mod key;
mod layer;
mod load;
mod mirror_format;
mod place;
mod provenance;
mod raw;
mod resolve;
mod rules;
mod schema;
mod settings;
mod shared;
mod show;
mod size;
mod span;
mod summary;
#[cfg(test)]
mod tests;
mod url_format;
mod value_kind;
mod written;
mod zone;

pub use access::CatalogAccess;
pub use draft::Draft;
pub use error::{ConfigError, ConfigErrors, Problem, Size64};
pub use explain::Explanation;
pub use flags::Flags;
pub use inputs::{DEFAULT_FILE, Inputs};
pub use key::KeyPath;
pub use load::process_environment;
pub use place::Place;
pub use schema::schema;
pub use settings::Config;
pub use shared::{CatalogText, SharedCatalog, copy_path};
pub use show::{Effective, Section};
pub use size::parse_size;
pub use span::parse_span;
pub use summary::{Changes, Summary};
pub use value_kind::ValueKind;
