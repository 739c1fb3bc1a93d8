//! The events of one poll, bounded for each topic, so that a burst costs subscribers only a summary.

use strum::{EnumCount as _, VariantArray as _};

use super::event::Event;
use super::topic::Topic;

/// The most events of one topic in one batch; the oldest beyond it are counted and left out. That is about 2,000 transfers a
/// second, more than a reader can follow one by one.
pub(super) const MAX_PER_TOPIC: usize = 512;

/// The most events of one batch: for each topic its events, and one event that counts those left out.
pub(super) const MAX_BATCH: usize = Topic::COUNT * (MAX_PER_TOPIC + 1);

/// The events of one poll.
#[derive(Default)]
pub(super) struct EventBatch {
    events: Vec<Event>,
    /// For each topic, how many events were left out.
    omitted: [u64; Topic::COUNT],
}

/// The data of an `omitted` event: how many events of a topic were left out. A subscriber has to fetch the topic's resource
/// again.
#[derive(serde::Serialize)]
struct Omitted {
    topic: &'static str,
    count: u64,
}

impl EventBatch {
    /// Adds an event.
    pub(super) fn push(&mut self, topic: Topic, name: &str, data: &impl serde::Serialize) {
        self.events.extend(Event::new(topic, name, data));
    }

    /// Counts events of a topic that are left out.
    pub(super) fn omit(&mut self, topic: Topic, count: u64) {
        self.omitted[topic as usize] += count;
    }

    /// Returns the newest [`MAX_PER_TOPIC`] events of each topic, in order, and an `omitted` event for each topic with more.
    pub(super) fn into_events(mut self) -> Vec<Event> {
        let mut over = [0; Topic::COUNT];
        for event in &self.events {
            over[event.topic() as usize] += 1;
        }
        for count in &mut over {
            *count = usize::saturating_sub(*count, MAX_PER_TOPIC);
        }
        for &topic in Topic::VARIANTS {
            self.omit(topic, over[topic as usize] as u64);
        }
        // Vec::retain visits the events in order, so that the oldest of a topic are dropped.
        self.events.retain(|event| {
            let left = &mut over[event.topic() as usize];
            let dropped = *left > 0;
            *left -= usize::from(dropped);
            !dropped
        });
        for &topic in Topic::VARIANTS {
            let count = self.omitted[topic as usize];
            if count > 0 {
                self.push(topic, "omitted", &Omitted { topic: topic.into_str(), count });
            }
        }
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_over_limit_keeps_newest_and_counts_rest() {
        let mut batch = EventBatch::default();
        batch.omit(Topic::Transfer, 7);
        for n in 0..MAX_PER_TOPIC + 3 {
            batch.push(Topic::Transfer, "transfer-ended", &n);
            batch.push(Topic::Host, "host", &n);
        }
        batch.push(Topic::Fill, "fill", &1);
        let events = batch.into_events();
        assert!(events.len() <= MAX_BATCH);
        let of = |topic| events.iter().filter(move |event| event.topic() == topic).map(Event::text).collect::<Vec<_>>();
        let transfers = of(Topic::Transfer);
        assert_eq!(transfers.len(), MAX_PER_TOPIC + 1);
        assert_eq!(transfers[0], "event: transfer-ended\ndata: 3\n\n");
        assert_eq!(transfers[MAX_PER_TOPIC], "event: omitted\ndata: {\"topic\":\"transfer\",\"count\":10}\n\n");
        assert_eq!(of(Topic::Host).last(), Some(&"event: omitted\ndata: {\"topic\":\"host\",\"count\":3}\n\n"));
        assert_eq!(of(Topic::Fill), ["event: fill\ndata: 1\n\n"]);
    }
}
