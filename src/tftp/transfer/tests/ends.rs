//! Why transfers end.

use super::*;

#[test]
fn acks_of_unsent_blocks_end_transfer() {
    let (mut transfer, now) = oack_acked(4);
    transfer.set_available(5120, true);
    transfer.poll_transmit(now);
    for (at, number) in [(1, 5), (2, 8), (3, 5)] {
        assert_eq!(transfer.end_reason(), None);
        transfer.handle_ack(number, now + Duration::from_millis(at));
    }
    assert_eq!(transfer.end_reason(), Some(EndReason::Forged));
}

#[test]
fn acks_without_round_trip_end_transfer() {
    let (mut transfer, now) = oack_acked(1);
    transfer.set_available(5120, true);
    // They arrived together, so that the first had to be answered before the second was sent.
    let mut sent = 0;
    for number in 1..10 {
        sent += u32::from(transfer.poll_transmit(now).is_some());
        transfer.handle_ack(number, now);
    }
    assert_eq!((sent, transfer.end_reason()), (1, Some(EndReason::Forged)));
}

#[test]
fn undelivered_packet_ends_by_phase() {
    let now = Instant::now();
    let policy = RetransmitPolicy { timeout: Duration::from_secs(1), retries: 2 };
    for port_closed in [false, true] {
        let mut transfer = ReadTransfer::new(&negotiated(512, 1, true), 5120, policy, now);
        transfer.poll_transmit(now);
        transfer.handle_undelivered(port_closed);
        assert_eq!(transfer.end_reason(), Some(EndReason::Unreachable), "before the first answer");
    }
    let (mut transfer, now) = oack_acked(1);
    transfer.set_available(512, true);
    transfer.handle_undelivered(false);
    assert_eq!(transfer.end_reason(), None, "the route of a validated peer may come back");
    transfer.poll_transmit(now);
    transfer.handle_ack(1, now + Duration::from_millis(1));
    transfer.poll_transmit(now + Duration::from_millis(1));
    transfer.handle_undelivered(true);
    assert_eq!(transfer.end_reason(), Some(EndReason::Complete), "the peer closed its port after the last block");
}

#[test]
fn error_phase_decides_end_reason() {
    let now = Instant::now();
    let policy = RetransmitPolicy { timeout: Duration::from_secs(1), retries: 2 };
    for (requests_size, reason) in [(true, EndReason::Probe), (false, EndReason::Aborted)] {
        let negotiated = Negotiated { tsize: requests_size, ..negotiated(512, 1, true) };
        let mut transfer = ReadTransfer::new(&negotiated, 5120, policy, now);
        transfer.poll_transmit(now);
        transfer.handle_error(8);
        assert_eq!(transfer.end_reason(), Some(reason));
    }
    for (blocks, code, reason) in [(1, 0, EndReason::Aborted), (1, 5, EndReason::Aborted), (11, 5, EndReason::Complete)]
    {
        let (mut transfer, now) = oack_acked(1);
        transfer.set_available(5120, true);
        let mut now = now;
        for block in 1..=blocks {
            transfer.poll_transmit(now);
            now += Duration::from_millis(1);
            if block < blocks {
                transfer.handle_ack(wire_number(block), now);
            }
        }
        transfer.handle_error(code);
        assert_eq!(transfer.end_reason(), Some(reason), "ERROR {code} after block {blocks}");
    }
}

#[test]
fn unsent_packets_end_transfer_after_retries() {
    // The last block is not sent either, so that the transfer is not complete.
    for available in [5120, 100] {
        let (mut transfer, mut now) = oack_acked(1);
        transfer.set_available(available, true);
        let mut bursts = 0;
        while transfer.end_reason().is_none() {
            bursts += u32::from(transfer.poll_transmit(now).is_some());
            transfer.handle_unsent();
            now = transfer.poll_timeout();
            transfer.handle_timeout(now);
        }
        assert_eq!(transfer.end_reason(), Some(EndReason::Unsent));
        assert!(bursts > 2, "{bursts} bursts");
    }
}

#[test]
fn unsent_packet_is_repeated_as_lost() {
    let (mut transfer, mut now) = oack_acked(4);
    transfer.set_available(5120, true);
    let window = transfer.poll_transmit(now);
    transfer.handle_unsent();
    assert_eq!((transfer.poll_transmit(now), transfer.end_reason()), (None, None));
    now = transfer.poll_timeout();
    transfer.handle_timeout(now);
    assert_eq!(transfer.poll_transmit(now), window);
    transfer.handle_ack(4, now + Duration::from_millis(1));
    transfer.poll_transmit(now + Duration::from_millis(1));
    while transfer.end_reason().is_none() {
        now = transfer.poll_timeout();
        transfer.handle_timeout(now);
        transfer.poll_transmit(now);
    }
    assert_eq!(transfer.end_reason(), Some(EndReason::Timeout), "the later packets were sent");
}

#[test]
fn lost_last_ack_counts_as_complete() {
    for (acks, reason) in [(10, EndReason::Complete), (9, EndReason::Timeout)] {
        let (mut transfer, mut now) = oack_acked(1);
        transfer.set_available(5120, true);
        for block in 1..=acks {
            transfer.poll_transmit(now);
            now += Duration::from_millis(1);
            transfer.handle_ack(block, now);
        }
        while transfer.end_reason().is_none() {
            transfer.poll_transmit(now);
            now = transfer.poll_timeout();
            transfer.handle_timeout(now);
        }
        assert_eq!((transfer.end_reason(), transfer.payload_sent()), (Some(reason), 5120));
    }
}

#[test]
fn slow_peer_ends_at_deadline() {
    let (mut transfer, start) = oack_acked(1);
    let mut now = start;
    while transfer.end_reason().is_none() {
        transfer.set_available(u64::MAX / 2, false);
        transfer.poll_transmit(now);
        now += Duration::from_millis(900);
        transfer.handle_timeout(now);
        transfer.handle_ack(wire_number(transfer.acked + 1), now);
    }
    assert_eq!(transfer.end_reason(), Some(EndReason::Timeout));
    assert!(now - start < Duration::from_secs(310));
}
