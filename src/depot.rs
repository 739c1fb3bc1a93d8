//! The depot: the service behind all front ends. It finds a name in the catalog, opens its bytes from the cache or from an
//! active fill, and streams them. It knows no protocol.
//!
//! A front end calls it in steps, each as cheap as possible: [`Depot::find`] (memory only), [`Depot::size`] (memory, or one
//! request to the origin), [`Depot::read`], and [`Reader::stream`], which starts or joins the fill of an asset that is not
//! cached.

mod activity;
mod around_cache;
mod blob;
mod blob_stream;
mod block_lists;
mod bypass;
mod bypass_reader;
mod bypass_window;
mod bypasses;
mod cache_state;
mod claim;
mod error;
mod events;
mod eviction;
mod eviction_log;
mod facade;
mod fill;
mod fill_attempt;
mod fill_bytes;
mod fill_guard;
mod fill_history;
mod fill_state;
mod fill_stream;
mod fill_task;
mod hashing;
mod interest;
mod ladder;
mod lanes;
mod lookup;
mod negative_cache;
mod not_stored;
mod outcome;
mod pace;
mod part_fetcher;
mod partial_state;
mod pinning;
mod pins;
mod preload;
mod progress;
mod protocol;
mod range_set;
mod rate;
mod reader;
mod resuming_read;
mod retention;
mod settings;
mod shared_bypass;
mod snapshot;
mod source_access;
mod source_error;
mod source_failures;
mod source_hash;
mod source_key;
mod source_probe;
mod source_queue;
mod starting;
mod status;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod timestamp;
mod transfer;
mod transfer_metrics;
mod transfer_registry;
mod unreadable;
mod verify_stored;

pub use cache_state::CacheState;
pub use error::ReadError;
pub use events::{FillEvent, TransferEnd, TransferEvent, TransferFacts};
pub use eviction::EvictRefusal;
pub use facade::Depot;
pub use ladder::Rung;
pub use outcome::{FillOutcome, Outcome};
pub use pins::{PINS_FILE, Pin, PinError};
pub use preload::{AssetProgress, FetchError};
pub use protocol::Protocol;
pub use rate::Rate;
pub use reader::Reader;
pub use retention::{Retention, RetentionReason, UnknownReason};
pub use settings::{Delivery, FillSettings, Release};
pub use snapshot::DepotConfig;
pub use source_hash::{Hashed, hash_source};
pub use source_probe::{SourceProbe, SourceReads, probe_source};
pub use status::{FillPhase, FillRecord, FillStatus, TransferRecord, TransferStatus};
pub use stream::ByteStream;
pub(crate) use timestamp::timestamp;
pub use transfer::Transfer;
pub use transfer_registry::{ByProtocol, TransferTotals};
