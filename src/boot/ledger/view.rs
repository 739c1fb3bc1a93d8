//! What others see of the ledger: the admin API's JSON, which the commands read again.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attempt::Attempt;
use super::index::{BytesSent, MachineRecord};
use super::key::MachineKey;
use super::state::State;
use super::status::BootStatus;
use super::step::Step;
use crate::boot::role::Role;
use crate::depot::{CacheState, Outcome};

/// A machine, and how its last boot stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineView {
    /// The host's name, where it has one.
    pub name: Option<String>,
    /// Its MAC, where it is known, as six pairs of lower-case hex digits with colons.
    pub mac: Option<String>,
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

impl MachineView {
    /// A machine as it stands at `now`, without its boots.
    pub(super) fn of(key: &MachineKey, page: &MachineRecord, under_way: &BytesSent, now: Timestamp) -> Self {
        let last = page.attempts.back();
        let standing = last.map(|attempt| BootStatus::of(attempt, now));
        let step = last.and_then(|attempt| {
            let step = attempt.steps.iter().max_by_key(|step| step.last)?;
            Some(StepView::now(step, attempt, under_way, now))
        });
        let (mac, address) = match key {
            MachineKey::Mac(mac) => (Some(mac.to_string()), page.address),
            MachineKey::Address(address) => (None, Some(*address)),
        };
        Self {
            name: page.host.clone(),
            mac,
            address,
            profile: last.and_then(|attempt| attempt.profile.clone()),
            seen: last.map(|_| page.last()),
            state: standing.as_ref().map(|standing| standing.state),
            since: standing.as_ref().map(|standing| standing.since),
            note: standing.map(|standing| standing.note),
            last_step: step,
            boots: Vec::new(),
        }
    }

    /// The same with its boots.
    pub(super) fn with_boots(key: &MachineKey, page: &MachineRecord, under_way: &BytesSent, now: Timestamp) -> Self {
        let boots = page.attempts.iter().rev().map(|attempt| BootView::of(attempt, under_way, now)).collect();
        Self { boots, ..Self::of(key, page, under_way, now) }
    }
}

impl BootView {
    fn of(attempt: &Attempt, under_way: &BytesSent, now: Timestamp) -> Self {
        let standing = BootStatus::of(attempt, now);
        let steps: Vec<_> = attempt.steps.iter().map(|step| StepView::now(step, attempt, under_way, now)).collect();
        Self {
            id: attempt.id,
            began: attempt.began,
            last: attempt.last,
            state: standing.state,
            since: standing.since,
            note: standing.note,
            profile: attempt.profile.clone(),
            arch: attempt.arch,
            bytes: steps.iter().map(|step| step.bytes).sum(),
            steps,
        }
    }
}

impl StepView {
    /// A step with what its transfers under way have sent by `now`.
    fn now(step: &Step, attempt: &Attempt, under_way: &BytesSent, now: Timestamp) -> Self {
        let sent = under_way.get(&attempt.id).map_or(0, |sent| attempt.sent_of(step, sent));
        Self::of(&step.at(sent, now))
    }

    fn of(step: &Step) -> Self {
        Self {
            role: step.role,
            name: step.name.clone(),
            began: step.began,
            last: step.last,
            open: step.open,
            requests: step.requests,
            bytes: step.bytes,
            size: step.size,
            milliseconds: u64::try_from(step.took().as_millis()).unwrap_or(u64::MAX),
            rate: step.rate(),
            cache: step.cache,
            outcome: step.outcome,
        }
    }
}
