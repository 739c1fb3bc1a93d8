//! The stream of events (server-sent events), as far as commands follow it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use strum::IntoStaticStr;
use tokio::time::{Instant, timeout_at};

use super::error::ClientError;
use super::reply::Reply;
use super::transport::Transport;
use crate::api::{JobItem, JobView, MachineView, Problem, ReleaseView};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How long the stream may be silent before it counts as lost. The server sends a comment every 5 s.
const SILENCE: Duration = Duration::from_secs(20);

/// The longest wait for an event: then what it would report is fetched. Some changes have no event, such as the removal of a
/// release, and a server that was started again knows nothing of what is followed.
const REFETCH: Duration = Duration::from_secs(15);

/// The pause before the stream is connected again.
const RECONNECT: Duration = Duration::from_millis(250);

/// The pause after which the stream counts as incomplete where the server has too many readers of events.
const TOO_MANY_READERS: Duration = Duration::from_secs(1);

/// Events that commands follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(in crate::cli) enum Topic {
    Job,
    Host,
    Release,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Event {
    /// A job goes on, or has ended; without its items.
    Job(JobView),
    /// An item of a job changed.
    JobItem(JobItem),
    /// A machine changed; without its boots.
    Host(Box<MachineView>),
    /// A release changed.
    Release(ReleaseView),
    /// Events were lost: fetch their subjects again.
    Missed,
}

/// The events of some topics.
pub(in crate::cli) struct EventStream {
    transport: Arc<Transport>,
    target: String,
    /// `None` between two connections.
    body: Option<Body>,
    parser: Parser,
    events: VecDeque<Event>,
    /// When the server last sent anything.
    heard: Instant,
    /// When [`Event::Missed`] is due if no event comes.
    due: Instant,
    refetch: Duration,
}

impl EventStream {
    /// Subscribes to these topics.
    pub(super) async fn open(transport: Arc<Transport>, topics: &[Topic]) -> Result<Self, ClientError> {
        let topics: Vec<&'static str> = topics.iter().map(|topic| (*topic).into()).collect();
        let target = format!("/api/v1/events?topics={}", topics.join(","));
        let (now, refetch) = (Instant::now(), REFETCH);
        let (parser, events) = (Parser::default(), VecDeque::new());
        let mut stream =
            Self { transport, target, body: None, parser, events, heard: now, due: now + refetch, refetch };
        stream.body = stream.connect().await?;
        Ok(stream)
    }

    /// Waits for the next event, then returns it with all that came at the same time. Returns [`Event::Missed`] after a lost
    /// connection stands again, about once a second while the server has too many readers of events, and if no event comes for
    /// [`REFETCH`]: the caller then fetches what it follows, so that no lost event makes it wait for ever. Fails if the server
    /// cannot be reached again. Cancel safe: no event is lost when the future is dropped.
    pub(in crate::cli) async fn next(&mut self) -> Result<Vec<Event>, ClientError> {
        while self.events.is_empty() {
            let Some(body) = &mut self.body else {
                tokio::time::sleep(RECONNECT).await;
                self.body = self.connect().await?;
                if self.body.is_none() {
                    tokio::time::sleep(TOO_MANY_READERS).await;
                }
                self.heard = Instant::now();
                // Before an id is known, the server cannot say whether events were missed.
                self.events.push_back(Event::Missed);
                continue;
            };
            let silent = self.heard + SILENCE;
            match timeout_at(silent.min(self.due), body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    self.heard = Instant::now();
                    if let Ok(data) = frame.into_data() {
                        self.events.extend(self.parser.feed(&data));
                    }
                }
                Err(_) if Instant::now() < silent => self.events.push_back(Event::Missed),
                // It ended, broke off, or is silent.
                Ok(Some(Err(_)) | None) | Err(_) => {
                    self.body = None;
                    self.parser.rest.clear();
                }
            }
        }
        self.due = Instant::now() + self.refetch;
        Ok(self.events.drain(..).collect())
    }

    /// `None` if the server has too many readers of events.
    async fn connect(&self) -> Result<Option<Body>, ClientError> {
        let mut fields = HeaderMap::new();
        if let Some(id) = self.parser.last_id.as_ref().and_then(|id| HeaderValue::try_from(id).ok()) {
            fields.insert(LAST_EVENT_ID, id);
        }
        let response = self.transport.stream(&self.target, fields).await?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(Some(response.into_body()));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        let reply = Reply::read(response).await.map_err(|_| self.transport.bad_response())?;
        match serde_json::from_slice::<Problem>(&reply.body) {
            Ok(problem) => Err(self.transport.refusal(status, problem.detail)),
            Err(_) => Err(self.transport.bad_response()),
        }
    }
}

