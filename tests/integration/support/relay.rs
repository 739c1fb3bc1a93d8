//! A bad network between TFTP clients and the server: a relay in user space that drops, doubles, delays and reorders
//! datagrams. It looks into none of them.
//!
//! A client sees the relay as a server of its own: what the server sends from one of its ports comes to the client from
//! one port of the relay, so transfer identifiers (RFC 1350 section 4) stay what they are.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::runtime;

/// A relay in front of one server.
pub(crate) struct Relay {
    /// Where clients reach it.
    pub(crate) address: SocketAddr,
    weather: Arc<Weather>,
}

/// What happens to datagrams, and how often it did.
struct Weather {
    dice: Mutex<fastrand::Rng>,
    tally: Mutex<Tally>,
}

/// What happened to datagrams so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) carried: u32,
    pub(crate) dropped: u32,
    pub(crate) doubled: u32,
    pub(crate) held: u32,
    /// From how many ports the server answered.
    pub(crate) ports: u32,
}

impl Relay {
    /// A relay to `server`: 1 % of the datagrams of either direction are lost, 1 % doubled, and 2 % held back so that
    /// others overtake them; all are delayed a little.
    pub(crate) fn start(server: SocketAddr, seed: u64) -> Self {
        runtime().block_on(async {
            let front = free_port().await;
            let address = front.local_addr().expect("a bound socket has an address");
            let weather = Arc::new(Weather {
                dice: Mutex::new(fastrand::Rng::with_seed(seed)),
                tally: Mutex::new(Tally::default()),
            });
            tokio::spawn(accept(front, server, Arc::clone(&weather)));
            Self { address, weather }
        })
    }

    /// What happened so far.
    pub(crate) fn tally(&self) -> Tally {
        *self.weather.tally()
    }
}

/// Takes requests: each client gets a socket of its own towards the server.
async fn accept(front: Arc<UdpSocket>, server: SocketAddr, weather: Arc<Weather>) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, client)) = front.recv_from(&mut buffer).await {
        let known = clients.get(&client).cloned();
        let back = if let Some(back) = known {
            back
        } else {
            let back = free_port().await;
            tokio::spawn(replies(Arc::clone(&back), client, Arc::clone(&weather)));
            clients.insert(client, Arc::clone(&back));
            back
        };
        weather.carry(&back, &buffer[..length], server);
    }
}

/// Hands the server's packets to the client, each of the server's ports as one port of the relay.
async fn replies(back: Arc<UdpSocket>, client: SocketAddr, weather: Arc<Weather>) {
    let mut ports: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, server)) = back.recv_from(&mut buffer).await {
        let known = ports.get(&server).cloned();
        let port = if let Some(port) = known {
            port
        } else {
            let port = free_port().await;
            tokio::spawn(acknowledgements(Arc::clone(&port), Arc::clone(&back), server, Arc::clone(&weather)));
            ports.insert(server, Arc::clone(&port));
            weather.tally().ports += 1;
            port
        };
        weather.carry(&port, &buffer[..length], client);
    }
}

/// Hands what the client sends to one of the relay's ports on to the server's port that it stands for.
async fn acknowledgements(port: Arc<UdpSocket>, back: Arc<UdpSocket>, server: SocketAddr, weather: Arc<Weather>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, _)) = port.recv_from(&mut buffer).await {
        weather.carry(&back, &buffer[..length], server);
    }
}

async fn free_port() -> Arc<UdpSocket> {
    Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free"))
}

impl Weather {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("no test panics with it")
    }

    /// Sends a datagram on its way, or not.
    fn carry(&self, from: &Arc<UdpSocket>, datagram: &[u8], to: SocketAddr) {
        let mut dice = self.dice.lock().expect("no test panics with it");
        let mut tally = self.tally();
        tally.carried += 1;
        if dice.u8(..100) < 1 {
            tally.dropped += 1;
            return;
        }
        let copies = if dice.u8(..100) < 1 { 2 } else { 1 };
        tally.doubled += copies - 1;
        for _ in 0..copies {
            let held = dice.u8(..100) < 2;
            tally.held += u32::from(held);
            let delay = Duration::from_micros(if held { 5_000 } else { dice.u64(50..300) });
            let (from, datagram) = (Arc::clone(from), datagram.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                // A client that has gone is no trouble of the network's.
                let _ = from.send_to(&datagram, to).await;
            });
        }
    }
}
