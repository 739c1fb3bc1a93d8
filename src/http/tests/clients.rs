//! Clients as they come: old, hasty, slow, gone.

use super::*;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn http_1_0_closes_unless_it_is_asked_not_to() {
    let site = Plan::new().file("abc", b"abc").start().await;
    let mut wire = site.connect().await;
    wire.send("GET /assets/abc HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").await;
    let reply = wire.reply("GET").await;
    assert!(reply.head.starts_with("HTTP/1.0 200 OK\r\n"));
    assert_eq!(reply.field("Connection"), Some("keep-alive"));
    assert_eq!(reply.text(), "abc");
    wire.send("GET /assets/abc HTTP/1.0\r\n\r\n").await;
    let reply = wire.reply("GET").await;
    assert_eq!((reply.text(), reply.field("Content-Length")), ("abc", Some("3")));
    assert!(wire.rest().await.is_empty());
}

#[tokio::test]
async fn http_1_1_stays_unless_it_is_asked_not_to() {
    let site = Plan::new().file("abc", b"abc").start().await;
    let mut wire = site.connect().await;
    for (method, path, status) in
        [("HEAD", "/assets/abc", 200), ("GET", "/nothing", 404), ("GET", "/assets/abc", 200), ("PUT", "/", 405)]
    {
        wire.request(method, path, &[]).await;
        assert_eq!(wire.reply(method).await.status(), status);
    }
    wire.request("GET", "/assets/abc", &["Connection: close"]).await;
    let reply = wire.reply("GET").await;
    assert_eq!((reply.text(), reply.field("Connection")), ("abc", Some("close")));
    assert!(wire.rest().await.is_empty());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let bytes = noise(100_000);
    let site = Plan::new().file("image", &bytes).start().await;
    let mut wire = site.connect().await;
    let request = |n| {
        let (first, last) = (n * 2000, n * 2000 + 511);
        format!("GET /assets/image HTTP/1.1\r\nHost: boot\r\nRange: bytes={first}-{last}\r\n\r\n")
    };
    let requests: Vec<String> = (0..50).map(request).collect();
    wire.send(&requests.concat()).await;
    for n in 0..50 {
        assert!(wire.reply("GET").await.body == bytes[n * 2000..n * 2000 + 512], "request {n}");
    }
}

#[tokio::test]
async fn a_request_needs_no_port_and_no_path_of_its_own() {
    let site = Plan::new().file("abc", b"abc").start().await;
    let mut wire = site.connect().await;
    // GRUB's Host has no port; a proxy's client sends the whole URL.
    wire.send("GET http://boot.lab/assets/abc HTTP/1.1\r\nHost: boot.lab\r\n\r\n").await;
    assert_eq!(wire.reply("GET").await.text(), "abc");
}

