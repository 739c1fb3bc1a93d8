//! Drives one fill from its first request to its named end: sources in order, parts over several connections, the hash
//! behind them, and then the proof.

use std::sync::Arc;
use std::time::Instant;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use metrics::{counter, gauge, histogram};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::fetch::Fetch;
use super::fill::{Fill, FillOutcome, Phase, WriteError};
use super::hashing::{self, blocking};
use super::verdict::{ASK_AGAIN, SourceFailures};
use super::{FillSettings, ReadError};
use crate::asset::{BlockList, ByteRange, SourceUrl, Verifier};
use crate::cache::{Cache, CacheError, Entry, Partial};
use crate::origin::{OriginError, Origins, Validator};

/// Bytes handed to the disk at a time: few system calls, and a reader waits for little.
const BATCH: usize = 1 << 20;

/// What a fill works with.
pub(super) struct Driver {
    pub(super) fill: Arc<Fill>,
    pub(super) origins: Origins,
    pub(super) cache: Cache,
    pub(super) settings: FillSettings,
    /// One permit a fill at work.
    pub(super) slots: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
}

/// Why one source did not do.
enum Setback {
    /// The whole has another digest.
    WrongWhole(String),
    /// A block has, even when asked for again.
    WrongBlock(String),
    /// It has another length.
    WrongLength(String),
    /// The object changed while it was read.
    Changed,
    /// It could not be read.
    Origin(OriginError),
    /// The cache cannot take the bytes.
    Disk(CacheError),
}

impl Setback {
    /// Whether it makes bytes that are here worthless: all, or those that no block list has proven; and what a reader
    /// is told that has sent such bytes on.
    fn spoils(&self, source: &SourceUrl) -> Option<(bool, ReadError)> {
        let wrong = |reason| ReadError::WrongBytes(format!("{source}: {reason}"));
        match self {
            Self::WrongWhole(reason) => Some((true, wrong(reason))),
            Self::WrongBlock(reason) => Some((false, wrong(reason))),
            Self::Changed => {
                let reason = format!("{source} changed while it was read");
                Some((false, ReadError::Unavailable { reason, retry_after: ASK_AGAIN }))
            }
            Self::WrongLength(_) | Self::Origin(_) | Self::Disk(_) => None,
        }
    }
}

impl From<OriginError> for Setback {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::Changed { .. } => Self::Changed,
            error => Self::Origin(error),
        }
    }
}

impl From<CacheError> for Setback {
    fn from(error: CacheError) -> Self {
        Self::Disk(error)
    }
}

/// What the partial holds, and so what a wrong digest may be blamed on.
struct Stock {
    partial: Arc<Partial>,
    /// Bytes taken over from an earlier run.
    reused: u64,
    /// All bytes here came from one state of one source, in this run.
    pure: bool,
}

/// Sees to it that a fill whose task dies does not leave its readers waiting.
struct Dead<'a>(&'a Fill);

impl Drop for Dead<'_> {
    fn drop(&mut self) {
        self.0.enter(Phase::Failed(ReadError::Closing));
    }
}

impl Driver {
    /// Runs the fill to its end: enters its last phase, logs it once and counts it once.
    ///
    /// `blocks` brings the asset's block list, where it has one that can be had.
    pub(super) async fn run(self, blocks: BoxFuture<'static, Option<BlockList>>) {
        let fill = Arc::clone(&self.fill);
        let dead = Dead(&fill);
        let began = Instant::now();
        gauge!("bootdepot_fills_active").increment(1.0);
        let mut stock = None;
        let work = async {
            let blocks = blocks.await;
            // The semaphore is never closed.
            let _slot = self.slots.acquire().await;
            self.try_sources(blocks, &mut stock).await
        };
        let (outcome, phase, detail) = tokio::select! {
            end = work => end,
            () = self.stop.cancelled() => (FillOutcome::Cancelled, Phase::Failed(ReadError::Closing), None),
        };
        fill.enter(phase);
        drop(dead);

        let seconds = began.elapsed().as_secs_f64();
        gauge!("bootdepot_fills_active").decrement(1.0);
        counter!("bootdepot_fills_total", "outcome" => outcome.as_str()).increment(1);
        histogram!("bootdepot_fill_seconds").record(seconds);
        let (asset, bytes, reused) = (&fill.asset().name, fill.received(), stock.map_or(0, |stock| stock.reused));
        if matches!(outcome, FillOutcome::Complete | FillOutcome::Cancelled) {
            info!(target: "bootdepot::fill", %asset, %outcome, bytes, reused, seconds = format_args!("{seconds:.3}"), detail, "fill");
        } else {
            warn!(target: "bootdepot::fill", %asset, %outcome, bytes, reused, seconds = format_args!("{seconds:.3}"), detail, "fill");
        }
    }

