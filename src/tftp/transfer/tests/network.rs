//! Transfers to model clients over a simulated network.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

/// A simulated network, the same in both directions.
#[derive(Debug, Clone)]
struct Network {
    /// Lost packets, in percent.
    loss: u32,
    /// Duplicated packets, in percent.
    duplication: u32,
    /// The shortest one-way delay, in microseconds.
    delay: u64,
    /// The longest extra delay of a packet, in microseconds. If it exceeds the distance between packets, it reorders them.
    jitter: u64,
    seed: u64,
}

/// When a client sends ACKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AckStyle {
    /// At the end of a window and at a gap (RFC 7440).
    Windows,
    /// After every DATA, duplicates included (iPXE; window 1).
    EveryData,
    /// As `Windows`, with each ACK sent twice.
    Doubled,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    ToClient { block: Option<u64>, copy: u64 },
    ToServer { ack: u16, copy: u64 },
    ClientTimer { generation: u64 },
}

struct Client {
    acks: AckStyle,
    window: u64,
    blksize: u64,
    received: u64,
    bytes: u64,
    in_window: u64,
    gap: bool,
    done: bool,
}

struct Outcome {
    reason: EndReason,
    bytes: u64,
    data: u64,
    unvalidated: u64,
    retransmits: u64,
    took: Duration,
}

impl Client {
    /// Handles a DATA packet. Returns whether to send an ACK of `received`.
    fn handle_data(&mut self, block: u64, length: u64) -> bool {
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
            return full || self.acks == AckStyle::EveryData;
        }
        if block <= self.received {
            self.in_window = 0;
            return block == self.received || self.acks == AckStyle::EveryData;
        }
        self.in_window = 0;
        !std::mem::replace(&mut self.gap, true)
    }
}

/// Runs a transfer of `size` bytes until the state machine ends it.
fn run(size: u64, negotiated: &Negotiated, acks: AckStyle, network: &Network) -> Outcome {
    let mut random = fastrand::Rng::with_seed(network.seed);
    let start = Instant::now();
    let mut now = start;
    let mut queue: BinaryHeap<Reverse<(Instant, Event)>> = BinaryHeap::new();
    let policy = RetransmitPolicy { timeout: Duration::from_secs(1), retries: 6 };
    let mut transfer = ReadTransfer::new(negotiated, size, policy, now);
    transfer.set_available(size, true);
    let mut client = Client {
        acks,
        window: u64::from(negotiated.windowsize),
        blksize: u64::from(negotiated.blksize),
        received: 0,
        bytes: 0,
        in_window: 0,
        gap: false,
        done: false,
    };
    let (mut data, mut unvalidated, mut generation, mut copies) = (0, 0, 0, 0);
    let mut answered = false;
    loop {
        let mut arrivals = |random: &mut fastrand::Rng| {
            let mut times = Vec::new();
            for _ in 0..=u32::from(random.u32(0..100) < network.duplication) {
                if random.u32(0..100) >= network.loss {
                    copies += 1;
                    let micros = network.delay + random.u64(0..=network.jitter);
                    times.push((now + Duration::from_micros(micros), copies));
                }
            }
            times
        };
        while let Some(transmit) = transfer.poll_transmit(now) {
            let blocks: Vec<Option<u64>> = match transmit {
                Transmit::OptionAck => vec![None],
                Transmit::Blocks { first, last } => (first..=last).map(Some).collect(),
            };
            for block in blocks {
                data += u64::from(block.is_some());
                unvalidated += u64::from(!answered);
                for (at, copy) in arrivals(&mut random) {
                    queue.push(Reverse((at, Event::ToClient { block, copy })));
                }
            }
        }
        if let Some(reason) = transfer.end_reason() {
            let took = now - start;
            return Outcome {
                reason,
                bytes: client.bytes,
                data,
                unvalidated,
                retransmits: transfer.retransmits(),
                took,
            };
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
                answered = true;
                transfer.handle_ack(ack, now);
                false
            }
            Event::ToClient { block: None, .. } => client.received == 0,
            Event::ToClient { block: Some(block), .. } => {
                let (_, length) = transfer.block_range(block);
                client.handle_data(block, length as u64)
            }
            Event::ClientTimer { generation: set } => set == generation && !client.done,
        };
        if answer {
            for copy in 0..=u64::from(acks == AckStyle::Doubled) {
                copies += 1;
                let micros = network.delay + random.u64(0..=network.jitter) + copy * 30;
                if random.u32(0..100) >= network.loss {
                    let event = Event::ToServer { ack: wire_number(client.received), copy: copies };
                    queue.push(Reverse((now + Duration::from_micros(micros), event)));
                }
            }
            generation += 1;
            queue.push(Reverse((now + Duration::from_secs(4), Event::ClientTimer { generation })));
        }
    }
}

const PERFECT: Network = Network { loss: 0, duplication: 0, delay: 100, jitter: 0, seed: 1 };

