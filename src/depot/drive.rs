//! Drives one fill from its first request to its named end: sources in order, parts over several connections, the hash
//! behind them, and then the proof.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use metrics::{counter, gauge, histogram};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::crew::Crew;
use super::fetch::Fetch;
use super::fill::{Fill, FillOutcome, Phase};
use super::hashing;
use super::history::History;
use super::verdict::{ASK_AGAIN, SourceFailures};
use super::{FillRecord, FillSettings, ReadError};
use crate::asset::{BlockList, ByteRange, SourceUrl, Verifier};
use crate::cache::{Cache, CacheError, Entry, Partial};
use crate::error_chain::error_chain;
use crate::origin::{OriginError, Origins, Validator};
use crate::span::{self, Kind, Span};
use crate::task::blocking;

/// How often and after which pauses a partial is asked for again that a reader of an earlier fill still holds.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// The most bytes that a partial counts as one part: a fill that is cut short loses no more than this for each of its
/// connections, and what was on its way to the disk, however large the parts are that it asks for. Some 50 bytes of log for
/// each are little beside them.
const GRAIN: u64 = 256 << 10;

/// What a fill works with.
pub(super) struct Driver {
    pub(super) fill: Arc<Fill>,
    /// Where to fetch it, in the order to try.
    pub(super) sources: Vec<SourceUrl>,
    pub(super) origins: Origins,
    pub(super) cache: Cache,
    pub(super) settings: FillSettings,
    /// One permit a fill at work.
    pub(super) slots: Arc<Semaphore>,
    /// The depot's: cancelled when it closes.
    pub(super) stop: CancellationToken,
    pub(super) history: Arc<History>,
    /// An earlier fill of the same blob that is on its way out: its partial is free when it has ended.
    pub(super) before: Option<Arc<Fill>>,
}

/// Why one source did not do.
pub(super) enum Setback {
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

impl Stock {
    async fn discard(&self) {
        let partial = Arc::clone(&self.partial);
        blocking(move || partial.discard()).await;
    }
}

/// A fill's end: when it is dropped the fill enters its last phase, and is logged once and counted once. A fill whose
/// task dies on the way ends as cancelled.
struct Ending {
    fill: Arc<Fill>,
    began: Instant,
    outcome: FillOutcome,
    phase: Phase,
    detail: Option<String>,
    reused: u64,
    history: Arc<History>,
    span: Arc<Span>,
}

impl Ending {
    fn new(fill: Arc<Fill>, history: Arc<History>) -> Self {
        gauge!("bootdepot_fills_active").increment(1.0);
        history.began(&fill);
        let (outcome, phase) = (FillOutcome::Cancelled, Phase::Failed(ReadError::Closing));
        let span = Arc::new(Span::begin("fill", Kind::Internal));
        Self { fill, began: Instant::now(), outcome, phase, detail: None, reused: 0, history, span }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Before those who wait hear of it: they find it among the past ones.
        self.history.ended(FillRecord {
            name: self.fill.asset().name.clone(),
            digest: self.fill.asset().digest,
            ended: SystemTime::now(),
            took: self.began.elapsed(),
            outcome: self.outcome,
            received: self.fill.received(),
            detail: self.detail.clone(),
        });
        self.fill.enter(self.phase.clone());
        let seconds = self.began.elapsed().as_secs_f64();
        gauge!("bootdepot_fills_active").decrement(1.0);
        counter!("bootdepot_fills_total", "outcome" => self.outcome.as_str()).increment(1);
        histogram!("bootdepot_fill_seconds").record(seconds);
        let (asset, outcome, bytes) = (&self.fill.asset().name, self.outcome.as_str(), self.fill.received());
        let (reused, seconds, detail) = (self.reused, format_args!("{seconds:.3}"), self.detail.as_deref());
        self.span.text("bootdepot.asset", asset);
        self.span.text("bootdepot.outcome", outcome);
        self.span.number("bootdepot.received_bytes", bytes);
        self.span.number("bootdepot.reused_bytes", reused);
        if matches!(self.outcome, FillOutcome::Complete | FillOutcome::Cancelled) {
            info!(target: "bootdepot::fill", %asset, outcome, bytes, reused, seconds, detail, "fill");
        } else {
            self.span.fail(outcome, detail.unwrap_or_default());
            warn!(target: "bootdepot::fill", %asset, outcome, bytes, reused, seconds, detail, "fill");
        }
    }
}

impl Driver {
    /// Runs the fill to its end.
    ///
    /// `blocks` brings the asset's block list, where it has one that can be had.
    pub(super) async fn run(self, blocks: BoxFuture<'static, Option<Arc<BlockList>>>) {
        let mut ending = Ending::new(Arc::clone(&self.fill), Arc::clone(&self.history));
        let span = Arc::clone(&ending.span);
        let mut stock = None;
        let work = async {
            if let Some(before) = &self.before {
                before.ended().await;
            }
            let blocks = blocks.await;
            // The semaphore is never closed.
            let _slot = self.slots.acquire().await;
            self.fill.take_turn();
            self.try_sources(blocks.as_ref(), &mut stock).await
        };
        match self.fill.stop().run_until_cancelled(span.around(work)).await {
            Some(ended) => (ending.outcome, ending.phase, ending.detail) = ended,
            None if self.stop.is_cancelled() => {}
            None => ending.detail = Some("nobody wants it any more".to_owned()),
        }
        self.fill.quiet().await;
        ending.reused = stock.map_or(0, |stock| stock.reused);
    }

