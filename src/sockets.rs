//! Socket activation: listening sockets that a service manager (systemd) bound before the server started, so that a process
//! without privileges can serve ports 69 and 80. It does not know what the sockets are used for.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Socket, Type};

/// The server's listeners: the name for `FileDescriptorName=`, the setting, and the type of the socket.
const LISTENERS: [(&str, &str, Type); 4] = [
    (HTTP, "http.listen", Type::STREAM),
    (HTTPS, "http.tls.listen", Type::STREAM),
    (ADMIN, "admin.listen", Type::STREAM),
    (TFTP, "tftp.listen", Type::DGRAM),
];

/// The plain HTTP listener.
pub const HTTP: &str = "http";
/// The HTTP listener with TLS.
pub const HTTPS: &str = "https";
/// The admin listener.
pub const ADMIN: &str = "admin";
/// The TFTP listener.
pub const TFTP: &str = "tftp";

/// Why inherited sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// The environment variables are invalid, or the descriptors are not open.
    #[error(
        "the sockets of the service manager cannot be used ({0}); LISTEN_FDS, LISTEN_FDNAMES and the open files do not match"
    )]
    Environment(String),
    /// No configured listener uses these sockets: clients that connect to them would wait for ever.
    #[error("{}", unused(.0))]
    Unused(Vec<InheritedSocket>),
}

fn unused(sockets: &[InheritedSocket]) -> String {
    let sentence = |given: &InheritedSocket| {
        let keys = given.keys();
        let remedy = if keys.is_empty() {
            "bootdepot cannot use it; remove it from the socket unit".to_owned()
        } else {
            format!("add that address to {}, or disable the socket unit", keys.join(" or "))
        };
        format!("the service manager passed {given}, which no configured listener uses: {remedy}")
    };
    sockets.iter().map(sentence).collect::<Vec<_>>().join("\n")
}

/// The inherited sockets that no listener has taken yet.
#[derive(Debug, Default)]
pub struct InheritedSockets(Vec<InheritedSocket>);

/// An inherited socket.
#[derive(Debug)]
pub struct InheritedSocket {
    /// Its name in `LISTEN_FDNAMES`.
    name: Option<String>,
    /// TCP or UDP. `None` for anything else.
    kind: Option<Type>,
    address: Option<SocketAddr>,
    socket: Socket,
}

impl InheritedSockets {
    /// Takes the sockets that `LISTEN_FDS` and `LISTEN_PID` pass to this process. Empty if there are none.
    ///
    /// Must be called once in a process only, because the descriptors have one owner.
    pub fn from_environment() -> Result<Self, SocketsError> {
        // This checks that they are open, and sets close-on-exec.
        let count = sd_notify::listen_fds().map_err(|error| SocketsError::Environment(error.to_string()))?.len();
        if count == 0 {
            return Ok(Self::default());
        }
        let sockets = sd_listen_fds::get().map_err(|error| SocketsError::Environment(error.to_string()))?;
        Ok(Self::of(sockets.into_iter().map(|(name, socket)| (name, socket.into_std()))))
    }

    /// Creates it from sockets and their names.
    fn of(sockets: impl IntoIterator<Item = (Option<String>, OwnedFd)>) -> Self {
        let given = |(name, socket)| InheritedSocket::new(name, Socket::from(socket));
        Self(sockets.into_iter().map(given).collect())
    }

    /// Takes the TCP socket with this address for the listener with this name. `None` if there is none.
    pub fn take_tcp(&mut self, listener: &str, address: SocketAddr) -> Option<Socket> {
        self.take(listener, Type::STREAM, address)
    }

    /// Takes the UDP socket with this address for the listener with this name. `None` if there is none.
    pub fn take_udp(&mut self, listener: &str, address: SocketAddr) -> Option<Socket> {
        self.take(listener, Type::DGRAM, address)
    }

    fn take(&mut self, listener: &str, kind: Type, address: SocketAddr) -> Option<Socket> {
        let fits = |given: &InheritedSocket| given.kind == Some(kind) && given.is_at(address) && given.may_be(listener);
        let found = self.0.iter().position(fits)?;
        Some(self.0.swap_remove(found).socket)
    }

