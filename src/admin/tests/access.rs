//! Access to the admin listener: tokens, hosts, origins and rate limit.

use super::*;
use crate::asset::Digest;
use crate::boot::Releases;
use crate::http::tests::TestServer;
use crate::memory::MemoryBudget;
use crate::transport::Client;

fn guard() -> super::guard::Guard {
    super::guard::Guard::new(&AdminSettings::at("127.0.0.1:0".parse().unwrap()), None)
}

async fn start_admin(server: &TestServer) -> TestAdmin {
    TestAdmin::open(Boot::assets_only(server.depot.clone())).await
}

#[test]
fn api_without_tokens_admits_only_local_clients() {
    let guard = guard();
    for (peer, local, allowed) in [
        ("127.0.0.1:4000", "127.0.0.1:8081", true),
        ("[::1]:4000", "127.0.0.1:8081", true),
        ("[::ffff:127.0.0.1]:4000", "127.0.0.1:8081", true),
        ("192.0.2.7:4000", "127.0.0.1:8081", false),
        ("[2001:db8::7]:4000", "127.0.0.1:8081", false),
        // Connections from this machine to a specific address have that address as their source too.
        ("192.0.2.7:4000", "192.0.2.7:8081", true),
        ("[::ffff:192.0.2.7]:4000", "192.0.2.7:8081", true),
        ("192.0.2.8:4000", "192.0.2.7:8081", false),
    ] {
        let request = http::Request::get("/api/v1/nothing").header("host", local).body(()).unwrap().into_parts().0;
        let client = Client::new(peer.parse().unwrap(), local.parse().unwrap(), false, &MemoryBudget::new(1 << 20));
        let refusal = guard.admit(&request, &client).err();
        assert_eq!(refusal.map(|refusal| refusal.status.as_u16()), (!allowed).then_some(403), "{peer} {local}");
    }
}

#[tokio::test]
async fn probes_need_no_token_and_no_host() {
    let server = TestServer::builder().start().await;
    let admin = start_admin(&server).await;
    for (path, kind, text) in [
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# TYPE up gauge\nup 1\n"),
    ] {
        for method in ["HEAD", "GET"] {
            let response = admin.send(method, path, &["Host: prometheus.example"], "").await;
            assert_eq!((response.status(), response.field("Content-Type")), (200, Some(kind)), "{}", response.head);
            assert_eq!(response.field("Content-Length"), Some(text.len().to_string().as_str()));
            assert!(method == "HEAD" || response.text() == text);
        }
    }
    let response = admin.send("GET", "/", &["Host: x"], "").await;
    assert_eq!((response.status(), response.field("X-Content-Type-Options")), (200, Some("nosniff")));
    admin.close().await;
}

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let server = TestServer::builder().start().await;
    let admin = start_admin(&server).await;
    for (method, path, status, detail) in [
        (
            "GET",
            "/assets/abc",
            404,
            "no resource at this path; this listener serves /, /metrics, /healthz, /readyz and /api/v1",
        ),
        ("GET", "/api", 404, "the API has no resource at this path; /api/v1/openapi.json lists all of them"),
        ("GET", "/api/v1/", 404, "the API has no resource at this path; /api/v1/openapi.json lists all of them"),
        ("GET", "/api/v1/hostsx", 404, "the API has no resource at this path; /api/v1/openapi.json lists all of them"),
        (
            "GET",
            "/api/v1/hosts/x",
            404,
            "no host and no machine that was seen has this name, MAC, address, UUID, serial number or asset tag",
        ),
        (
            "POST",
            "/metrics",
            405,
            "this path does not support this method; the response field Allow lists the supported ones",
        ),
        (
            "DELETE",
            "/api/v1/hosts",
            405,
            "this path does not support this method; the response field Allow lists the supported ones",
        ),
        ("GET", "/api/v1/hosts/%ff", 404, "Invalid URL: Invalid UTF-8 in `name`"),
    ] {
        let response = admin.request(method, path, &[]).await;
        assert_eq!((response.status(), problem(&response).detail.as_str()), (status, detail), "{method} {path}");
        assert_eq!(response.field("Allow"), (status == 405).then_some("GET,HEAD"), "{path}");
    }
    let response = admin.send("POST", "/api/v1/hosts", &["Host: localhost"], &"x".repeat(65 << 10)).await;
    assert_eq!((response.status(), problem(&response).title.as_str()), (413, "Payload Too Large"));
    admin.close().await;
}

