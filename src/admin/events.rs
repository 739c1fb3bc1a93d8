//! What happens, told while it happens: one task watches everything, and whoever reads follows one ring of events.
//!
//! `watcher` looks for what is new, four times a second, and only while somebody reads or did a moment ago. `ring` keeps what
//! it found. A reader is a position in the ring: one that reconnects continues where it was, and one that is lapped gets a `reset`
//! and continues with the newest event. Nothing ever waits for a reader, and a reader costs no memory of its own.
//!
//! A burst costs a reader that keeps up nothing but a summary: each look adds a bounded batch, and an `omitted` event counts
//! what the batch leaves out.

pub(super) mod ring;
mod topic;
mod watcher;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use self::ring::{News, Ring, Seat};
pub(super) use self::topic::{Topic, Topics};
use self::watcher::Watcher;
use super::state::AdminState;
use crate::task::blocking;

/// How often to look for what is new.
const TICK: Duration = Duration::from_millis(250);
/// How long to go on after the last reader left: a browser that lost its connection comes back, and goes on where it was.
const LINGER: Duration = Duration::from_mins(1);
/// How often a reader hears something, if only a comment: proxies on the way take it for alive, and one that is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Watches for as long as somebody reads, until `stop`.
pub(super) async fn watch(state: AdminState, stop: CancellationToken) {
    let ring = Arc::clone(&state.ring);
    let watching = async {
        loop {
            ring.wanted().await;
            let beginning = state.clone();
            let mut watcher = blocking(move || Watcher::begin(&beginning)).await;
            ring.awake();
            let mut tick = interval(TICK);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut alone_since = None;
            while !alone_since.is_some_and(|since: Instant| since.elapsed() >= LINGER && ring.sleep()) {
                tick.tick().await;
                let found;
                (watcher, found) = blocking(move || {
                    let found = watcher.look();
                    (watcher, found)
                })
                .await;
                ring.add(found);
                alone_since = if ring.readers() == 0 { alone_since.or_else(|| Some(Instant::now())) } else { None };
            }
        }
    };
    stop.run_until_cancelled(watching).await;
}

/// The events of these topics from now on, or from after the one with the id `last`, as a stream of server-sent events. Ends
/// at `stop`. `None` where there are too many readers.
pub(super) async fn follow(
    state: &AdminState,
    topics: Topics,
    last: Option<u64>,
) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + use<>> {
    let (seat, greeting) = Ring::join(&state.ring, last).await?;
    let reader =
        Reader { seat, topics, greeting: Some(greeting), stop: state.stop.clone(), quiet_until: Instant::now() };
    Some(stream::unfold(reader, |mut reader| async {
        let piece = reader.next().await?;
        Some((Ok(piece), reader))
    }))
}

struct Reader {
    seat: Seat,
    topics: Topics,
    greeting: Option<Bytes>,
    stop: CancellationToken,
    /// When to send a comment if there is nothing else.
    quiet_until: Instant,
}

impl Reader {
    /// What to send next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let piece = match self.greeting.take() {
            Some(greeting) => greeting,
            None => self.news().await?,
        };
        self.quiet_until = Instant::now() + HEARTBEAT;
        Some(piece)
    }

    async fn news(&mut self) -> Option<Bytes> {
        loop {
            match self.seat.take(self.topics) {
                News::Events(events) => return Some(events),
                News::None => {}
            }
            tokio::select! {
                () = self.seat.changed() => {}
                () = sleep_until(self.quiet_until) => return Some(Bytes::from_static(b":\n\n")),
                () = self.stop.cancelled() => return None,
            }
        }
    }
}
