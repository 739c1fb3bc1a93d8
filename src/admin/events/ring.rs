//! A ring buffer of the latest events, and the position of each subscriber in it. It does not know what events mean.

use crate::clock;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::batch::MAX_BATCH;
use super::event::Event;
use super::topic::Topics;

/// Events that are kept for subscribers that are behind or reconnect: two full batches, or four seconds of a burst of
/// transfers alone.
const CAPACITY: usize = 2 * MAX_BATCH;
/// The most subscriptions at a time.
const MAX_SUBSCRIPTIONS: usize = 64;
/// About how many bytes of events one read returns.
const MAX_READ: usize = 64 << 10;

/// The latest events. A change of any part of its state wakes all waiters, which then check their own condition.
pub(in crate::admin) struct EventRing {
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

struct State {
    kept: VecDeque<Event>,
    /// The id of the next event. The first id is the start time in microseconds, so that ids of an earlier process are never
    /// valid in this one.
    next: u64,
    subscriptions: usize,
    /// Whether the watcher is running, so that no event is missed.
    watching: bool,
}

/// The position of one subscriber.
pub(super) struct Subscription {
    ring: Arc<EventRing>,
    changes: watch::Receiver<()>,
    /// The id of the next event to read.
    next: u64,
}

/// Returns the event after which a subscriber has to fetch everything again. It carries the id of the newest event.
fn reset(newest: u64) -> String {
    format!("id: {newest}\nevent: reset\ndata: {{}}\n\n")
}

impl EventRing {
    /// Returns an empty ring.
    pub(in crate::admin) fn new() -> Self {
        let next = u64::try_from(clock::now().as_microsecond()).unwrap_or(1);
        let state = State { kept: VecDeque::new(), next, subscriptions: 0, watching: false };
        Self { state: Mutex::new(state), changes: watch::Sender::new(()) }
    }

    /// Subscribes to the events after the one with the id `last`, or from now on if that is not kept. Waits until the watcher
    /// runs, so that no later event is missed. Returns the subscription and the text to send first; `None` if there are too
    /// many subscriptions.
    pub(super) async fn subscribe(ring: &Arc<Self>, last: Option<u64>) -> Option<(Subscription, Bytes)> {
        let mut subscription = {
            let mut state = ring.state();
            if state.subscriptions >= MAX_SUBSCRIPTIONS {
                return None;
            }
            state.subscriptions += 1;
            Subscription { ring: Arc::clone(ring), changes: ring.changes.subscribe(), next: 0 }
        };
        ring.changes.send_replace(());
        // Never fails: the ring owns the sender.
        let _ = subscription.changes.wait_for(|()| ring.state().watching).await;
        let state = ring.state();
        let first = state.first();
        let kept = last.map(|last| last.saturating_add(1)).filter(|next| (first..=state.next).contains(next));
        subscription.next = kept.unwrap_or(state.next);
        // A browser that loses the connection reconnects after two seconds.
        let mut greeting = "retry: 2000\n\n".to_owned();
        if last.is_some() && kept.is_none() {
            greeting += &reset(state.next - 1);
        }
        drop(state);
        Some((subscription, greeting.into()))
    }

    /// Waits until there is a subscription.
    pub(super) async fn wait_for_subscription(&self) {
        // Never fails: the ring owns the sender.
        let _ = self.changes.subscribe().wait_for(|()| self.subscriptions() > 0).await;
    }

    /// Marks the watcher as running.
    pub(super) fn set_watching(&self) {
        self.state().watching = true;
        self.changes.send_replace(());
    }

    /// Marks the watcher as stopped, unless there is a subscription; returns whether it did. Drops all events, because a
    /// subscriber that reconnects later has missed some.
    pub(super) fn stop_watching(&self) -> bool {
        let mut state = self.state();
        if state.subscriptions > 0 {
            return false;
        }
        state.watching = false;
        state.drop_events();
        true
    }