#[tokio::test]
async fn rate_limit_returns_429() {
    let server = TestServer::builder().start().await;
    let admin = start_admin(&server).await;
    let mut connection = TestConnection::connect(admin.address).await;
    let mut refused = None;
    // More than the burst and what is added to the bucket during the test.
    for _ in 0..100_000 {
        connection.send("HEAD /api/v1/releases HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let response = connection.read_response("HEAD").await;
        if response.status() != 200 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("the rate limit is reached");
    assert_eq!((refused.status(), refused.field("Retry-After")), (429, Some("1")));
    assert_eq!(admin.request("GET", "/healthz", &[]).await.status(), 200, "health checks have no limit");
    admin.close().await;
}

#[tokio::test]
async fn token_holder_gets_reserved_place() {
    let server = TestServer::builder().start().await;
    let operators = server.dir.path().join("operators");
    std::fs::write(&operators, "change\n").unwrap();
    let settings =
        AdminSettings { operator_token_file: Some(operators), ..AdminSettings::at("127.0.0.1:0".parse().unwrap()) };
    let admin = TestAdmin::with(settings, Boot::assets_only(server.depot.clone())).await;
    let connect = async |source: [u8; 4]| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        TestConnection(tokio::io::BufStream::new(socket.connect(admin.address).await.unwrap()))
    };
    let get = async |source, path: &str, token: &str| {
        let mut connection = connect(source).await;
        connection
            .send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"))
            .await;
        (connection.read_response("GET").await.status(), connection)
    };
    // A quarter of the places.
    let mut held = Vec::new();
    for _ in 0..64 {
        let (status, connection) = get([127, 0, 1, 2], "/healthz", "").await;
        assert_eq!(status, 200);
        held.push(connection);
    }
    let (path, greedy) = ("/api/v1/hosts", [127, 0, 1, 2]);
    assert_eq!(get(greedy, path, "").await.0, 503);
    assert_eq!(get(greedy, "/", "").await.0, 503);
    assert_eq!(get(greedy, path, "change").await.0, 200);
    assert_eq!(get(greedy, "/metrics", "").await.0, 200);
    assert_eq!(get([127, 0, 1, 3], "/", "").await.0, 200, "another address");
    drop(held);
    admin.close().await;
}

#[tokio::test]
async fn token_file_decides_access() {
    let server = TestServer::builder().start().await;
    let path = |name: &str| server.dir.path().join(name);
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
        Releases::empty(server.depot.clone()),
        crate::boot::Ledger::in_memory(),
        server.depot.clone(),
    );
    let admin = TestAdmin::with(settings, boot).await;
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
        let response = admin.send(method, path, &fields, "").await;
        assert_eq!(
            (response.status(), response.field("Www-Authenticate")),
            (status, says),
            "{method} {path} {token:?}"
        );
        if status >= 400 {
            problem(&response);
        }
    }
    // A valid token, but a foreign Host.
    let response =
        admin.send("GET", "/api/v1/hosts", &["Host: evil.example", "Authorization: Bearer change"], "").await;
    assert_eq!(response.status(), 403);
    admin.close().await;
}

#[tokio::test]
async fn unreadable_token_file_fails_bind() {
    let settings = AdminSettings {
        viewer_token_file: Some("/nowhere/tokens".into()),
        ..AdminSettings::at("127.0.0.1:0".parse().unwrap())
    };
    let error = AdminServer::bind(settings, &mut InheritedSockets::default()).await.err().unwrap();
    assert_eq!(
        format!("{:#}", anyhow::Error::from(error)),
        "cannot read the token file /nowhere/tokens (admin.viewer_token_file): No such file or directory (os error 2)"
    );
}

#[tokio::test]
async fn failed_reload_lists_all_errors() {
    let server = TestServer::builder().start().await;
    let admin = start_admin(&server).await;
    let response = admin.request("POST", "/api/v1/reload", &[]).await;
    assert_eq!(response.status(), 422);
    assert_eq!(problem(&response).errors, ["this server reads new settings only when it starts"]);
    admin.close().await;
}
