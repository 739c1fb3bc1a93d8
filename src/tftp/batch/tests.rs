//! Batches over loopback sockets.

use super::*;

fn pair() -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap())
}

fn route(to: &UdpSocket) -> Route {
    Route { peer: to.local_addr().unwrap(), source: None, segments: true }
}

fn packet(out: &mut Departures, route: &Route, full: usize, tag: u8, size: usize) {
    // Two pieces, as where a block lies across two chunks.
    let payload = Bytes::from(vec![tag; size]);
    out.push(route, full, [tag; HEADER], [payload.slice(..size / 2), payload.slice(size / 2..)].into_iter());
}

fn flush(out: &mut Departures, socket: &UdpSocket) {
    out.flush(socket, |peer, trouble| panic!("{peer}: {trouble:?}"));
}

fn take_all(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 70_000];
    (0..count).map(|_| socket.recv(&mut buffer).map(|n| buffer[..n].to_vec()).unwrap()).collect()
}

#[test]
fn a_row_arrives_as_packets_of_their_own() {
    let (server, client) = pair();
    for segments in [true, false] {
        let mut out = Departures::new();
        let route = Route { segments, ..route(&client) };
        for tag in 0..70 {
            packet(&mut out, &route, 104, tag, 100);
        }
        packet(&mut out, &route, 104, 70, 9);
        packet(&mut out, &route, 104, 71, 100);
        assert_eq!(out.messages.len(), if segments { 3 } else { 72 }, "64, 7 ended by the short one, 1");
        flush(&mut out, &server);
        for (tag, datagram) in (0..72).zip(take_all(&client, 72)) {
            assert_eq!(datagram, vec![tag; if tag == 70 { 13 } else { 104 }]);
        }
    }
}

fn peers(count: u16) -> impl Iterator<Item = Route> {
    (1..=count).map(|port| Route { peer: ([127, 0, 0, 1], port).into(), source: None, segments: true })
}

#[test]
fn a_route_that_takes_no_rows_gets_single_packets_and_costs_the_others_nothing() {
    let mut out = Departures::new();
    for route in peers(3) {
        for tag in 0..3 {
            packet(&mut out, &route, 104, tag, 100);
        }
    }
    let (mut gone, mut troubles) = (Vec::new(), Vec::new());
    let send = |headers: &mut [libc::mmsghdr]| {
        // As if the second of the three rows met such a route.
        let (bytes, row) = seen(&headers[0]);
        if row && gone.len() == 1 {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        gone.push((bytes.len(), row));
        Ok(1)
    };
    out.flush_by(send, |peer, trouble| troubles.push((peer.port(), matches!(trouble, Trouble::Unsegmented))));
    assert_eq!(gone, [(312, true), (104, false), (104, false), (104, false), (312, true)]);
    assert_eq!(troubles, [(2, true)]);
}

#[test]
fn a_socket_that_segments_nothing_loses_nothing() {
    let (server, client) = pair();
    switch_on(&server, libc::SOL_SOCKET, libc::SO_NO_CHECK).unwrap();
    let mut out = Departures::new();
    for tag in 0..3 {
        packet(&mut out, &route(&client), 104, tag, 100);
    }
    let mut troubled = 0;
    out.flush(&server, |_, trouble| troubled += u32::from(matches!(trouble, Trouble::Unsegmented)));
    assert_eq!(take_all(&client, 3), [[0; 104], [1; 104], [2; 104]]);
    assert_eq!(troubled, 1, "without checksums the kernel does not segment");
}

#[test]
fn a_full_send_buffer_is_waited_for_once() {
    for packets in [1, 3] {
        let mut out = Departures::new();
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
        out.flush_by(send, |peer, trouble| {
            assert!(matches!(trouble, Trouble::Lost(error) if error.kind() == io::ErrorKind::WouldBlock));
            lost.push(peer.port());
        });
        assert_eq!((waits, lost), (1, (6..=40).collect()));
        assert!(out.messages.is_empty() && out.pieces.is_empty());
    }
}

#[test]
fn peers_of_one_batch_get_their_own_packets_in_order() {
    let (server, one) = pair();
    let two = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut out = Departures::new();
    for tag in [1, 2, 3, 4] {
        packet(&mut out, &route(if tag % 2 == 1 { &one } else { &two }), 64, tag, 0);
    }
    flush(&mut out, &server);
    assert_eq!(take_all(&one, 2), [[1; 4], [3; 4]]);
    assert_eq!(take_all(&two, 2), [[2; 4], [4; 4]]);
}

#[test]
fn one_peer_that_cannot_be_reached_costs_the_others_nothing() {
    let (server, client) = pair();
    let mut out = Departures::new();
    let nowhere = Route { peer: "127.0.0.1:0".parse().unwrap(), source: None, segments: true };
    packet(&mut out, &nowhere, 64, 1, 8);
    packet(&mut out, &route(&client), 64, 2, 8);
    let mut lost = Vec::new();
    out.flush(&server, |peer, _| lost.push(peer));
    assert_eq!((lost, take_all(&client, 1)), (vec![nowhere.peer], vec![vec![2; 12]]));
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    for (bind, ask, from) in [
        ("0.0.0.0:0", "127.0.0.2", "127.0.0.1:0"),
        ("[::]:0", "127.0.0.3", "127.0.0.1:0"),
        ("[::]:0", "::1", "[::1]:0"),
    ] {
        let Ok(client) = UdpSocket::bind(from) else { continue }; // a machine without IPv6
        let Ok(server) = UdpSocket::bind(bind) else { continue };
        tell_destination(&server).unwrap();
        let asked = SocketAddr::new(ask.parse().unwrap(), server.local_addr().unwrap().port());
        client.send_to(b"x", asked).unwrap();
        server.peek_from(&mut [0]).unwrap(); // waits until it is there
        let mut arrivals = Arrivals::new();
        assert_eq!(arrivals.receive(&server).unwrap(), 1);
        let arrival = arrivals.iter().next().unwrap();
        assert_eq!((arrival.datagram, arrival.cut), (&b"x"[..], false));
        let mut out = Departures::new();
        packet(&mut out, &arrival.route, 64, 7, 60);
        packet(&mut out, &arrival.route, 64, 7, 60);
        flush(&mut out, &server);
        for _ in 0..2 {
            assert_eq!(client.recv_from(&mut [0; 64]).unwrap(), (64, asked), "bound to {bind}");
        }
    }
}

#[test]
fn nothing_there_is_no_error_and_long_datagrams_are_cut() {
    let (server, client) = pair();
    let mut arrivals = Arrivals::new();
    assert_eq!(arrivals.receive(&server).unwrap(), 0);
    assert_eq!(arrivals.iter().count(), 0);
    client.send_to(&[9; 3000], server.local_addr().unwrap()).unwrap();
    server.peek_from(&mut [0]).unwrap();
    assert_eq!(arrivals.receive(&server).unwrap(), 1);
    assert!(arrivals.iter().all(|a| a.cut && a.datagram == [9; DATAGRAM]));
}
