//! The dispatcher of one listen address: refuses a request at once, lets it join the peer's open transfer, or begins to
//! open its asset.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::base_url::BaseUrl;
use super::batch::Route;
use super::content::{Content, normalize_name};
use super::messages::{PortHandle, PortMessage};
use super::packet::{ErrorCode, Packet, PacketError, Request, TransferMode};
use super::pending_open::PendingOpen;
use super::request::{PendingRequest, ReadRequest};
use super::sessions::{ExistingSession, SessionState, SessionTable};
use super::settings::TftpSettings;
use super::socket::Socket;
use crate::asset::AssetName;
use crate::boot::{Boot, RequestContext, RequestedScript, without_token};
use crate::depot::{Outcome, Protocol};

/// The dispatcher of one listen address.
pub(super) struct Dispatcher {
    /// The settings.
    pub(super) settings: Arc<TftpSettings>,
    /// The source of assets and scripts.
    pub(super) boot: Boot,
    /// The base of the URLs in scripts.
    pub(super) base_url: BaseUrl,
    /// The sessions of all listen addresses.
    pub(super) sessions: Arc<SessionTable>,
    /// The runtime that opens assets.
    pub(super) runtime: Handle,
    /// Cancelled when new requests are to be refused.
    pub(super) stop: CancellationToken,
    /// The request port, which sends refusals.
    pub(super) socket: Arc<Socket>,
    /// The data ports.
    pub(super) data_ports: Vec<PortHandle>,
    /// How many data ports, from the first on, take new transfers in turn. A port after them is used only to avoid the
    /// port of the peer's last transfer.
    pub(super) primary_ports: usize,
}

impl Dispatcher {
    /// Handles a datagram that belongs to no active transfer.
    pub(super) fn handle_packet(&self, route: Route, packet: Result<Packet<'_>, PacketError>, truncated: bool) {
        match packet {
            _ if truncated => self.refuse(&route, ErrorCode::IllegalOperation, "the request is too long"),
            Ok(Packet::Read(Request { mode: TransferMode::Mail, .. })) => {
                self.refuse(&route, ErrorCode::IllegalOperation, "mail mode is obsolete; use octet");
            }
            Ok(Packet::Read(request)) => {
                self.handle_read(PendingRequest { route, request: Arc::new(request.into()) });
            }
            Ok(Packet::Write(_)) => {
                self.refuse(&route, ErrorCode::AccessViolation, "this server is read-only");
            }
            // No answer: an ERROR that answers an ERROR could go back and forth for ever. The peer no longer waits for
            // its request.
            Ok(Packet::Error { .. }) => {
                if let Some(session) = self.sessions.find(route.peer) {
                    self.cancel(&session, route);
                }
            }
            // Packets of no transfer, which the port answers.
            Ok(Packet::Data { .. } | Packet::Ack { .. } | Packet::OptionAck { .. }) => {}
            Err(error) => self.refuse(&route, ErrorCode::IllegalOperation, &error.to_string()),
        }
    }

    fn handle_read(&self, pending: PendingRequest) {
        let Some(session) = self.sessions.find(pending.route.peer) else {
            return self.open(pending, None);
        };
        let repeated = session.request == pending.request;
        match session.state {
            // The open in progress answers both.
            SessionState::Opening(_) if repeated => {}
            // Only the port knows whether the peer has answered the first packet.
            SessionState::Active(port) if repeated => self.data_ports[port].send(PortMessage::Repeat(pending)),
            SessionState::Opening(_) => {
                self.cancel(&session, pending.route);
                self.open(pending, None);
            }
            SessionState::Active(port) => {
                self.cancel(&session, pending.route);
                self.open(pending, Some(port));
            }
        }
    }