    /// Drops all events. Every subscriber gets a `reset`: some changes may be missing.
    pub(super) fn drop_events(&self) {
        self.state().drop_events();
        self.changes.send_replace(());
    }

    /// Returns the number of subscriptions.
    pub(super) fn subscriptions(&self) -> usize {
        self.state().subscriptions
    }

    /// Adds events and wakes the subscribers. Drops the oldest events beyond the capacity.
    pub(super) fn push(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        {
            let mut state = self.state();
            state.next += events.len() as u64;
            state.kept.extend(events);
            let over = state.kept.len().saturating_sub(CAPACITY);
            state.kept.drain(..over);
        }
        self.changes.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Returns the id of the oldest event that is kept.
    fn first(&self) -> u64 {
        self.next - self.kept.len() as u64
    }

    fn drop_events(&mut self) {
        self.kept = VecDeque::new();
        // So that the last id that was sent is no longer the one before the next.
        self.next += 1;
    }
}

impl Subscription {
    /// Returns the next events of these topics, about 64 KiB at most; `None` if there are none. A subscriber whose next event is
    /// no longer kept gets a `reset` and continues with the newest events; its connection stays open.
    pub(super) fn read(&mut self, topics: Topics) -> Option<Bytes> {
        let state = self.ring.state();
        let Some(skip) = self.next.checked_sub(state.first()).and_then(|skip| usize::try_from(skip).ok()) else {
            self.next = state.next;
            return Some(reset(state.next - 1).into());
        };
        let mut text = BytesMut::new();
        for event in state.kept.iter().skip(skip) {
            if text.len() > MAX_READ {
                break;
            }
            if topics.contains(event.topic()) {
                text.put_slice(format!("id: {}\n", self.next).as_bytes());
                text.put_slice(event.text().as_bytes());
            }
            self.next += 1;
        }
        if text.is_empty() { None } else { Some(text.freeze()) }
    }

