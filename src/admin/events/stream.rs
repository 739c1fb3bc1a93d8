//! The stream of server-sent events for one subscriber.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ring::{EventRing, Subscription};
use super::topic::Topics;
use crate::admin::state::AdminState;

/// The longest pause of a stream; then a comment is sent, so that proxies keep the connection open and a dead one is detected.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Returns the events of these topics from now on, or after the one with the id `last`, as a stream of server-sent events that
/// ends when the server stops. Returns `None` if there are too many subscriptions.
pub(in crate::admin) async fn subscribe(
    state: &AdminState,
    topics: Topics,
    last: Option<u64>,
) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + use<>> {
    let (subscription, greeting) = EventRing::subscribe(&state.events, last).await?;
    let events = EventStream {
        subscription,
        topics,
        greeting: Some(greeting),
        stop: state.stop.clone(),
        heartbeat_at: Instant::now(),
    };
    Some(stream::unfold(events, |mut events| async {
        let piece = events.next().await?;
        Some((Ok(piece), events))
    }))
}

struct EventStream {
    subscription: Subscription,
    topics: Topics,
    greeting: Option<Bytes>,
    stop: CancellationToken,
    /// When to send a comment if there is no event.
    heartbeat_at: Instant,
}

impl EventStream {
    /// Returns what to send next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let piece = match self.greeting.take() {
            Some(greeting) => greeting,
            None => self.next_events().await?,
        };
        self.heartbeat_at = Instant::now() + HEARTBEAT;
        Some(piece)
    }

    async fn next_events(&mut self) -> Option<Bytes> {
        loop {
            if let Some(events) = self.subscription.read(self.topics) {
                return Some(events);
            }
            tokio::select! {
                () = self.subscription.changed() => {}
                () = sleep_until(self.heartbeat_at) => return Some(Bytes::from_static(b":\n\n")),
                () = self.stop.cancelled() => return None,
            }
        }
    }
}
