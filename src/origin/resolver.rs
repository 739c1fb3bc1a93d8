//! Name resolution for connections to origins: of several addresses, the one that answers first comes first (RFC 8305).
//!
//! hyper races the two families and tries the addresses of one family one after the other, each with a share of the connect
//! timeout: a dead first address costs seconds. Here all addresses are tried staggered, without waiting for the failure of
//! the one before. The connection that wins is closed; hyper then connects to its address.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpStream;

/// The delay between the starts of two connection attempts (RFC 8305 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// How long the order of addresses is used again: the connections of a fill need one race, and an address that dies is soon
/// noticed.
const ORDER_TTL: Duration = Duration::from_secs(10);
/// Hosts whose ports and orders are kept. More than the origins and mirrors of one server.
const MAX_HOSTS: u64 = 1000;

/// Resolves a host's name to addresses, each with its IPv6 zone and any port.
type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Resolves names, and orders the addresses of each by which answers first. Cheap to clone; clones share all state.
#[derive(Clone)]
pub(super) struct StaggeredResolver {
    lookup: Lookup,
    /// The last noted port of each host, for the race only: a resolver is asked for names.
    ports: moka::sync::Cache<String, u16>,
    orders: moka::future::Cache<(String, u16), Arc<[SocketAddr]>>,
}

impl StaggeredResolver {
    /// A resolver that asks the system.
    pub(super) fn system() -> Self {
        Self::new(Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })))
    }

    fn new(lookup: Lookup) -> Self {
        let ports = moka::sync::Cache::new(MAX_HOSTS);
        let orders = moka::future::Cache::builder().max_capacity(MAX_HOSTS).time_to_live(ORDER_TTL).build();
        Self { lookup, ports, orders }
    }

    /// Notes the port to which connections to `host` go. Without it, the system's order of addresses is kept.
    pub(super) fn note_port(&self, host: &str, port: u16) {
        if self.ports.get(host) != Some(port) {
            self.ports.insert(host.to_owned(), port);
        }
    }

    /// Forgets the order of a host's addresses, because no connection could be made.
    pub(super) async fn forget(&self, host: &str, port: u16) {
        self.orders.invalidate(&(host.to_owned(), port)).await;
    }

    /// Returns the addresses with the noted port, ordered. Without a note, as the lookup returns them.
    async fn resolve_name(self, name: String) -> io::Result<Arc<[SocketAddr]>> {
        let Some(port) = self.ports.get(&name) else {
            return Ok((self.lookup)(name).await?.into());
        };
        let ordering = async {
            let addresses = (self.lookup)(name.clone()).await?;
            Ok(answering_first(interleave(addresses).map(|address| with_port(address, port)).collect()).await.into())
        };
        // Connections that are opened at the same time share one race.
        let ordered = self.orders.try_get_with((name.clone(), port), ordering).await;
        ordered.map_err(|error: Arc<io::Error>| io::Error::new(error.kind(), error.to_string()))
    }
}

