//! The last events, and where each reader is in them. It knows nothing of what events mean.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use super::watcher::MAX_BATCH;
use super::{Topic, Topics};

/// Events that are kept for readers that are behind or reconnect: two looks in which every topic bursts, or four seconds of a
/// burst of transfers alone.
const KEPT: usize = 2 * MAX_BATCH;
/// Readers at a time.
const SEATS: usize = 64;
/// Bytes of events that a reader is handed at once, before it has to come for more.
const HANDFUL: usize = 64 << 10;

/// One event, as it is sent but for its id.
pub(in crate::admin) struct Event {
    topic: Topic,
    text: String,
}

/// The last events. Whoever waits for anything of it waits for a change, and looks again.
pub(in crate::admin) struct Ring {
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

struct State {
    kept: VecDeque<Event>,
    /// The id of the next event. The first id is the time of the start in microseconds, so that an id of an earlier process
    /// is never one of this.
    next: u64,
    readers: usize,
    /// Whether somebody watches, and no event is missed.
    awake: bool,
}

/// A reader's place.
pub(super) struct Seat {
    ring: Arc<Ring>,
    changes: watch::Receiver<()>,
    /// The id of the first event that it has not had.
    next: u64,
}

/// What there is for a reader.
pub(super) enum News {
    /// Some events.
    Events(Bytes),
    /// Nothing yet.
    None,
}

impl Event {
    /// An event of this name, which holds `data`. `None` where that has no form in JSON, which none of ours lacks.
    pub(super) fn new(topic: Topic, name: &str, data: &impl Serialize) -> Option<Self> {
        let data = serde_json::to_string(data).ok()?;
        Some(Self { topic, text: format!("event: {name}\ndata: {data}\n\n") })
    }

    /// What it is about.
    pub(super) fn topic(&self) -> Topic {
        self.topic
    }

    /// As it is sent, but for its id.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The event after which a reader has to fetch everything again. It carries the id of the newest event.
fn reset(newest: u64) -> String {
    format!("id: {newest}\nevent: reset\ndata: {{}}\n\n")
}

impl Ring {
    /// An empty one.
    pub(in crate::admin) fn new() -> Self {
        let next = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(1);
        let state = State { kept: VecDeque::new(), next, readers: 0, awake: false };
        Self { state: Mutex::new(state), changes: watch::Sender::new(()) }
    }

    /// Gives a reader its place, after the event with the id `last` where that is one of those kept, and what it is told
    /// first. Returns when no event from then on will be missed; `None` where there are too many readers.
    pub(super) async fn join(ring: &Arc<Self>, last: Option<u64>) -> Option<(Seat, Bytes)> {
        let mut seat = {
            let mut state = ring.state();
            if state.readers >= SEATS {
                return None;
            }
            state.readers += 1;
            Seat { ring: Arc::clone(ring), changes: ring.changes.subscribe(), next: 0 }
        };
        ring.changes.send_replace(());
        // The sender is the ring's own.
        let _ = seat.changes.wait_for(|()| ring.state().awake).await;
        let state = ring.state();
        let first = state.first();
        let kept = last.map(|last| last.saturating_add(1)).filter(|next| (first..=state.next).contains(next));
        seat.next = kept.unwrap_or(state.next);
        // A browser that loses the connection comes back after two seconds.
        let mut greeting = "retry: 2000\n\n".to_owned();
        if last.is_some() && kept.is_none() {
            greeting += &reset(state.next - 1);
        }
        drop(state);
        Some((seat, greeting.into()))
    }

    /// Waits until there is a reader.
    pub(super) async fn wanted(&self) {
        // The sender is our own.
        let _ = self.changes.subscribe().wait_for(|()| self.readers() > 0).await;
    }

    /// From now on somebody watches.
    pub(super) fn awake(&self) {
        self.state().awake = true;
        self.changes.send_replace(());
    }

    /// Nobody watches from now on, unless a reader came in the last moment. What is kept is of no use any more: who comes
    /// back has missed something.
    pub(super) fn sleep(&self) -> bool {
        let mut state = self.state();
        if state.readers > 0 {
            return false;
        }
        state.awake = false;
        state.kept = VecDeque::new();
        // An id that was given out is never the last before the next.
        state.next += 1;
        true
    }

    /// How many read.
    pub(super) fn readers(&self) -> usize {
        self.state().readers
    }

    /// Adds these events, and tells the readers. The oldest go.
    pub(super) fn add(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        {
            let mut state = self.state();
            state.next += events.len() as u64;
            state.kept.extend(events);
            let over = state.kept.len().saturating_sub(KEPT);
            state.kept.drain(..over);
        }
        self.changes.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The id of the oldest event that is kept.
    fn first(&self) -> u64 {
        self.next - self.kept.len() as u64
    }
}

impl Seat {
    /// The next events of these topics. A reader whose next event is no longer kept gets a `reset` and continues with the
    /// newest events: its connection stays, and no other reader notices.
    pub(super) fn take(&mut self, topics: Topics) -> News {
        let state = self.ring.state();
        let Some(had) = self.next.checked_sub(state.first()).and_then(|had| usize::try_from(had).ok()) else {
            self.next = state.next;
            return News::Events(reset(state.next - 1).into());
        };
        let mut text = BytesMut::new();
        for event in state.kept.iter().skip(had) {
            if text.len() > HANDFUL {
                break;
            }
            if topics.has(event.topic) {
                text.put_slice(format!("id: {}\n", self.next).as_bytes());
                text.put_slice(event.text.as_bytes());
            }
            self.next += 1;
        }
        if text.is_empty() { News::None } else { News::Events(text.freeze()) }
    }

