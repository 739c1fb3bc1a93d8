//! Random sequences of events, with clocks that jump.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::attempt::MAX_STEPS;
use super::*;
use crate::boot::ledger::index::BytesSent;

#[derive(Debug, Clone)]
enum Event {
    Offered {
        mac: u8,
    },
    Scripted {
        mac: Option<u8>,
        peer: u8,
        plan: Vec<(Role, String)>,
    },
    Began {
        peer: u8,
        tftp: bool,
        name: String,
    },
    /// The end of the transfer that began this many before the last.
    Ended {
        back: usize,
        outcome: Outcome,
        bytes: u64,
    },
    /// The end of a transfer whose start was missed.
    Missed {
        peer: u8,
        bytes: u64,
    },
    Arp {
        peer: u8,
        mac: u8,
    },
    CloseAll,
    /// Seconds; negative if the clock is set back.
    Wait(i64),
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("ipxe".to_owned()),
        Just("boot.ipxe".to_owned()),
        Just("hosts/a/x".to_owned()),
        "[a-h]".prop_map(|name| name),
        "[a-z]{1,2}",
    ]
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Kernel), Just(Role::Initrd), Just(Role::Asset), Just(Role::File)]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Complete),
        Just(Outcome::Probe),
        Just(Outcome::Aborted),
        Just(Outcome::NotFound),
        Just(Outcome::OriginFailed)
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let wait = prop_oneof![-5..100i64, 0..100_000i64];
    prop_oneof![
        1 => (0..4u8).prop_map(|mac| Event::Offered { mac }),
        1 => (prop::option::of(0..4u8), 0..4u8, prop::collection::vec((role(), name()), 0..4))
            .prop_map(|(mac, peer, plan)| Event::Scripted { mac, peer, plan }),
        4 => (0..4u8, any::<bool>(), name()).prop_map(|(peer, tftp, name)| Event::Began { peer, tftp, name }),
        4 => (0..6usize, outcome(), 0..5000u64).prop_map(|(back, outcome, bytes)| Event::Ended { back, outcome, bytes }),
        1 => (0..4u8, 0..5000u64).prop_map(|(peer, bytes)| Event::Missed { peer, bytes }),
        1 => (0..4u8, 0..4u8).prop_map(|(peer, mac)| Event::Arp { peer, mac }),
        1 => Just(Event::CloseAll),
        3 => wait.prop_map(Event::Wait),
    ]
}

/// The machines 2 and 3 are cards of one host, and 1 is another host.
fn host_of(mac: u8) -> Option<HostCards> {
    let macs = (0..4).filter(|other| other / 2 == mac / 2).map(|other| Mac([other; 6])).collect();
    (mac > 0).then(|| HostCards { name: format!("host{}", mac / 2), macs })
}