    /// Starts a session for a read request and opens its asset. The transfer will not run on the data port `avoid`.
    pub(super) fn open(&self, pending: PendingRequest, avoid: Option<usize>) {
        let route = pending.route;
        let Some(content) = self.resolve(&pending.request, &route) else {
            let name = without_token(&pending.request.lossy_name());
            self.boot.depot().unknown_transfer(Protocol::Tftp, route.peer, &name).finish(Outcome::NotFound, None);
            return self.refuse(&route, ErrorCode::NotFound, "file not found");
        };
        let record = self.boot.depot().transfer(Protocol::Tftp, route.peer, content.name());
        if self.stop.is_cancelled() {
            record.finish(Outcome::Refused, Some("the server is stopping"));
            return self.refuse(&route, ErrorCode::Undefined, "the server is stopping; try again later");
        }
        let session = match self.sessions.start(route.peer, Arc::clone(&pending.request)) {
            Ok(session) => session,
            Err(limit) => {
                let reason = limit.to_string();
                record.finish(Outcome::Refused, Some(&reason));
                return self.refuse(&route, ErrorCode::Undefined, &reason);
            }
        };
        // In turn. Packets of the peer's last transfer may still arrive on the port to avoid.
        let index = usize::try_from(session.id() % self.primary_ports as u64).unwrap_or_default();
        let port_index = if Some(index) == avoid { (index + 1) % self.data_ports.len() } else { index };
        let open = PendingOpen {
            content,
            record,
            settings: Arc::clone(&self.settings),
            boot: self.boot.clone(),
            request_socket: Arc::clone(&self.socket),
            port: self.data_ports[port_index].clone(),
            port_index,
            pending,
            session,
        };
        self.runtime.spawn(open.run());
    }

    /// Resolves the file name of a request: the table in the settings first, then the catalog, then the scripts, then the
    /// files of hosts, then the collections, and then the catalog without regard to case.
    fn resolve(&self, request: &ReadRequest, route: &Route) -> Option<Content> {
        let name = normalize_name(request.name()?);
        let files = &self.settings.files;
        let mapped = files.get(name.as_str()).map_or(name.as_str(), String::as_str);
        let depot = self.boot.depot();
        let is_member = depot.is_member(mapped);
        if let Some(asset) = depot.find(mapped).filter(|_| !is_member) {
            return Some(Content::Asset(asset));
        }
        let visit = || {
            let local = route.source.map_or_else(|| self.socket.address().ip(), |source| source.ip());
            RequestContext { peer: route.peer.ip().to_canonical(), base: self.base_url.resolve(local), is_probe: false }
        };
        let (path, query) = name.split_once('?').unwrap_or((&name, ""));
        let script = RequestedScript::find(path, query).filter(|script| script.exists(&self.boot));
        // A member of a collection takes precedence, but for entry scripts.
        if let Some(script) = script.filter(|script| !is_member || !matches!(script, RequestedScript::Pxelinux { .. }))
        {
            return Some(Content::Script(script, visit()));
        }
        if is_member {
            return AssetName::parse(mapped).ok().map(Content::Member);
        }
        if let Some(file) = self.boot.named_file(&name, route.peer.ip().to_canonical()) {
            let name = format!("hosts/{}/{}", file.host, file.file);
            return Some(Content::HostFile(file, name, visit()));
        }
        let mapped = folded_key(files, &name).map_or(mapped, String::as_str);
        depot.find(mapped).or_else(|| depot.catalog().by_folded_name(mapped)).map(Content::Asset)
    }

    fn cancel(&self, session: &ExistingSession, route: Route) {
        match &session.state {
            SessionState::Opening(cancel) => cancel.cancel(),
            SessionState::Active(port) => {
                self.data_ports[*port].send(PortMessage::Cancel { peer: route.peer, session: session.id });
            }
        }
    }

    fn refuse(&self, route: &Route, code: ErrorCode, message: &str) {
        debug!(client = %route.peer, code = code as u16, error = message, "request refused");
        self.socket.send_error(route, code, message);
    }
}

/// Returns the asset of the file name that differs from this one only in case; `None` if several do.
fn folded_key<'f>(files: &'f HashMap<String, String>, name: &str) -> Option<&'f String> {
    let folded = name.to_lowercase();
    let mut found = files.iter().filter(|(key, _)| key.to_lowercase() == folded);
    found.next().filter(|_| found.next().is_none()).map(|(_, asset)| asset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_key_must_be_unambiguous() {
        let files = [("a.efi", "1"), ("B.efi", "2"), ("b.EFI", "3")];
        let files = files.map(|(key, asset)| (key.to_owned(), asset.to_owned())).into();
        assert_eq!(folded_key(&files, "A.EFI").map(String::as_str), Some("1"));
        assert_eq!(folded_key(&files, "b.efi"), None, "two differ only in case");
        assert_eq!(folded_key(&files, "c.efi"), None);
    }
}
