//! Any sequence of events, in any order of time.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::attempt::MAX_STEPS;
use super::super::journal::Line;
use super::*;
use crate::boot::ledger::books::UnderWay;

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
    /// The transfer that began so many before the last.
    Ended {
        back: usize,
        outcome: Outcome,
        bytes: u64,
    },
    /// One that was never heard of.
    Strange {
        peer: u8,
        bytes: u64,
    },
    Neighbour {
        peer: u8,
        mac: u8,
    },
    Cut,
    /// Seconds, which may be backwards: clocks are set.
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
    prop_oneof![Just(Outcome::Complete), Just(Outcome::Probe), Just(Outcome::Aborted), Just(Outcome::NotFound)]
}

fn event() -> impl Strategy<Value = Event> {
    let wait = prop_oneof![-5..100i64, 0..100_000i64];
    prop_oneof![
        1 => (0..4u8).prop_map(|mac| Event::Offered { mac }),
        1 => (prop::option::of(0..4u8), 0..4u8, prop::collection::vec((role(), name()), 0..4))
            .prop_map(|(mac, peer, plan)| Event::Scripted { mac, peer, plan }),
        4 => (0..4u8, any::<bool>(), name()).prop_map(|(peer, tftp, name)| Event::Began { peer, tftp, name }),
        4 => (0..6usize, outcome(), 0..5000u64).prop_map(|(back, outcome, bytes)| Event::Ended { back, outcome, bytes }),
        1 => (0..4u8, 0..5000u64).prop_map(|(peer, bytes)| Event::Strange { peer, bytes }),
        1 => (0..4u8, 0..4u8).prop_map(|(peer, mac)| Event::Neighbour { peer, mac }),
        1 => Just(Event::Cut),
        3 => wait.prop_map(Event::Wait),
    ]
}

fn peer(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

/// The books after these events, their journal, and how many bytes were told of.
fn happen(events: &[Event]) -> (Books, Timestamp, Vec<Line>, u64) {
    let mut books = Books::default().kept();
    let mut now: Timestamp = "2026-11-21T14:00:00Z".parse().unwrap();
    let (mut begun, mut journal, mut sum) = (Vec::new(), Vec::new(), 0);
    for (number, event) in events.iter().enumerate() {
        let id = number as u64;
        match event {
            Event::Offered { mac } => books.offered(Mac([*mac; 6]), 7, "a", false, now),
            Event::Scripted { mac, peer: at, plan } => {
                books.scripted(mac.map(|mac| Mac([mac; 6])), peer(*at), None, Some("p"), plan.clone(), now);
            }
            Event::Began { peer: at, tftp, name } => {
                let protocol = if *tftp { Protocol::Tftp } else { Protocol::Http };
                books.began(&Begun { id, protocol, peer: peer(*at), name, at: now });
                begun.push(Begun { id, protocol, peer: peer(*at), name, at: now });
            }
            Event::Ended { back, outcome, bytes } if *back < begun.len() => {
                let one = begun.remove(begun.len() - 1 - back);
                books.ended(&one, &ending(*outcome, *bytes), now);
                sum += bytes;
            }
            Event::Ended { .. } => {}
            Event::Strange { peer: at, bytes } => {
                let one = Begun { id, protocol: Protocol::Http, peer: peer(*at), name: "strange", at: now };
                books.ended(&one, &ending(Outcome::Complete, *bytes), now);
                sum += bytes;
            }
            Event::Neighbour { peer: at, mac } => books.neighbour(peer(*at), Mac([*mac; 6]), now),
            Event::Cut => books.cut(),
            Event::Wait(seconds) => now = now.saturating_add(SignedDuration::from_secs(*seconds)).unwrap(),
        }
        journal.extend(books.changes());
    }
    (books, now, journal, sum)
}

proptest! {
    #[test]
    fn books_are_in_order_bounded_and_add_up(events in prop::collection::vec(event(), 0..200)) {
        let (books, now, _, sum) = happen(&events);
        let mut ids = HashMap::new();
        let (mut found, mut forgotten) = (0, false);
        for (key, page) in books.pages() {
            prop_assert!(!page.attempts.is_empty() && page.attempts.len() <= MAX_ATTEMPTS);
            forgotten |= page.attempts.len() == MAX_ATTEMPTS;
            prop_assert!(page.attempts.iter().is_sorted_by_key(|attempt| attempt.began));
            for attempt in &page.attempts {
                prop_assert_eq!(ids.insert(attempt.id, *key), None, "an attempt is on one page, once");
                prop_assert!(attempt.steps.len() <= MAX_STEPS);
                prop_assert!(attempt.steps.iter().is_sorted_by_key(|step| step.began));
                for step in &attempt.steps {
                    prop_assert!(attempt.began <= step.began && step.began <= step.last && step.last <= attempt.last);
                }
                found += attempt.steps.iter().map(|step| step.bytes).sum::<u64>();
                standing(attempt, now);
            }
        }
        prop_assert!(found <= sum);
        prop_assert!(forgotten || found == sum, "{found} of {sum} bytes are in the books");
    }

    #[test]
    fn the_journal_tells_the_same_as_the_books(events in prop::collection::vec(event(), 0..100)) {
        let (mut books, now, journal, _) = happen(&events);
        let read = |line: &Line| -> Line { serde_json::from_str(&serde_json::to_string(line).unwrap()).unwrap() };
        let again = Books::of(journal.iter().map(read));
        let anew = Books::of(books.all().iter().map(read));
        let forgotten = books.pages().any(|(_, page)| page.attempts.len() == MAX_ATTEMPTS);
        let view = |books: &Books| {
            let mut views: Vec<_> = books.pages().map(|(key, page)| (*key, MachineStatus::with_boots(key, page, &UnderWay::new(), now))).collect();
            views.sort_by_key(|(key, _)| *key);
            views.into_iter().map(|(key, view)| (key, view.boots)).collect::<Vec<_>>()
        };
        prop_assume!(!forgotten);
        prop_assert_eq!(view(&again), view(&anew));
        books.cut();
        let open = books.pages().flat_map(|(_, page)| &page.attempts).any(Attempt::is_open);
        prop_assert!(!open);
    }
}
