//! Fuzzes the TFTP parser: no datagram causes a panic, and iterating over options ends.
#![no_main]

use bootdepot::tftp::packet::Packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    match Packet::parse(datagram) {
        Ok(Packet::Read(request) | Packet::Write(request)) => {
            assert!(!request.name.is_empty() && !request.name.contains(&0));
            assert!(request.options.iter().count() <= datagram.len() / 2);
        }
        Ok(Packet::OptionAck { options }) => assert!(options.iter().count() <= datagram.len() / 2),
        _ => {}
    }
});
