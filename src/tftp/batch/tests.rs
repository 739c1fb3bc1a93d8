//! Batches over loopback sockets.

use super::*;

fn pair() -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap())
}

fn route(to: &UdpSocket) -> Route {
    Route { peer: to.local_addr().unwrap(), source: None }
}

fn packet(out: &mut Departures, route: &Route, full: usize, tag: u8, size: usize) {
    // Two pieces, as where a block lies across two chunks.
    let payload = Bytes::from(vec![tag; size]);
    out.push(route, full, [tag; HEADER], [payload.slice(..size / 2), payload.slice(size / 2..)].into_iter());
}

fn flush(out: &mut Departures, socket: &UdpSocket) {
    out.flush(socket, |peer, error| panic!("{peer}: {error}"));
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
        out.segments = segments;
        for tag in 0..70 {
            packet(&mut out, &route(&client), 104, tag, 100);
        }
        packet(&mut out, &route(&client), 104, 70, 9);
        packet(&mut out, &route(&client), 104, 71, 100);
        assert_eq!(out.messages.len(), if segments { 3 } else { 72 }, "64, 7 ended by the short one, 1");
        flush(&mut out, &server);
        for (tag, datagram) in (0..72).zip(take_all(&client, 72)) {
            assert_eq!(datagram, vec![tag; if tag == 70 { 13 } else { 104 }]);
        }
    }
}

#[test]
fn a_row_that_cannot_be_segmented_goes_out_packet_by_packet() {
    let (server, client) = pair();
    let mut out = Departures::new();
    for tag in 0..3 {
        packet(&mut out, &route(&client), 104, tag, 100);
    }
    // What a route that refuses segmentation makes of it, whatever this kernel does.
    out.lay_out();
    out.send_one_by_one(&server, 0).unwrap();
    assert_eq!(take_all(&client, 3), [[0; 104], [1; 104], [2; 104]]);
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
    let nowhere = Route { peer: "127.0.0.1:0".parse().unwrap(), source: None };
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
