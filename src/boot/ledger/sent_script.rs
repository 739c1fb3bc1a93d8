//! A script that was sent, as the ledger records it.

use std::net::IpAddr;

use super::host_cards::HostCards;
use super::script_kind::ScriptKind;
use crate::boot::machine::Machine;
use crate::boot::role::Role;

/// A script that was sent to a machine.
#[derive(Debug)]
pub struct SentScript<'a> {
    /// The machine, as its request describes it.
    pub machine: &'a Machine,
    /// The address of the machine.
    pub peer: IpAddr,
    /// Its host.
    pub host: Option<&'a HostCards>,
    /// If no host matches it: which host nearly does, in words.
    pub near_miss: Option<String>,
    /// The name of its profile.
    pub profile: Option<&'a str>,
    /// The effect of the script on it.
    pub kind: ScriptKind,
    /// The assets and files that the script names.
    pub named: &'a [(Role, String)],
}
