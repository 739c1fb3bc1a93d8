//! Who may ask what, and what nobody may.

use super::*;
use crate::asset::Digest;
use crate::boot::Releases;
use crate::http::tests::{PATIENCE, Plan, Site};
use crate::transport::Client;

fn guard() -> super::guard::Guard {
    super::guard::Guard::new(&AdminSettings::at("127.0.0.1:0".parse().unwrap()), None)
}

async fn desk(site: &Site) -> Desk {
    Desk::open(Boot::plain(site.depot.clone())).await
}

#[test]
fn without_tokens_the_api_answers_this_machine_alone() {
    let guard = guard();
    for (peer, local, allowed) in [
        ("127.0.0.1:4000", "127.0.0.1:8081", true),
        ("[::1]:4000", "127.0.0.1:8081", true),
        ("[::ffff:127.0.0.1]:4000", "127.0.0.1:8081", true),
        ("192.0.2.7:4000", "127.0.0.1:8081", false),
        ("[2001:db8::7]:4000", "127.0.0.1:8081", false),
        // Where the listener has an address of its own, this machine comes from that.
        ("192.0.2.7:4000", "192.0.2.7:8081", true),
        ("[::ffff:192.0.2.7]:4000", "192.0.2.7:8081", true),
        ("192.0.2.8:4000", "192.0.2.7:8081", false),
    ] {
        let request = http::Request::get("/api/v1/nothing").header("host", local).body(()).unwrap().into_parts().0;
        let client = Client::new(peer.parse().unwrap(), local.parse().unwrap(), false, PATIENCE);
        let refusal = guard.admit(&request, &client).err();
        assert_eq!(refusal.map(|refusal| refusal.status.as_u16()), (!allowed).then_some(403), "{peer} {local}");
    }
}

#[tokio::test]
async fn metrics_and_health_are_for_all_by_any_name() {
    let site = Plan::new().start().await;
    let desk = desk(&site).await;
    for (path, kind, text) in [
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# TYPE up gauge\nup 1\n"),
    ] {
        for method in ["HEAD", "GET"] {
            let reply = desk.send(method, path, &["Host: prometheus.example"], "").await;
            assert_eq!((reply.status(), reply.field("Content-Type")), (200, Some(kind)), "{}", reply.head);
            assert_eq!(reply.field("Content-Length"), Some(text.len().to_string().as_str()));
            assert!(method == "HEAD" || reply.text() == text);
        }
    }
    let reply = desk.send("GET", "/", &["Host: x"], "").await;
    assert_eq!((reply.status(), reply.field("X-Content-Type-Options")), (200, Some("nosniff")));
    desk.close().await;
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let site = Plan::new().start().await;
    let desk = desk(&site).await;
    for (method, path, status, detail) in [
        (
            "GET",
            "/assets/abc",
            404,
            "nothing is served at this path; here are /, /metrics, /healthz, /readyz and /api/v1",
        ),
        ("GET", "/api", 404, "the API has nothing at this path; /api/v1/openapi.json says what it has"),
        ("GET", "/api/v1/", 404, "the API has nothing at this path; /api/v1/openapi.json says what it has"),
        ("GET", "/api/v1/hostsx", 404, "the API has nothing at this path; /api/v1/openapi.json says what it has"),
        ("GET", "/api/v1/hosts/x", 404, "no host has this name, and no machine with this MAC or address was seen"),
        ("POST", "/metrics", 405, "this path does not take this method; the field Allow has those it takes"),
        ("DELETE", "/api/v1/hosts", 405, "this path does not take this method; the field Allow has those it takes"),
        ("GET", "/api/v1/hosts/%ff", 404, "Invalid URL: Invalid UTF-8 in `name`"),
    ] {
        let reply = desk.ask(method, path, &[]).await;
        assert_eq!((reply.status(), problem(&reply).detail.as_str()), (status, detail), "{method} {path}");
        assert_eq!(reply.field("Allow"), (status == 405).then_some("GET,HEAD"), "{path}");
    }
    let reply = desk.send("POST", "/api/v1/hosts", &["Host: localhost"], &"x".repeat(65 << 10)).await;
    assert_eq!((reply.status(), problem(&reply).title.as_str()), (413, "Payload Too Large"));
    desk.close().await;
}

