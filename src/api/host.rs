//! Machines and their boots.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text;
use super::word::{schema_of_words, words};
use crate::boot::{BootStatus, Mac, MachineStatus, Role, State, StepStatus};
use crate::depot::{CacheState, Outcome};

/// A machine, with the state of its last boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineView {
    /// The host's name; null if no `[[host]]` matches.
    pub name: Option<String>,
    /// Its MAC address if known, as six pairs of lower-case hex digits with colons.
    #[serde(with = "text::optional")]
    #[schema(value_type = Option<String>)]
    pub mac: Option<Mac>,
    /// Its last IP address.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The profile of its last script, or of its host if it has not been seen yet.
    pub profile: Option<String>,
    /// When it was last seen.
    pub seen: Option<Timestamp>,
    /// The state of its last boot; null if it has not been seen yet.
    pub state: Option<State>,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    /// The state as a sentence.
    pub note: Option<String>,
    /// The last step of its last boot.
    pub last_step: Option<StepView>,
    /// Its boots, the newest first; left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boots: Vec<BootView>,
}

/// One attempt of a machine to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BootView {
    /// Unique on this server.
    pub id: u64,
    /// When its first step began.
    pub began: Timestamp,
    /// When its last activity was.
    pub last: Timestamp,
    /// Its state.
    pub state: State,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// The state as a sentence.
    pub note: String,
    /// The profile of its script.
    pub profile: Option<String>,
    /// The architecture that the machine sent by DHCP (RFC 4578 2.1).
    pub arch: Option<u16>,
    /// Payload bytes of all steps.
    pub bytes: u64,
    /// Its steps, in the order in which they began.
    pub steps: Vec<StepView>,
}

/// One step of a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its purpose.
    pub role: Role,
    /// The name of the asset or script, or the boot file of the DHCP answer.
    pub name: String,
    /// When it began.
    pub began: Timestamp,
    /// When its last activity was.
    pub last: Timestamp,
    /// Active transfers of it.
    pub open: u32,
    /// Requests, ranges and repeats included.
    pub requests: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// The size of the whole asset in bytes; null if unknown.
    pub size: Option<u64>,
    /// Milliseconds during which a transfer was active.
    pub milliseconds: u64,
    /// Bytes per second in that time.
    pub rate: Option<u64>,
    /// Where its bytes came from; the farthest place of all transfers.
    pub cache: Option<CacheState>,
    /// The outcome of its last transfer.
    pub outcome: Option<Outcome>,
}

/// All machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    /// The machines that have been seen, the last seen first; then the hosts that have not.
    pub hosts: Vec<MachineView>,
}

impl From<MachineStatus> for MachineView {
    fn from(machine: MachineStatus) -> Self {
        let MachineStatus { name, mac, address, profile, seen, state, since, note, last_step, boots } = machine;
        let last_step = last_step.map(Into::into);
        let boots = boots.into_iter().map(Into::into).collect();
        Self { name, mac, address, profile, seen, state, since, note, last_step, boots }
    }
}

impl From<BootStatus> for BootView {
    fn from(boot: BootStatus) -> Self {
        let BootStatus { id, began, last, state, since, note, profile, arch, bytes, steps } = boot;
        let steps = steps.into_iter().map(Into::into).collect();
        Self { id, began, last, state, since, note, profile, arch, bytes, steps }
    }
}

impl From<StepStatus> for StepView {
    fn from(step: StepStatus) -> Self {
        let StepStatus { role, name, began, last, open, requests, bytes, size, took, rate, cache, outcome } = step;
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self { role, name, began, last, open, requests, bytes, size, milliseconds, rate, cache, outcome }
    }
}

// The ledger keeps roles in its file, too.
schema_of_words! {
    Role as "Role": "The purpose of a step of a boot.";
}

words! {
    State as "State": "The state of a boot.";
}