    async fn try_sources(
        &self,
        blocks: Option<BlockList>,
        stock: &mut Option<Stock>,
    ) -> (FillOutcome, Phase, Option<String>) {
        let mut failures = SourceFailures::default();
        let name = &self.fill.asset().name;
        for source in &self.fill.asset().sources {
            let mut again = true;
            loop {
                let setback = match self.try_source(source, blocks.as_ref(), stock).await {
                    Ok(entry) => return (FillOutcome::Complete, Phase::Complete(entry), None),
                    Err(setback) => setback,
                };
                // Parts of an earlier run or of another source may be what is wrong: this one gets a fair try.
                let impure = stock.as_ref().is_some_and(|stock| !stock.pure);
                if let (Some(stock), Some((all, fault))) = (stock.as_mut(), setback.spoils(source))
                    && let Err(error) = self.start_over(stock, all, fault).await
                {
                    return unstored(&error, Some(stock)).await;
                }
                match setback {
                    Setback::Disk(error) => return unstored(&error, stock.as_ref()).await,
                    Setback::Changed if again => {
                        warn!(asset = %name, %source, "the object changed while it was read; starting again");
                    }
                    Setback::WrongWhole(reason) if again && impure => {
                        warn!(asset = %name, %source, reason, "starting again without what was reused");
                    }
                    Setback::WrongWhole(reason) | Setback::WrongBlock(reason) | Setback::WrongLength(reason) => {
                        warn!(asset = %name, %source, reason, "wrong bytes; this source is not used");
                        failures.wrong(source, &reason);
                        break;
                    }
                    Setback::Changed => {
                        failures.changed(source);
                        break;
                    }
                    Setback::Origin(error) => {
                        warn!(asset = %name, %error, "this source cannot be read");
                        failures.origin(&error);
                        break;
                    }
                }
                again = false;
            }
            if let Some(stock) = stock {
                stock.pure = self.fill.board().written() == 0;
            }
        }
        let (outcome, error) = failures.verdict();
        if let (Some(stock), FillOutcome::DigestMismatch) = (&stock, outcome) {
            discard(stock).await;
        }
        let detail = error.to_string();
        (outcome, Phase::Failed(error), Some(detail))
    }

    async fn start_over(&self, stock: &mut Stock, all: bool, fault: ReadError) -> Result<(), CacheError> {
        Arc::clone(&self.fill).reset(Arc::clone(&stock.partial), all, fault).await?;
        stock.pure = true;
        stock.reused = 0;
        Ok(())
    }

    async fn try_source(
        &self,
        source: &SourceUrl,
        blocks: Option<&BlockList>,
        stock: &mut Option<Stock>,
    ) -> Result<Entry, Setback> {
        let expected = self.fill.asset().size.or(blocks.map(BlockList::size));
        if let (None, Some(size)) = (&stock, expected) {
            *stock = Some(self.take_stock(size, blocks).await?);
        }
        let first = if stock.is_some() {
            let claim = self.fill.board().claim();
            // Nothing to fetch: all is here from an earlier run, and only the proof is missing.
            claim.unwrap_or_default()
        } else {
            ByteRange::new(0, self.settings.part_size)
        };
        let fetch = if first.is_empty() && stock.is_some() {
            None
        } else {
            let fetch = Fetch::open(&self.origins, source, first, None, self.settings.retries).await;
            Some(fetch.inspect_err(|_| self.fill.board().release(first))?)
        };
        if let Some(fetch) = &fetch {
            let expected = stock.as_ref().map(|stock| stock.partial.size()).or(expected);
            let total = fetch.total();
            if let Some(expected) = expected.filter(|expected| *expected != total) {
                self.fill.board().release_all();
                return Err(Setback::WrongLength(format!("it is {total} bytes long, {expected} were expected")));
            }
            if stock.is_none() {
                *stock = Some(self.take_stock(total, blocks).await?);
            }
            if let Some(stock) = stock.as_mut() {
                self.check_note(stock, note(source, fetch.validator())).await?;
            }
        }
        let Some(stock) = stock.as_ref() else { return Err(Setback::Changed) };
        let verifier = self.fetch_all(stock, source, fetch).await?;
        self.prove(stock, verifier).await
    }

