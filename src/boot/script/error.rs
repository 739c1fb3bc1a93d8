//! Why a machine gets no script of a profile.

use crate::boot::not_live::NotLive;

/// Why there is no script of a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The machine matches no host, and there is no default profile.
    #[error("no [[host]] matches this machine, and [defaults] has no profile")]
    UnknownMachine,
    /// A reference resolves to no live asset.
    #[error(transparent)]
    NotLive(#[from] NotLive),
    /// The boot loader, which is named first, does not support the profile.
    #[error("{0} cannot boot it: {1}")]
    Unsupported(&'static str, &'static str),
    /// A template fails.
    #[error("{template}: {reason}")]
    Template {
        /// The template's name.
        template: String,
        /// Why.
        reason: String,
    },
}
