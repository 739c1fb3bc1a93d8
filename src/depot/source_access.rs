//! How one fill reads one source: the rung of the ladder, which all its connections share, and what its replies said.

use metrics::counter;
use parking_lot::Mutex;
use tracing::info;

use super::ladder::{self, Next, Rung, Seen};
use crate::asset::{AssetName, ByteRange, SourceUrl};
use crate::origin::{HtmlPage, OriginError, Origins, Reply, SourceReader, Validator};

/// One source of one fill or stream. Shared by all connections that read it.
pub(super) struct SourceAccess {
    /// The name of the asset, for logs.
    asset: AssetName,
    reader: SourceReader,
    /// How often a failed request is retried.
    retries: u32,
    /// The object's length, from the catalog.
    size: Option<u64>,
    state: Mutex<State>,
}

struct State {
    rung: Rung,
    /// The validator and the length of the first reply.
    validator: Option<Validator>,
    total: Option<u64>,
    read_before: bool,
    /// Whether every byte was discarded once to read this source alone.
    restarted: bool,
    /// Whether it has given way once to another source, while its length was measured.
    gave_way: bool,
    /// Why it stepped down, for the error if its bytes are wrong in the end.
    seen: Vec<String>,
    /// An HTML page with which a body began.
    page: Option<HtmlPage>,
}

impl SourceAccess {
    /// Begins on the highest rung.
    pub(super) fn new(
        asset: &AssetName,
        origins: &Origins,
        source: &SourceUrl,
        size: Option<u64>,
        retries: u32,
    ) -> Self {
        let state = State {
            rung: Rung::Conditional,
            validator: None,
            total: None,
            read_before: false,
            restarted: false,
            gave_way: false,
            seen: Vec::new(),
            page: None,
        };
        let reader = SourceReader::new(origins.clone(), source.clone());
        Self { asset: asset.clone(), reader, retries, size, state: Mutex::new(state) }
    }

    /// The source.
    pub(super) fn source(&self) -> &SourceUrl {
        self.reader.source()
    }

    /// How often a failed request is retried.
    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// How it is requested now.
    pub(super) fn rung(&self) -> Rung {
        self.state.lock().rung
    }

    /// Whether it is read as one stream from its first byte.
    pub(super) fn is_stream(&self) -> bool {
        self.rung() >= Rung::Stream
    }

    /// Whether requests have a condition.
    pub(super) fn is_conditional(&self) -> bool {
        let state = self.state.lock();
        state.rung == Rung::Conditional && state.validator.is_some()
    }

    /// Sends one request for `range`, as the rung says. Fails with [`OriginError::Changed`] if the reply contradicts the
    /// first one.
    pub(super) async fn request(&self, range: ByteRange) -> Result<Reply, OriginError> {
        let (rung, expect) = {
            let state = self.state.lock();
            (state.rung, state.validator.clone().filter(|_| state.rung == Rung::Conditional))
        };
        let range = Some(range).filter(|_| rung < Rung::Stream);
        let mut reply = self.reader.read(range, expect.as_ref()).await?;
        if reply.ignored_range && reply.total.is_none() && reply.range.end < u64::MAX {
            reply.total = Some(reply.range.end).filter(|length| Some(*length) == self.size);
            if reply.total.is_none() {
                let length = reply.range.end;
                let reason = format!("it answered 200 with {length} bytes, which is the length of the requested range");
                return Err(OriginError::BadReply { source_url: self.source().to_string(), reason, source: None });
            }
        }
        let mut state = self.state.lock();
        match (state.total, reply.total) {
            (Some(before), Some(now)) if before != now && rung < Rung::Stream => {
                let what = format!("it has {now} bytes, and before {before}");
                return Err(OriginError::disagreement(&self.source().to_string(), false, &what));
            }
            (None, Some(now)) => state.total = Some(now),
            _ => {}
        }
        if state.validator.is_none() && rung == Rung::Conditional {
            state.validator.clone_from(&reply.validator);
        }
        drop(state);
        Ok(reply)
    }

    /// Records that it has sent bytes.
    pub(super) fn note_read(&self) {
        self.state.lock().read_before = true;
    }

    /// Looks at the first bytes of a body that begins with the object's first byte. An HTML page is named if the bytes turn
    /// out to be wrong: a proxy or a login page may have answered in place of the source.
    pub(super) fn note_start(&self, bytes: &[u8]) {
        if let Some(page) = HtmlPage::parse(bytes) {
            self.state.lock().page = Some(page);
        }
    }

    /// Adds to `reason`, why its bytes are wrong, what else was seen.
    pub(super) fn explain(&self, reason: &dyn std::fmt::Display) -> String {
        let state = self.state.lock();
        let page =
            state.page.as_ref().map_or_else(String::new, |page| format!("; it sent {page} in place of the object"));
        let seen =
            if state.seen.is_empty() { String::new() } else { format!(" (seen before: {})", state.seen.join("; ")) };
        format!("{reason}{page}{seen}")
    }

    /// Why it stepped down. `None` if it did not.
    pub(super) fn history(&self) -> Option<String> {
        let state = self.state.lock();
        (!state.seen.is_empty()).then(|| state.seen.join("; "))
    }

    /// The HTML page that its bytes begin with.
    pub(super) fn page(&self) -> Option<String> {
        self.state.lock().page.as_ref().map(ToString::to_string)
    }

    /// Classifies an error that is not retried.
    pub(super) fn seen(&self, error: &OriginError) -> Seen {
        let state = self.state.lock();
        let conditional = state.rung == Rung::Conditional && state.validator.is_some();
        match Seen::of(error, conditional, state.read_before) {
            // The length that only the source says may be what is wrong.
            Seen::Exhausted if state.rung == Rung::Stream && self.size.is_none() => Seen::NoLength,
            seen => seen,
        }
    }

    /// Steps down after `error` if that changes nothing for other connections, or if `alone` says that there are none.
    /// Returns whether the request is to be sent again.
    pub(super) fn step_down(&self, asked: Rung, error: &OriginError, alone: bool) -> bool {
        let rung = self.rung();
        if rung > asked && (rung < Rung::Stream || alone) {
            // Another connection has stepped down since.
            return true;
        }
        match ladder::next(rung, self.seen(error)) {
            Next::Lower(lower) if lower < Rung::Stream || alone => {
                self.lower_to(lower, error);
                true
            }
            _ => false,
        }
    }

    /// Uses `rung` from now on because of what was `seen`. Logs and counts it.
    pub(super) fn lower_to(&self, rung: Rung, seen: &dyn std::fmt::Display) {
        let mut state = self.state.lock();
        if state.rung >= rung {
            return;
        }
        state.rung = rung;
        let seen = seen.to_string();
        let word: &str = rung.into();
        info!(asset = %self.asset, source = %self.reader.source(), requests = word, seen, "source requested in a plainer way");
        counter!("bootdepot_source_fallbacks_total", "requests" => word).increment(1);
        state.seen.push(seen);
    }

    /// Marks that every byte was discarded to read this source alone. Returns `false` if that was done before.
    pub(super) fn restart(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().restarted, true)
    }

    /// Marks that it gives way to another source. Returns `false` if it did that before.
    pub(super) fn give_way(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().gave_way, true)
    }

    /// The note that a partial blob keeps, for operators: the object's validator, and the source.
    pub(super) fn note(&self) -> String {
        let validator = self.state.lock().validator.as_ref().map_or_else(String::new, |it| it.as_str().to_owned());
        format!("{validator}\n{}", self.source())
    }
}
