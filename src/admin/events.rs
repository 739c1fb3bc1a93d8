//! The event stream: one task watches the server, and all subscribers read from one ring of events.
//!
//! `watch_task` polls four times a second, only while there are subscribers or were within the last minute: `watcher` compares
//! the server with the last poll and collects a bounded `batch`. `ring` keeps the latest events. A subscription is a position in
//! the ring: one that reconnects resumes at its position, and one that is lapped gets a `reset` and continues with the newest
//! event. The watcher never waits for a subscriber, and a subscription takes no memory of its own. `stream` sends the events to
//! one subscriber.
//!
//! In a burst an `omitted` event counts what the batch leaves out.

mod batch;
mod event;
mod ring;
mod stream;
mod topic;
mod watch_task;
mod watcher;

pub(super) use self::ring::EventRing;
pub(super) use self::stream::subscribe;
pub(super) use self::topic::{Topic, Topics};
pub(super) use self::watch_task::watch;
