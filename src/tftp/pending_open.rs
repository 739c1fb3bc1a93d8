//! A pending open: opens the asset of one request and hands the transfer to its worker. It runs as a task where it has to wait, so
//! that a cold asset delays no other request. A repeated request finds the session of the first and starts no second open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::active_transfer::ActiveTransfer;
use super::block_buffer::BlockBuffer;
use super::content::Content;
use super::listen_address::ListenAddress;
use super::messages::{self, WorkerMessage};
use super::mtu;
use super::options::{self, Limits};
use super::packet::{ErrorCode, TransferMode};
use super::record::Record;
use super::request::PendingRequest;
use super::sessions::Session;
use super::transfer::{ReadTransfer, RetransmitPolicy};
use crate::asset::ByteRange;
use crate::boot::{Boot, FileError};
use crate::depot::{ByteStream, Delivery, Outcome, ReadError};

/// How long a request waits for its asset before it is recorded as a transfer.
const RECORD_AFTER: Duration = Duration::from_secs(1);

/// A request whose asset is being opened.
pub(super) struct PendingOpen {
    /// The requested content.
    pub(super) content: Content,
    /// The record of the transfer.
    pub(super) record: Record,
    /// The listen address of the request.
    pub(super) listen_address: Arc<ListenAddress>,
    /// The request.
    pub(super) pending: PendingRequest,
    /// The peer's session.
    pub(super) session: Session,
}

impl PendingOpen {
    /// Opens the asset and starts the transfer on its worker, or refuses the request with an ERROR packet.
    pub(super) async fn run(mut self) {
        let deadline = self.listen_address.settings.first_byte_deadline;
        let listen_address = Arc::clone(&self.listen_address);
        let opened = {
            let opening = timeout(deadline, open(&listen_address.boot, &self.content, self.pending.request.mode()));
            let mut opening = std::pin::pin!(opening);
            let cancelled = self.session.cancelled().clone();
            loop {
                tokio::select! {
                    biased;
                    opened = &mut opening => break opened,
                    // The record of an evicted session has not begun, or says that the transfer was aborted.
                    () = cancelled.cancelled() => return,
                    () = sleep(RECORD_AFTER), if !self.record.has_begun() => { self.record.begin_within_limit(); }
                }
            }
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
        let Self { record, session, listen_address, pending, .. } = self;
        record.finish(outcome, 0, Some(detail));
        // The session ends before the peer gets the ERROR: it may send another request at once.
        drop(session);
        listen_address.send_error(&pending.route, code, message);
    }

    fn start(mut self, size: u64, stream: ByteStream) {
        let (now, settings) = (Instant::now(), &self.listen_address.settings);
        let PendingRequest { route, request } = &self.pending;
        let mut limits = Limits { blksize: settings.max_blksize, windowsize: settings.max_windowsize };
        if options::requests_large_blocks(request.options()) {
            match mtu::largest_block(route.peer) {
                Ok(largest) => limits.blksize = limits.blksize.min(largest),
                Err(error) => warn!(client = %route.peer, %error, "route MTU unknown"),
            }
        }
        let mut negotiated = options::negotiate(request.options(), request.mode(), size, limits);
        let policy = RetransmitPolicy { timeout: settings.timeout, retries: settings.retries };
        if !matches!(self.content, Content::Script(..) | Content::HostFile(..)) {
            self.record.set_cache(stream.cache_state());
        }
        let endpoint = match self.listen_address.endpoint(route, &negotiated) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                let detail = format!("no port for the transfer: {error}");
                let message = "the server has no port for the transfer; try again later";
                return self.refuse(ErrorCode::Undefined, message, Outcome::Refused, &detail);
            }
        };
        // The rest of a larger window would be lost each time.
        let largest_window = endpoint.largest_window(&negotiated);
        if largest_window < negotiated.windowsize {
            limits.windowsize = largest_window;
            negotiated = options::negotiate(request.options(), request.mode(), size, limits);
            debug!(client = %route.peer, windowsize = largest_window, "TFTP window reduced to the send buffer; see net.core.wmem_max");
        }
        let transfer = ReadTransfer::new(&negotiated, size, policy, now);
        let buffer = BlockBuffer::new(stream, request.mode());
        let Self { record, session, listen_address, .. } = self;
        let (worker, queue) = listen_address.worker_of(session.id());
        let waker = messages::resume_waker(queue, session.id());
        // A session that was cancelled just now is dropped with all that belongs to it.
        let _ = session.run_on(worker, |session| {
            let active = ActiveTransfer::new(session, endpoint, negotiated, transfer, buffer, record, waker);
            queue.push(WorkerMessage::Start(Box::new(active)));
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
