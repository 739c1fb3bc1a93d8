//! Mirrors: copies releases of upstreams into a bucket, and returns their entries for the catalog.
//!
//! [`Mirror::plan`] asks the upstream what it offers (`resolve`) and compares that with the store and the catalogs.
//! [`Mirror::run`] streams each new file from the upstream into an upload (`transfer`), which becomes visible only when every
//! proof holds (`trust`, [`proof`](crate::proof)).

mod archive;
mod documents;
mod download;
mod engine;
mod error;
mod known;
mod plan;
mod progress;
mod resolve;
mod retention;
mod selection;
mod settings;
mod stored;
mod transfer;
mod trust;
mod upstream;

pub use engine::{Mirror, Mirrored, destination};
pub use error::MirrorError;
pub use known::Known;
pub use plan::{Plan, PlannedFile, Wanted};
pub use progress::Observer;
pub use selection::{PickedFile, Selection};
pub use settings::{Destination, MirrorSettings, RecipeKind, Require, UpstreamUrl};