    /// Reserves room, or finds what an earlier run has left, and opens the books.
    async fn take_stock(&self, size: u64, blocks: Option<&BlockList>) -> Result<Stock, Setback> {
        let (cache, digest, part_size) = (self.cache.clone(), self.fill.asset().digest, self.settings.part_size);
        let partial = Arc::new(blocking(move || cache.partial(&digest, size, part_size)).await?);
        self.fill.begin(Arc::clone(&partial), part_size, blocks.cloned());
        let reused = self.fill.board().written();
        Ok(Stock { partial, reused, pure: reused == 0 })
    }

    /// Throws away parts of an object that has changed since, and notes what the parts to come are of.
    async fn check_note(&self, stock: &mut Stock, note: String) -> Result<(), Setback> {
        if stock.partial.note().is_some_and(|had| !same_state(&had, &note)) {
            let reason = "the object is another than an earlier run had begun".to_owned();
            self.start_over(stock, false, ReadError::Unavailable { reason, retry_after: ASK_AGAIN }).await?;
        }
        let partial = Arc::clone(&stock.partial);
        blocking(move || partial.set_note(&note)).await?;
        Ok(())
    }

    /// Fetches whatever is missing, hashing behind it and proving block by block where there is a list.
    async fn fetch_all(&self, stock: &Stock, source: &SourceUrl, first: Option<Fetch>) -> Result<Verifier, Setback> {
        let crew = Arc::new(Crew {
            fill: Arc::clone(&self.fill),
            partial: Arc::clone(&stock.partial),
            origins: self.origins.clone(),
            source: source.clone(),
            validator: first.as_ref().and_then(Fetch::validator).cloned(),
            stream: first.as_ref().is_some_and(Fetch::ignored_range),
            generation: self.fill.board().generation(),
            retries: self.settings.retries,
        });
        if let Some(first) = &first {
            let mut board = self.fill.board();
            board.release_all();
            board.claim_range(first.rest());
        }
        let connections = if crew.stream { 1 } else { self.settings.connections.max(1) };
        let mut workers = JoinSet::new();
        workers.spawn(Arc::clone(&crew).work(first));
        for _ in 1..connections {
            workers.spawn(Arc::clone(&crew).work(None));
        }
        let fetching = async {
            while let Some(ended) = workers.join_next().await {
                let broken = |error: tokio::task::JoinError| {
                    Setback::Origin(OriginError::Io { source_url: source.to_string(), reason: error.to_string() })
                };
                ended.map_err(broken)??;
            }
            Ok(())
        };
        let hashing =
            hashing::follow(Arc::clone(&self.fill), Arc::clone(&stock.partial)).map(|end| end.map_err(Setback::Disk));
        let ended = tokio::try_join!(fetching, crew.prove_blocks(), hashing);
        workers.shutdown().await;
        self.fill.board().release_all();
        ended.map(|((), (), verifier)| verifier)
    }

    /// Turns the hash of the whole into the proof, and the partial into a blob.
    ///
    /// A disk that will not take the blob may have lost what was hashed, so the proof is worth nothing then.
    async fn prove(&self, stock: &Stock, verifier: Verifier) -> Result<Entry, Setback> {
        let expected = self.fill.asset().digest;
        let proof = verifier.prove(&expected).map_err(|found| {
            Setback::WrongWhole(format!("its bytes have the SHA-256 {found}, the catalog says {expected}"))
        })?;
        let partial = Arc::clone(&stock.partial);
        Ok(blocking(move || partial.admit(proof)).await?)
    }
}

/// The cache cannot take the bytes: whoever wants them streams them through.
async fn unstored(error: &CacheError, stock: Option<&Stock>) -> (FillOutcome, Phase, Option<String>) {
    if let Some(stock) = stock {
        discard(stock).await;
    }
    let reason = error.to_string();
    (FillOutcome::NoSpace, Phase::Unstored(reason.clone()), Some(reason))
}

async fn discard(stock: &Stock) {
    let partial = Arc::clone(&stock.partial);
    blocking(move || partial.discard()).await;
}

