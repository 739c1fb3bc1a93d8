//! The state machine against model clients over a simulated network, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

/// What the network does to packets, both ways.
#[derive(Debug, Clone)]
struct Network {
    /// Of 100 packets, how many are lost.
    loss: u32,
    /// Of 100 packets, how many arrive twice.
    duplication: u32,
    /// The shortest way, in microseconds.
    delay: u64,
    /// How much longer single packets may take: more than the distance between packets reorders them.
    jitter: u64,
    seed: u64,
}

/// How a client acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// At a window's end and at a gap (RFC 7440).
    Windows,
    /// Every DATA, duplicates included (iPXE; window 1).
    EveryData,
    /// As `Windows`, each ACK twice.
    Doubled,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    ToClient { block: Option<u64>, copy: u64 },
    ToServer { ack: u16, copy: u64 },
    ClientTimer { generation: u64 },
}

struct Client {
    habit: Habit,
    window: u64,
    blksize: u64,
    received: u64,
    bytes: u64,
    in_window: u64,
    gap: bool,
    done: bool,
}

struct Outcome {
    ending: Ending,
    bytes: u64,
    data: u64,
    unverified: u64,
    resent: u64,
    took: Duration,
}

impl Client {
    /// Takes a DATA packet; returns whether to send an ACK of `received`.
    fn take(&mut self, block: u64, length: u64) -> bool {
        if block == self.received + 1 {
            self.received = block;
            self.bytes += length;
            self.gap = false;
            self.in_window += 1;
            self.done = length < self.blksize;
            let full = self.in_window == self.window || self.done;
            if full {
                self.in_window = 0;
            }
            return full || self.habit == Habit::EveryData;
        }
        if block <= self.received {
            self.in_window = 0;
            return block == self.received || self.habit == Habit::EveryData;
        }
        self.in_window = 0;
        !std::mem::replace(&mut self.gap, true)
    }
}

/// Runs a transfer of `size` bytes until the server's side ends.
fn run(size: u64, terms: &Terms, habit: Habit, network: &Network) -> Outcome {
    let mut random = fastrand::Rng::with_seed(network.seed);
    let start = Instant::now();
    let mut now = start;
    let mut queue: BinaryHeap<Reverse<(Instant, Event)>> = BinaryHeap::new();
    let patience = Patience { timeout: Duration::from_secs(1), retries: 6 };
    let mut transfer = Transfer::new(terms, size, patience, now);
    transfer.offer(size, true);
    let mut client = Client {
        habit,
        window: u64::from(terms.windowsize),
        blksize: u64::from(terms.blksize),
        received: 0,
        bytes: 0,
        in_window: 0,
        gap: false,
        done: false,
    };
    let (mut data, mut unverified, mut generation, mut copies) = (0, 0, 0, 0);
    let mut heard = false;
    loop {
        let mut ways = |random: &mut fastrand::Rng| {
            let mut arrivals = Vec::new();
            for _ in 0..=u32::from(random.u32(0..100) < network.duplication) {
                if random.u32(0..100) >= network.loss {
                    copies += 1;
                    let micros = network.delay + random.u64(0..=network.jitter);
                    arrivals.push((now + Duration::from_micros(micros), copies));
                }
            }
            arrivals
        };
        while let Some(transmit) = transfer.poll_transmit(now) {
            let blocks: Vec<Option<u64>> = match transmit {
                Transmit::OptionAck => vec![None],
                Transmit::Blocks { first, last } => (first..=last).map(Some).collect(),
            };
            for block in blocks {
                data += u64::from(block.is_some());
                unverified += u64::from(!heard);
                for (at, copy) in ways(&mut random) {
                    queue.push(Reverse((at, Event::ToClient { block, copy })));
                }
            }
        }
        if let Some(ending) = transfer.ending() {
            let took = now - start;
            return Outcome { ending, bytes: client.bytes, data, unverified, resent: transfer.resent(), took };
        }
        let due = transfer.poll_timeout();
        if queue.peek().is_none_or(|Reverse((at, _))| due <= *at) {
            now = now.max(due);
            transfer.handle_timeout(now);
            continue;
        }
        let Some(Reverse((at, event))) = queue.pop() else { unreachable!() };
        now = at;
        let answer = match event {
            Event::ToServer { ack, .. } => {
                heard = true;
                transfer.handle_ack(ack, now);
                false
            }
            Event::ToClient { block: None, .. } => client.received == 0,
            Event::ToClient { block: Some(block), .. } => {
                let (_, length) = transfer.block(block);
                client.take(block, length as u64)
            }
            Event::ClientTimer { generation: set } => set == generation && !client.done,
        };
        if answer {
            for later in 0..=u64::from(habit == Habit::Doubled) {
                copies += 1;
                let micros = network.delay + random.u64(0..=network.jitter) + later * 30;
                if random.u32(0..100) >= network.loss {
                    let event = Event::ToServer { ack: wire(client.received), copy: copies };
                    queue.push(Reverse((now + Duration::from_micros(micros), event)));
                }
            }
            generation += 1;
            queue.push(Reverse((now + Duration::from_secs(4), Event::ClientTimer { generation })));
        }
    }
}