#[tokio::test]
async fn a_head_too_large_is_refused() {
    let site = Plan::new().start().await;
    let mut wire = site.connect().await;
    let endless = "X-Padding: 0123456789012345678901234567890123456789\r\n".repeat(400);
    wire.send(&format!("GET / HTTP/1.1\r\n{endless}")).await;
    assert!(wire.head().await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away() {
    let site = Plan::new().file("abc", b"abc").idle_timeout(SHORT).start().await;
    // Not a word; half a head; and, after an answer, no more.
    let mut mute = site.connect().await;
    assert!(mute.rest().await.is_empty());
    let mut half = site.connect().await;
    half.send("GET /assets/abc HTTP/1.1\r\nHost:").await;
    assert!(half.rest().await.is_empty());
    let mut idle = site.connect().await;
    idle.request("GET", "/assets/abc", &[]).await;
    assert_eq!(idle.reply("GET").await.text(), "abc");
    assert!(idle.rest().await.is_empty());
}

#[tokio::test]
async fn a_head_that_trickles_is_silence() {
    let site = Plan::new().idle_timeout(SHORT).start().await;
    let mut wire = site.connect().await;
    wire.send("GET / HTTP/1.1\r\n").await;
    // A byte now and then does not keep it open: sooner or later the connection does not take one more.
    let mut tick = tokio::time::interval(SHORT / 10);
    let trickle = async {
        loop {
            tick.tick().await;
            if wire.0.write_all(b"X").await.is_err() || wire.0.flush().await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, trickle).await.expect("the server closes");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    // Far more than the buffers of both sockets hold.
    let site = Plan::new().file("image", &noise(64 << 20)).idle_timeout(SHORT).start().await;
    let mut wire = site.connect().await;
    wire.request("GET", "/assets/image", &[]).await;
    site.logged(&["asset=image", "outcome=\"timeout\"", "the client read no bytes"]).await;
    assert!(wire.rest().await.len() < 64 << 20);
}

#[tokio::test]
async fn a_slow_client_is_not_a_silent_one() {
    let bytes = noise(12 << 20);
    let site = Plan::new().file("image", &bytes).idle_timeout(SHORT).start().await;
    let mut wire = site.connect().await;
    wire.request("GET", "/assets/image", &[]).await;
    wire.head().await;
    // In the idle timeout it takes less than the third of a socket's queue that the kernel would wait for.
    let mut got = vec![0; bytes.len()];
    let mut tick = tokio::time::interval(SHORT / 10);
    for chunk in got.chunks_mut(64 << 10) {
        tick.tick().await;
        wire.0.read_exact(chunk).await.unwrap();
    }
    assert!(got == bytes);
    site.logged(&["asset=image", "outcome=\"complete\""]).await;
}

#[tokio::test]
async fn a_slow_origin_is_not_the_clients_silence() {
    let bytes = noise(12 << 20);
    // Before the head of the answer, and in the midst of its body.
    for pause in [0, bytes.len() - 100] {
        let (finish, finished) = tokio::sync::watch::channel(false);
        let (digest, served) = (Digest::of(&bytes), bytes.clone());
        let address = origin(move |stream| ranged(stream, served.clone(), pause, finished.clone())).await;
        let source = format!("http://{address}/image");
        let site = Plan::new().source("image", &source, digest).idle_timeout(SHORT).start().await;
        let mut wire = site.connect().await;
        wire.request("GET", "/assets/image", &[]).await;
        let mut got = Vec::new();
        if pause > 0 {
            wire.head().await;
            got.resize(1 << 20, 0);
            wire.0.read_exact(&mut got).await.unwrap();
        }
        let mut rest = vec![0; bytes.len() - got.len()];
        let others = async {
            // Meanwhile clients that are really silent come and go, in the midst of a request, with all its delays.
            for _ in 0..2 {
                let mut half = site.connect().await;
                half.send("GET / HTTP/1.1\r\nHost:").await;
                assert!(half.rest().await.is_empty());
            }
            finish.send(true).unwrap();
        };
        let reading = async {
            if pause == 0 {
                wire.head().await;
            }
            wire.0.read_exact(&mut rest).await.unwrap();
        };
        tokio::join!(others, reading);
        got.append(&mut rest);
        assert!(got == bytes, "paused at {pause}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noted() {
    let site = Plan::new().file("image", &noise(64 << 20)).start().await;
    let mut wire = site.connect().await;
    wire.request("GET", "/assets/image", &[]).await;
    wire.head().await;
    drop(wire);
    site.logged(&["asset=image", "outcome=\"aborted\""]).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_the_origin_is_slow_is_noted() {
    let (_finish, finished) = tokio::sync::watch::channel(false);
    let address = origin(move |stream| ranged(stream, noise(1000), 0, finished.clone())).await;
    let site = Plan::new().source("image", &format!("http://{address}/i"), Digest::of(b"x")).start().await;
    let mut wire = site.connect().await;
    wire.request("GET", "/assets/image", &[]).await;
    drop(wire);
    site.logged(&["asset=image", "outcome=\"aborted\"", "bytes=0"]).await;
    site.depot.close().await;
}
