//! One server-sent event, serialised once for all subscribers.

use serde::Serialize;

use super::topic::Topic;

/// One event, as it is sent but without its id.
pub(super) struct Event {
    topic: Topic,
    text: String,
}

impl Event {
    /// Returns an event with this name and `data`; `None` if `data` cannot be serialised as JSON, which never happens for the
    /// types of the API.
    pub(super) fn new(topic: Topic, name: &str, data: &impl Serialize) -> Option<Self> {
        let data = serde_json::to_string(data).ok()?;
        Some(Self { topic, text: format!("event: {name}\ndata: {data}\n\n") })
    }

    /// Returns the topic that the event belongs to.
    pub(super) fn topic(&self) -> Topic {
        self.topic
    }

    /// Returns the event as it is sent, without its id.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}
