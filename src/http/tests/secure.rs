//! The TLS listener.

use super::*;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

/// A server with TLS, and its certificate.
pub(super) async fn tls_server(builder: TestServerBuilder) -> (TestServer, rustls_pki_types::CertificateDer<'static>) {
    let certificate = write_pair(builder.dir.path());
    let (cert, key) = (builder.dir.path().join("cert.pem"), builder.dir.path().join("key.pem"));
    (builder.tls(&cert, &key).start().await, certificate)
}

/// Writes a new certificate and its key over the previous ones.
fn write_pair(dir: &Path) -> rustls_pki_types::CertificateDer<'static> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), pair.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    pair.cert.der().clone()
}

fn tls_client(
    cert: &rustls_pki_types::CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> reqwest::Client {
    let config = client_config(cert, version, alpn);
    reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap()
}

/// The TLS settings of a client that trusts `cert`.
pub(super) fn client_config(
    cert: &rustls_pki_types::CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

#[tokio::test]
async fn tls_versions_and_http_versions_match() {
    let bytes = random_bytes(3 << 20);
    let (server, cert) = tls_server(TestServer::builder().file("image", &bytes).file("empty", b"")).await;
    let base = format!("https://{}/assets", server.tls_address.unwrap());
    for tls in [&version::TLS12, &version::TLS13] {
        for (alpn, expected) in [("h2", reqwest::Version::HTTP_2), ("http/1.1", reqwest::Version::HTTP_11)] {
            let client = tls_client(&cert, tls, &[alpn]);
            let response = client.get(format!("{base}/image")).send().await.unwrap();
            assert_eq!((response.version(), response.status().as_u16()), (expected, 200));
            assert_eq!(response.content_length(), Some(3 << 20));
            assert!(response.bytes().await.unwrap() == bytes);

            let response =
                client.get(format!("{base}/image")).header("range", "bytes=5-9,100-199").send().await.unwrap();
            assert_eq!(response.status(), 206);
            let length = response.content_length().unwrap();
            assert_eq!(response.bytes().await.unwrap().len() as u64, length);

            for path in ["image", "missing"] {
                let response = client.head(format!("{base}/{path}")).send().await.unwrap();
                assert!(response.headers()["content-length"].to_str().unwrap().parse::<u64>().unwrap() > 0);
                assert!(response.bytes().await.unwrap().is_empty());
            }
            let response = client.get(format!("{base}/empty")).send().await.unwrap();
            assert_eq!(response.headers()["content-length"], "0");
        }
    }
}

#[tokio::test]
async fn renewed_certificate_is_served_without_restart() {
    let bytes = random_bytes(3 << 20);
    let (server, old) = tls_server(TestServer::builder().file("image", &bytes)).await;
    let url = format!("https://{}/assets/image", server.tls_address.unwrap());
    let transfer = tls_client(&old, &version::TLS13, &["h2"]).get(&url).send().await.unwrap();
    std::fs::write(server.dir.path().join("key.pem"), "half of a ke").unwrap();
    server.wait_for_log(&["WARN", "previous certificate stays in use", "key.pem holds no private key"]).await;
    assert_eq!(tls_client(&old, &version::TLS13, &["h2"]).get(&url).send().await.unwrap().status(), 200);

    let new = write_pair(server.dir.path());
    server.wait_for_log(&["INFO", "TLS certificate reloaded"]).await;
    assert_eq!(tls_client(&new, &version::TLS12, &["http/1.1"]).get(&url).send().await.unwrap().status(), 200);
    assert!(tls_client(&old, &version::TLS13, &["h2"]).get(&url).send().await.is_err());
    assert!(transfer.bytes().await.unwrap() == bytes, "a running transfer continues");
}

#[tokio::test]
async fn http2_digest_mismatch_resets_stream() {
    let length = 12 << 20;
    let (finish, finished) = tokio::sync::watch::channel(false);
    let address =
        fake_origin(move |stream| serve_ranged(stream, random_bytes(length), length - 100, finished.clone())).await;
    let builder = TestServer::builder().source("image", &format!("http://{address}/image"), Digest::of(b"other"));
    let (server, cert) = tls_server(builder).await;
    let client = tls_client(&cert, &version::TLS13, &["h2"]);
    let response = client.get(format!("https://{}/assets/image", server.tls_address.unwrap())).send().await.unwrap();
    assert_eq!(response.status(), 200);
    finish.send(true).unwrap();
    assert!(response.bytes().await.is_err());
    server.wait_for_log(&["asset=image", "outcome=\"digest-mismatch\""]).await;
}

#[tokio::test]
async fn idle_timeout_closes_http2_without_window() {
    // The client reads the connection but not the stream: the flow-control window runs out while the socket has room.
    let builder = TestServer::builder().file("image", &random_bytes(16 << 20)).idle_timeout(Duration::from_millis(200));
    let (server, cert) = tls_server(builder).await;
    let client = tls_client(&cert, &version::TLS13, &["h2"]);
    let response = client.get(format!("https://{}/assets/image", server.tls_address.unwrap())).send().await.unwrap();
    server.wait_for_log(&["asset=image", "outcome=\"timeout\""]).await;
    drop(response);
}

#[tokio::test]
async fn stop_drains_http2_streams() {
    let bytes = random_bytes(16 << 20);
    let (server, cert) = tls_server(TestServer::builder().file("image", &bytes)).await;
    let client = tls_client(&cert, &version::TLS13, &["h2"]);
    let response = client.get(format!("https://{}/assets/image", server.tls_address.unwrap())).send().await.unwrap();
    server.stop.cancel();
    assert!(response.bytes().await.unwrap() == bytes);
    server.stop().await;
}

#[tokio::test]
async fn idle_timeout_closes_missing_handshake() {
    let (server, _) = tls_server(TestServer::builder().idle_timeout(Duration::from_millis(200))).await;
    let mut connection = TestConnection::connect(server.tls_address.unwrap()).await;
    assert!(connection.read_to_close().await.is_empty());
}

#[tokio::test]
async fn wrong_protocol_on_port_is_refused() {
    let (server, _) = tls_server(TestServer::builder()).await;
    let mut plain = TestConnection::connect(server.tls_address.unwrap()).await;
    plain.send_request("GET", "/healthz", &[]).await;
    let response = plain.read_response("GET").await;
    assert_eq!((response.status(), response.text()), (400, "this port speaks TLS; use https"));
    let id = response.field("X-Request-Id").unwrap().to_owned();
    server.wait_for_log(&["request refused", "plain-on-tls-port", &id]).await;

    let mut secure = server.connect().await;
    // The beginning of a ClientHello.
    secure.send("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n").await;
    secure.read_to_close().await;
    server.wait_for_log(&["request refused", "tls-on-plain-port"]).await;
}
