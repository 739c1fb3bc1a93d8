//! What can be wrong with hosts and profiles, and where.

use crate::boot::references::{ReferenceError, or_nearest};

/// One thing that is wrong, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterError {
    /// Of which host or profile.
    pub subject: Subject,
    /// The keys that lead to it from there, the outermost first.
    pub key: Vec<String>,
    /// What is wrong.
    pub problem: RosterProblem,
}

/// A host or a profile, counted from 0 in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A host.
    Host(usize),
    /// A profile.
    Profile(usize),
    /// What holds for machines that are no host.
    Defaults,
}

/// What is wrong with a host or a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterProblem {
    /// A name that no host may have.
    #[error("{0:?} is no host name: letters, digits and hyphens, and dots between such labels (RFC 1123)")]
    HostName(String),
    /// A name that no script can say.
    #[error("{0:?} is no name of a profile: scripts show it, and no line of one can hold control characters or ${{")]
    ProfileName(String),
    /// A name that another has.
    #[error("{0:?} is taken by another; names are unique")]
    Taken(String),
    /// What identifies a host identifies another too.
    #[error("{key} is claimed by the host {other} too; a machine is one host")]
    Claimed {
        /// The key as people say it.
        key: String,
        /// The host that claimed it before.
        other: String,
    },
    /// A host that nothing identifies.
    #[error("nothing identifies this host; give match one of mac, serial, uuid and asset_tag")]
    Anonymous,
    /// What no machine says of itself, or every board whose maker filled nothing in.
    #[error(
        "{0} identifies no machine: it is empty, longer than 128 characters, or what stands for none; leave it out"
    )]
    Filler(String),
    /// There is no such profile.
    #[error("there is no profile {name:?}{}", or_nearest(.nearest.as_deref()))]
    NoProfile {
        /// The name.
        name: String,
        /// The known one that is written most alike.
        nearest: Option<String>,
    },
    /// A profile that says not how to boot, or says it twice.
    #[error("a profile has one of kernel, iso, chain, iscsi, local and template; this has {}", if .0.is_empty() { "none".to_owned() } else { .0.join(" and ") })]
    Kind(Vec<&'static str>),
    /// A key that goes with a kernel alone.
    #[error("this goes with kernel, and the profile has none")]
    NoKernel,
    /// A reference that means nothing.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A name under which no file can be served.
    #[error("{0:?} is no name of a file: segments with slashes between them, none of them empty, '.' or '..'")]
    FileName(String),
    /// A URL or a portal that holds what none may.
    #[error("{found:?} is not {expected}")]
    Wrong {
        /// The text.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A template that cannot be read.
    #[error("this template cannot be taken: {0}")]
    Template(String),
    /// A script or a file that fails.
    #[error("{what} for {whom} fails: {reason}")]
    Render {
        /// What was to be made.
        what: String,
        /// For which host, and for how many others.
        whom: String,
        /// Why.
        reason: String,
    },
}
