//! The TLS listener.

use super::*;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

/// A site with TLS, and its certificate.
async fn site(plan: Plan) -> (Site, rustls_pki_types::CertificateDer<'static>) {
    let certificate = write_pair(plan.dir.path());
    let (cert, key) = (plan.dir.path().join("cert.pem"), plan.dir.path().join("key.pem"));
    (plan.tls(&cert, &key).start().await, certificate)
}

/// Writes a new certificate and its key, in the place of what was there.
fn write_pair(dir: &Path) -> rustls_pki_types::CertificateDer<'static> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), pair.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    pair.cert.der().clone()
}

fn client(
    cert: &rustls_pki_types::CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> reqwest::Client {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap()
}

#[tokio::test]
async fn both_versions_of_both_protocols_serve_the_same() {
    let bytes = noise(3 << 20);
    let (site, cert) = site(Plan::new().file("image", &bytes).file("empty", b"")).await;
    let base = format!("https://{}/assets", site.tls_address.unwrap());
    for tls in [&version::TLS12, &version::TLS13] {
        for (alpn, expected) in [("h2", reqwest::Version::HTTP_2), ("http/1.1", reqwest::Version::HTTP_11)] {
            let client = client(&cert, tls, &[alpn]);
            let reply = client.get(format!("{base}/image")).send().await.unwrap();
            assert_eq!((reply.version(), reply.status().as_u16()), (expected, 200));
            assert_eq!(reply.content_length(), Some(3 << 20));
            assert!(reply.bytes().await.unwrap() == bytes);

            let reply = client.get(format!("{base}/image")).header("range", "bytes=5-9,100-199").send().await.unwrap();
            assert_eq!(reply.status(), 206);
            let length = reply.content_length().unwrap();
            assert_eq!(reply.bytes().await.unwrap().len() as u64, length);

            for path in ["image", "missing"] {
                let reply = client.head(format!("{base}/{path}")).send().await.unwrap();
                assert!(reply.headers()["content-length"].to_str().unwrap().parse::<u64>().unwrap() > 0);
                assert!(reply.bytes().await.unwrap().is_empty());
            }
            let reply = client.get(format!("{base}/empty")).send().await.unwrap();
            assert_eq!(reply.headers()["content-length"], "0");
        }
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let bytes = noise(3 << 20);
    let (site, old) = site(Plan::new().file("image", &bytes)).await;
    let url = format!("https://{}/assets/image", site.tls_address.unwrap());
    let running = client(&old, &version::TLS13, &["h2"]).get(&url).send().await.unwrap();
    std::fs::write(site.dir.path().join("key.pem"), "half of a ke").unwrap();
    site.logged(&["WARN", "previous certificate stays in use", "key.pem holds no private key"]).await;
    assert_eq!(client(&old, &version::TLS13, &["h2"]).get(&url).send().await.unwrap().status(), 200);

    let new = write_pair(site.dir.path());
    site.logged(&["INFO", "TLS certificate reloaded"]).await;
    assert_eq!(client(&new, &version::TLS12, &["http/1.1"]).get(&url).send().await.unwrap().status(), 200);
    assert!(client(&old, &version::TLS13, &["h2"]).get(&url).send().await.is_err());
    assert!(running.bytes().await.unwrap() == bytes, "what was running goes on");
}

#[tokio::test]
async fn wrong_bytes_end_in_an_error_over_http_2() {
    let length = 12 << 20;
    let (finish, finished) = tokio::sync::watch::channel(false);
    let address = origin(move |stream| ranged(stream, noise(length), length - 100, finished.clone())).await;
    let plan = Plan::new().source("image", &format!("http://{address}/image"), Digest::of(b"other"));
    let (site, cert) = site(plan).await;
    let client = client(&cert, &version::TLS13, &["h2"]);
    let reply = client.get(format!("https://{}/assets/image", site.tls_address.unwrap())).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    finish.send(true).unwrap();
    assert!(reply.bytes().await.is_err());
    site.logged(&["asset=image", "outcome=\"digest-mismatch\""]).await;
}

#[tokio::test]
async fn a_stream_without_a_window_is_silence() {
    // The client reads the connection and not the stream: its flow-control window runs out, the socket stays free.
    let plan = Plan::new().file("image", &noise(16 << 20)).idle_timeout(Duration::from_millis(200));
    let (site, cert) = site(plan).await;
    let client = client(&cert, &version::TLS13, &["h2"]);
    let reply = client.get(format!("https://{}/assets/image", site.tls_address.unwrap())).send().await.unwrap();
    site.logged(&["asset=image", "outcome=\"timeout\""]).await;
    drop(reply);
}

#[tokio::test]
async fn stopping_lets_streams_finish() {
    let bytes = noise(16 << 20);
    let (site, cert) = site(Plan::new().file("image", &bytes)).await;
    let client = client(&cert, &version::TLS13, &["h2"]);
    let reply = client.get(format!("https://{}/assets/image", site.tls_address.unwrap())).send().await.unwrap();
    site.stop.cancel();
    assert!(reply.bytes().await.unwrap() == bytes);
    site.running.await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_silence() {
    let (site, _) = site(Plan::new().idle_timeout(Duration::from_millis(200))).await;
    let mut wire = Wire::connect(site.tls_address.unwrap()).await;
    assert!(wire.rest().await.is_empty());
    // Plain HTTP on the TLS port is answered with an alert, and closed.
    let mut wire = Wire::connect(site.tls_address.unwrap()).await;
    wire.request("GET", "/healthz", &[]).await;
    wire.rest().await;
}
