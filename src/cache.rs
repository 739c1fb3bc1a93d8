//! The cache: verified blobs on one disk. It admits, opens, evicts, scrubs and recovers them. It knows no origins and no
//! asset names.
//!
//! Layout of the directory (`DIR`):
//!
//! | path | what it is |
//! |---|---|
//! | `DIR/lock` | the pid of the lock holder, under an advisory lock |
//! | `DIR/blobs/sha256/XX/HEX` | a blob, read-only, named by its digest |
//! | `DIR/verified.log` | the records: of which file it was verified that it has the bytes of its digest |
//! | `DIR/partial/HEX` | the bytes of a fill in progress |
//! | `DIR/partial/HEX.map` | the log of the parts of it that are written |
//! | `DIR/quarantine/HEX` | a corrupt blob |
//!
//! A name proves nothing. A blob is *verified* only while its file has the identity (inode, size, times) that was recorded
//! when its bytes were hashed. Any other blob is *unverified*: it is hashed before the last byte of it is served.

mod block_digests;
mod checked_line;
mod dir;
mod entry;
mod error;
mod handle;
mod health;
mod identity;
mod index;
mod inspection;
mod lock;
mod map;
mod obstruction;
mod open_blob;
mod partial;
mod parts;
mod piece;
mod record;
mod records;
mod removal;
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
mod unnamed_partial;
mod unverified;
mod upkeep;
mod write_check;

pub use entry::Entry;
pub use error::{CacheError, EvictError};
pub use handle::Cache;
pub use inspection::{Inspection, inspect};
pub use partial::Partial;
pub use piece::{Pages, Piece};
pub use scrub::ScrubOutcome;
pub use seal::{SealPolicy, SealSupport};
pub use settings::CacheSettings;
pub use stats::{BlobInfo, CacheStats};
pub use unnamed_partial::UnnamedPartial;
pub use unverified::UnverifiedBlob;
pub use write_check::{WriteUser, check_writes};