impl Resolve for StaggeredResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolving = self.clone().resolve_name(name.as_str().to_owned());
        Box::pin(async move {
            // Without a port, hyper takes that of the URL. The noted one may be of another URL at the same host.
            let addresses: Vec<_> = resolving.await?.iter().map(|address| with_port(*address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Orders addresses so that the families alternate, beginning with that of the first (RFC 8305 4).
fn interleave(addresses: Vec<SocketAddr>) -> impl Iterator<Item = SocketAddr> {
    let is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == is_v6);
    let longer = first.len().max(second.len());
    (0..longer).flat_map(move |index| [first.get(index).copied(), second.get(index).copied()]).flatten()
}

/// Moves the address that accepts a connection first to the front. Keeps the order if none does, or if there is one only.
async fn answering_first(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.len() > 1
        && let Some(winner) = race(&addresses).await
    {
        addresses.retain(|address| *address != winner);
        addresses.insert(0, winner);
    }
    addresses
}

/// Connects to the addresses in order: to the next one after a delay, or as soon as an attempt fails.
async fn race(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let connect = |address: SocketAddr| async move { TcpStream::connect(address).await.map(|_| address) };
    let mut waiting = addresses.iter().copied();
    let mut attempts = FuturesUnordered::from_iter(waiting.next().map(connect));
    loop {
        let is_last = waiting.len() == 0;
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(address)) => return Some(address),
                Some(Err(_)) => attempts.extend(waiting.next().map(connect)),
                None => return None,
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if !is_last => attempts.extend(waiting.next().map(connect)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddrV6, TcpListener};

    use bootdepot_test_support::deadline::stretch;
    use socket2::{Domain, Socket, Type};

    use super::*;

    /// An address that answers no connection attempt: a listener whose queue is full, so that the kernel drops each SYN.
    struct Blackhole {
        address: SocketAddr,
        _sockets: Vec<Socket>,
    }

    impl Blackhole {
        fn at(ip: [u8; 4], port: u16) -> Self {
            let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            listener.bind(&SocketAddr::from((ip, port)).into()).unwrap();
            listener.listen(0).unwrap();
            let address = listener.local_addr().unwrap().as_socket().unwrap();
            let mut sockets = vec![listener];
            // A backlog of 0 holds one connection; the others stay half open.
            for _ in 0..4 {
                let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let _ = client.connect(&address.into());
                sockets.push(client);
            }
            Self { address, _sockets: sockets }
        }
    }

    fn resolver(addresses: &[[u8; 4]]) -> StaggeredResolver {
        resolving_to(addresses.iter().map(|ip| (*ip, 0).into()).collect())
    }

    fn resolving_to(addresses: Vec<SocketAddr>) -> StaggeredResolver {
        StaggeredResolver::new(Arc::new(move |_| {
            let addresses = addresses.clone();
            Box::pin(async move { Ok(addresses) })
        }))
    }

    async fn resolve(resolver: &StaggeredResolver) -> Vec<SocketAddr> {
        resolver.clone().resolve_name("mirror.lab".to_owned()).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn dead_first_addresses_are_passed_over() {
        let live = TcpListener::bind("127.0.0.4:0").unwrap();
        let port = live.local_addr().unwrap().port();
        let dead = [Blackhole::at([127, 0, 0, 2], port), Blackhole::at([127, 0, 0, 3], port)];
        let silent = TcpStream::connect(dead[0].address);
        assert!(tokio::time::timeout(Duration::from_millis(300), silent).await.is_err(), "it is no black hole");
        let resolver = resolver(&[[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4]]);
        resolver.note_port("mirror.lab", port);
        // Linux gives up a connection attempt after two minutes.
        let found = tokio::time::timeout(stretch(Duration::from_secs(20)), resolve(&resolver)).await.unwrap();
        assert_eq!(found, [live.local_addr().unwrap(), dead[0].address, dead[1].address]);
    }

    #[tokio::test]
    async fn refusing_address_is_passed_over() {
        let live = TcpListener::bind("127.0.0.4:0").unwrap();
        let port = live.local_addr().unwrap().port();
        let resolver = resolver(&[[127, 0, 0, 2], [127, 0, 0, 4]]);
        resolver.note_port("mirror.lab", port);
        assert_eq!(resolve(&resolver).await[0], live.local_addr().unwrap());
    }

    #[tokio::test]
    async fn order_is_kept_without_answer() {
        let port = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
        let resolver = resolver(&[[127, 0, 0, 2], [127, 0, 0, 3]]);
        resolver.note_port("mirror.lab", port);
        let refused: Vec<_> = [[127, 0, 0, 2], [127, 0, 0, 3]].map(|ip| SocketAddr::from((ip, port))).into();
        assert_eq!(resolve(&resolver).await, refused);
    }

    #[tokio::test]
    async fn winner_is_remembered_until_forgotten() {
        let first = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind(("127.0.0.3", port)).unwrap();
        let resolver = resolver(&[[127, 0, 0, 2], [127, 0, 0, 3]]);
        resolver.note_port("mirror.lab", port);
        let address = first.local_addr().unwrap();
        assert_eq!(resolve(&resolver).await[0], address);
        drop(first);
        assert_eq!(resolve(&resolver).await[0], address);
        resolver.forget("mirror.lab", port).await;
        assert_eq!(resolve(&resolver).await[0], second.local_addr().unwrap());
    }

    #[tokio::test]
    async fn noted_port_never_reaches_client() {
        let resolver = resolver(&[[127, 0, 0, 2], [127, 0, 0, 3]]);
        for port in [1, 2] {
            resolver.note_port("mirror.lab", port);
            let addresses = resolver.resolve("mirror.lab".parse().unwrap()).await.unwrap();
            assert_eq!(addresses.map(|address| address.port()).collect::<Vec<_>>(), [0, 0]);
        }
    }

    #[tokio::test]
    async fn ipv6_zone_of_address_is_kept() {
        let zoned = |ip: &str, port| SocketAddr::V6(SocketAddrV6::new(ip.parse().unwrap(), port, 0, 1));
        // Loopback has no other link-local address, so none answers and the order is kept.
        let resolver = resolving_to(vec![zoned("fe80::1", 0), zoned("fe80::2", 0)]);
        resolver.note_port("mirror.lab", 9);
        assert_eq!(resolve(&resolver).await, [zoned("fe80::1", 9), zoned("fe80::2", 9)]);
        let addresses = resolver.resolve("mirror.lab".parse().unwrap()).await.unwrap();
        assert_eq!(addresses.collect::<Vec<_>>(), [zoned("fe80::1", 0), zoned("fe80::2", 0)]);
    }

    #[test]
    fn families_alternate() {
        let addresses = ["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"];
        let addresses = addresses.map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).to_vec();
        let shown: Vec<_> = interleave(addresses).map(|address| address.ip().to_string()).collect();
        assert_eq!(shown, ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]);
    }
}