fn peer(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

/// Applies events. Returns the index, the time, the journal, and the bytes of all transfers.
fn apply(events: &[Event]) -> (Index, Timestamp, Vec<Line>, u64) {
    let mut index = Index::default().with_changes();
    let mut now: Timestamp = "2026-11-21T14:00:00Z".parse().unwrap();
    let (mut begun, mut journal, mut sum) = (Vec::new(), Vec::new(), 0);
    for (number, event) in events.iter().enumerate() {
        let id = number as u64;
        match event {
            Event::Offered { mac } => {
                index.record_offer(&with_mac(Mac([*mac; 6])), host_of(*mac).as_ref(), 7, "a", false, now);
            }
            Event::Scripted { mac, peer: at, plan } => {
                let (peer, host) = (peer(*at), mac.and_then(host_of));
                let machine = Machine { mac: mac.map(|mac| Mac([mac; 6])), ..Machine::default() };
                let (profile, kind, near_miss) = (Some("p"), ScriptKind::Files, None);
                let host = host.as_ref();
                index.record_script(
                    SentScript { machine: &machine, peer, host, near_miss, profile, kind, named: plan },
                    now,
                );
            }
            Event::Began { peer: at, tftp, name } => {
                let protocol = if *tftp { Protocol::Tftp } else { Protocol::Http };
                index.transfer_began(&TransferStart { id, protocol, peer: peer(*at), name, at: now });
                begun.push(TransferStart { id, protocol, peer: peer(*at), name, at: now });
            }
            Event::Ended { back, outcome, bytes } if *back < begun.len() => {
                let one = begun.remove(begun.len() - 1 - back);
                index.transfer_ended(&one, &end(*outcome, *bytes), now);
                sum += bytes;
            }
            Event::Ended { .. } => {}
            Event::Missed { peer: at, bytes } => {
                let one = TransferStart { id, protocol: Protocol::Http, peer: peer(*at), name: "missed", at: now };
                index.transfer_ended(&one, &end(Outcome::Complete, *bytes), now);
                sum += bytes;
            }
            Event::Arp { peer: at, mac } => index.record_neighbour(peer(*at), Mac([*mac; 6]), None, now),
            Event::CloseAll => index.close_all(),
            Event::Wait(seconds) => now = now.saturating_add(SignedDuration::from_secs(*seconds)).unwrap(),
        }
        journal.extend(index.take_changes());
    }
    (index, now, journal, sum)
}

proptest! {
    #[test]
    fn index_stays_sorted_bounded_and_complete(events in prop::collection::vec(event(), 0..200)) {
        let (index, now, _, sum) = apply(&events);
        let mut ids = HashMap::new();
        let (mut found, mut forgotten) = (0, false);
        for (key, machine) in index.machines() {
            prop_assert!(!machine.attempts.is_empty() && machine.attempts.len() <= MAX_ATTEMPTS);
            forgotten |= machine.attempts.len() == MAX_ATTEMPTS;
            prop_assert!(machine.attempts.iter().is_sorted_by_key(|attempt| attempt.began));
            for attempt in &machine.attempts {
                prop_assert_eq!(ids.insert(attempt.id, *key), None, "an attempt belongs to one machine");
                prop_assert!(attempt.steps.len() <= MAX_STEPS);
                prop_assert!(attempt.steps.iter().is_sorted_by_key(|step| step.began));
                for step in &attempt.steps {
                    prop_assert!(attempt.began <= step.began && step.began <= step.last);
                    // Clients at other addresses do not prolong a boot.
                    prop_assert!(step.role == Role::Address || step.last <= attempt.last);
                }
                found += attempt.steps.iter().map(|step| step.bytes).sum::<u64>();
                AttemptStatus::of(attempt, now);
            }
        }
        prop_assert!(found <= sum);
        prop_assert!(forgotten || found == sum, "{found} of {sum} bytes are recorded");
    }

    #[test]
    fn journal_replay_equals_index(events in prop::collection::vec(event(), 0..100)) {
        let (mut index, now, journal, _) = apply(&events);
        let read = |line: &Line| -> Line { serde_json::from_str(&serde_json::to_string(line).unwrap()).unwrap() };
        let replayed = Index::from_lines(journal.iter().map(read));
        let rewritten = Index::from_lines(index.all_lines().iter().map(read));
        let forgotten = index.machines().any(|(_, machine)| machine.attempts.len() == MAX_ATTEMPTS);
        let view = |index: &Index| {
            let mut views: Vec<_> = index.machines().map(|(key, machine)| (*key, MachineStatus::with_boots(key, machine, &BytesSent::new(), now))).collect();
            views.sort_by_key(|(key, _)| *key);
            views.into_iter().map(|(key, view)| (key, view.boots)).collect::<Vec<_>>()
        };
        prop_assume!(!forgotten);
        prop_assert_eq!(view(&replayed), view(&rewritten));
        index.close_all();
        let open = index.machines().flat_map(|(_, machine)| &machine.attempts).any(Attempt::is_open);
        prop_assert!(!open);
    }
}
