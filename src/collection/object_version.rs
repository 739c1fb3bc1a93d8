//! Which bytes an object had when it was looked at.

use std::time::SystemTime;

use crate::origin::{Stat, Validator};

/// The state of an object: while it is the same, so are its bytes.
#[derive(Debug, Clone)]
pub struct ObjectVersion {
    /// The length in bytes.
    pub size: u64,
    /// The validator. `None` if its server sends none.
    pub validator: Option<String>,
    /// When it was last modified. `None` if its server does not say.
    pub modified: Option<SystemTime>,
}

impl ObjectVersion {
    /// The state that a look at the object showed.
    pub fn of(stat: &Stat) -> Self {
        let validator = stat.validator.as_ref().map(Validator::as_str).map(str::to_owned);
        Self { size: stat.size, validator, modified: stat.last_modified }
    }
}

/// Without a validator, length and date decide; the date has whole seconds in the record.
impl PartialEq for ObjectVersion {
    fn eq(&self, other: &Self) -> bool {
        let seconds = |time: Option<SystemTime>| {
            time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).map(|age| age.as_secs())
        };
        self.size == other.size
            && self.validator == other.validator
            && (self.validator.is_some() || seconds(self.modified) == seconds(other.modified))
    }
}

impl Eq for ObjectVersion {}
