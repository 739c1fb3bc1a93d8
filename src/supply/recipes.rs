//! Recipes: reads the documents in which each kind of upstream says what it publishes.
//!
//! Pure: a recipe gets the text of a document and returns releases and files. It neither fetches nor proves anything.

pub mod alpine;
pub mod coreos_stream;
pub mod debian_installer;
pub mod flatcar;
pub mod github_release;
pub mod list;
pub mod netbootxyz;
pub mod ocp_mirror;
pub mod simplestreams;
pub mod sums;
pub mod treeinfo;
pub mod ubuntu;

mod release;
mod url_path;
mod version;

pub use release::{Release, UpstreamFile};
pub use url_path::{join, last_segment, parent};
pub use version::{Version, version_in};
