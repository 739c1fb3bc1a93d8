//! The cache: verified blobs on one disk. It admits, opens, evicts, scrubs and recovers them. It knows no origins and no
//! asset names.
//!
//! Layout of the directory (`DIR`):
//!
//! | path | what it is |
//! |---|---|
//! | `DIR/lock` | the pid of the lock holder, under an advisory lock |
//! | `DIR/blobs/sha256/XX/HEX` | a verified blob, read-only, named by its digest |
//! | `DIR/partial/HEX` | the bytes of a fill in progress |
//! | `DIR/partial/HEX.map` | the log of the parts of it that are written |
//! | `DIR/quarantine/HEX` | a corrupt blob |
//!
//! A blob's modification time is when its bytes were last hashed, its access time when it was last used.

mod dir;
mod entry;
mod error;
mod handle;
mod health;
mod index;
mod inspection;
mod lock;
mod map;
mod partial;
mod parts;
mod reservation_guard;
mod scan;
mod scrub;
mod seal;
mod seal_guard;
mod sealing;
mod settings;
mod stats;
mod store;
#[cfg(test)]
mod tests;

pub use entry::Entry;
pub use error::{CacheError, EvictError};
pub use handle::Cache;
pub use inspection::{Inspection, inspect};
pub use partial::Partial;
pub use scrub::ScrubOutcome;
pub use seal::{SealPolicy, SealSupport};
pub use settings::CacheSettings;
pub use stats::{BlobInfo, CacheStats};
