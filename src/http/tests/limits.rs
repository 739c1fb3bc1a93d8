//! The connection limit, and shutdown.

use super::*;

#[tokio::test]
async fn connection_limit_returns_503() {
    let server = TestServer::builder().file("abc", b"abc").max_connections(1).start().await;
    let mut first = server.connect().await;
    first.send_request("GET", "/assets/abc", &[]).await;
    first.read_response("GET").await;
    let response = server.get("/assets/abc", &[]).await;
    assert_eq!(response.status(), 503);
    assert!(response.field("Retry-After").is_some());
    assert_eq!(response.text(), "the server has too many connections, or your address has; try again\n");
    // The first connection still works, and its end frees a place.
    first.send_request("GET", "/assets/abc", &["Connection: close"]).await;
    assert_eq!(first.read_response("GET").await.text(), "abc");
    first.read_to_close().await;
    let again = async { while server.get("/assets/abc", &[]).await.status() == 503 {} };
    within_deadline("a free connection", again).await;
}

/// A connection from this loopback address.
async fn connect_from(source: [u8; 4], address: SocketAddr) -> TestConnection {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    TestConnection(tokio::io::BufStream::new(socket.connect(address).await.unwrap()))
}

#[tokio::test]
async fn one_address_takes_quarter_of_connections() {
    let server = TestServer::builder().file("abc", b"abc").max_connections(8).start().await;
    let get = async |source: [u8; 4], path: &str| {
        let mut connection = connect_from(source, server.address).await;
        connection.send_request("GET", path, &[]).await;
        (connection.read_response("GET").await.status(), connection)
    };
    let mut greedy = Vec::new();
    for _ in 0..2 {
        let (status, connection) = get([127, 0, 1, 2], "/assets/abc").await;
        assert_eq!(status, 200);
        greedy.push(connection);
    }
    assert_eq!(get([127, 0, 1, 2], "/assets/abc").await.0, 503);
    server
        .wait_for_log(&["limit reached", "limit=\"http-connections\"", "scope=\"address\"", "client=127.0.1.2"])
        .await;
    assert_eq!(get([127, 0, 1, 2], "/healthz").await.0, 200);
    // A neighbour has places of its own, up to the share of the subnet.
    for last in 3..=6 {
        let (status, connection) = get([127, 0, 1, last], "/assets/abc").await;
        assert_eq!(status, 200);
        greedy.push(connection);
    }
    assert_eq!(get([127, 0, 1, 7], "/assets/abc").await.0, 503);
    assert_eq!(get([127, 0, 2, 1], "/assets/abc").await.0, 200);
}

#[tokio::test]
async fn probes_are_answered_above_limit() {
    let server = TestServer::builder().max_connections(1).start().await;
    let mut first = server.connect().await;
    first.send_request("GET", "/healthz", &[]).await;
    first.read_response("GET").await;
    for path in ["/healthz", "/readyz"] {
        let response = server.get(path, &[]).await;
        assert_eq!((response.status(), response.field("Connection")), (200, Some("close")), "{path}");
    }
    assert_eq!(server.get("/boot.ipxe", &[]).await.status(), 503);
}

#[tokio::test]
async fn early_connection_waits_in_backlog() {
    let builder = TestServer::builder();
    let early = HttpServer::bind(builder.settings.clone(), &mut InheritedSockets::default()).await.unwrap();
    let mut connection = TestConnection::connect(early.addresses()[0]).await;
    connection.send_request("GET", "/healthz", &[]).await;
    let server = builder.start().await;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(early.serve(Boot::assets_only(server.depot.clone()), stop.clone(), LONG));
    assert_eq!(connection.read_response("GET").await.text(), "ok\n");
    stop.cancel();
    within_deadline("the end of the server", serving).await.unwrap();
}

