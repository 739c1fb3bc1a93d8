//! A pending open: opens the asset of one request and hands the transfer to its port. Each runs as a task of its own, so
//! that a cold asset delays no other request. A repeated request finds the session of the first and starts no second open.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;
use tracing::warn;

use super::active_transfer::ActiveTransfer;
use super::block_buffer::BlockBuffer;
use super::content::Content;
use super::messages::{PortHandle, PortMessage};
use super::mtu;
use super::options::{self, Limits};
use super::packet::{ErrorCode, TransferMode};
use super::request::PendingRequest;
use super::sessions::Session;
use super::settings::TftpSettings;
use super::socket::Socket;
use super::transfer::{ReadTransfer, RetransmitPolicy};
use crate::asset::ByteRange;
use crate::boot::{Boot, FileError};
use crate::depot::{ByteStream, Delivery, Outcome, ReadError, Transfer as TransferRecord};

/// A request whose asset is being opened.
pub(super) struct PendingOpen {
    /// The requested content.
    pub(super) content: Content,
    /// The transfer record, for the log and the metrics.
    pub(super) record: TransferRecord,
    /// The settings.
    pub(super) settings: Arc<TftpSettings>,
    /// The source of assets and scripts.
    pub(super) boot: Boot,
    /// The socket that refusals are sent from: the request port.
    pub(super) request_socket: Arc<Socket>,
    /// The data port that will serve the transfer.
    pub(super) port: PortHandle,
    /// The index of that port among the data ports.
    pub(super) port_index: usize,
    /// The request.
    pub(super) pending: PendingRequest,
    /// The peer's session.
    pub(super) session: Session,
}

impl PendingOpen {
    /// Opens the asset and starts the transfer on its port, or refuses the request with an ERROR packet.
    pub(super) async fn run(self) {
        let deadline = self.settings.first_byte_deadline;
        let opened = tokio::select! {
            () = self.session.cancelled().cancelled() => {
                return self.record.finish(Outcome::Aborted, Some("cancelled before the first byte"));
            }
            opened = timeout(deadline, open(&self.boot, &self.content, self.pending.request.mode())) => opened,
        };
        match opened {
            Ok(Ok((size, stream))) => self.start(size, stream),
            Ok(Err(OpenError::Asset(error))) => {
                let code =
                    if matches!(error, ReadError::NotFound(_)) { ErrorCode::NotFound } else { ErrorCode::Undefined };
                let (outcome, detail) = (error.outcome(), error.to_string());
                self.refuse(code, error.public(), outcome, &detail);
            }
            Ok(Err(OpenError::HostFile(error))) => {
                let (code, message, outcome) = match &error {
                    FileError::Missing => (ErrorCode::NotFound, "file not found", Outcome::NotFound),
                    FileError::Refused(_) => {
                        (ErrorCode::AccessViolation, "only the host itself may fetch this file", Outcome::Refused)
                    }
                    FileError::Failed(_) => {
                        let message = "the file cannot be rendered now; see the server log for the reason";
                        (ErrorCode::Undefined, message, Outcome::OriginFailed)
                    }
                };
                self.refuse(code, message, outcome, &error.to_string());
            }
            Err(_) => {
                let detail = format!("no byte arrived within {} s", deadline.as_secs_f32());
                let message = "the file is not cached yet and its origin is slow; try again later";
                self.refuse(ErrorCode::Undefined, message, Outcome::OriginFailed, &detail);
            }
        }
    }

    fn refuse(self, code: ErrorCode, message: &str, outcome: Outcome, detail: &str) {
        self.record.finish(outcome, Some(detail));
        // The session ends before the peer gets the ERROR: it may send another request at once.
        drop(self.session);
        self.request_socket.send_error(&self.pending.route, code, message);
    }

    fn start(mut self, size: u64, stream: ByteStream) {
        let now = Instant::now();
        let PendingRequest { route, request } = &self.pending;
        let route_blksize = mtu::largest_block(route.peer).unwrap_or_else(|error| {
            warn!(client = %route.peer, %error, "route MTU unknown");
            self.settings.max_blksize
        });
        let limits =
            Limits { blksize: self.settings.max_blksize.min(route_blksize), windowsize: self.settings.max_windowsize };
        let negotiated = options::negotiate(request.options(), request.mode(), size, limits);
        let policy = RetransmitPolicy { timeout: self.settings.timeout, retries: self.settings.retries };
        if !matches!(self.content, Content::Script(..) | Content::HostFile(..)) {
            self.record.set_cache(stream.cache_state());
        }
        let transfer = ReadTransfer::new(&negotiated, size, policy, now);
        let buffer = BlockBuffer::new(stream, request.mode());
        let Self { pending, record, session, port_index, port, .. } = self;
        let waker = port.resume_waker(session.peer(), session.id());
        // If the session was cancelled just now, everything is dropped, which records the transfer as aborted.
        let _ = session.activate(port_index, |session| {
            let active = ActiveTransfer::new(session, pending.route, negotiated, transfer, buffer, record, waker);
            port.send(PortMessage::Start(Box::new(active)));
        });
    }
}

/// Why content cannot be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    /// An asset cannot be read.
    #[error(transparent)]
    Asset(#[from] ReadError),
    /// A file of a host is missing, refused, or cannot be rendered.
    #[error(transparent)]
    HostFile(#[from] FileError),
}

/// Opens the content. Returns its size in bytes and the stream of its bytes.
async fn open(boot: &Boot, content: &Content, mode: TransferMode) -> Result<(u64, ByteStream), OpenError> {
    let asset = match content {
        Content::Asset(asset) => Arc::clone(asset),
        Content::Member(name) => {
            let missing = || ReadError::NotFound(format!("{name} belongs to no collection any more"));
            boot.depot().resolve(name.as_str()).await?.ok_or_else(missing)?
        }
        Content::Script(script, visit) => {
            let stream = ByteStream::made(script.text(boot, visit, true).into());
            return Ok((stream.remaining(), stream));
        }
        Content::HostFile(named, _, visit) => {
            let file = boot.open_named_file(named, visit).await?;
            let stream = ByteStream::made(file.content);
            return Ok((stream.remaining(), stream));
        }
    };
    let reader = boot.depot().read(&asset).await?;
    let delivery = if mode == TransferMode::Netascii { Delivery::Copied } else { Delivery::Mapped };
    let stream = reader.stream(ByteRange::whole(reader.size()), delivery).await?;
    Ok((reader.size(), stream))
}
