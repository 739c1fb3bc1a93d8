//! What the room needs of the settings file, resolved.

use std::time::Duration;

/// How fills go about it.
#[derive(Debug, Clone)]
pub struct FillSettings {
    /// Bytes of one ranged request.
    pub part_size: u64,
    /// Connections of one fill at a time.
    pub connections: usize,
    /// Fills at a time; others wait.
    pub max_fills: usize,
    /// How often a part is asked again before its source is given up.
    pub retries: u32,
    /// How long a missing object or wrong bytes are remembered.
    pub negative_ttl: Duration,
    /// When bytes of a fill under way may go out.
    pub release: Release,
}

impl Default for FillSettings {
    fn default() -> Self {
        Self {
            part_size: 8 << 20,
            connections: 8,
            max_fills: 8,
            retries: 5,
            negative_ttl: Duration::from_secs(30),
            release: Release::HoldTail,
        }
    }
}

/// When bytes of a fill under way may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// As they come, all but the last piece of what was asked for; that one when the bytes are proven.
    #[default]
    HoldTail,
    /// Nothing before the whole is proven. What cannot be stored for want of room cannot be kept back either: of that the
    /// tail is.
    Whole,
}

/// How a front end wants the bytes of proven blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The page cache's own pages, for a plain socket's vectored write alone: user space must never read them.
    Mapped,
    /// Memory of their own, for what reads them (TLS, netascii).
    Copied,
}
