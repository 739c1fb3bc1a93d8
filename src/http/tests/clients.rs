//! Client behaviour: keep-alive, pipelining, idle timeout, slow readers, disconnects.

use bootdepot_test_support::deadline::stretch;

use super::*;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn http_1_0_closes_without_keep_alive() {
    let server = TestServer::builder().file("abc", b"abc").start().await;
    let mut connection = server.connect().await;
    connection.send("GET /assets/abc HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").await;
    let response = connection.read_response("GET").await;
    assert!(response.head.starts_with("HTTP/1.0 200 OK\r\n"));
    assert_eq!(response.field("Connection"), Some("keep-alive"));
    assert_eq!(response.text(), "abc");
    connection.send("GET /assets/abc HTTP/1.0\r\n\r\n").await;
    let response = connection.read_response("GET").await;
    assert_eq!((response.text(), response.field("Content-Length")), ("abc", Some("3")));
    assert!(connection.read_to_close().await.is_empty());
}

#[tokio::test]
async fn http_1_1_keeps_alive_until_close() {
    let server = TestServer::builder().file("abc", b"abc").start().await;
    let mut connection = server.connect().await;
    for (method, path, status) in
        [("HEAD", "/assets/abc", 200), ("GET", "/nothing", 404), ("GET", "/assets/abc", 200), ("PUT", "/", 405)]
    {
        connection.send_request(method, path, &[]).await;
        assert_eq!(connection.read_response(method).await.status(), status);
    }
    connection.send_request("GET", "/assets/abc", &["Connection: close"]).await;
    let response = connection.read_response("GET").await;
    assert_eq!((response.text(), response.field("Connection")), ("abc", Some("close")));
    assert!(connection.read_to_close().await.is_empty());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let bytes = random_bytes(100_000);
    let server = TestServer::builder().file("image", &bytes).start().await;
    let mut connection = server.connect().await;
    let request = |n| {
        let (first, last) = (n * 2000, n * 2000 + 511);
        format!("GET /assets/image HTTP/1.1\r\nHost: boot\r\nRange: bytes={first}-{last}\r\n\r\n")
    };
    let requests: Vec<String> = (0..50).map(request).collect();
    connection.send(&requests.concat()).await;
    for n in 0..50 {
        assert!(connection.read_response("GET").await.body == bytes[n * 2000..n * 2000 + 512], "request {n}");
    }
}

#[tokio::test]
async fn absolute_form_target_is_accepted() {
    let server = TestServer::builder().file("abc", b"abc").start().await;
    let mut connection = server.connect().await;
    // GRUB sends Host without a port; the client of a proxy sends the whole URL.
    connection.send("GET http://boot.lab/assets/abc HTTP/1.1\r\nHost: boot.lab\r\n\r\n").await;
    assert_eq!(connection.read_response("GET").await.text(), "abc");
}

