//! How many clients at a time, and how the server stops.

use super::*;

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_back() {
    let site = Plan::new().file("abc", b"abc").max_connections(1).start().await;
    let mut first = site.connect().await;
    first.request("GET", "/assets/abc", &[]).await;
    first.reply("GET").await;
    let reply = site.get("/assets/abc", &[]).await;
    assert_eq!(reply.status(), 503);
    assert!(reply.field("Retry-After").is_some());
    assert_eq!(reply.text(), "the server has too many connections; try again");
    // The first is not disturbed, and leaves room.
    first.request("GET", "/assets/abc", &["Connection: close"]).await;
    assert_eq!(first.reply("GET").await.text(), "abc");
    first.rest().await;
    let again = async { while site.get("/assets/abc", &[]).await.status() == 503 {} };
    tokio::time::timeout(PATIENCE, again).await.expect("the place is free again");
}

#[tokio::test]
async fn who_connects_before_the_server_serves_waits() {
    let plan = Plan::new();
    let server = HttpServer::bind(plan.settings.clone(), &mut InheritedSockets::default()).await.unwrap();
    let mut wire = Wire::connect(server.addresses()[0]).await;
    wire.request("GET", "/healthz", &[]).await;
    let site = plan.start().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.serve(Boot::plain(site.depot.clone()), stop.clone(), PATIENCE));
    assert_eq!(wire.reply("GET").await.text(), "ok\n");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn stopping_closes_what_is_idle_and_lets_transfers_finish() {
    let bytes = noise(32 << 20);
    let site = Plan::new().file("image", &bytes).start().await;
    let (mut fresh, mut idle, mut busy) = (site.connect().await, site.connect().await, site.connect().await);
    idle.request("GET", "/healthz", &[]).await;
    idle.reply("GET").await;
    busy.request("GET", "/assets/image", &[]).await;
    let head = busy.head().await;
    assert!(head.contains("Content-Length: 33554432\r\n"), "{head}");
    site.stop.cancel();
    assert!(fresh.rest().await.is_empty());
    assert!(idle.rest().await.is_empty());
    assert!(TcpStream::connect(site.address).await.is_err(), "no more connections");
    assert!(!site.running.is_finished());
    assert!(busy.rest().await == bytes);
    site.running.await.unwrap();
}

#[tokio::test]
async fn the_grace_period_ends() {
    let site = Plan::new().file("image", &noise(64 << 20)).grace(Duration::from_millis(50)).start().await;
    let mut wire = site.connect().await;
    wire.request("GET", "/assets/image", &[]).await;
    wire.head().await;
    site.stop.cancel();
    site.logged(&["asset=image", "outcome=\"refused\"", "the server stopped"]).await;
    site.running.await.unwrap();
    assert!(wire.rest().await.len() < 64 << 20);
}

#[tokio::test]
async fn health_is_told_and_metrics_are_not() {
    let site = Plan::new().start().await;
    let mut wire = site.connect().await;
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        for method in ["HEAD", "GET"] {
            wire.request(method, path, &[]).await;
            let reply = wire.reply(method).await;
            assert_eq!(reply.status(), 200);
            assert_eq!(reply.field("Content-Length"), Some(text.len().to_string().as_str()));
            assert!(method == "HEAD" || reply.text() == text);
        }
    }
    wire.request("GET", "/metrics", &[]).await;
    assert_eq!(wire.reply("GET").await.status(), 404);
}
