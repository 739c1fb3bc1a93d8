//! Where requests come in: each is refused at once, joins what its peer has already asked, or begins to be opened.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::batch::Route;
use super::content::{Base, Content, Script};
use super::opening;
use super::packet::{ErrorCode, Mode, Packet, Request};
use super::port::Post;
use super::seats::{Seats, Stage};
use super::settings::TftpSettings;
use super::socket::Socket;
use super::worker::Door;
use crate::boot::{Boot, RequestContext};
use crate::depot::{Outcome, Protocol};

/// The desk of one listen address.
pub(super) struct Desk {
    /// The settings.
    pub(super) settings: Arc<TftpSettings>,
    /// What is served.
    pub(super) boot: Boot,
    /// The base of the URLs in scripts.
    pub(super) base: Base,
    /// Seats of all listen addresses.
    pub(super) seats: Arc<Seats>,
    /// Where assets are opened.
    pub(super) runtime: Handle,
    /// Cancelled when no more requests are taken.
    pub(super) stop: CancellationToken,
    /// The request port; refusals go out from here.
    pub(super) socket: Arc<Socket>,
    /// The data ports.
    pub(super) doors: Vec<Door>,
    /// How many of them, from the first on, transfers are spread over.
    pub(super) spread: usize,
}

/// A read request, kept.
pub(super) struct Asked {
    /// Who asked, and which address.
    pub(super) route: Route,
    /// The datagram.
    pub(super) datagram: Box<[u8]>,
}

impl Asked {
    /// The request in it.
    pub(super) fn request(&self) -> Option<Request<'_>> {
        match Packet::parse(&self.datagram) {
            Ok(Packet::Read(request)) => Some(request),
            _ => None,
        }
    }
}

impl Desk {
    /// Takes a datagram that is no ACK of a transfer: a request, or what is none.
    pub(super) fn take(&self, route: Route, datagram: &[u8], cut: bool) {
        let peer = route.peer;
        match Packet::parse(datagram) {
            _ if cut => self.refuse(&route, ErrorCode::IllegalOperation, "the request is too long"),
            Ok(Packet::Read(Request { mode: Mode::Mail, .. })) => {
                self.refuse(&route, ErrorCode::IllegalOperation, "mail mode is obsolete; use octet");
            }
            Ok(Packet::Read(_)) => self.read(Asked { route, datagram: datagram.into() }),
            Ok(Packet::Write(_)) => {
                self.refuse(&route, ErrorCode::AccessViolation, "this server is read-only");
            }
            // An answer to an ERROR could go back and forth for ever. A peer that is still waiting has let go.
            Ok(Packet::Error { .. }) => {
                if let Some(met) = self.seats.met(peer, &[]) {
                    self.let_go(&met.stage, route, met.id);
                }
            }
            // Packets of no transfer; the port's loop answers those.
            Ok(Packet::Data { .. } | Packet::Ack { .. } | Packet::OptionAck { .. }) => {}
            Err(error) => self.refuse(&route, ErrorCode::IllegalOperation, &error.to_string()),
        }
    }

    fn read(&self, asked: Asked) {
        match self.seats.met(asked.route.peer, &asked.datagram) {
            None => self.begin(asked, None),
            // The answer is on its way.
            Some(met) if met.same && matches!(met.stage, Stage::Opening(_)) => {}
            Some(met) => {
                let Stage::Running(port) = met.stage else {
                    self.let_go(&met.stage, asked.route, met.id);
                    return self.begin(asked, None);
                };
                if met.same {
                    // Only its loop knows whether the peer is past the first answer.
                    self.doors[port].post(Post::Repeat(asked));
                } else {
                    self.let_go(&met.stage, asked.route, met.id);
                    self.begin(asked, Some(port));
                }
            }
        }
    }

    /// Begins a transfer for a read request, on another data port than `avoid`.
    pub(super) fn begin(&self, asked: Asked, avoid: Option<usize>) {
        let Some(request) = asked.request() else { return };
        let route = asked.route;
        let Some(content) = self.look_up(&request, &route) else {
            let text = String::from_utf8_lossy(request.name);
            self.boot.depot().unknown_transfer(Protocol::Tftp, route.peer, &text).finish(Outcome::NotFound, None);
            return self.refuse(&route, ErrorCode::NotFound, "file not found");
        };
        let account = self.boot.depot().transfer(Protocol::Tftp, route.peer, content.name());
        if self.stop.is_cancelled() {
            account.finish(Outcome::Refused, Some("the server is stopping"));
            return self.refuse(&route, ErrorCode::Undefined, "the server is stopping; try again later");
        }
        let seat = match self.seats.take(route.peer, &asked.datagram) {
            Ok(seat) => seat,
            Err(full) => {
                let reason = full.to_string();
                account.finish(Outcome::Refused, Some(&reason));
                return self.refuse(&route, ErrorCode::Undefined, &reason);
            }
        };
        // One after the other; the peer's last transfer may still be heard on the avoided one.
        let port = usize::try_from(seat.id() % self.spread as u64).unwrap_or_default();
        let port = if Some(port) == avoid { (port + 1) % self.doors.len() } else { port };
        let opening = opening::Opening {
            content,
            account,
            settings: Arc::clone(&self.settings),
            boot: self.boot.clone(),
            refusals: Arc::clone(&self.socket),
            door: self.doors[port].clone(),
            port,
            asked,
            seat,
        };
        self.runtime.spawn(opening.run());
    }

    /// What a request's name means: by the settings' table, else by the catalog's names, else a script.
    fn look_up(&self, request: &Request<'_>, route: &Route) -> Option<Content> {
        let name = asset_name(std::str::from_utf8(request.name).ok()?);
        let mapped = self.settings.files.get(name.as_str()).map_or(name.as_str(), String::as_str);
        if let Some(asset) = self.boot.depot().find(mapped) {
            return Some(Content::Asset(asset));
        }
        let script = Script::of(&name)?;
        let asked = route.source.map_or_else(|| self.socket.address().ip(), |source| source.ip());
        let visit = RequestContext { peer: route.peer.ip().to_canonical(), base: self.base.url(asked) };
        Some(Content::Script(script, visit))
    }

    fn let_go(&self, stage: &Stage, route: Route, id: u64) {
        match stage {
            Stage::Opening(cancel) => cancel.cancel(),
            Stage::Running(port) => self.doors[*port].post(Post::Leave { peer: route.peer, id }),
        }
    }

    fn refuse(&self, route: &Route, code: ErrorCode, message: &str) {
        debug!(peer = %route.peer, code = code as u16, message, "refused");
        self.socket.send_error(route, code, message);
    }
}

/// A file name as firmware writes it, as an asset's name: `\` is `/`, and leading slashes mean nothing.
pub(super) fn asset_name(name: &str) -> String {
    name.replace('\\', "/").trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::asset_name;

    #[test]
    fn firmware_writes_names_in_many_ways() {
        for (written, name) in [
            ("boot/x.efi", "boot/x.efi"),
            ("/boot/x.efi", "boot/x.efi"),
            ("//x", "x"),
            ("\\Boot\\BCD", "Boot/BCD"),
            ("/", ""),
        ] {
            assert_eq!(asset_name(written), name);
        }
    }
}