    /// Waits until there may be something new.
    pub(super) async fn changed(&mut self) {
        // The sender lives as long as this.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.ring.state().readers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Arc<Ring> {
        let ring = Arc::new(Ring::new());
        ring.awake();
        ring
    }

    fn event(topic: Topic, data: u32) -> Event {
        Event::new(topic, topic.as_str(), &data).unwrap()
    }

    /// Name and data of each event that the seat has, with the last id.
    fn taken(seat: &mut Seat, topics: Topics) -> (Vec<String>, Option<u64>) {
        let News::Events(text) = seat.take(topics) else { return (Vec::new(), None) };
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
    async fn a_reader_who_comes_back_goes_on_where_it_was() {
        let ring = ring();
        let (mut seat, greeting) = Ring::join(&ring, None).await.unwrap();
        assert_eq!(greeting, "retry: 2000\n\n");
        ring.add(vec![event(Topic::Host, 1), event(Topic::Fill, 2), event(Topic::Host, 3)]);
        assert_eq!(taken(&mut seat, Topics::named("fill").unwrap()).0, ["fill 2"]);
        assert!(matches!(seat.take(Topics::ALL), News::None), "what it did not want is gone for it");
        drop(seat);
        ring.add(vec![event(Topic::Host, 4)]);
        let (mut seat, _) = Ring::join(&ring, None).await.unwrap();
        assert!(matches!(seat.take(Topics::ALL), News::None), "a new one begins now");
        ring.add(vec![event(Topic::Host, 5)]);
        let (events, last) = taken(&mut seat, Topics::ALL);
        assert_eq!(events, ["host 5"]);

        let (mut again, greeting) = Ring::join(&ring, Some(last.unwrap() - 2)).await.unwrap();
        assert_eq!(
            (taken(&mut again, Topics::ALL).0, &greeting[..]),
            (vec!["host 4".into(), "host 5".into()], &b"retry: 2000\n\n"[..])
        );
        let (mut same, _) = Ring::join(&ring, last).await.unwrap();
        assert!(matches!(same.take(Topics::ALL), News::None));
    }

    #[tokio::test]
    async fn lapped_reader_gets_reset_and_continues() {
        let ring = ring();
        let (mut seat, _) = Ring::join(&ring, None).await.unwrap();
        ring.add(vec![event(Topic::Host, 1)]);
        let (_, last) = taken(&mut seat, Topics::ALL);
        for _ in 0..=KEPT {
            ring.add(vec![event(Topic::Host, 2)]);
        }
        let tip = ring.state().next - 1;
        let News::Events(text) = seat.take(Topics::ALL) else { panic!("a reader that was lapped is told so") };
        assert_eq!(text, format!("id: {tip}\nevent: reset\ndata: {{}}\n\n"));
        ring.add(vec![event(Topic::Host, 3)]);
        assert_eq!(taken(&mut seat, Topics::ALL).0, ["host 3"]);
        for gone in [last.unwrap(), 7, u64::MAX] {
            let (mut seat, greeting) = Ring::join(&ring, Some(gone)).await.unwrap();
            let tip = ring.state().next - 1;
            assert_eq!(greeting, format!("retry: 2000\n\nid: {tip}\nevent: reset\ndata: {{}}\n\n"), "{gone}");
            assert!(matches!(seat.take(Topics::ALL), News::None));
        }
    }

    #[tokio::test]
    async fn all_that_is_kept_comes_a_handful_at_a_time() {
        let ring = ring();
        let (mut seat, _) = Ring::join(&ring, None).await.unwrap();
        let long = "x".repeat(1000);
        ring.add((0..KEPT).map(|_| Event::new(Topic::Asset, "asset", &long).unwrap()).collect());
        let mut handfuls = 0;
        let mut count = 0;
        while let News::Events(text) = seat.take(Topics::ALL) {
            assert!(text.len() < HANDFUL + 2000);
            handfuls += 1;
            count += text.windows(6).filter(|window| window == b"data: ").count();
        }
        assert!(handfuls > 50 && count == KEPT, "{handfuls} {count}");
    }

    #[tokio::test]
    async fn there_are_so_many_seats_and_nobody_watches_for_none() {
        let ring = ring();
        assert!(ring.sleep());
        let joined = tokio::spawn({
            let ring = Arc::clone(&ring);
            async move {
                let mut seats = Vec::new();
                while let Some((seat, _)) = Ring::join(&ring, None).await {
                    seats.push(seat);
                }
                seats
            }
        });
        ring.wanted().await;
        assert!(!joined.is_finished(), "it waits until somebody watches");
        ring.awake();
        let seats = joined.await.unwrap();
        assert_eq!((seats.len(), ring.readers()), (SEATS, SEATS));
        assert!(!ring.sleep());
        drop(seats);
        assert_eq!(ring.readers(), 0);
        assert!(ring.sleep());
    }
}
