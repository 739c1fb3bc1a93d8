//! Requests: errors, floods, and slow opens.

use super::client::{Client, Received, oack};
use super::*;
use crate::tftp::packet::TransferMode;

#[test]
fn invalid_requests_get_matching_error_codes() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    for (packet, code, message) in [
        (&b"\0\x01nothing\0octet\0"[..], 1, "file not found"),
        (b"\0\x01../../etc/passwd\0octet\0", 1, "file not found"),
        (b"\0\x01\xff\xfe\0octet\0", 1, "file not found"),
        (b"\0\x02image\0octet\0", 2, "this server is read-only"),
        (b"\0\x01image\0mail\0", 4, "mail mode is obsolete; use octet"),
        (b"\0\x01\0octet\0", 4, "the request has no file name"),
        (b"\0\x63", 4, "unknown opcode 99"),
        (b"\0", 4, "the packet is too short"),
        (b"\0\x04\0\x01", 5, "unknown transfer ID"),
    ] {
        client.send(client.server, packet);
        assert_eq!(client.receive(), Received::Error(code, message.to_owned()), "{packet:?}");
    }
    client.send(client.server, &[b"\0\x01".to_vec(), vec![b'x'; 2000]].concat());
    assert_eq!(client.receive(), Received::Error(4, "the request is too long".to_owned()));
}

#[test]
fn answers_come_from_requested_address() {
    for (listen, ip) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "127.0.0.3"), ("[::]:0", "::1")] {
        for single_port in [false, true] {
            let server = TestServer::start(TftpSettings { single_port, ..settings(listen) });
            let mut client = Client::new(server.at(ip));
            assert_eq!(client.fetch("image", "windowsize 8 blksize 1400", 1400, 8), image());
            assert_eq!(client.from.ip(), client.server.ip(), "bound to {listen}");
            assert_eq!(client.from.port() == client.server.port(), single_port);
            client.request("nothing", TransferMode::Octet, "");
            assert!(matches!(client.receive(), Received::Error(1, _)));
            assert_eq!(client.from, client.server, "the refusal comes from the requested address");
        }
    }
}

#[test]
fn cold_open_delays_no_other_request() {
    let deadline = Duration::from_millis(1500);
    let limits = TftpSettings { max_transfers: 2, first_byte_deadline: deadline, ..settings("127.0.0.1:0") };
    let server = TestServer::start(limits);
    let mut waiting = Client::new(server.address);
    for _ in 0..5 {
        waiting.request("cold", TransferMode::Octet, "tsize 0");
    }
    assert_eq!(Client::new(server.address).fetch("image", "windowsize 16", 512, 16), image());
    let message = "the file is not cached yet and its origin is slow; try again later";
    assert_eq!(waiting.receive(), Received::Error(0, message.to_owned()));
    // Both sessions have ended.
    let mut other = Client::new(server.address);
    other.request("even", TransferMode::Octet, "tsize 0");
    assert_eq!(other.receive(), oack(&[("tsize", "1024")]));
    // The five requests made one transfer, so no other answer arrives before this.
    assert_eq!(waiting.fetch("even", "", 512, 1), [7; 1024]);
}

#[test]
fn simultaneous_requests_all_answered() {
    let server = TestServer::start(TftpSettings { max_transfers: 4096, ..settings("127.0.0.1:0") });
    assert_eq!(Client::new(server.address).fetch("even", "", 512, 1).len(), 1024);
    let clients: Vec<Client> = (0..300).map(|_| Client::new(server.address)).collect();
    for client in &clients {
        client.request("even", TransferMode::Octet, "tsize 0");
    }
    for mut client in clients {
        assert_eq!(client.receive(), oack(&[("tsize", "1024")]));
        client.ack(0);
        assert_eq!(client.receive_file(512, 1).len(), 1024);
    }
}

#[test]
fn transfer_limit_refuses_until_session_ends() {
    let server = TestServer::start(TftpSettings { max_transfers: 1, ..settings("127.0.0.1:0") });
    let (mut first, mut second) = (Client::new(server.address), Client::new(server.address));
    first.request("even", TransferMode::Octet, "tsize 0");
    first.receive();
    first.ack(0);
    let block = first.receive();
    second.request("even", TransferMode::Octet, "");
    let message = "the server has too many transfers; try again later";
    assert_eq!(second.receive(), Received::Error(0, message.to_owned()));
    assert_eq!(block, Received::Data(1, vec![7; 512]));
    first.ack(1);
    assert_eq!(first.receive(), Received::Data(2, vec![7; 512]));
    first.ack(2);
    assert_eq!(first.receive(), Received::Data(3, Vec::new()));
    first.ack(3);
    // The last ACK and the request arrive on different ports.
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        second.request("even", TransferMode::Octet, "");
        match second.receive() {
            Received::Error(0, _) if Instant::now() < deadline => {}
            other => break assert_eq!(other, Received::Data(1, vec![7; 512])),
        }
    }
}