/// What the tasks of one source share.
struct Crew {
    fill: Arc<Fill>,
    partial: Arc<Partial>,
    origins: Origins,
    source: SourceUrl,
    validator: Option<Validator>,
    /// The source sends everything or nothing: one connection, and no second try of a block.
    stream: bool,
    generation: u64,
    retries: u32,
}

impl Crew {
    /// Fetches part after part until none is missing.
    async fn work(self: Arc<Self>, first: Option<Fetch>) -> Result<(), Setback> {
        let mut changes = self.fill.changes();
        if let Some(fetch) = first {
            self.take_in(fetch).await?;
        }
        loop {
            let claim = {
                let mut board = self.fill.board();
                if board.is_full() {
                    return Ok(());
                }
                board.claim()
            };
            let Some(range) = claim else {
                // Another connection has the rest; a bad block or a failed part may still come back.
                let _ = changes.changed().await;
                continue;
            };
            let fetch = Fetch::open(&self.origins, &self.source, range, self.validator.clone(), self.retries).await?;
            if fetch.total() != self.partial.size() || fetch.ignored_range() != self.stream {
                return Err(Setback::Changed);
            }
            self.take_in(fetch).await?;
            self.fill.board().release(range);
        }
    }

    /// Writes all that `fetch` brings.
    async fn take_in(&self, mut fetch: Fetch) -> Result<(), Setback> {
        let claim = fetch.rest();
        let (mut pieces, mut length, mut from) = (Vec::new(), 0, claim.start);
        loop {
            // More bytes that are there already go along; what is here is not kept waiting for those that are not.
            let next = if pieces.is_empty() {
                Some(fetch.chunk().await?)
            } else {
                fetch.chunk().now_or_never().transpose()?
            };
            match next {
                Some(Some((offset, bytes))) => {
                    if pieces.is_empty() {
                        from = offset;
                    }
                    length += bytes.len();
                    self.fill.add_received(bytes.len() as u64);
                    pieces.push(bytes);
                    if length < BATCH {
                        continue;
                    }
                }
                Some(None) if pieces.is_empty() => break,
                Some(None) | None => {}
            }
            length = 0;
            let pieces = std::mem::take(&mut pieces);
            let write = Arc::clone(&self.fill).write(Arc::clone(&self.partial), self.generation, from, pieces);
            match write.await {
                Ok(()) => {}
                Err(WriteError::Stale) => return Err(Setback::Changed),
                Err(WriteError::Disk(error)) => return Err(error.into()),
            }
        }
        self.fill.board().release(claim);
        Ok(())
    }

    /// Proves each block as its bytes come; a bad one is fetched again alone, once.
    async fn prove_blocks(&self) -> Result<(), Setback> {
        let mut changes = self.fill.changes();
        let mut bad = std::collections::HashSet::new();
        loop {
            let (next, full) = {
                let board = self.fill.board();
                let next = board.unproven_block();
                let next = next.and_then(|index| {
                    let list = board.blocks()?;
                    Some((index, list.range(index), *list.digest(index)?))
                });
                (next, board.is_full())
            };
            let Some((index, range, expected)) = next else {
                if full {
                    return Ok(());
                }
                let _ = changes.changed().await;
                continue;
            };
            let right = hashing::is_right(Arc::clone(&self.partial), range, expected).await?;
            self.fill.board().judge_block(index, right);
            self.fill.changed();
            if !right {
                warn!(asset = %self.fill.asset().name, source = %self.source, block = index, bytes = %range, "a block has wrong bytes");
                if self.stream || !bad.insert(index) {
                    return Err(Setback::WrongBlock(format!(
                        "block {index} (bytes {range}) is not what the block list says"
                    )));
                }
            }
        }
    }
}

/// What a partial remembers: the validator of the object, and the source.
fn note(source: &SourceUrl, validator: Option<&Validator>) -> String {
    format!("{}\n{source}", validator.map_or("", Validator::as_str))
}

/// Whether parts fetched under the note `had` may be part of the object that `now` is of. Another source's may: if its
/// bytes are not the same the digest tells, and what was reused is thrown away.
fn same_state(had: &str, now: &str) -> bool {
    match (had.split_once('\n'), now.split_once('\n')) {
        (Some((had, had_source)), Some((now, now_source))) => had_source != now_source || had == now,
        _ => false,
    }
}
