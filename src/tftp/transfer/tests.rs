//! Tests the state machine in simulated time.

mod acks;
mod ends;
mod network;

use super::*;

fn negotiated(blksize: u16, windowsize: u16, oack: bool) -> Negotiated {
    Negotiated { blksize, windowsize, timeout: None, tsize: true, oack: oack.then(Vec::new) }
}

/// A transfer of ten 512-byte blocks and an empty one, with the OACK acknowledged.
fn oack_acked(window: u16) -> (ReadTransfer, Instant) {
    let now = Instant::now();
    let policy = RetransmitPolicy { timeout: Duration::from_secs(1), retries: 2 };
    let mut transfer = ReadTransfer::new(&negotiated(512, window, true), 5120, policy, now);
    assert_eq!(transfer.poll_transmit(now), Some(Transmit::OptionAck));
    let now = now + Duration::from_millis(1);
    transfer.handle_ack(0, now);
    (transfer, now)
}
