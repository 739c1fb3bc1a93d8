//! Boots with more files than the ledger keeps apart.

use super::play::Event::{self, At, Fails, Http, Missing, Script};
use super::play::*;
use super::*;

const NAMES: [&str; 40] = [
    "rpms/00", "rpms/01", "rpms/02", "rpms/03", "rpms/04", "rpms/05", "rpms/06", "rpms/07", "rpms/08", "rpms/09",
    "rpms/10", "rpms/11", "rpms/12", "rpms/13", "rpms/14", "rpms/15", "rpms/16", "rpms/17", "rpms/18", "rpms/19",
    "rpms/20", "rpms/21", "rpms/22", "rpms/23", "rpms/24", "rpms/25", "rpms/26", "rpms/27", "rpms/28", "rpms/29",
    "rpms/30", "rpms/31", "rpms/32", "rpms/33", "rpms/34", "rpms/35", "rpms/36", "rpms/37", "rpms/38", "rpms/39",
];

/// An installer that has fetched all of these files.
fn installer() -> Vec<Event> {
    let mut events = vec![At(PEER_A), Http("boot.ipxe"), Script(Kind::Files, &[(Role::Kernel, "okd/kernel")])];
    events.push(Http("okd/kernel"));
    events.extend(NAMES.map(Http));
    events
}

#[test]
fn unknown_names_fail_no_long_boot() {
    let http = Protocol::Http;
    done(&installer());
    done(&all(&[&installer(), &[Missing(http, "updates.img")]]));
    // A file that it has already, and one that it does not read to the end.
    done(&all(&[&installer(), &[Fails(http, "rpms/39", Outcome::Refused), Fails(http, "rpms/38", Outcome::Aborted)]]));
}

#[test]
fn each_failed_file_must_be_repeated() {
    let fails = |name| Fails(Protocol::Http, name, Outcome::OriginFailed);
    let two = all(&[&installer(), &[fails("rpms/a"), fails("rpms/b")]]);
    failed(&two, "rpms/b: its origin could not be read");
    failed(&all(&[&two, &[Http("rpms/b")]]), "rpms/a: its origin could not be read");
    done(&all(&[&two, &[Http("rpms/b"), Http("rpms/a")]]));
    failed(&all(&[&installer(), &[fails("hosts/r630-01/seed")]]), "hosts/r630-01/seed");

    // Very many are not kept apart. Those that were added up stay failed.
    let many = all(&[&installer(), &NAMES.map(fails)]);
    failed(&all(&[&many, &NAMES.map(Http)]), "(others)");
    failed(&all(&[&many, &[Http(NAMES[39])]]), "its origin could not be read");
}
