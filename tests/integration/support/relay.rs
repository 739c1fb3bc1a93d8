//! A lossy network between TFTP clients and the server: a relay in user space that drops, duplicates, delays and reorders
//! datagrams. It reads of them only whether they open a transfer.
//!
//! To a client the relay looks like a server: each port of the server corresponds to one port of the relay, so that transfer
//! identifiers (RFC 1350 section 4) stay distinct.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::runtime;

/// The delay of a datagram.
const DELAY: Duration = Duration::from_millis(1);
/// The delay of a datagram that later ones overtake.
const REORDER_DELAY: Duration = Duration::from_millis(5);

/// A relay in front of one server.
pub(crate) struct Relay {
    /// The address for clients.
    pub(crate) address: SocketAddr,
    conditions: Arc<Conditions>,
}

/// Counts of datagrams so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) carried: u32,
    pub(crate) dropped: u32,
    pub(crate) duplicated: u32,
    pub(crate) reordered: u32,
    /// The number of ports from which the server replied.
    pub(crate) ports: u32,
}

/// The random numbers that decide about datagrams, and the counts.
struct Conditions {
    /// Datagrams up to block 1 are forwarded as they are.
    spare_opening: bool,
    random: Mutex<fastrand::Rng>,
    counters: Mutex<Counters>,
}

/// One of the relay's ports. It keeps the order of datagrams, except of those that it reorders on purpose.
struct Port {
    socket: Arc<UdpSocket>,
    queue: mpsc::UnboundedSender<(Instant, Vec<u8>, SocketAddr)>,
    conditions: Arc<Conditions>,
}

impl Relay {
    /// Starts a relay to `server`. In each direction it drops 1 % of the datagrams, duplicates 1 % and reorders 2 %.
    pub(crate) fn start(server: SocketAddr, seed: u64) -> Self {
        Self::open(server, seed, false)
    }

    /// Starts a relay as `start` does, except that what opens a transfer arrives: the request, the OACK and the ACK of block 0
    /// with what answers them.
    pub(crate) fn start_sparing_opening(server: SocketAddr, seed: u64) -> Self {
        Self::open(server, seed, true)
    }

    fn open(server: SocketAddr, seed: u64, spare_opening: bool) -> Self {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let conditions = Arc::new(Conditions { spare_opening, random, counters: Mutex::default() });
        runtime().block_on(async {
            let front = Port::open(&conditions).await;
            let address = front.socket.local_addr().expect("a bound socket has an address");
            tokio::spawn(requests(front, server));
            Self { address, conditions }
        })
    }

    /// Returns the counts so far.
    pub(crate) fn counters(&self) -> Counters {
        *self.conditions.counters()
    }
}

/// Forwards requests: each client gets a port of its own towards the server.
async fn requests(front: Arc<Port>, server: SocketAddr) {
    let mut backs: HashMap<SocketAddr, Arc<Port>> = HashMap::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, client)) = front.socket.recv_from(&mut buffer).await {
        let back = match backs.entry(client) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let back = Port::open(&front.conditions).await;
                tokio::spawn(replies(Arc::clone(&back), client));
                new.insert(back)
            }
        };
        back.send(&buffer[..length], server);
    }
}

/// Forwards the server's packets to the client, from one port of the relay for each port of the server.
async fn replies(back: Arc<Port>, client: SocketAddr) {
    let mut ports: HashMap<SocketAddr, Arc<Port>> = HashMap::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, server)) = back.socket.recv_from(&mut buffer).await {
        let port = match ports.entry(server) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let port = Port::open(&back.conditions).await;
                tokio::spawn(acknowledgements(Arc::clone(&port), Arc::clone(&back), server));
                back.conditions.counters().ports += 1;
                new.insert(port)
            }
        };
        port.send(&buffer[..length], client);
    }
}

/// Forwards the client's packets from one port of the relay to the corresponding port of the server.
async fn acknowledgements(port: Arc<Port>, back: Arc<Port>, server: SocketAddr) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, _)) = port.socket.recv_from(&mut buffer).await {
        back.send(&buffer[..length], server);
    }
}

impl Conditions {
    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().expect("no test panics with it")
    }
}

impl Port {
    async fn open(conditions: &Arc<Conditions>) -> Arc<Self> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free"));
        let (queue, mut arrivals) = mpsc::unbounded_channel::<(Instant, Vec<u8>, SocketAddr)>();
        let sender = Arc::clone(&socket);
        tokio::spawn(async move {
            while let Some((due, datagram, to)) = arrivals.recv().await {
                tokio::time::sleep_until(due).await;
                // Fails if the client has closed its port.
                let _ = sender.send_to(&datagram, to).await;
            }
        });
        Arc::new(Self { socket, queue, conditions: Arc::clone(conditions) })
    }

    /// Queues a datagram, drops it, duplicates it or delays it.
    fn send(&self, datagram: &[u8], to: SocketAddr) {
        let mut random = self.conditions.random.lock().expect("no test panics with it");
        let mut counters = self.conditions.counters();
        counters.carried += 1;
        if self.conditions.spare_opening && opens_transfer(datagram) {
            let _ = self.queue.send((Instant::now() + DELAY, datagram.to_vec(), to));
            return;
        }
        if random.u8(..100) < 1 {
            counters.dropped += 1;
            return;
        }
        let copies = if random.u8(..100) < 1 { 2 } else { 1 };
        counters.duplicated += copies - 1;
        for _ in 0..copies {
            if random.u8(..100) < 2 {
                counters.reordered += 1;
                let (socket, datagram) = (Arc::clone(&self.socket), datagram.to_vec());
                tokio::spawn(async move {
                    tokio::time::sleep(REORDER_DELAY).await;
                    let _ = socket.send_to(&datagram, to).await;
                });
            } else {
                // Fails only if the port is closed.
                let _ = self.queue.send((Instant::now() + DELAY, datagram.to_vec(), to));
            }
        }
    }
}

/// Whether a datagram is a request, an OACK, or the DATA or ACK of block 0 or 1 (RFC 1350 section 5, RFC 2347).
fn opens_transfer(datagram: &[u8]) -> bool {
    match *datagram {
        [0, 1 | 2 | 6, ..] => true,
        [0, 3 | 4, high, low, ..] => u16::from_be_bytes([high, low]) <= 1,
        _ => false,
    }
}
