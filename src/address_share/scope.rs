//! The scopes of a limit: one address, one subnet, the server.

/// The part of a limit that is full when a client gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The share of its address.
    Address,
    /// The share of its subnet.
    Prefix,
    /// The limit of the whole server.
    Server,
}

impl Scope {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Prefix => "prefix",
            Self::Server => "server",
        }
    }
}
