//! The life of the server: binding, liveness, shutdown.

use std::net::UdpSocket;

use super::client::{Client, Received};
use super::*;
use crate::tftp::packet::TransferMode;

#[test]
fn bind_error_names_address_and_remedy() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = TftpServer::bind(settings(&address.to_string()), &mut InheritedSockets::default()).err().unwrap();
    let port = address.port();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen for TFTP on {address}: another program uses UDP port {port}; stop it, or set another \
             [tftp] listen address"
        )
    );
    let error = TftpServer::bind(settings("192.0.2.1:0"), &mut InheritedSockets::default()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "cannot listen for TFTP on 192.0.2.1:0: this machine does not have the address 192.0.2.1"
    );
}

#[test]
fn liveness_check_passes_while_workers_run() {
    let mut server = TestServer::start(settings("127.0.0.1:0"));
    let passes = |server: &TestServer, timeout| {
        server.runtime.block_on(async { tokio::time::timeout(timeout, server.liveness.passed()).await.is_ok() })
    };
    assert!(passes(&server, TEST_TIMEOUT));
    assert!(passes(&server, TEST_TIMEOUT), "again");
    server.stop();
    assert!(!passes(&server, Duration::from_millis(200)), "the workers have ended");
}

#[test]
fn stopping_server_sends_error_to_clients() {
    let mut server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    client.request("image", TransferMode::Octet, "");
    assert!(matches!(client.receive(), Received::Data(1, _)));
    server.stop();
    assert_eq!(client.receive(), Received::Error(0, "the server is stopping; try again later".to_owned()));
}
