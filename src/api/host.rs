//! Machines and their boots.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::identity::IdentityView;
use super::text;
use super::word::{schema_of_words, words};
use crate::boot::{BootStatus, Mac, MachineStatus, Role, State, StepStatus};
use crate::depot::{CacheState, Outcome};

/// A machine, with the state of its last boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineView {
    /// The host's name; null if no `[[host]]` matches.
    pub name: Option<String>,
    /// The MAC address of its first network card if known, as six pairs of lower-case hex digits with colons.
    #[serde(with = "text::optional")]
    #[schema(value_type = Option<String>)]
    pub mac: Option<Mac>,
    /// Its last IP address.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Everything that it was seen with.
    pub identity: IdentityView,
    /// The profile of its last script, or of its host if it has not been seen yet.
    pub profile: Option<String>,
    /// When it was last seen.
    pub seen: Option<Timestamp>,
    /// The state of its last boot; null if it has not been seen yet.
    pub state: Option<State>,
    /// Whether an operator should look at it: its last boot is `failed`, `stuck` or `waiting`, and it was seen within a day.
    pub needs_attention: bool,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    /// The state as a sentence.
    pub note: Option<String>,
    /// Why, in the words of the part that failed: the store, the template.
    pub reason: Option<String>,
    /// The advice to the operator.
    pub advice: Option<String>,
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
    /// Counts the boots of this machine, from 1, also those that are not kept any more.
    pub number: u64,
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
    /// Why, in the words of the part that failed: the store, the template.
    pub reason: Option<String>,
    /// The advice to the operator.
    pub advice: Option<String>,
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
    /// Why a request failed that no later one made good, in the words of the part that failed.
    pub reason: Option<String>,
    /// The advice to the operator.
    pub advice: Option<String>,
}

/// All machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    /// The machines that have been seen, the last seen first; then the hosts that have not.
    pub hosts: Vec<MachineView>,
    /// How many machines the query matches, also those beyond its limit.
    pub total: usize,
}

/// Machines whose boots were forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Forgotten {
    /// How many machines: several may have been seen as the same host.
    pub machines: usize,
}

impl From<MachineStatus> for MachineView {
    fn from(machine: MachineStatus) -> Self {
        let MachineStatus { name, mac, address, identity, profile, seen, state, needs_attention, .. } = machine;
        let MachineStatus { since, note, reason, advice, last_step, boots, .. } = machine;
        let (identity, last_step) = (identity.into(), last_step.map(Into::into));
        let boots = boots.into_iter().map(Into::into).collect();
        Self {
            name,
            mac,
            address,
            identity,
            profile,
            seen,
            state,
            needs_attention,
            since,
            note,
            reason,
            advice,
            last_step,
            boots,
        }
    }
}

impl From<BootStatus> for BootView {
    fn from(boot: BootStatus) -> Self {
        let BootStatus { id, number, began, last, state, since, note, reason, advice, profile, arch, bytes, steps } =
            boot;
        let steps = steps.into_iter().map(Into::into).collect();
        Self { id, number, began, last, state, since, note, reason, advice, profile, arch, bytes, steps }
    }
}

impl From<StepStatus> for StepView {
    fn from(step: StepStatus) -> Self {
        let StepStatus { role, name, began, last, open, requests, bytes, size, took, rate, cache, .. } = step;
        let StepStatus { outcome, reason, advice, .. } = step;
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self {
            role,
            name,
            began,
            last,
            open,
            requests,
            bytes,
            size,
            milliseconds,
            rate,
            cache,
            outcome,
            reason,
            advice,
        }
    }
}

// The ledger keeps roles in its file, too.
schema_of_words! {
    Role as "Role": "The purpose of a step of a boot.";
}

words! {
    State as "State": "The state of a boot.";
}