    /// Waits until there may be new events.
    pub(super) async fn changed(&mut self) {
        // Never fails: the ring owns the sender.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.ring.state().subscriptions -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::events::topic::Topic;

    fn ring() -> Arc<EventRing> {
        let ring = Arc::new(EventRing::new());
        ring.set_watching();
        ring
    }

    fn event(topic: Topic, data: u32) -> Event {
        Event::new(topic, topic.into_str(), &data).unwrap()
    }

    /// Name and data of each event that the subscription reads, with the last id.
    fn read(subscription: &mut Subscription, topics: Topics) -> (Vec<String>, Option<u64>) {
        let Some(text) = subscription.read(topics) else { return (Vec::new(), None) };
        let text = String::from_utf8(text.to_vec()).unwrap();
        let (mut events, mut last) = (Vec::new(), None);
        for event in text.split_terminator("\n\n") {
            let [id, name, data] = event.split('\n').collect::<Vec<_>>()[..] else { panic!("{event:?}") };
            last = Some(id.strip_prefix("id: ").unwrap().parse().unwrap());
            events.push(format!("{} {}", &name["event: ".len()..], &data["data: ".len()..]));
        }
        (events, last)
    }

    #[tokio::test]
    async fn reconnect_resumes_after_last_id() {
        let ring = ring();
        let (mut subscription, greeting) = EventRing::subscribe(&ring, None).await.unwrap();
        assert_eq!(greeting, "retry: 2000\n\n");
        ring.push(vec![event(Topic::Host, 1), event(Topic::Fill, 2), event(Topic::Host, 3)]);
        assert_eq!(read(&mut subscription, Topics::parse("fill").unwrap()).0, ["fill 2"]);
        assert!(subscription.read(Topics::ALL).is_none(), "events of other topics are skipped");
        drop(subscription);
        ring.push(vec![event(Topic::Host, 4)]);
        let (mut subscription, _) = EventRing::subscribe(&ring, None).await.unwrap();
        assert!(subscription.read(Topics::ALL).is_none(), "a new subscription begins now");
        ring.push(vec![event(Topic::Host, 5)]);
        let (events, last) = read(&mut subscription, Topics::ALL);
        assert_eq!(events, ["host 5"]);

        let (mut again, greeting) = EventRing::subscribe(&ring, Some(last.unwrap() - 2)).await.unwrap();
        assert_eq!(
            (read(&mut again, Topics::ALL).0, &greeting[..]),
            (vec!["host 4".into(), "host 5".into()], &b"retry: 2000\n\n"[..])
        );
        let (mut same, _) = EventRing::subscribe(&ring, last).await.unwrap();
        assert!(same.read(Topics::ALL).is_none());
    }

    #[tokio::test]
    async fn dropped_events_reset_every_subscriber() {
        let ring = ring();
        let (mut subscription, _) = EventRing::subscribe(&ring, None).await.unwrap();
        ring.drop_events();
        assert_eq!(read(&mut subscription, Topics::ALL).0, ["reset {}"]);
        ring.push(vec![event(Topic::Host, 1)]);
        assert_eq!(read(&mut subscription, Topics::ALL).0, ["host 1"]);
    }

    #[tokio::test]
    async fn lapped_subscriber_gets_reset_and_continues() {
        let ring = ring();
        let (mut subscription, _) = EventRing::subscribe(&ring, None).await.unwrap();
        ring.push(vec![event(Topic::Host, 1)]);
        let (_, last) = read(&mut subscription, Topics::ALL);
        for _ in 0..=CAPACITY {
            ring.push(vec![event(Topic::Host, 2)]);
        }
        let tip = ring.state().next - 1;
        let text = subscription.read(Topics::ALL).expect("a lapped subscriber gets a reset");
        assert_eq!(text, format!("id: {tip}\nevent: reset\ndata: {{}}\n\n"));
        ring.push(vec![event(Topic::Host, 3)]);
        assert_eq!(read(&mut subscription, Topics::ALL).0, ["host 3"]);
        for gone in [last.unwrap(), 7, u64::MAX] {
            let (mut subscription, greeting) = EventRing::subscribe(&ring, Some(gone)).await.unwrap();
            let tip = ring.state().next - 1;
            assert_eq!(greeting, format!("retry: 2000\n\nid: {tip}\nevent: reset\ndata: {{}}\n\n"), "{gone}");
            assert!(subscription.read(Topics::ALL).is_none());
        }
    }

    #[tokio::test]
    async fn backlog_is_read_in_bounded_pieces() {
        let ring = ring();
        let (mut subscription, _) = EventRing::subscribe(&ring, None).await.unwrap();
        let long = "x".repeat(1000);
        ring.push((0..CAPACITY).map(|_| Event::new(Topic::Asset, "asset", &long).unwrap()).collect());
        let mut pieces = 0;
        let mut count = 0;
        while let Some(text) = subscription.read(Topics::ALL) {
            assert!(text.len() < MAX_READ + 2000);
            pieces += 1;
            count += text.windows(6).filter(|window| window == b"data: ").count();
        }
        assert!(pieces > 50 && count == CAPACITY, "{pieces} {count}");
    }

    #[tokio::test]
    async fn subscriptions_are_limited_and_start_watcher() {
        let ring = ring();
        assert!(ring.stop_watching());
        let joined = tokio::spawn({
            let ring = Arc::clone(&ring);
            async move {
                let mut subscriptions = Vec::new();
                while let Some((subscription, _)) = EventRing::subscribe(&ring, None).await {
                    subscriptions.push(subscription);
                }
                subscriptions
            }
        });
        ring.wait_for_subscription().await;
        assert!(!joined.is_finished(), "it waits for the watcher");
        ring.set_watching();
        let subscriptions = joined.await.unwrap();
        assert_eq!((subscriptions.len(), ring.subscriptions()), (MAX_SUBSCRIPTIONS, MAX_SUBSCRIPTIONS));
        assert!(!ring.stop_watching());
        drop(subscriptions);
        assert_eq!(ring.subscriptions(), 0);
        assert!(ring.stop_watching());
    }
}