#[tokio::test]
async fn one_client_may_not_ask_without_end() {
    let site = Plan::new().start().await;
    let desk = desk(&site).await;
    let mut wire = Wire::connect(desk.address).await;
    let refused = loop {
        wire.send("HEAD /api/v1/releases HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let reply = wire.reply("HEAD").await;
        if reply.status() != 200 {
            break reply;
        }
    };
    assert_eq!((refused.status(), refused.field("Retry-After")), (429, Some("1")));
    assert_eq!(desk.ask("GET", "/healthz", &[]).await.status(), 200, "health is always told");
    desk.close().await;
}

#[tokio::test]
async fn tokens_open_what_their_file_says() {
    let site = Plan::new().start().await;
    let path = |name: &str| site.dir.path().join(name);
    std::fs::write(path("operators"), format!("sha256:{}\n", Digest::of(b"change"))).unwrap();
    std::fs::write(path("viewers"), "look\n").unwrap();
    let settings = AdminSettings {
        operator_token_file: Some(path("operators")),
        viewer_token_file: Some(path("viewers")),
        hosts: vec!["boot.lab".to_owned()],
        ..AdminSettings::at("127.0.0.1:0".parse().unwrap())
    };
    let boot = Boot::new(
        crate::boot::Roster::default(),
        Releases::none(site.depot.clone()),
        crate::boot::Ledger::in_memory(),
        site.depot.clone(),
    );
    let desk = Desk::with(settings, boot).await;
    let challenge = "Bearer realm=\"bootdepot\"";
    let invalid = "Bearer realm=\"bootdepot\", error=\"invalid_token\"";
    let scope = "Bearer realm=\"bootdepot\", error=\"insufficient_scope\"";
    for (method, path, token, status, says) in [
        ("GET", "/api/v1/hosts", None, 401, Some(challenge)),
        ("GET", "/api/v1/openapi.json", None, 401, Some(challenge)),
        ("GET", "/api/v1/nothing", None, 401, Some(challenge)),
        ("GET", "/api/v1/hosts", Some("Bearer lool"), 401, Some(invalid)),
        ("GET", "/api/v1/hosts", Some("Basic bG9vaw=="), 401, Some(invalid)),
        ("GET", "/api/v1/hosts", Some("look"), 401, Some(invalid)),
        ("GET", "/api/v1/hosts", Some("Bearer look"), 200, None),
        ("GET", "/api/v1/hosts", Some("bearer change"), 200, None),
        ("POST", "/api/v1/releases/x/activate", Some("Bearer look"), 403, Some(scope)),
        ("POST", "/api/v1/releases/x/activate", Some("Bearer change"), 404, None),
        ("GET", "/api/v1/nothing", Some("Bearer look"), 404, None),
        ("GET", "/metrics", None, 200, None),
        ("GET", "/", None, 200, None),
    ] {
        let field = token.map(|token| format!("Authorization: {token}"));
        let fields: Vec<&str> = ["Host: boot.lab:8081"].into_iter().chain(field.as_deref()).collect();
        let reply = desk.send(method, path, &fields, "").await;
        assert_eq!((reply.status(), reply.field("Www-Authenticate")), (status, says), "{method} {path} {token:?}");
        if status >= 400 {
            problem(&reply);
        }
    }
    // A good token by a name that is not this server's.
    let reply = desk.send("GET", "/api/v1/hosts", &["Host: evil.example", "Authorization: Bearer change"], "").await;
    assert_eq!(reply.status(), 403);
    desk.close().await;
}

#[tokio::test]
async fn a_listener_without_a_readable_token_file_does_not_start() {
    let settings = AdminSettings {
        viewer_token_file: Some("/nowhere/tokens".into()),
        ..AdminSettings::at("127.0.0.1:0".parse().unwrap())
    };
    let error = AdminServer::bind(settings, &mut InheritedSockets::default()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "cannot read the token file /nowhere/tokens (admin.viewer_token_file): No such file or directory (os error 2)"
    );
}

#[tokio::test]
async fn a_reload_that_fails_says_all_that_is_wrong() {
    let site = Plan::new().start().await;
    let desk = desk(&site).await;
    let reply = desk.ask("POST", "/api/v1/reload", &[]).await;
    assert_eq!(reply.status(), 422);
    assert_eq!(problem(&reply).errors, ["this server takes new settings when it starts again"]);
    desk.close().await;
}
