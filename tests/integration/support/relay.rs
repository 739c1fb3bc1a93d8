//! A bad network between TFTP clients and the server: a relay in user space that drops, doubles, delays and reorders
//! datagrams. It looks into none of them.
//!
//! A client sees the relay as a server of its own: what the server sends from one of its ports comes to the client from
//! one port of the relay, so transfer identifiers (RFC 1350 section 4) stay what they are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::runtime;

/// How long a datagram is on its way.
const DELAY: Duration = Duration::from_millis(1);
/// How long one is on its way that others are to overtake.
const DETOUR: Duration = Duration::from_millis(5);

/// A relay in front of one server.
pub(crate) struct Relay {
    /// Where clients reach it.
    pub(crate) address: SocketAddr,
    weather: Arc<Weather>,
}

/// What happened to datagrams so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) carried: u32,
    pub(crate) dropped: u32,
    pub(crate) doubled: u32,
    pub(crate) overtaken: u32,
    /// From how many ports the server answered.
    pub(crate) ports: u32,
}

/// What is to happen to datagrams, and how often it did.
struct Weather {
    dice: Mutex<fastrand::Rng>,
    tally: Mutex<Tally>,
}

/// One of the relay's ports. Datagrams leave it in the order in which they came, all but those on a detour.
struct Port {
    socket: Arc<UdpSocket>,
    road: mpsc::UnboundedSender<(Instant, Vec<u8>, SocketAddr)>,
    weather: Arc<Weather>,
}

impl Relay {
    /// A relay to `server`: of the datagrams of either direction 1 % are lost, 1 % doubled and 2 % overtaken by others.
    pub(crate) fn start(server: SocketAddr, seed: u64) -> Self {
        let dice = Mutex::new(fastrand::Rng::with_seed(seed));
        let weather = Arc::new(Weather { dice, tally: Mutex::default() });
        runtime().block_on(async {
            let front = Port::open(&weather).await;
            let address = front.socket.local_addr().expect("a bound socket has an address");
            tokio::spawn(requests(front, server));
            Self { address, weather }
        })
    }

    /// What happened so far.
    pub(crate) fn tally(&self) -> Tally {
        *self.weather.tally()
    }
}

/// Takes requests: each client gets a port of its own towards the server.
async fn requests(front: Arc<Port>, server: SocketAddr) {
    let mut backs: HashMap<SocketAddr, Arc<Port>> = HashMap::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, client)) = front.socket.recv_from(&mut buffer).await {
        let back = match backs.entry(client) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let back = Port::open(&front.weather).await;
                tokio::spawn(replies(Arc::clone(&back), client));
                new.insert(back)
            }
        };
        back.send(&buffer[..length], server);
    }
}

/// Hands the server's packets to the client, each of the server's ports as one port of the relay.
async fn replies(back: Arc<Port>, client: SocketAddr) {
    let mut ports: HashMap<SocketAddr, Arc<Port>> = HashMap::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, server)) = back.socket.recv_from(&mut buffer).await {
        let port = match ports.entry(server) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let port = Port::open(&back.weather).await;
                tokio::spawn(acknowledgements(Arc::clone(&port), Arc::clone(&back), server));
                back.weather.tally().ports += 1;
                new.insert(port)
            }
        };
        port.send(&buffer[..length], client);
    }
}

/// Hands what the client sends to one of the relay's ports on to the server's port that it stands for.
async fn acknowledgements(port: Arc<Port>, back: Arc<Port>, server: SocketAddr) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, _)) = port.socket.recv_from(&mut buffer).await {
        back.send(&buffer[..length], server);
    }
}

impl Weather {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("no test panics with it")
    }
}

impl Port {
    async fn open(weather: &Arc<Weather>) -> Arc<Self> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free"));
        let (road, mut arrivals) = mpsc::unbounded_channel::<(Instant, Vec<u8>, SocketAddr)>();
        let sender = Arc::clone(&socket);
        tokio::spawn(async move {
            while let Some((due, datagram, to)) = arrivals.recv().await {
                tokio::time::sleep_until(due).await;
                // A client that has gone is no trouble of the network's.
                let _ = sender.send_to(&datagram, to).await;
            }
        });
        Arc::new(Self { socket, road, weather: Arc::clone(weather) })
    }

    /// Sends a datagram on its way, or not.
    fn send(&self, datagram: &[u8], to: SocketAddr) {
        let mut dice = self.weather.dice.lock().expect("no test panics with it");
        let mut tally = self.weather.tally();
        tally.carried += 1;
        if dice.u8(..100) < 1 {
            tally.dropped += 1;
            return;
        }
        let copies = if dice.u8(..100) < 1 { 2 } else { 1 };
        tally.doubled += copies - 1;
        for _ in 0..copies {
            if dice.u8(..100) < 2 {
                tally.overtaken += 1;
                let (socket, datagram) = (Arc::clone(&self.socket), datagram.to_vec());
                tokio::spawn(async move {
                    tokio::time::sleep(DETOUR).await;
                    let _ = socket.send_to(&datagram, to).await;
                });
            } else {
                // The road ends with the port.
                let _ = self.road.send((Instant::now() + DELAY, datagram.to_vec(), to));
            }
        }
    }
}
