//! How machines and their boots stand, as the ledger has them.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::Role;
use super::attempt::Attempt;
use super::books::{Page, UnderWay};
use super::key::Key;
use super::state::{State, standing};
use super::step::Step;
use crate::boot::Mac;
use crate::depot::{CacheState, Outcome};

/// A machine, and how its last boot stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineStatus {
    /// The host's name, where it has one.
    pub name: Option<String>,
    /// Its MAC, where it is known.
    pub mac: Option<Mac>,
    /// The address where it was last.
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
    pub last_step: Option<StepStatus>,
    /// Its boots, the newest first; left out of lists.
    pub boots: Vec<BootStatus>,
}

/// One attempt of a machine to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootStatus {
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
    pub steps: Vec<StepStatus>,
}

/// One step of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepStatus {
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
    /// For how long transfers were under way.
    pub took: Duration,
    /// Bytes a second in that time.
    pub rate: Option<u64>,
    /// The farthest that any of its bytes had to be fetched.
    pub cache: Option<CacheState>,
    /// How its last transfer ended.
    pub outcome: Option<Outcome>,
}

impl MachineStatus {
    /// A machine as it stands at `now`, without its boots.
    pub(super) fn of(key: &Key, page: &Page, under_way: &UnderWay, now: Timestamp) -> Self {
        let last = page.attempts.back();
        let standing = last.map(|attempt| standing(attempt, now));
        let step = last.and_then(|attempt| {
            let step = attempt.steps.iter().max_by_key(|step| step.last)?;
            Some(StepStatus::now(step, attempt, under_way, now))
        });
        let (mac, address) = match key {
            Key::Mac(mac) => (Some(*mac), page.address),
            Key::Address(address) => (None, Some(*address)),
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
    pub(super) fn with_boots(key: &Key, page: &Page, under_way: &UnderWay, now: Timestamp) -> Self {
        let boots = page.attempts.iter().rev().map(|attempt| BootStatus::of(attempt, under_way, now)).collect();
        Self { boots, ..Self::of(key, page, under_way, now) }
    }
}

impl BootStatus {
    fn of(attempt: &Attempt, under_way: &UnderWay, now: Timestamp) -> Self {
        let standing = standing(attempt, now);
        let steps: Vec<_> = attempt.steps.iter().map(|step| StepStatus::now(step, attempt, under_way, now)).collect();
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

impl StepStatus {
    /// A step with what its transfers under way have sent by `now`.
    fn now(step: &Step, attempt: &Attempt, under_way: &UnderWay, now: Timestamp) -> Self {
        let sent = under_way.get(&attempt.id).map_or(0, |sent| attempt.sent_of(step, sent));
        Self::of(&step.so_far(sent, now))
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
            took: step.took(),
            rate: step.rate(),
            cache: step.cache,
            outcome: step.outcome,
        }
    }
}