fn terms(blksize: u16, windowsize: u16, oack: bool) -> Terms {
    Terms { blksize, windowsize, timeout: None, tsize: true, oack: oack.then(Vec::new) }
}

const QUIET: Network = Network { loss: 0, duplication: 0, delay: 100, jitter: 0, seed: 1 };

#[test]
fn a_quiet_network_sees_each_block_once() {
    for (size, blocks) in [(0, 1), (1, 1), (511, 1), (512, 2), (513, 2), (51_200, 101)] {
        for (window, oack) in [(1, false), (1, true), (4, true), (64, true)] {
            let outcome = run(size, &terms(512, window, oack), Habit::Windows, &QUIET);
            assert_eq!((outcome.ending, outcome.bytes, outcome.data), (Ending::Complete, size, blocks));
            assert_eq!(outcome.resent, 0);
        }
    }
}

#[test]
fn block_numbers_roll_over_to_zero() {
    let size = 8 * 140_000 + 3;
    for window in [1, 16] {
        let outcome = run(size, &terms(8, window, true), Habit::Windows, &QUIET);
        assert_eq!((outcome.ending, outcome.bytes, outcome.data), (Ending::Complete, size, 140_001));
    }
}

#[test]
fn doubled_acks_double_nothing() {
    for window in [1, 4, 16] {
        let outcome = run(200 * 1468, &terms(1468, window, true), Habit::Doubled, &QUIET);
        assert_eq!(outcome.ending, Ending::Complete);
        assert!(outcome.data * 100 <= 201 * 105, "window {window}: {} packets for 201 blocks", outcome.data);
    }
}

#[test]
fn one_percent_loss_costs_little_time() {
    let network = Network { loss: 1, delay: 250, ..QUIET };
    for (window, most) in [(1, 3), (4, 2)] {
        let outcome = run(1 << 20, &terms(1468, window, true), Habit::Windows, &network);
        assert_eq!(outcome.ending, Ending::Complete);
        assert!(outcome.took < Duration::from_secs(most), "window {window}: {:?}", outcome.took);
    }
}

#[test]
fn a_network_that_reorders_every_window_costs_little_time() {
    // A relay that holds each packet back by 50 to 300 us, and loses and doubles one of a hundred.
    for seed in 0..20 {
        let network = Network { loss: 1, duplication: 1, delay: 50, jitter: 250, seed };
        let outcome = run(700_001, &terms(1432, 8, true), Habit::Windows, &network);
        assert_eq!(outcome.ending, Ending::Complete);
        assert!(outcome.took < Duration::from_secs(10), "seed {seed}: {:?}", outcome.took);
    }
}

#[test]
fn an_unverified_peer_gets_six_packets_and_no_window() {
    let deaf = Network { loss: 100, ..QUIET };
    for (window, oack) in [(1, false), (1, true), (64, true)] {
        let outcome = run(1 << 20, &terms(1468, window, oack), Habit::Windows, &deaf);
        assert_eq!((outcome.ending, outcome.unverified), (Ending::Timeout, 6));
        assert!(outcome.data <= 6);
    }
    let now = Instant::now();
    let patience = Patience { timeout: Duration::from_secs(1), retries: 60 };
    let mut transfer = Transfer::new(&terms(512, 1, true), 0, patience, now);
    let sent = (0..50).filter(|_| transfer.poll_transmit(now).is_some() | !transfer.handle_repeat()).count();
    assert_eq!(sent, 6, "repeated requests count too");
}

