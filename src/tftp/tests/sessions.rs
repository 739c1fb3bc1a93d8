//! Sessions: repeated requests, late packets, and unknown peers.

use super::client::{Client, Received, oack};
use super::*;
use crate::tftp::packet::TransferMode;

#[test]
fn same_port_served_again_after_error() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    for round in 0..50 {
        client.request("image", TransferMode::Octet, "tsize 0");
        assert_eq!(client.receive(), oack(&[("tsize", "70001")]), "round {round}");
        client.send(client.from, b"\0\x05\0\x08probe\0");
    }
    assert_eq!(client.fetch("image", "blksize 1456", 1456, 1), image());
}

#[test]
fn repeated_request_joins_other_replaces_transfer() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    client.request("image", TransferMode::Octet, "tsize 0");
    let first = client.receive();
    let port = client.from;
    client.request("image", TransferMode::Octet, "tsize 0");
    assert_eq!((client.receive(), client.from), (first, port), "during the handshake");
    client.request("even", TransferMode::Octet, "tsize 0");
    assert_eq!(client.receive(), oack(&[("tsize", "1024")]), "another file");
    assert_ne!(client.from, port);
    let second = client.from;
    client.ack(0);
    assert!(matches!(client.receive(), Received::Data(1, _)));
    client.request("even", TransferMode::Octet, "tsize 0");
    assert_eq!(client.receive(), oack(&[("tsize", "1024")]), "the same file, after the first block");
    assert_ne!(client.from, second);
    client.ack(0);
    assert_eq!(client.receive_file(512, 1), [7; 1024]);
}

#[test]
fn late_ack_after_end_gets_no_error() {
    for single_port in [false, true] {
        let server = TestServer::start(TftpSettings { single_port, ..settings("127.0.0.1:0") });
        let mut client = Client::new(server.address);
        assert_eq!(client.fetch("even", "", 512, 1), [7; 1024]);
        client.ack(3);
        client.ack(3);
        // An ERROR for the ACKs would arrive first.
        client.request("empty", TransferMode::Octet, "tsize 0");
        assert_eq!(client.receive(), oack(&[("tsize", "0")]));
    }
}

#[test]
fn unknown_peer_gets_error_five() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let (mut client, mut unknown) = (Client::new(server.address), Client::new(server.address));
    client.request("even", TransferMode::Octet, "");
    assert_eq!(client.receive(), Received::Data(1, vec![7; 512]));
    unknown.from = client.from;
    unknown.ack(1);
    assert_eq!(unknown.receive(), Received::Error(5, "unknown transfer ID".to_owned()));
    client.ack(1);
    assert_eq!(client.receive(), Received::Data(2, vec![7; 512]), "the transfer goes on");
}

#[test]
fn single_port_serves_many_after_errors() {
    for workers in [1, 3] {
        let listen = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"].map(|address| address.parse().unwrap());
        let settings = TftpSettings { single_port: true, listen: listen.into(), ..settings("127.0.0.1:0") };
        let bind = || TftpServer::bind_for_workers(workers, settings, &mut InheritedSockets::default());
        let server = TestServer::start_with(bind);
        let mut clients: Vec<Client> =
            (0..7).flat_map(|_| &server.addresses).map(|address| Client::new(*address)).collect();
        for client in &clients {
            client.request("image", TransferMode::Octet, "blksize 1468");
        }
        for client in &mut clients {
            assert_eq!(client.receive(), oack(&[("blksize", "1468")]), "{workers} workers");
            client.send(client.from, b"\0\x05\0\0stop\0");
            assert_eq!(client.fetch("image", "blksize 1468", 1468, 1), image());
        }
    }
}

#[test]
fn refused_request_leaves_single_port_transfer() {
    let server = TestServer::start(TftpSettings { single_port: true, ..settings("127.0.0.1:0") });
    let mut client = Client::new(server.address);
    client.request("image", TransferMode::Octet, "");
    assert_eq!(client.receive(), Received::Data(1, image()[..512].to_vec()));
    client.ack(1);
    assert_eq!(client.receive(), Received::Data(2, image()[512..1024].to_vec()));
    client.request("nothing", TransferMode::Octet, "");
    assert_eq!(client.receive(), Received::Error(1, "file not found".to_owned()));
    client.ack(2);
    assert_eq!(client.receive(), Received::Data(3, image()[1024..1536].to_vec()), "the transfer goes on");
    client.request("even", TransferMode::Octet, "");
    assert_eq!(client.receive(), Received::Data(1, vec![7; 512]), "a file that exists replaces it");
    client.ack(1);
    assert_eq!(client.receive(), Received::Data(2, vec![7; 512]));
    client.ack(2);
    assert_eq!(client.receive(), Received::Data(3, Vec::new()));
    client.ack(3);
}
