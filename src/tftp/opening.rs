//! Opening an asset for a request: as long as it takes, up to the deadline, with nothing else waiting for it. A repeat
//! of the request meets the seat that is taken and joins.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;
use tracing::warn;

use super::content::Content;
use super::desk::Asked;
use super::feed::Feed;
use super::mtu;
use super::options::{self, Limits};
use super::packet::{ErrorCode, Mode};
use super::port::Post;
use super::running::Running;
use super::seats::Seat;
use super::settings::TftpSettings;
use super::socket::Socket;
use super::transfer::{Patience, Transfer};
use super::worker::Door;
use crate::asset::ByteRange;
use crate::boot::Boot;
use crate::depot::{ByteStream, Delivery, Outcome, ReadError, Transfer as Account};

/// A request whose asset is being opened.
pub(super) struct Opening {
    /// What was asked for.
    pub(super) content: Content,
    /// What the log will say of it.
    pub(super) account: Account,
    /// The settings.
    pub(super) settings: Arc<TftpSettings>,
    /// Where the asset comes from.
    pub(super) boot: Boot,
    /// What refusals go out from.
    pub(super) refusals: Arc<Socket>,
    /// The data port that will serve it.
    pub(super) door: Door,
    /// That port's index.
    pub(super) port: usize,
    /// The request.
    pub(super) asked: Asked,
    /// The peer's seat.
    pub(super) seat: Seat,
}

impl Opening {
    /// Opens the asset and hands the transfer over to its port, or tells the peer why not.
    pub(super) async fn run(self) {
        let mode = self.asked.request().map_or(Mode::Octet, |request| request.mode);
        let deadline = self.settings.first_byte_deadline;
        let opened = tokio::select! {
            () = self.seat.cancelled().cancelled() => {
                return self.account.finish(Outcome::Aborted, Some("let go before the first byte"));
            }
            opened = timeout(deadline, open(&self.boot, &self.content, mode)) => opened,
        };
        match opened {
            Ok(Ok((size, stream))) => self.start(size, stream, mode),
            Ok(Err(error)) => {
                let code =
                    if matches!(error, ReadError::NotFound(_)) { ErrorCode::NotFound } else { ErrorCode::Undefined };
                let (outcome, detail) = (error.outcome(), error.to_string());
                self.refuse(code, error.public(), outcome, &detail);
            }
            Err(_) => {
                let detail = format!("no byte came within {} s", deadline.as_secs_f32());
                let message = "the origin is slow: the file is not here yet; try again later";
                self.refuse(ErrorCode::Undefined, message, Outcome::OriginFailed, &detail);
            }
        }
    }

    fn refuse(self, code: ErrorCode, message: &str, outcome: Outcome, detail: &str) {
        self.account.finish(outcome, Some(detail));
        // The seat is free before the peer hears of it: it may ask again at once.
        drop(self.seat);
        self.refusals.send_error(&self.asked.route, code, message);
    }

    fn start(mut self, size: u64, stream: ByteStream, mode: Mode) {
        let Some(request) = self.asked.request() else { return };
        let now = Instant::now();
        let route_blksize = mtu::largest_block(self.asked.route.peer).unwrap_or_else(|error| {
            warn!(peer = %self.asked.route.peer, %error, "the route's MTU is not known");
            self.settings.max_blksize
        });
        let limits =
            Limits { blksize: self.settings.max_blksize.min(route_blksize), windowsize: self.settings.max_windowsize };
        let terms = options::negotiate(request.options, mode, size, limits);
        let patience = Patience { timeout: self.settings.timeout, retries: self.settings.retries };
        if matches!(self.content, Content::Asset(_)) {
            self.account.set_cache(stream.cache_state());
        }
        let transfer = Transfer::new(&terms, size, patience, now);
        let Self { asked, account, seat, port, door, .. } = self;
        let feed = Feed::new(stream, mode);
        // Given up in this very moment: dropping all of it says so.
        let _ = seat.run(port, |seat| {
            let running = Running::new(seat, asked.route, terms, transfer, feed, account, &door);
            door.post(Post::Start(Box::new(running)));
        });
    }
}

async fn open(boot: &Boot, content: &Content, mode: Mode) -> Result<(u64, ByteStream), ReadError> {
    let asset = match content {
        Content::Asset(asset) => asset,
        Content::Script(script, visit) => {
            let stream = ByteStream::made(script.text(boot, visit).into());
            return Ok((stream.remaining(), stream));
        }
    };
    let reader = boot.depot().read(asset).await?;
    let delivery = if mode == Mode::Netascii { Delivery::Copied } else { Delivery::Mapped };
    let stream = reader.stream(ByteRange::whole(reader.size()), delivery).await?;
    Ok((reader.size(), stream))
}