#[test]
fn a_peer_that_proves_nothing_but_its_request_gets_two_windows_and_drips() {
    for acks in [1, 1000] {
        let (patience, start) = (Patience { timeout: Duration::from_secs(1), retries: 6 }, Instant::now());
        let mut transfer = Transfer::new(&terms(1468, 64, true), 1 << 20, patience, start);
        transfer.offer(1 << 20, true);
        transfer.poll_transmit(start);
        let (mut now, mut sent, mut acks_left) = (start + Duration::from_millis(1), 0, acks);
        while transfer.ending().is_none() {
            if acks_left > 0 {
                acks_left -= 1;
                transfer.handle_ack(0, now);
            }
            while let Some(Transmit::Blocks { first, last }) = transfer.poll_transmit(now) {
                sent += last + 1 - first;
            }
            now = if acks_left > 0 { now + Duration::from_millis(7) } else { transfer.poll_timeout() };
            transfer.handle_timeout(now);
        }
        assert_eq!(transfer.ending(), Some(Ending::Timeout));
        assert!((128..=128 + 15).contains(&sent), "{sent} blocks for {acks} forged ACKs");
    }
}

#[test]
fn a_peer_that_missed_its_first_windows_is_served_when_it_answers() {
    let (mut transfer, mut now) = verified(4);
    transfer.offer(5120, true);
    let mut bursts = Vec::new();
    for _ in 0..4 {
        bursts.extend(transfer.poll_transmit(now));
        now = transfer.poll_timeout();
        transfer.handle_timeout(now);
    }
    let blocks = |first, last| Transmit::Blocks { first, last };
    assert_eq!(bursts, [blocks(1, 4), blocks(1, 4), blocks(1, 1), blocks(1, 1)]);
    transfer.handle_ack(1, now);
    assert_eq!(transfer.poll_transmit(now), Some(blocks(2, 5)));
}

/// A transfer of ten 512-byte blocks and an empty one, the OACK acknowledged.
fn verified(window: u16) -> (Transfer, Instant) {
    let now = Instant::now();
    let patience = Patience { timeout: Duration::from_secs(1), retries: 2 };
    let mut transfer = Transfer::new(&terms(512, window, true), 5120, patience, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::OptionAck));
    let now = now + Duration::from_millis(1);
    transfer.handle_ack(0, now);
    (transfer, now)
}

#[test]
fn a_window_waits_for_all_its_bytes() {
    let (mut transfer, now) = verified(4);
    assert_eq!(transfer.needed(), 2048);
    transfer.offer(2047, false);
    assert_eq!(transfer.poll_transmit(now), None);
    assert_eq!(transfer.poll_timeout(), transfer.expires, "nothing is under way, so nothing is sent again");
    transfer.offer(2048, false);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 1, last: 4 }));
    transfer.handle_ack(4, now);
    transfer.offer(2049, true);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 5, last: 5 }));
    assert_eq!(transfer.block(5), (2048, 1));
    transfer.handle_ack(5, now);
    assert_eq!(transfer.ending(), Some(Ending::Complete));
}

#[test]
fn an_ack_inside_the_window_resends_once_a_round_trip() {
    let (mut transfer, mut now) = verified(4);
    transfer.offer(5120, true);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 1, last: 4 }));
    now += Duration::from_millis(1);
    transfer.handle_ack(2, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 3, last: 6 }));
    transfer.handle_ack(2, now);
    assert_eq!(transfer.poll_transmit(now), None, "the same ACK again, at once");
    now += Duration::from_millis(1);
    transfer.handle_ack(2, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 3, last: 6 }), "a round trip later");
    assert_eq!(transfer.resent(), 2 + 4);
}

#[test]
fn a_needless_resend_is_not_answered_by_another() {
    let (mut transfer, mut now) = verified(4);
    transfer.offer(5120, true);
    transfer.poll_transmit(now);
    now = transfer.poll_timeout();
    transfer.handle_timeout(now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 1, last: 4 }), "the ACK was only slow");
    transfer.handle_ack(4, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 5, last: 8 }));
    now += Duration::from_millis(5);
    transfer.handle_ack(4, now);
    assert_eq!(transfer.poll_transmit(now), None, "the second ACK is the repeated blocks'");
    transfer.handle_ack(8, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 9, last: 11 }));
    now += Duration::from_millis(5);
    transfer.handle_ack(8, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 9, last: 11 }), "block 9 was lost");
}

#[test]
fn old_and_future_acks_change_nothing() {
    let (mut transfer, mut now) = verified(4);
    transfer.offer(5120, true);
    transfer.poll_transmit(now);
    now += Duration::from_millis(1);
    transfer.handle_ack(4, now);
    transfer.poll_transmit(now);
    now += Duration::from_millis(1);
    for number in [0, 3, 9, 65_535] {
        transfer.handle_ack(number, now);
        assert_eq!((transfer.poll_transmit(now), transfer.released()), (None, 4 * 512), "{number}");
    }
}

