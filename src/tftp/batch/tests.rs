//! Tests batches over loopback sockets.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;

use super::receive::{MAX_DATAGRAM, enable_option};
use super::send::{Destination, inspect};
use super::*;
use crate::tftp::packet::HEADER;

/// A socket whose receive calls fail rather than hang if nothing arrives.
fn bind(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    socket
}

fn pair() -> (UdpSocket, UdpSocket) {
    (bind("127.0.0.1:0"), bind("127.0.0.1:0"))
}

fn route(to: &UdpSocket) -> Route {
    Route { peer: to.local_addr().unwrap(), source: None, segmentation: true }
}

fn packet(out: &mut SendBatch, route: &Route, full: usize, tag: u8, size: usize) {
    // Two pieces, as for a block that crosses a chunk boundary.
    let payload = Bytes::from(vec![tag; size]);
    out.push(route, full, [tag; HEADER], [payload.slice(..size / 2), payload.slice(size / 2..)].into_iter());
}

fn flush(out: &mut SendBatch, socket: &UdpSocket) {
    out.flush(socket, |peer, failure| panic!("{peer}: {failure:?}"));
}

fn receive_all(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 70_000];
    (0..count).map(|_| socket.recv(&mut buffer).map(|n| buffer[..n].to_vec()).unwrap()).collect()
}

#[test]
fn segmented_run_arrives_as_packets() {
    let (server, client) = pair();
    for segmentation in [true, false] {
        let mut out = SendBatch::new();
        let route = Route { segmentation, ..route(&client) };
        for tag in 0..70 {
            packet(&mut out, &route, 104, tag, 100);
        }
        packet(&mut out, &route, 104, 70, 9);
        packet(&mut out, &route, 104, 71, 100);
        assert_eq!(out.messages.len(), if segmentation { 3 } else { 72 }, "64 packets, 7 up to the short one, 1");
        flush(&mut out, &server);
        for (tag, datagram) in (0..72).zip(receive_all(&client, 72)) {
            assert_eq!(datagram, vec![tag; if tag == 70 { 13 } else { 104 }]);
        }
    }
}

fn peers(count: u16) -> impl Iterator<Item = Route> {
    (1..=count).map(|port| Route { peer: ([127, 0, 0, 1], port).into(), source: None, segmentation: true })
}