    /// Fails if there are sockets left after every listener has taken its own.
    pub fn finish(self) -> Result<(), SocketsError> {
        if self.0.is_empty() { Ok(()) } else { Err(SocketsError::Unused(self.0)) }
    }
}

impl InheritedSocket {
    fn new(name: Option<String>, socket: Socket) -> Self {
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        let kind = socket.r#type().ok().filter(|kind| address.is_some() && [Type::STREAM, Type::DGRAM].contains(kind));
        Self { name, kind, address, socket }
    }

    /// Whether it is bound to `address`. Ignores scope and flow label of IPv6 addresses.
    fn is_at(&self, address: SocketAddr) -> bool {
        self.address.is_some_and(|own| (own.ip(), own.port()) == (address.ip(), address.port()))
    }

    /// Whether `listener` may use it. A name of another listener prevents that. Any other name is ignored, because without
    /// `FileDescriptorName=` it is the name of the socket unit.
    fn may_be(&self, listener: &str) -> bool {
        self.named().is_none_or(|named| named == listener)
    }

    /// The listener that it is named after.
    fn named(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| LISTENERS.iter().any(|(listener, ..)| listener == name))
    }

    /// The settings that could contain its address.
    fn keys(&self) -> Vec<&'static str> {
        let could = |(listener, _, kind): &&(&str, &str, Type)| Some(*kind) == self.kind && self.may_be(listener);
        LISTENERS.iter().filter(could).map(|(_, key, _)| *key).collect()
    }
}

impl fmt::Display for InheritedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.address) {
            (Some(Type::STREAM), Some(address)) => write!(f, "a TCP socket on {address}")?,
            (Some(Type::DGRAM), Some(address)) => write!(f, "a UDP socket on {address}")?,
            _ => write!(f, "a file descriptor that is neither a TCP nor a UDP socket")?,
        }
        match &self.name {
            Some(name) => write!(f, " (named {name:?})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn given(sockets: Vec<(&str, OwnedFd)>) -> InheritedSockets {
        InheritedSockets::of(sockets.into_iter().map(|(name, socket)| (Some(name.to_owned()), socket)))
    }

    fn stream() -> (SocketAddr, OwnedFd) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        (socket.local_addr().unwrap(), socket.into())
    }

    fn datagrams() -> (SocketAddr, OwnedFd) {
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        (socket.local_addr().unwrap(), socket.into())
    }

    #[test]
    fn listener_takes_matching_socket_once() {
        let ((http, first), (tftp, second)) = (stream(), datagrams());
        let mut sockets = given(vec![("bootdepot.socket", first), (TFTP, second)]);
        assert!(sockets.take_udp(TFTP, http).is_none(), "it is a TCP socket");
        assert!(sockets.take_tcp(HTTP, "127.0.0.2:80".parse().unwrap()).is_none());
        let socket = sockets.take_tcp(HTTP, http).unwrap();
        assert_eq!(socket.local_addr().unwrap().as_socket(), Some(http));
        assert!(sockets.take_tcp(HTTP, http).is_none(), "it was taken");
        assert!(sockets.take_udp(TFTP, tftp).is_some());
        sockets.finish().unwrap();
    }

    #[test]
    fn named_socket_is_for_its_listener() {
        let (address, socket) = stream();
        let mut sockets = given(vec![(ADMIN, socket)]);
        assert!(sockets.take_tcp(HTTP, address).is_none());
        assert!(sockets.take_tcp(ADMIN, address).is_some());
    }

    #[test]
    fn unused_sockets_are_reported_with_remedy() {
        let ((tcp, first), (udp, second)) = (stream(), datagrams());
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let sockets = given(vec![("boot.socket", first), (TFTP, second), (HTTP, one.into())]);
        assert_eq!(
            sockets.finish().unwrap_err().to_string(),
            format!(
                "the service manager passed a TCP socket on {tcp} (named \"boot.socket\"), which no configured listener \
                 uses: add that address to http.listen or http.tls.listen or admin.listen, or disable the socket unit\n\
                 the service manager passed a UDP socket on {udp} (named \"tftp\"), which no configured listener uses: add \
                 that address to tftp.listen, or disable the socket unit\n\
                 the service manager passed a file descriptor that is neither a TCP nor a UDP socket (named \"http\"), \
                 which no configured listener uses: bootdepot cannot use it; remove it from the socket unit"
            )
        );
    }
}
