//! The order of events in one boot: whether the next event of a machine belongs to the same power-on as those before.

use jiff::{SignedDuration, Timestamp};

use super::attempt::{Attempt, PAUSE};
use super::names;
use super::stage::Stage;
use super::step::Step;
use super::way::Way;
use crate::boot::role::Role;

/// After a pause of this length, any event starts a new attempt.
pub(super) const MAX_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// How long after the end of one way the firmware tries its next one: our scripts wait up to 64 seconds before they give up,
/// and `DHCPv6` takes up to a minute.
const NEXT_WAY: SignedDuration = SignedDuration::from_mins(3);

/// Whether an event at `at` belongs to `attempt`: a DHCP answer or a transfer of this role and name. `way`: how the firmware
/// asked for it, if known. Repeated steps belong to it; a return to an earlier stage does not, unless the firmware goes on
/// with another way to boot.
pub(super) fn continues(attempt: &Attempt, role: Role, name: &str, way: Option<Way>, at: Timestamp) -> bool {
    if attempt.is_quiet(MAX_PAUSE, at) {
        return false;
    }
    let stage = attempt.stage();
    let paused = attempt.is_quiet(PAUSE, at);
    // The files of a running system are no part of its next boot.
    let loading = || attempt.counted().any(|step| step.role == Role::Nbp);
    let next_way =
        || way.is_some_and(|way| attempt.ways.is_new(way)) && !attempt.is_quiet(NEXT_WAY, at) && !attempt.is_served();
    match role {
        // iPXE sends its own DHCP request after the firmware has loaded it, or after its first script.
        Role::Dhcp if names::is_entry(name) => {
            stage < Stage::Nbp || (stage < Stage::Script && !paused) || is_loading_again(attempt)
        }
        Role::Dhcp => stage < Stage::Nbp || (stage == Stage::Nbp && !paused && loading()) || next_way(),
        Role::Nbp => {
            let is_recent = |step: &Step| step.open > 0 || at.duration_since(step.last) <= PAUSE;
            let recent =
                || attempt.counted().any(|step| matches!(step.role, Role::Dhcp | Role::Nbp) && is_recent(step));
            stage < Stage::Nbp
                || (stage == Stage::Nbp && loading() && recent())
                || next_way()
                || is_loading_again(attempt)
        }
        Role::Script if stage == Stage::Payload => is_loading_again(attempt) || (!names::is_entry(name) && !paused),
        Role::Script if stage == Stage::Script => !paused || attempt.waits() || is_loading_again(attempt),
        Role::Script | Role::Kernel | Role::Initrd | Role::Asset | Role::File | Role::Address => true,
    }
}

/// Whether the firmware went on with another way to boot: its DHCP answer or its network boot program came after everything
/// else.
fn is_loading_again(attempt: &Attempt) -> bool {
    let last = |wanted: fn(Stage) -> bool| {
        attempt.counted().filter(|step| wanted(attempt.stage_of(step))).map(|step| step.last).max()
    };
    let further = last(|stage| stage >= Stage::Entry).max(attempt.first_script());
    further.is_some() && last(|stage| stage <= Stage::Nbp) > further
}
