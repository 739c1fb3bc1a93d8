//! The dispatcher of one listen address: refuses a request at once, lets it join the peer's open transfer, or begins to
//! open its asset.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::base_url::BaseUrl;
use super::batch::Route;
use super::content::{Content, normalize_name};
use super::error_five::ErrorFive;
use super::listen_address::ListenAddress;
use super::messages::WorkerMessage;
use super::packet::{ErrorCode, Packet, PacketError, Request, TransferMode};
use super::pending_open::PendingOpen;
use super::record::Recorder;
use super::request::{PendingRequest, ReadRequest};
use super::sessions::{Evicted, ExistingSession, SessionState, SessionTable};
use crate::asset::AssetName;
use crate::boot::{RequestContext, RequestedScript, without_token};
use crate::depot::Outcome;

/// The dispatcher of one listen address.
pub(super) struct Dispatcher {
    /// The listen address.
    pub(super) listen_address: Arc<ListenAddress>,
    /// The base of the URLs in scripts.
    pub(super) base_url: BaseUrl,
    /// The sessions of all listen addresses.
    pub(super) sessions: Arc<SessionTable>,
    /// Begins the records of transfers.
    pub(super) recorder: Arc<Recorder>,
    /// The answers to packets of no transfer.
    pub(super) error_five: Arc<ErrorFive>,
    /// The runtime that opens assets.
    pub(super) runtime: Handle,
    /// Cancelled when new requests are to be refused.
    pub(super) stop: CancellationToken,
}

impl Dispatcher {
    /// Handles a datagram that is no packet of a transfer.
    pub(super) fn handle_packet(
        self: &Arc<Self>,
        route: Route,
        packet: Result<Packet<'_>, PacketError>,
        truncated: bool,
        now: Instant,
    ) {
        match packet {
            _ if truncated => self.refuse(&route, ErrorCode::IllegalOperation, "the request is too long"),
            Ok(Packet::Read(Request { mode: TransferMode::Mail, .. })) => {
                self.refuse(&route, ErrorCode::IllegalOperation, "mail mode is obsolete; use octet");
            }
            Ok(Packet::Read(request)) => {
                self.handle_read(PendingRequest { route, request: Arc::new(request.into()) }, now);
            }
            Ok(Packet::Write(_)) => {
                self.refuse(&route, ErrorCode::AccessViolation, "this server is read-only");
            }
            // Packets of transfers, which the listener handles.
            Ok(Packet::Error { .. } | Packet::Data { .. } | Packet::Ack { .. } | Packet::OptionAck { .. }) => {}
            Err(error) => self.refuse(&route, ErrorCode::IllegalOperation, &error.to_string()),
        }
    }

    fn handle_read(self: &Arc<Self>, pending: PendingRequest, now: Instant) {
        let Some(ExistingSession { id, request, state }) = self.sessions.find(pending.route.peer) else {
            return self.open(pending, now);
        };
        let repeated = request == pending.request;
        match state {
            // The open in progress answers both.
            SessionState::Opening(_) if repeated => {}
            // Only the worker knows whether the peer has answered the first packet.
            SessionState::Running(worker) if repeated => {
                self.listen_address.workers[worker].push(WorkerMessage::Repeat {
                    session: id,
                    listener: self.listen_address.listener,
                    pending,
                });
            }
            SessionState::Opening(_) | SessionState::Running(_) => self.open(pending, now),
        }
    }