#[test]
fn route_without_segmentation_gets_single_packets() {
    let mut out = SendBatch::new();
    for route in peers(3) {
        for tag in 0..3 {
            packet(&mut out, &route, 104, tag, 100);
        }
    }
    let (mut sent, mut failures) = (Vec::new(), Vec::new());
    let send = |headers: &mut [libc::mmsghdr]| {
        // The route of the second message refuses segmentation.
        let (bytes, segmented) = inspect(&headers[0]);
        if segmented && sent.len() == 1 {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        sent.push((bytes.len(), segmented));
        Ok(1)
    };
    out.flush_with(Destination::Named, send, |peer, failure| {
        failures.push((peer.port(), matches!(failure, SendFailure::NoSegmentation)));
    });
    assert_eq!(sent, [(312, true), (104, false), (104, false), (104, false), (312, true)]);
    assert_eq!(failures, [(2, true)]);
}

#[test]
fn socket_without_segmentation_loses_nothing() {
    let (server, client) = pair();
    enable_option(&server, libc::SOL_SOCKET, libc::SO_NO_CHECK).unwrap();
    let mut out = SendBatch::new();
    for tag in 0..3 {
        packet(&mut out, &route(&client), 104, tag, 100);
    }
    let mut refused = 0;
    out.flush(&server, |_, failure| refused += u32::from(matches!(failure, SendFailure::NoSegmentation)));
    assert_eq!(receive_all(&client, 3), [[0; 104], [1; 104], [2; 104]]);
    assert_eq!(refused, 1, "without checksums the kernel does not segment");
}

#[test]
fn full_send_buffer_blocks_once() {
    for packets in [1, 3] {
        let mut out = SendBatch::new();
        for route in peers(40) {
            for tag in 0..packets {
                packet(&mut out, &route, 104, tag, 100);
            }
        }
        let (mut waits, mut lost) = (0, Vec::new());
        let send = |headers: &mut [libc::mmsghdr]| {
            if headers.len() == 40 {
                return Ok(5);
            }
            waits += 1;
            Err(io::ErrorKind::WouldBlock.into())
        };
        out.flush_with(Destination::Named, send, |peer, failure| {
            assert!(matches!(failure, SendFailure::Lost(error) if error.kind() == io::ErrorKind::WouldBlock));
            lost.push(peer.port());
        });
        assert_eq!((waits, lost), (1, (6..=40).collect()));
        assert!(out.messages.is_empty() && out.parts.is_empty());
    }
}

#[test]
fn each_peer_gets_its_packets_in_order() {
    let (server, one) = pair();
    let two = bind("127.0.0.1:0");
    let mut out = SendBatch::new();
    for tag in [1, 2, 3, 4] {
        packet(&mut out, &route(if tag % 2 == 1 { &one } else { &two }), 64, tag, 0);
    }
    flush(&mut out, &server);
    assert_eq!(receive_all(&one, 2), [[1; 4], [3; 4]]);
    assert_eq!(receive_all(&two, 2), [[2; 4], [4; 4]]);
}

#[test]
fn unreachable_peer_does_not_affect_others() {
    let (server, client) = pair();
    let mut out = SendBatch::new();
    let nowhere = Route { peer: "127.0.0.1:0".parse().unwrap(), source: None, segmentation: true };
    packet(&mut out, &nowhere, 64, 1, 8);
    packet(&mut out, &route(&client), 64, 2, 8);
    let mut lost = Vec::new();
    out.flush(&server, |peer, _| lost.push(peer));
    assert_eq!((lost, receive_all(&client, 1)), (vec![nowhere.peer], vec![vec![2; 12]]));
}

#[test]
fn answers_come_from_destination_address() {
    for (bind_to, to, from) in [
        ("0.0.0.0:0", "127.0.0.2", "127.0.0.1:0"),
        ("[::]:0", "127.0.0.3", "127.0.0.1:0"),
        ("[::]:0", "::1", "[::1]:0"),
    ] {
        if bind_to.starts_with('[') && UdpSocket::bind("[::1]:0").is_err() {
            continue; // a machine without IPv6
        }
        let (client, server) = (bind(from), bind(bind_to));
        enable_packet_info(&server).unwrap();
        let destination = SocketAddr::new(to.parse().unwrap(), server.local_addr().unwrap().port());
        client.send_to(b"x", destination).unwrap();
        server.peek_from(&mut [0]).unwrap(); // waits until it has arrived
        let mut received = RecvBatch::new();
        assert_eq!(received.receive(&server).unwrap(), 1);
        let datagram = received.iter().next().unwrap();
        assert_eq!((datagram.bytes, datagram.truncated), (&b"x"[..], false));
        let mut out = SendBatch::new();
        packet(&mut out, &datagram.route, 64, 7, 60);
        packet(&mut out, &datagram.route, 64, 7, 60);
        flush(&mut out, &server);
        for _ in 0..2 {
            assert_eq!(client.recv_from(&mut [0; 64]).unwrap(), (64, destination), "bound to {bind_to}");
        }
    }
}

#[test]
fn empty_socket_returns_zero_long_datagrams_truncated() {
    let (server, client) = pair();
    let mut received = RecvBatch::new();
    assert_eq!(received.receive(&server).unwrap(), 0);
    assert_eq!(received.iter().count(), 0);
    client.send_to(&[9; 3000], server.local_addr().unwrap()).unwrap();
    server.peek_from(&mut [0]).unwrap();
    assert_eq!(received.receive(&server).unwrap(), 1);
    let datagrams: Vec<_> = received.iter().map(|datagram| (datagram.truncated, datagram.bytes.to_vec())).collect();
    assert_eq!(datagrams, [(true, vec![9; MAX_DATAGRAM])]);
}

#[test]
fn refused_messages_are_lost_alone() {
    let mut out = SendBatch::new();
    for route in peers(6) {
        packet(&mut out, &route, 104, 1, 100);
    }
    // The next two stand for one error: it may belong to an earlier packet, so the call is repeated.
    let mut errors = [libc::EPERM, libc::ENOBUFS, libc::EMSGSIZE, libc::ENETUNREACH, libc::ENETUNREACH].into_iter();
    let (mut sent, mut lost) = (0, Vec::new());
    let send = |headers: &mut [libc::mmsghdr]| {
        if let Some(code) = errors.next() {
            return Err(io::Error::from_raw_os_error(code));
        }
        sent += headers.len();
        Ok(headers.len())
    };
    out.flush_with(Destination::Named, send, |peer, failure| {
        let SendFailure::Lost(error) = failure else { panic!("{failure:?}") };
        lost.push((peer.port(), error.raw_os_error()));
    });
    let codes = [libc::EPERM, libc::ENOBUFS, libc::EMSGSIZE, libc::ENETUNREACH];
    assert_eq!(lost, (1..).zip(codes.map(Some)).collect::<Vec<_>>());
    assert_eq!(sent, 2);
}
