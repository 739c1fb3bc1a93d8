//! The errors of hosts and profiles, with their place in the configuration.

use crate::boot::closest::suggestion;
use crate::boot::not_live::ReferenceError;

/// One error and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterError {
    /// The host or profile.
    pub subject: Subject,
    /// The path of setting keys from there, the outermost first.
    pub key: Vec<String>,
    /// The problem.
    pub problem: RosterProblem,
}

/// A host or a profile, by its index in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A host.
    Host(usize),
    /// A profile.
    Profile(usize),
    /// The defaults for machines that match no host.
    Defaults,
}

/// An error of a host or a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterProblem {
    /// An invalid host name.
    #[error("{0:?} is not a host name: use letters, digits and hyphens, with dots between labels (RFC 1123)")]
    HostName(String),
    /// An invalid profile name.
    #[error("{0:?} is not a profile name: scripts show it, so it cannot contain control characters or ${{")]
    ProfileName(String),
    /// A name that is used twice.
    #[error("{0:?} is used twice; names must be unique")]
    Taken(String),
    /// A key that two hosts have.
    #[error("the host {other} has {key} too; a machine can match only one host")]
    Claimed {
        /// The key, in words.
        key: String,
        /// The first host with this key.
        other: String,
    },
    /// A host without keys.
    #[error("nothing identifies this host; set one of mac, serial, uuid and asset_tag in match")]
    Anonymous,
    /// A key that no machine can send, or that vendors use as a placeholder.
    #[error("{0} identifies no machine: it is empty, longer than 128 characters, or a placeholder; remove it")]
    Unmatchable(String),
    /// An unknown profile.
    #[error("there is no profile {name:?}{}", suggestion(.closest.as_deref()))]
    NoProfile {
        /// The name.
        name: String,
        /// The most similar known name.
        closest: Option<String>,
    },
    /// A profile with no boot method, or more than one.
    #[error("a profile needs exactly one of kernel, iso, chain, iscsi, local and template; this has {}", if .0.is_empty() { "none".to_owned() } else { .0.join(" and ") })]
    BootMethods(Vec<&'static str>),
    /// A setting that needs a kernel.
    #[error("this needs kernel, which the profile does not have")]
    NoKernel,
    /// A file of the kernel that cannot work, as a sentence.
    #[error("{0}")]
    Initrd(String),
    /// An invalid reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// An invalid file name.
    #[error(
        "{0:?} is not a file name: use segments separated by slashes, none of them empty, '.' or '..', and no '~' at the beginning"
    )]
    FileName(String),
    /// An invalid URL or portal.
    #[error("{found:?} is not {expected}")]
    Invalid {
        /// The text.
        found: String,
        /// The expected form.
        expected: &'static str,
    },
    /// A template that does not compile.
    #[error("this template is invalid: {0}")]
    Template(String),
    /// A script or a file that cannot be rendered.
    #[error("{what} for {whom} fails: {reason}")]
    Render {
        /// The script or file.
        what: String,
        /// The first host for which it fails, and the number of others.
        whom: String,
        /// Why.
        reason: String,
    },
}