#[tokio::test]
async fn stop_closes_idle_and_drains_transfers() {
    let bytes = random_bytes(32 << 20);
    let server = TestServer::builder().file("image", &bytes).start().await;
    let (mut fresh, mut idle, mut busy) = (server.connect().await, server.connect().await, server.connect().await);
    idle.send_request("GET", "/healthz", &[]).await;
    idle.read_response("GET").await;
    busy.send_request("GET", "/assets/image", &[]).await;
    let head = busy.read_head().await;
    assert!(head.contains("Content-Length: 33554432\r\n"), "{head}");
    server.stop.cancel();
    assert!(fresh.read_to_close().await.is_empty());
    assert!(idle.read_to_close().await.is_empty());
    assert!(TcpStream::connect(server.address).await.is_err(), "no more connections");
    assert!(!server.serving.is_finished());
    assert!(busy.read_to_close().await == bytes);
    server.stop().await;
}

#[tokio::test]
async fn grace_period_cuts_off_transfer() {
    let server =
        TestServer::builder().file("image", &random_bytes(64 << 20)).grace(Duration::from_millis(50)).start().await;
    let mut connection = server.connect().await;
    connection.send_request("GET", "/assets/image", &[]).await;
    connection.read_head().await;
    server.stop.cancel();
    server.wait_for_log(&["asset=image", "outcome=\"refused\"", "the server stopped"]).await;
    server.stop().await;
    assert!(connection.read_to_close().await.len() < 64 << 20);
}

#[tokio::test]
async fn health_is_served_and_metrics_are_not() {
    let server = TestServer::builder().start().await;
    let mut connection = server.connect().await;
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        for method in ["HEAD", "GET"] {
            connection.send_request(method, path, &[]).await;
            let response = connection.read_response(method).await;
            assert_eq!(response.status(), 200);
            assert_eq!(response.field("Content-Length"), Some(text.len().to_string().as_str()));
            assert!(method == "HEAD" || response.text() == text);
        }
    }
    connection.send_request("GET", "/metrics", &[]).await;
    assert_eq!(connection.read_response("GET").await.status(), 404);
}

#[tokio::test]
async fn half_closed_client_gets_whole_response() {
    let bytes = random_bytes(8 << 20);
    let server = TestServer::builder().file("image", &bytes).start().await;
    // The first is cold, the second cached.
    for _ in 0..2 {
        let mut connection = server.connect().await;
        connection.send_request("GET", "/assets/image", &[]).await;
        connection.0.get_mut().shutdown().await.unwrap();
        assert!(connection.read_response("GET").await.body == bytes);
        assert!(connection.read_to_close().await.is_empty());
    }
}

#[tokio::test]
async fn refused_request_is_logged_with_reason() {
    let server = TestServer::builder().start().await;
    for (request, status, reason) in [
        ("GET /healthz HTTP/1.1\r\n\r\n", 400, "bad-host"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-host"),
        ("GET /healthz\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
        ("GET /healthz HTTP/1.0\r\nConnection: close\r\n\r\n", 200, ""),
    ] {
        let mut connection = server.connect().await;
        connection.send(request).await;
        let response = connection.read_head().await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}")) || response.starts_with("HTTP/1.0 200"),
            "{response}"
        );
        if status == 400 {
            server.wait_for_log(&["request refused", reason]).await;
        }
    }
    let mut connection = server.connect().await;
    connection.send(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20 << 10))).await;
    let head = connection.read_head().await;
    assert!(head.starts_with("HTTP/1.1 431") && head.to_lowercase().contains("connection: close"), "{head}");
    server.wait_for_log(&["request refused", "head-too-large"]).await;
}

#[tokio::test]
async fn cache_fields_follow_kind_of_path() {
    let server = TestServer::builder().file("abc", b"abc").start().await;
    let by_digest = format!("/blobs/sha256/{}", Digest::of(b"abc"));
    for (path, expected) in [
        ("/assets/abc", "no-cache"),
        (by_digest.as_str(), "public, max-age=31536000, immutable"),
        ("/assets/none", "no-store"),
        ("/healthz", "no-store"),
    ] {
        let response = server.get(path, &[]).await;
        assert_eq!(response.field("Cache-Control"), Some(expected), "{path}");
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"), "{path}");
    }
}
