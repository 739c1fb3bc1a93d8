//! Machines and their boots.

use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::refusals::Refusals;
use crate::admin::api_error::ApiError;
use crate::admin::extract::{Name, Query};
use crate::admin::machines::Machines;
use crate::admin::state::AdminState;
use crate::api::{Forgotten, HostList, MachineView, Problem};
use crate::boot::{MachineStatus, State as BootState};
use crate::task::blocking;

/// The most machines in one answer.
const MAX_LIMIT: usize = 10_000;

/// Which machines to return.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HostsQuery {
    /// Only machines whose last boot is in one of these states: words with commas between them.
    #[param(
        example = "failed,stuck",
        pattern = "^(booting|waiting|done|quiet|failed|stuck)(,(booting|waiting|done|quiet|failed|stuck))*$"
    )]
    state: Option<String>,
    /// With `true`, only machines that need attention: see `needs_attention`.
    problems: bool,
    /// Only machines with this profile.
    profile: Option<String>,
    /// The most machines to return: 1 to 10,000. All by default.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<usize>,
}

/// No parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NoQuery {}

/// All machines, without their boots
#[utoipa::path(
    get, path = "/hosts", tag = "hosts", operation_id = "hosts", params(HostsQuery),
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The machines", body = HostList), Refusals)
)]
pub(super) async fn list(
    State(machines): State<Machines>,
    Query(query): Query<HostsQuery>,
) -> Result<Json<HostList>, ApiError> {
    let filter = Filter::new(query).map_err(|reason| ApiError::new(StatusCode::BAD_REQUEST, reason))?;
    let mut found = blocking(move || machines.list()).await;
    found.retain(|machine| filter.admits(machine));
    let total = found.len();
    found.truncate(filter.limit);
    Ok(Json(HostList { hosts: found.into_iter().map(Into::into).collect(), total }))
}

/// One machine with its boots
#[utoipa::path(
    get, path = "/hosts/{name}", tag = "hosts", operation_id = "host",
    params(("name" = String, Path, description = "A host's name, MAC, address, UUID, serial number or asset tag, in any spelling")),
    security(("viewer" = []), ("operator" = [])),
    responses(
        (status = 200, description = "The machine", body = MachineView),
        (status = 404, description = "There is no such machine", body = Problem, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn one(
    State(machines): State<Machines>,
    Name(name): Name,
    Query(NoQuery {}): Query<NoQuery>,
) -> Result<Json<MachineView>, ApiError> {
    let unknown = || {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "no host and no machine that was seen has this name, MAC, address, UUID, serial number or asset tag",
        )
    };
    blocking(move || machines.find(&name)).await.map(|machine| Json(machine.into())).ok_or_else(unknown)
}

/// Forgets a machine and its boots
///
/// For a machine that was switched off or removed: it stops counting as failed or stuck. It is recorded again when it boots.
#[utoipa::path(
    delete, path = "/hosts/{name}", tag = "hosts", operation_id = "forget_host",
    params(("name" = String, Path, description = "A host's name, MAC, address, UUID, serial number or asset tag, in any spelling")),
    security(("operator" = [])),
    responses(
        (status = 200, description = "Its boots are forgotten", body = Forgotten),
        (status = 404, description = "There is no such machine", body = Problem, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn forget(State(state): State<AdminState>, Name(name): Name) -> Result<Json<Forgotten>, ApiError> {
    match blocking(move || state.boot.forget(&name)).await {
        0 => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no machine that was seen has this name, MAC, address, UUID, serial number or asset tag",
        )),
        machines => Ok(Json(Forgotten { machines })),
    }
}

/// A parsed [`HostsQuery`].
#[derive(Debug)]
struct Filter {
    /// `None` for all.
    states: Option<Vec<BootState>>,
    problems: bool,
    profile: Option<String>,
    limit: usize,
}

impl Filter {
    fn new(query: HostsQuery) -> Result<Self, String> {
        let HostsQuery { state, problems, profile, limit } = query;
        let parse = |word: &str| {
            let known = || <BootState as strum::VariantNames>::VARIANTS.join(", ");
            word.trim().parse().map_err(|_| format!("unknown state {word:?}; known are: {}", known()))
        };
        let states = state.map(|words| words.split(',').map(parse).collect::<Result<Vec<_>, _>>()).transpose()?;
        if let Some(limit) = limit.filter(|limit| !(1..=MAX_LIMIT).contains(limit)) {
            return Err(format!("limit is {limit}; it may be 1 to {MAX_LIMIT}"));
        }
        Ok(Self { states, problems, profile, limit: limit.unwrap_or(usize::MAX) })
    }

    fn admits(&self, machine: &MachineStatus) -> bool {
        let in_states = |states: &Vec<BootState>| machine.state.is_some_and(|state| states.contains(&state));
        self.states.as_ref().is_none_or(in_states)
            && (!self.problems || machine.needs_attention)
            && self.profile.as_ref().is_none_or(|profile| machine.profile.as_ref() == Some(profile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(state: Option<BootState>, profile: &str) -> MachineStatus {
        let needs_attention = state.is_some_and(|state| matches!(state, BootState::Failed | BootState::Stuck));
        MachineStatus { state, needs_attention, profile: Some(profile.to_owned()), ..MachineStatus::default() }
    }

    #[test]
    fn filter_admits_states_and_problems() {
        let filter = |state: Option<&str>, problems| {
            Filter::new(HostsQuery { state: state.map(str::to_owned), problems, ..HostsQuery::default() }).unwrap()
        };
        let admitted = |filter: &Filter| {
            let all = [
                BootState::Booting,
                BootState::Waiting,
                BootState::Done,
                BootState::Quiet,
                BootState::Failed,
                BootState::Stuck,
            ];
            let all = all.into_iter().filter(|state| filter.admits(&machine(Some(*state), "worker")));
            all.map(BootState::as_str).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(admitted(&filter(None, false)), "booting waiting done quiet failed stuck");
        assert_eq!(admitted(&filter(None, true)), "failed stuck");
        assert_eq!(admitted(&filter(Some("done, failed"), false)), "done failed");
        assert_eq!(admitted(&filter(Some("done,failed"), true)), "failed");
        assert!(filter(None, false).admits(&machine(None, "worker")), "a host that was not seen yet");
        assert!(!filter(None, true).admits(&machine(None, "worker")));
        let by_profile = Filter::new(HostsQuery { profile: Some("menu".to_owned()), ..HostsQuery::default() }).unwrap();
        assert!(by_profile.admits(&machine(None, "menu")) && !by_profile.admits(&machine(None, "worker")));
    }

    #[test]
    fn filter_rejects_unknown_words() {
        let with = |state: &str, limit| {
            Filter::new(HostsQuery { state: Some(state.to_owned()), limit, ..HostsQuery::default() })
        };
        let error = with("done,broken", None).unwrap_err();
        assert_eq!(error, "unknown state \"broken\"; known are: booting, waiting, done, quiet, failed, stuck");
        for limit in [0, MAX_LIMIT + 1] {
            assert!(with("done", Some(limit)).unwrap_err().starts_with("limit is "), "{limit}");
        }
        assert_eq!(with("done", Some(5)).unwrap().limit, 5);
    }
}