#[test]
fn an_error_is_a_probe_an_abort_or_a_goodbye() {
    let now = Instant::now();
    let patience = Patience { timeout: Duration::from_secs(1), retries: 2 };
    for (asks_size, ending) in [(true, Ending::Probe), (false, Ending::Aborted)] {
        let terms = Terms { tsize: asks_size, ..terms(512, 1, true) };
        let mut transfer = Transfer::new(&terms, 5120, patience, now);
        transfer.poll_transmit(now);
        transfer.handle_error(8);
        assert_eq!(transfer.ending(), Some(ending));
    }
    for (blocks, code, ending) in [(1, 0, Ending::Aborted), (1, 5, Ending::Aborted), (11, 5, Ending::Complete)] {
        let (mut transfer, now) = verified(1);
        transfer.offer(5120, true);
        for block in 1..=blocks {
            transfer.poll_transmit(now);
            if block < blocks {
                transfer.handle_ack(wire(block), now);
            }
        }
        transfer.handle_error(code);
        assert_eq!(transfer.ending(), Some(ending), "ERROR {code} after block {blocks}");
    }
}

#[test]
fn a_lost_last_ack_is_a_complete_transfer_and_any_other_a_timeout() {
    for (acks, ending) in [(10, Ending::Complete), (9, Ending::Timeout)] {
        let (mut transfer, mut now) = verified(1);
        transfer.offer(5120, true);
        for block in 1..=acks {
            transfer.poll_transmit(now);
            transfer.handle_ack(block, now);
        }
        while transfer.ending().is_none() {
            transfer.poll_transmit(now);
            now = transfer.poll_timeout();
            transfer.handle_timeout(now);
        }
        assert_eq!((transfer.ending(), transfer.payload_sent()), (Some(ending), 5120));
    }
}

#[test]
fn a_peer_that_only_drips_loses_its_seat() {
    let (mut transfer, start) = verified(1);
    let mut now = start;
    while transfer.ending().is_none() {
        transfer.offer(u64::MAX / 2, false);
        transfer.poll_transmit(now);
        now += Duration::from_millis(900);
        transfer.handle_timeout(now);
        transfer.handle_ack(wire(transfer.acked + 1), now);
    }
    assert_eq!(transfer.ending(), Some(Ending::Timeout));
    assert!(now - start < Duration::from_secs(310));
}

fn networks() -> impl Strategy<Value = Network> {
    (0u32..30, 0u32..20, 1u64..5_000, 0u64..5_000, any::<u64>())
        .prop_map(|(loss, duplication, delay, jitter, seed)| Network { loss, duplication, delay, jitter, seed })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_network_that_delivers_at_all_gets_the_bytes_through(
        blocks in 0u64..150, rest in 0u64..64, window in 1u16..20, oack in any::<bool>(), lockstep in any::<bool>(),
        network in networks(),
    ) {
        let oack = oack || window > 1;
        let window = if lockstep { 1 } else { window };
        let habit = if lockstep { Habit::EveryData } else { Habit::Windows };
        let size = blocks * 64 + rest;
        let outcome = run(size, &terms(64, window, oack), habit, &network);
        // With the last ACK lost, or an unlucky row of losses, the server's side may not know; what it calls complete is.
        if outcome.ending == Ending::Complete {
            prop_assert_eq!(outcome.bytes, size);
        } else {
            prop_assert!(network.loss > 10, "{:?} gave up at {} of {} bytes", network, outcome.bytes, size);
        }
        prop_assert!(outcome.unverified <= 6);
        let bound = (blocks + 1) * u64::from(window).min(blocks + 1) * 3 + 200;
        prop_assert!(outcome.data <= bound, "{} packets for {} blocks", outcome.data, blocks + 1);
    }

    #[test]
    fn no_acks_however_wild_make_it_panic_or_run_ahead(
        acks in proptest::collection::vec((any::<u16>(), 0u64..40), 0..200), window in 1u16..70,
    ) {
        let (mut transfer, mut now) = verified(window);
        transfer.offer(512 * 100_000, true);
        for (number, millis) in acks {
            now += Duration::from_millis(millis);
            transfer.handle_ack(number % 200, now);
            transfer.handle_timeout(now);
            if let Some(Transmit::Blocks { first, last }) = transfer.poll_transmit(now) {
                let end = if transfer.is_unproven() { 1 } else { u64::from(window) };
                prop_assert!([end, u64::from(window)].contains(&(last - transfer.acked)));
                prop_assert!(first > transfer.acked && first <= last);
            }
        }
    }
}
