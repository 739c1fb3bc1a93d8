//! Conditions of a write.

use http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};

/// A condition of a write. A server that does not support conditions ignores or refuses them, so they are sent only where
/// [`Capabilities::conditions`](super::Capabilities::conditions) is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Replaces what is there.
    #[default]
    Always,
    /// Only if there is no object with the key.
    Absent,
    /// Only if the object has this `ETag`, quotes included.
    Matches(String),
}

impl Condition {
    /// Adds the header field of the condition.
    pub(super) fn add_to(&self, fields: &mut HeaderMap) {
        match self {
            Self::Always => {}
            Self::Absent => {
                fields.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            }
            Self::Matches(etag) => {
                // An `ETag` that a reply had is a valid value.
                if let Ok(value) = HeaderValue::try_from(etag) {
                    fields.insert(IF_MATCH, value);
                }
            }
        }
    }
}