#[tokio::test]
async fn oversized_head_returns_431() {
    let server = TestServer::builder().start().await;
    let mut connection = server.connect().await;
    let endless = "X-Padding: 0123456789012345678901234567890123456789\r\n".repeat(400);
    connection.send(&format!("GET / HTTP/1.1\r\n{endless}")).await;
    assert!(connection.read_head().await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn idle_timeout_closes_silent_client() {
    let server = TestServer::builder().file("abc", b"abc").idle_timeout(SHORT).start().await;
    // No byte at all; half a head; no second request after a response.
    let mut mute = server.connect().await;
    assert!(mute.read_to_close().await.is_empty());
    let mut half = server.connect().await;
    half.send("GET /assets/abc HTTP/1.1\r\nHost:").await;
    assert!(half.read_to_close().await.is_empty());
    let mut idle = server.connect().await;
    idle.send_request("GET", "/assets/abc", &[]).await;
    assert_eq!(idle.read_response("GET").await.text(), "abc");
    assert!(idle.read_to_close().await.is_empty());
}

#[tokio::test]
async fn idle_timeout_closes_trickling_head() {
    let server = TestServer::builder().idle_timeout(SHORT).start().await;
    let mut connection = server.connect().await;
    connection.send("GET / HTTP/1.1\r\n").await;
    // Single bytes do not reset the timeout: sooner or later a write fails.
    let mut tick = tokio::time::interval(SHORT / 10);
    let trickle = async {
        loop {
            tick.tick().await;
            if connection.0.write_all(b"X").await.is_err() || connection.0.flush().await.is_err() {
                break;
            }
        }
    };
    within_deadline("the close by the server", trickle).await;
}

#[tokio::test]
async fn idle_timeout_closes_client_not_reading() {
    // Far more than the buffers of both sockets can hold.
    let server = TestServer::builder().file("image", &random_bytes(64 << 20)).idle_timeout(SHORT).start().await;
    let mut connection = server.connect().await;
    connection.send_request("GET", "/assets/image", &[]).await;
    server.wait_for_log(&["asset=image", "outcome=\"timeout\"", "the client read no bytes"]).await;
    assert!(connection.read_to_close().await.len() < 64 << 20);
}

#[tokio::test]
async fn slow_reader_survives_idle_timeout() {
    let bytes = random_bytes(12 << 20);
    let server = TestServer::builder().file("image", &bytes).idle_timeout(stretch(SHORT)).start().await;
    let mut connection = server.connect().await;
    connection.send_request("GET", "/assets/image", &[]).await;
    connection.read_head().await;
    // Within the idle timeout the client reads less than a third of the send queue, for which the kernel would wait.
    let mut got = vec![0; bytes.len()];
    let mut tick = tokio::time::interval(SHORT / 10);
    for chunk in got.chunks_mut(64 << 10) {
        tick.tick().await;
        connection.0.read_exact(chunk).await.unwrap();
    }
    assert!(got == bytes);
    server.wait_for_log(&["asset=image", "outcome=\"complete\""]).await;
}

#[tokio::test]
async fn slow_origin_suspends_idle_timeout() {
    let bytes = random_bytes(12 << 20);
    // Before the response head, and within the body.
    for pause in [0, bytes.len() - 100] {
        let (finish, finished) = tokio::sync::watch::channel(false);
        let (digest, served) = (Digest::of(&bytes), bytes.clone());
        let address = fake_origin(move |stream| serve_ranged(stream, served.clone(), pause, finished.clone())).await;
        let source = format!("http://{address}/image");
        let server = TestServer::builder().source("image", &source, digest).idle_timeout(SHORT).start().await;
        let mut connection = server.connect().await;
        connection.send_request("GET", "/assets/image", &[]).await;
        let mut got = Vec::new();
        if pause > 0 {
            connection.read_head().await;
            got.resize(1 << 20, 0);
            connection.0.read_exact(&mut got).await.unwrap();
        }
        let mut rest = vec![0; bytes.len() - got.len()];
        let others = async {
            // While the origin is slow, the idle timeout still closes other clients.
            for _ in 0..2 {
                let mut half = server.connect().await;
                half.send("GET / HTTP/1.1\r\nHost:").await;
                assert!(half.read_to_close().await.is_empty());
            }
            finish.send(true).unwrap();
        };
        let reading = async {
            if pause == 0 {
                connection.read_head().await;
            }
            connection.0.read_exact(&mut rest).await.unwrap();
        };
        tokio::join!(others, reading);
        got.append(&mut rest);
        assert!(got == bytes, "paused at {pause}");
    }
}

#[tokio::test]
async fn disconnect_during_body_logs_aborted() {
    let server = TestServer::builder().file("image", &random_bytes(64 << 20)).start().await;
    let mut connection = server.connect().await;
    connection.send_request("GET", "/assets/image", &[]).await;
    connection.read_head().await;
    drop(connection);
    server.wait_for_log(&["asset=image", "outcome=\"aborted\""]).await;
}

#[tokio::test]
async fn disconnect_during_fill_logs_aborted() {
    let (finish, finished) = tokio::sync::watch::channel(false);
    // More than the socket has room for.
    let bytes = random_bytes(32 << 20);
    let digest = Digest::of(&bytes);
    let address = fake_origin(move |stream| serve_ranged(stream, bytes.clone(), 0, finished.clone())).await;
    let server = TestServer::builder().source("image", &format!("http://{address}/i"), digest).start().await;
    let mut connection = server.connect().await;
    connection.send_request("GET", "/assets/image", &[]).await;
    drop(connection);
    // Until bytes are sent, a client that is gone is like one that has only finished its requests.
    finish.send(true).unwrap();
    server.wait_for_log(&["asset=image", "outcome=\"aborted\""]).await;
    server.depot.close().await;
}
