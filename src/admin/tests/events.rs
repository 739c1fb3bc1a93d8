//! The event stream over the wire.

use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::http::tests::TestServer;

/// A client of the event stream.
struct TestSubscriber {
    connection: TestConnection,
    text: String,
}

/// One event: its id, its name, and its data.
type Event = (Option<u64>, String, Value);

impl TestSubscriber {
    async fn open(admin: &TestAdmin, query: &str, fields: &str) -> Self {
        let mut connection = TestConnection::connect(admin.address).await;
        connection.send(&format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).await;
        let head = connection.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Type: text/event-stream\r\n"), "{head}");
        Self { connection, text: String::new() }
    }

    /// Reads the next chunk of the body; `None` at its end.
    async fn piece(&mut self) -> Option<String> {
        let mut size = String::new();
        while !size.ends_with("\r\n") {
            size.push(char::from(self.connection.0.read_u8().await.ok()?));
        }
        let mut piece = vec![0; usize::from_str_radix(size.trim_end(), 16).unwrap() + 2];
        self.connection.0.read_exact(&mut piece).await.ok()?;
        piece.truncate(piece.len() - 2);
        (!piece.is_empty()).then(|| String::from_utf8(piece).unwrap())
    }

    /// Waits for the next event with this name.
    async fn next(&mut self, wanted: &str) -> Event {
        let reading = async {
            loop {
                while let Some((event, rest)) = self.text.split_once("\n\n") {
                    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    let (id, name) = (field("id").map(|id| id.parse().unwrap()), field("event").unwrap_or_default());
                    let event = (id, name.to_owned(), serde_json::from_str(field("data").unwrap_or("null")).unwrap());
                    self.text = rest.to_owned();
                    if event.1 == wanted {
                        return event;
                    }
                }
                let piece = self.piece().await.expect("the stream goes on");
                self.text.push_str(&piece);
            }
        };
        within_deadline(&format!("event {wanted}"), reading).await
    }
}

async fn start_admin(server: &TestServer) -> TestAdmin {
    TestAdmin::open(Boot::assets_only(server.depot.clone())).await
}

#[tokio::test]
async fn event_stream_resumes_after_last_event_id() {
    let server = TestServer::builder().file("okd/kernel", b"kernel").file("okd/initrd", b"initrd").start().await;
    let admin = start_admin(&server).await;
    let mut all = TestSubscriber::open(&admin, "", "").await;
    let mut some = TestSubscriber::open(&admin, "?topics=asset,job", "").await;
    let (_, _, status) = all.next("status").await;
    assert_eq!((&status["ready"], &status["cache"]["cached"]["entries"]), (&Value::from(true), &Value::from(0)));

    assert_eq!(server.get("/assets/okd/kernel", &[]).await.status(), 200);
    let (transfer, _, ended) = all.next("transfer-ended").await;
    assert_eq!(
        (&ended["name"], &ended["outcome"], &ended["sent"]),
        (&"okd/kernel".into(), &"complete".into(), &6.into())
    );
    let (_, _, fill) = all.next("fill-ended").await;
    assert_eq!((&fill["name"], &fill["outcome"]), (&"okd/kernel".into(), &"complete".into()));
    let (asset, _, view) = some.next("asset").await;
    assert_eq!((&view["name"], &view["state"]), (&"okd/kernel".into(), &"cached".into()));
    assert!(asset > transfer, "ids grow");

    assert_eq!(admin.request("POST", "/api/v1/assets/okd/initrd/preload", &[]).await.status(), 202);
    let (_, _, item) = some.next("job-item").await;
    assert_eq!(item["item"]["name"], "okd/initrd");
    loop {
        let (_, _, job) = some.next("job").await;
        if job["state"] == "done" {
            assert_eq!((&job["bytes"]["done"], &job["items"]), (&6.into(), &Value::Null));
            break;
        }
    }
    drop(some);

    let last = format!("Last-Event-ID: {}\r\n", asset.unwrap());
    let mut again = TestSubscriber::open(&admin, "?topics=asset,job", &last).await;
    assert_eq!(again.next("job-item").await.2, item, "it resumes");
    let mut unknown = TestSubscriber::open(&admin, "?topics=asset", "Last-Event-ID: 7\r\n").await;
    let (tip, ..) = unknown.next("reset").await;
    assert!(tip >= asset);
    admin.close().await;
    // The server ends the stream when it stops.
    let drain = async { while again.piece().await.is_some() {} };
    within_deadline("the end of the stream", drain).await;
}

#[tokio::test]
async fn unknown_topic_and_subscriber_limit_are_refused() {
    let server = TestServer::builder().start().await;
    let admin = start_admin(&server).await;
    let response = admin.request("GET", "/api/v1/events?topics=status,hosts", &[]).await;
    let detail = "there is no topic \"hosts\"; there are status, transfer, fill, job, host, release, asset, reload";
    assert_eq!((response.status(), problem(&response).detail.as_str()), (400, detail));
    let mut subscribers = Vec::new();
    for _ in 0..64 {
        subscribers.push(TestSubscriber::open(&admin, "", "").await);
    }
    let response = admin.request("GET", "/api/v1/events", &[]).await;
    assert_eq!((response.status(), response.field("Retry-After")), (503, Some("5")));
    problem(&response);
    drop(subscribers);
    let free = async { while admin.send("HEAD", "/api/v1/events", &["Host: localhost"], "").await.status() == 503 {} };
    within_deadline("a free subscription", free).await;
    admin.close().await;
}
