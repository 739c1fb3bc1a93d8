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
    assert_eq!(response.text(), "the server has too many connections; try again");
    // The first connection still works, and its end frees a place.
    first.send_request("GET", "/assets/abc", &["Connection: close"]).await;
    assert_eq!(first.read_response("GET").await.text(), "abc");
    first.read_to_close().await;
    let again = async { while server.get("/assets/abc", &[]).await.status() == 503 {} };
    within_deadline("a free connection", again).await;
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