#[test]
fn perfect_network_sends_each_block_once() {
    for (size, blocks) in [(0, 1), (1, 1), (511, 1), (512, 2), (513, 2), (51_200, 101)] {
        for (window, oack) in [(1, false), (1, true), (4, true), (64, true)] {
            let outcome = run(size, &negotiated(512, window, oack), AckStyle::Windows, &PERFECT);
            assert_eq!((outcome.reason, outcome.bytes, outcome.data), (EndReason::Complete, size, blocks));
            assert_eq!(outcome.retransmits, 0);
        }
    }
}

#[test]
fn block_numbers_roll_over_to_zero() {
    let size = 8 * 140_000 + 3;
    for window in [1, 16] {
        let outcome = run(size, &negotiated(8, window, true), AckStyle::Windows, &PERFECT);
        assert_eq!((outcome.reason, outcome.bytes, outcome.data), (EndReason::Complete, size, 140_001));
    }
}

#[test]
fn duplicate_acks_cause_no_retransmits() {
    for window in [1, 4, 16] {
        let outcome = run(200 * 1468, &negotiated(1468, window, true), AckStyle::Doubled, &PERFECT);
        assert_eq!(outcome.reason, EndReason::Complete);
        assert!(outcome.data * 100 <= 201 * 105, "window {window}: {} packets for 201 blocks", outcome.data);
    }
}

#[test]
fn one_percent_loss_stays_fast() {
    let network = Network { loss: 1, delay: 250, ..PERFECT };
    for (window, most) in [(1, 3), (4, 2)] {
        let outcome = run(1 << 20, &negotiated(1468, window, true), AckStyle::Windows, &network);
        assert_eq!(outcome.reason, EndReason::Complete);
        assert!(outcome.took < Duration::from_secs(most), "window {window}: {:?}", outcome.took);
    }
}

#[test]
fn reordering_network_stays_fast() {
    // Each packet is delayed by 50 to 300 us; one of a hundred is lost and one is duplicated.
    for seed in 0..20 {
        let network = Network { loss: 1, duplication: 1, delay: 50, jitter: 250, seed };
        let outcome = run(700_001, &negotiated(1432, 8, true), AckStyle::Windows, &network);
        assert_eq!(outcome.reason, EndReason::Complete);
        assert!(outcome.took < Duration::from_secs(10), "seed {seed}: {:?}", outcome.took);
    }
}

#[test]
fn silent_peer_gets_three_packets() {
    let deaf = Network { loss: 100, ..PERFECT };
    for (window, oack) in [(1, false), (1, true), (64, true)] {
        let outcome = run(1 << 20, &negotiated(1468, window, oack), AckStyle::Windows, &deaf);
        assert_eq!((outcome.reason, outcome.unvalidated), (EndReason::Timeout, 3));
        assert!(outcome.data <= 3);
    }
}

fn networks() -> impl Strategy<Value = Network> {
    (0u32..30, 0u32..20, 1u64..5_000, 0u64..5_000, any::<u64>())
        .prop_map(|(loss, duplication, delay, jitter, seed)| Network { loss, duplication, delay, jitter, seed })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn lossy_network_delivers_all_bytes(
        blocks in 0u64..150, rest in 0u64..64, window in 1u16..20, oack in any::<bool>(), lockstep in any::<bool>(),
        network in networks(),
    ) {
        let oack = oack || window > 1;
        let window = if lockstep { 1 } else { window };
        let acks = if lockstep { AckStyle::EveryData } else { AckStyle::Windows };
        let size = blocks * 64 + rest;
        let mut outcome = run(size, &negotiated(64, window, oack), acks, &network);
        let mut seed = network.seed;
        while outcome.reason == EndReason::Timeout && outcome.bytes == 0 && outcome.unvalidated == 3 {
            // The client got no answer, or its answers were lost, and it asks again.
            seed = seed.wrapping_add(1);
            outcome = run(size, &negotiated(64, window, oack), acks, &Network { seed, ..network.clone() });
        }
        // Heavy loss may end the transfer early. A transfer that counts as complete must be complete at the client.
        if outcome.reason == EndReason::Complete {
            // A last block that is lost as often as it is sent looks like a last ACK that is lost.
            let is_whole = outcome.bytes == size || network.loss > 10 && size - outcome.bytes < 64;
            prop_assert!(is_whole, "{:?} is complete at {} of {} bytes", network, outcome.bytes, size);
        } else {
            prop_assert!(network.loss > 10, "{:?} ended at {} of {} bytes", network, outcome.bytes, size);
        }
        prop_assert!(outcome.unvalidated <= 3);
        let bound = (blocks + 1) * u64::from(window).min(blocks + 1) * 3 + 200;
        prop_assert!(outcome.data <= bound, "{} packets for {} blocks", outcome.data, blocks + 1);
    }
}
