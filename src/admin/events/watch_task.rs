//! The task that polls for changes while there are subscribers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::ring::EventRing;
use super::watcher::ChangeWatcher;
use crate::admin::state::AdminState;
use crate::task::{blocking, catch_panic};

/// How often to poll for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How long to go on polling after the last subscriber left, so that a browser that lost its connection can resume.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The delay before a new watcher replaces one that panicked.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Polls while there are subscribers, until `stop`. A watcher that panics is replaced, and every subscriber gets a `reset`.
pub(in crate::admin) async fn watch(state: AdminState, stop: CancellationToken) {
    let ring = Arc::clone(&state.events);
    let watching = async {
        loop {
            ring.wait_for_subscription().await;
            if catch_panic(watch_until_idle(&state, &ring)).await.is_err() {
                ring.drop_events();
                sleep(RESTART_DELAY).await;
            }
        }
    };
    stop.run_until_cancelled(watching).await;
}

/// Polls until there has been no subscriber for [`IDLE_TIMEOUT`].
async fn watch_until_idle(state: &AdminState, ring: &EventRing) {
    let shared = state.clone();
    let mut watcher = blocking(move || ChangeWatcher::new(&shared)).await;
    ring.set_watching();
    let mut tick = interval(POLL_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut idle_since = None;
    while !idle_since.is_some_and(|since: Instant| since.elapsed() >= IDLE_TIMEOUT && ring.stop_watching()) {
        tick.tick().await;
        let events;
        (watcher, events) = blocking(move || {
            let events = watcher.poll();
            (watcher, events)
        })
        .await;
        ring.push(events);
        idle_since = if ring.subscriptions() == 0 { idle_since.or_else(|| Some(Instant::now())) } else { None };
    }
}