/// Reads server-sent events out of pieces of a body.
#[derive(Default)]
struct Parser {
    /// The bytes of the event that has not come in full.
    rest: Vec<u8>,
    last_id: Option<String>,
}

impl Parser {
    /// The events that these bytes complete. Those of other topics, and comments, are left out.
    fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].windows(2).position(|two| two == b"\n\n") {
            let text = String::from_utf8_lossy(&self.rest[begin..begin + length]).into_owned();
            events.extend(self.event(&text));
            begin += length + 2;
        }
        self.rest.drain(..begin);
        events
    }

    fn event(&mut self, text: &str) -> Option<Event> {
        let (mut name, mut data) = ("", "");
        for line in text.lines() {
            match line.split_once(':').map(|(field, value)| (field, value.strip_prefix(' ').unwrap_or(value))) {
                Some(("id", id)) => self.last_id = Some(id.to_owned()),
                Some(("event", value)) => name = value,
                Some(("data", value)) => data = value,
                _ => {}
            }
        }
        let event = match name {
            "job" => serde_json::from_str(data).map(Event::Job),
            "job-item" => serde_json::from_str(data).map(Event::JobItem),
            "host" => serde_json::from_str(data).map(Event::Host),
            "release" => serde_json::from_str(data).map(Event::Release),
            "reset" | "omitted" => Ok(Event::Missed),
            _ => return None,
        };
        // Events that cannot be parsed count as lost; fetching the data reports the reason.
        Some(event.unwrap_or(Event::Missed))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;

    /// A stream of a server whose events are `body`, each time that it is asked.
    async fn stream(body: fn() -> Body) -> EventStream {
        let router = Router::new().route("/api/v1/events", get(move || std::future::ready(body())));
        let mut stream = EventStream::open(Arc::new(Transport::InProcess(router)), &[Topic::Job]).await.unwrap();
        stream.refetch = Duration::from_millis(20);
        stream.due = Instant::now() + stream.refetch;
        stream
    }

    #[tokio::test]
    async fn silent_stream_asks_to_fetch_again() {
        let mut stream =
            stream(|| Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>())).await;
        for _ in 0..3 {
            let next = tokio::time::timeout(Duration::from_mins(1), stream.next());
            assert_eq!(next.await.expect("it does not wait for ever").unwrap(), [Event::Missed]);
        }
    }

    #[tokio::test]
    async fn reconnected_stream_asks_to_fetch_again() {
        // It ends before any event with an id.
        let mut stream = stream(|| Body::from(":\n\n")).await;
        stream.refetch = Duration::from_mins(10);
        stream.due = Instant::now() + stream.refetch;
        let next = tokio::time::timeout(Duration::from_mins(1), stream.next());
        assert_eq!(next.await.expect("it does not wait for ever").unwrap(), [Event::Missed]);
    }

    #[test]
    fn events_split_across_reads_are_parsed() {
        let item =
            r#"{"job":7,"item":{"name":"a","state":"running","bytes":0,"size":null,"error":null,"rotted":false}}"#;
        let text = format!(
            "retry: 2000\n\nid: 4\nevent: status\ndata: {{}}\n\n:\n\nid: 5\nevent: job-item\ndata: {item}\n\nid: 6\nevent: \
             omitted\ndata: {{\"topic\":\"job\",\"count\":3}}\n\nid: 7\nevent: job\nda"
        );
        for size in [1, 7, text.len()] {
            let mut parser = Parser::default();
            let events: Vec<_> = text.as_bytes().chunks(size).flat_map(|piece| parser.feed(piece)).collect();
            let [Event::JobItem(change), Event::Missed] = events.as_slice() else { panic!("{events:?}") };
            assert_eq!((change.job, change.item.name.as_str()), (7, "a"));
            assert_eq!(parser.last_id.as_deref(), Some("6"));
            assert_eq!(parser.feed(b"ta: {}\n\n"), [Event::Missed], "what it does not understand is fetched again");
        }
    }
}