    /// Starts a session for a read request and opens its asset.
    pub(super) fn open(self: &Arc<Self>, pending: PendingRequest, now: Instant) {
        let route = pending.route;
        let Some(content) = self.resolve(&pending.request, &route) else {
            self.recorder.unknown_name(route.peer, &without_token(&pending.request.lossy_name()));
            return self.refuse(&route, ErrorCode::NotFound, "file not found");
        };
        let record = self.recorder.record(route.peer, content.name(), now);
        if self.stop.is_cancelled() {
            record.finish(Outcome::Refused, 0, Some("the server is stopping"));
            return self.refuse(&route, ErrorCode::Undefined, "the server is stopping; try again later");
        }
        let (session, evicted) = match self.sessions.start(route.peer, Arc::clone(&pending.request)) {
            Ok(started) => started,
            Err(limit) => {
                record.finish(Outcome::Refused, 0, Some(&limit.to_string()));
                return self.refuse(&route, ErrorCode::Undefined, limit.public());
            }
        };
        if let Some(evicted) = evicted {
            self.evict(evicted, now);
        }
        if self.listen_address.settings.single_port && !matches!(content, Content::Member(_)) {
            self.end_older_transfer(route.peer);
        }
        let may_be_in_memory = matches!(content, Content::Asset(_));
        let open = PendingOpen { content, record, listen_address: Arc::clone(&self.listen_address), pending, session };
        let mut opening = Box::pin(open.run());
        // A cached asset opens at once. In a flood of requests, a task for each would delay the answers to all.
        let opened = may_be_in_memory && opening.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if !opened {
            self.runtime.spawn(opening);
        }
    }

    /// Ends the transfer of a peer that has requested another file which exists. On the socket of the listener the packets of the
    /// two cannot be told apart, and the client, which has one transfer for each of its ports (RFC 1350 4), now waits for the other
    /// file. A request that is refused ends nothing: it may be a late copy of an earlier one.
    ///
    /// Whether a member of a collection exists is known only once it is open; its transfer replaces the older one when it starts.
    fn end_older_transfer(&self, peer: SocketAddr) {
        if let Some(ExistingSession { id, state: SessionState::Running(worker), .. }) = self.sessions.transfer(peer) {
            self.listen_address.workers[worker].push(WorkerMessage::Replace(id));
        }
    }

    /// Ends a session that has lost its slot.
    fn evict(&self, Evicted { session, replaced }: Evicted, now: Instant) {
        if !replaced {
            // A late packet of the evicted peer would be answered from a port that is another's.
            self.error_five.pause(now);
        }
        match session.state {
            SessionState::Opening(cancel) => cancel.cancel(),
            SessionState::Running(worker) => self.listen_address.workers[worker].push(if replaced {
                WorkerMessage::Replace(session.id)
            } else {
                WorkerMessage::Evict(session.id)
            }),
        }
    }

    /// Resolves the file name of a request: the table in the settings first, then the catalog, then the scripts, then the
    /// files of hosts, then the collections, and then the catalog without regard to case.
    fn resolve(&self, request: &ReadRequest, route: &Route) -> Option<Content> {
        let name = normalize_name(request.name()?);
        let files = &self.listen_address.settings.files;
        let mapped = files.get(name.as_str()).map_or(name.as_str(), String::as_str);
        let depot = self.listen_address.boot.depot();
        let is_member = depot.is_member(mapped);
        if let Some(asset) = depot.find(mapped).filter(|_| !is_member) {
            return Some(Content::Asset(asset));
        }
        let visit = || {
            let local = route.source.map_or_else(|| self.listen_address.socket.address().ip(), |source| source.ip());
            RequestContext { peer: route.peer.ip().to_canonical(), base: self.base_url.resolve(local), is_probe: false }
        };
        let (path, query) = name.split_once('?').unwrap_or((&name, ""));
        let script = RequestedScript::find(path, query).filter(|script| script.exists(&self.listen_address.boot));
        // A member of a collection takes precedence, but for entry scripts.
        if let Some(script) = script.filter(|script| !is_member || !matches!(script, RequestedScript::Pxelinux { .. }))
        {
            return Some(Content::Script(script, visit()));
        }
        if is_member {
            return AssetName::parse(mapped).ok().map(Content::Member);
        }
        if let Some(file) = self.listen_address.boot.named_file(&name, route.peer.ip().to_canonical()) {
            let name = format!("hosts/{}/{}", file.host, file.file);
            return Some(Content::HostFile(file, name, visit()));
        }
        let mapped = folded_key(files, &name).map_or(mapped, String::as_str);
        depot.find(mapped).or_else(|| depot.catalog().by_folded_name(mapped)).map(Content::Asset)
    }

    fn refuse(&self, route: &Route, code: ErrorCode, message: &str) {
        debug!(client = %route.peer, code = code as u16, error = message, "request refused");
        self.listen_address.send_error(route, code, message);
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