    async fn try_sources(
        &self,
        blocks: Option<&Arc<BlockList>>,
        stock: &mut Option<Stock>,
    ) -> (FillOutcome, Phase, Option<String>) {
        let mut failures = SourceFailures::default();
        let name = &self.fill.asset().name;
        for source in &self.sources {
            let mut again = true;
            loop {
                let setback = match self.try_source(source, blocks, stock).await {
                    Ok(entry) => return (FillOutcome::Complete, Phase::Complete(entry), None),
                    Err(setback) => setback,
                };
                self.fill.quiet().await;
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
            stock.discard().await;
        }
        let detail = error.to_string();
        (outcome, Phase::Failed(error), Some(detail))
    }

    async fn start_over(&self, stock: &mut Stock, all: bool, fault: ReadError) -> Result<(), CacheError> {
        self.fill.reset(Arc::clone(&stock.partial), all, fault).await?;
        stock.pure = true;
        stock.reused = 0;
        Ok(())
    }

    async fn try_source(
        &self,
        source: &SourceUrl,
        blocks: Option<&Arc<BlockList>>,
        stock: &mut Option<Stock>,
    ) -> Result<Entry, Setback> {
        let expected = self.fill.asset().size.or(blocks.map(|list| list.size()));
        if let (None, Some(size)) = (&stock, expected) {
            *stock = Some(self.take_stock(size, blocks).await?);
        }
        self.fill.board().release_all();
        let first = match stock {
            // Nothing may be missing any more: then all that is left to do is the proof.
            Some(_) => self.fill.board().claim(),
            // How large it is the answer will tell.
            None => Some(ByteRange::new(0, self.settings.part_size)),
        };
        let fetch = match first {
            Some(range) => Some(Fetch::open(&self.origins, source, range, None, self.settings.retries).await?),
            None => None,
        };
        if let Some(fetch) = &fetch {
            let total = fetch.total();
            if let Some(expected) = expected.filter(|expected| *expected != total) {
                return Err(Setback::WrongLength(format!("it is {total} bytes long, {expected} were expected")));
            }
            if let Some(earlier) = stock.take_if(|stock| stock.partial.size() != total) {
                // The length was an earlier source's word. It is only kept with bytes that came from there.
                if self.fill.board().written() > 0 {
                    let size = earlier.partial.size();
                    *stock = Some(earlier);
                    return Err(Setback::WrongLength(format!(
                        "it is {total} bytes long, an earlier source has {size}"
                    )));
                }
                earlier.discard().await;
            }
        }
        let stock = match (stock, &fetch) {
            (Some(stock), _) => stock,
            (slot, Some(fetch)) => slot.insert(self.take_stock(fetch.total(), blocks).await?),
            // Without a stock something was asked for.
            (None, None) => return Err(Setback::Changed),
        };
        if let Some(fetch) = &fetch {
            self.check_note(stock, note(source, fetch.validator())).await?;
        }
        let validator = fetch.as_ref().and_then(Fetch::validator).cloned();
        let fetch = fetch.and_then(|fetch| self.what_is_missing(fetch));
        let verifier = self.fetch_all(stock, source, validator, fetch).await?;
        self.prove(stock, verifier).await
    }

    /// Reserves room, or finds what an earlier run has left, and opens the books.
    async fn take_stock(&self, size: u64, blocks: Option<&Arc<BlockList>>) -> Result<Stock, Setback> {
        let (digest, part_size) = (self.fill.asset().digest, self.settings.part_size);
        let grain = part_size.min(GRAIN);
        let mut tries = 0;
        let partial = loop {
            let cache = self.cache.clone();
            match blocking(move || cache.partial(&digest, size, grain)).await {
                // A reader of an earlier fill is in the middle of its last read.
                Err(CacheError::Busy(_)) if tries < BUSY_TRIES => tokio::time::sleep(BUSY_PAUSE).await,
                partial => break Arc::new(partial?),
            }
            tries += 1;
        };
        self.fill.begin(Arc::clone(&partial), grain, part_size, blocks.cloned());
        let reused = self.fill.board().written();
        Ok(Stock { partial, reused, pure: reused == 0 })
    }

    /// The read that was begun, as far as it brings what is missing: what was asked for to learn the size may be here from an
    /// earlier run, or its beginning may, and is not read again.
    fn what_is_missing(&self, mut fetch: Fetch) -> Option<Fetch> {
        if !fetch.ignored_range() {
            let rest = fetch.rest();
            let gap = *self.fill.board().missing(rest).first().filter(|gap| gap.start == rest.start)?;
            fetch.only(gap);
        }
        Some(fetch)
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
    async fn fetch_all(
        &self,
        stock: &Stock,
        source: &SourceUrl,
        validator: Option<Validator>,
        first: Option<Fetch>,
    ) -> Result<Verifier, Setback> {
        let crew = Arc::new(Crew {
            fill: Arc::clone(&self.fill),
            partial: Arc::clone(&stock.partial),
            origins: self.origins.clone(),
            source: source.clone(),
            validator,
            retries: self.settings.retries,
        });
        let mut connections = self.settings.connections.max(1);
        if let Some(first) = &first {
            let mut board = self.fill.board();
            board.release_all();
            board.claim_range(first.rest());
            if first.ignored_range() {
                connections = 1;
            }
        }
        let mut workers = JoinSet::new();
        workers.spawn(self.fill.job(span::carry(Arc::clone(&crew).work(first))));
        for _ in 1..connections {
            workers.spawn(self.fill.job(span::carry(Arc::clone(&crew).work(None))));
        }
        let fetching = async {
            let broken = |error: JoinError| {
                Setback::Origin(OriginError::Io {
                    source_url: source.to_string(),
                    reason: error.to_string(),
                    source: None,
                })
            };
            while let Some(ended) = workers.join_next().await {
                ended.map_err(broken)??;
            }
            Ok(())
        };
        let hashing = hashing::follow(Arc::clone(&self.fill), Arc::clone(&stock.partial));
        let hashing = hashing.map(|end| end.map_err(Setback::Disk));
        let ended = tokio::try_join!(fetching, crew.prove_blocks(), hashing);
        ended.map(|((), (), verifier)| verifier)
    }

    /// Turns the hash of the whole into the proof, and the partial into a blob.
    ///
    /// A disk that will not take the blob may have lost what was hashed, so the proof is worth nothing then.
    async fn prove(&self, stock: &Stock, verifier: Verifier) -> Result<Entry, Setback> {
        let expected = self.fill.asset().digest;
        let proof = verifier.verify(&expected).map_err(|found| {
            Setback::WrongWhole(format!("its bytes have the SHA-256 {found}, the catalog says {expected}"))
        })?;
        let partial = Arc::clone(&stock.partial);
        Ok(self.fill.blocking(move || partial.admit(proof)).await?)
    }
}

/// The cache cannot take the bytes: whoever wants them streams them through.
async fn unstored(error: &CacheError, stock: Option<&Stock>) -> (FillOutcome, Phase, Option<String>) {
    if let Some(stock) = stock {
        stock.discard().await;
    }
    let reason = error_chain(error).to_string();
    (FillOutcome::NoSpace, Phase::Unstored(reason.clone()), Some(reason))
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
