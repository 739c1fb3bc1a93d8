//! Machines and their boots.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text;
use super::word::{schema_of_words, words};
use crate::boot::{BootStatus, Mac, MachineStatus, Role, State, StepStatus};
use crate::depot::{CacheState, Outcome};

/// A machine, and how its last boot stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineView {
    /// The host's name, where it has one.
    pub name: Option<String>,
    /// Its MAC, where it is known, as six pairs of lower-case hex digits with colons.
    #[serde(with = "text::optional")]
    #[schema(value_type = Option<String>)]
    pub mac: Option<Mac>,
    /// The address where it was last.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The profile of its last script, or of its host where it was not seen yet.
    pub profile: Option<String>,
    /// When anything of it was last seen.
    pub seen: Option<Timestamp>,
    /// How its last boot stands; none: it was not seen yet.
    pub state: Option<State>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The same in words.
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
    /// Tells it from every other of this server.
    pub id: u64,
    /// When its first step began.
    pub began: Timestamp,
    /// When anything of it last happened.
    pub last: Timestamp,
    /// How it stands.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// The same in words.
    pub note: String,
    /// The profile of its script.
    pub profile: Option<String>,
    /// The architecture that the machine told DHCP (RFC 4578 2.1).
    pub arch: Option<u16>,
    /// Payload bytes of all steps.
    pub bytes: u64,
    /// Its steps, in the order in which they began.
    pub steps: Vec<StepView>,
}

/// One step of a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// What it is for.
    pub role: Role,
    /// The asset's or the script's name, or the file that DHCP named.
    pub name: String,
    /// When it began.
    pub began: Timestamp,
    /// When anything of it last happened.
    pub last: Timestamp,
    /// Transfers of it that are under way.
    pub open: u32,
    /// Requests; ranges and repeats count.
    pub requests: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// The whole asset's size, where it is known.
    pub size: Option<u64>,
    /// Milliseconds in which transfers were under way.
    pub milliseconds: u64,
    /// Bytes a second in that time.
    pub rate: Option<u64>,
    /// The farthest that any of its bytes had to be fetched.
    pub cache: Option<CacheState>,
    /// How its last transfer ended.
    pub outcome: Option<Outcome>,
}

/// All machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    /// Those that were seen, the last seen first, and then the hosts that were not.
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
    Role as "Role": "What a step of a boot is for.";
}

words! {
    State as "State": "How a boot stands.";
}
