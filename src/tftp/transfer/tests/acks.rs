//! ACKs: windows, retransmits, and peers that are not validated.

use proptest::prelude::*;

use super::*;

#[test]
fn repeated_requests_get_three_packets() {
    let now = Instant::now();
    let policy = RetransmitPolicy { timeout: Duration::from_secs(1), retries: 60 };
    let mut transfer = ReadTransfer::new(&negotiated(512, 1, true), 0, policy, now);
    let sent = (0..50).filter(|_| transfer.poll_transmit(now).is_some() | !transfer.handle_duplicate_request()).count();
    assert_eq!(sent, 3, "answers to repeated requests count too");
}

#[test]
fn ack_zero_alone_gets_two_windows() {
    for acks in [1, 1000] {
        let (policy, start) = (RetransmitPolicy { timeout: Duration::from_secs(1), retries: 6 }, Instant::now());
        let mut transfer = ReadTransfer::new(&negotiated(1468, 64, true), 1 << 20, policy, start);
        transfer.set_available(1 << 20, true);
        transfer.poll_transmit(start);
        let (mut now, mut sent, mut acks_left) = (start + Duration::from_millis(1), 0, acks);
        while transfer.end_reason().is_none() {
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
        assert_eq!(transfer.end_reason(), Some(EndReason::Timeout));
        assert!((128..=128 + 15).contains(&sent), "{sent} blocks for {acks} forged ACKs");
    }
}

#[test]
fn first_block_ack_restores_full_window() {
    let (mut transfer, mut now) = oack_acked(4);
    transfer.set_available(5120, true);
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

#[test]
fn window_waits_until_bytes_available() {
    let (mut transfer, mut now) = oack_acked(4);
    assert_eq!(transfer.window_end(), 2048);
    transfer.set_available(2047, false);
    assert_eq!(transfer.poll_transmit(now), None);
    assert_eq!(transfer.poll_timeout(), transfer.deadline, "nothing is unacknowledged, so nothing is retransmitted");
    transfer.set_available(2048, false);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 1, last: 4 }));
    now += Duration::from_millis(1);
    transfer.handle_ack(4, now);
    transfer.set_available(2049, true);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 5, last: 5 }));
    assert_eq!(transfer.block_range(5), (2048, 1));
    now += Duration::from_millis(1);
    transfer.handle_ack(5, now);
    assert_eq!(transfer.end_reason(), Some(EndReason::Complete));
}

#[test]
fn mid_window_ack_retransmits_once_per_rtt() {
    let (mut transfer, mut now) = oack_acked(4);
    transfer.set_available(5120, true);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 1, last: 4 }));
    now += Duration::from_millis(1);
    transfer.handle_ack(2, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 3, last: 6 }));
    transfer.handle_ack(2, now);
    assert_eq!(transfer.poll_transmit(now), None, "the same ACK again, too soon");
    now += Duration::from_millis(1);
    transfer.handle_ack(2, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 3, last: 6 }), "a round trip later");
    assert_eq!(transfer.retransmits(), 2 + 4);
}

#[test]
fn spurious_retransmit_causes_no_other() {
    let (mut transfer, mut now) = oack_acked(4);
    transfer.set_available(5120, true);
    transfer.poll_transmit(now);
    now = transfer.poll_timeout();
    transfer.handle_timeout(now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 1, last: 4 }), "the ACK was only slow");
    transfer.handle_ack(4, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 5, last: 8 }));
    now += Duration::from_millis(5);
    transfer.handle_ack(4, now);
    assert_eq!(transfer.poll_transmit(now), None, "the second ACK answers the retransmitted blocks");
    transfer.handle_ack(8, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 9, last: 11 }));
    now += Duration::from_millis(5);
    transfer.handle_ack(8, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::Blocks { first: 9, last: 11 }), "block 9 was lost");
}

#[test]
fn old_and_future_acks_are_ignored() {
    let (mut transfer, mut now) = oack_acked(4);
    transfer.set_available(5120, true);
    transfer.poll_transmit(now);
    now += Duration::from_millis(1);
    transfer.handle_ack(4, now);
    transfer.poll_transmit(now);
    now += Duration::from_millis(1);
    for number in [0, 3, 9, 65_535] {
        transfer.handle_ack(number, now);
        assert_eq!((transfer.poll_transmit(now), transfer.acked_bytes()), (None, 4 * 512), "{number}");
    }
}

#[test]
fn requested_timeout_counts_after_first_ack() {
    let (policy, start) = (RetransmitPolicy { timeout: Duration::from_secs(1), retries: 6 }, Instant::now());
    let requested = Negotiated { timeout: Some(Duration::from_secs(255)), ..negotiated(512, 1, true) };
    let mut transfer = ReadTransfer::new(&requested, 5120, policy, start);
    transfer.poll_transmit(start);
    assert_eq!(transfer.poll_timeout(), start + Duration::from_secs(1));
    transfer.handle_ack(0, start + Duration::from_millis(1));
    transfer.set_available(5120, true);
    let now = start + Duration::from_millis(2);
    transfer.timed_block = None;
    transfer.poll_transmit(now);
    assert_eq!(transfer.policy.timeout, Duration::from_secs(255));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_acks_never_exceed_window(
        acks in proptest::collection::vec((any::<u16>(), 0u64..40), 0..200), window in 1u16..70,
    ) {
        let (mut transfer, mut now) = oack_acked(window);
        transfer.set_available(512 * 100_000, true);
        for (number, millis) in acks {
            now += Duration::from_millis(millis);
            transfer.handle_ack(number % 200, now);
            transfer.handle_timeout(now);
            let allowed = if transfer.is_limited_to_one_block() { 1 } else { u64::from(window) };
            if let Some(transmit) = transfer.poll_transmit(now) {
                let Transmit::Blocks { first, last } = transmit else { panic!("an OACK after its ACK") };
                prop_assert_eq!(last - transfer.acked, allowed);
                prop_assert!(first > transfer.acked && first <= last);
            }
            prop_assert!(transfer.acked <= transfer.highest);
        }
    }
}
