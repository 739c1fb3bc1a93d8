//! Certificates that an origin's client trusts.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

use super::fake::{Act, perform};
use super::*;

/// A web server whose certificate is signed by its own private authority.
struct PrivateServer {
    port: u16,
    ca_file: tempfile::NamedTempFile,
}

impl PrivateServer {
    async fn start(names: &[&str], expired: bool) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let ca_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca_file.path(), ca_pem).unwrap();

        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx".to_owned();
                    tokio::spawn(perform(stream, Act::Reply(answer), Arc::default()));
                }
            }
        });
        Self { port, ca_file }
    }

    async fn read(&self, change: impl FnOnce(&mut OriginSettings)) -> Result<Vec<u8>, OriginError> {
        let mut settings = settings("https://");
        change(&mut settings);
        read(&origins(vec![settings]), &format!("https://127.0.0.1:{}/a", self.port), None).await
    }

    async fn refused(&self, change: impl FnOnce(&mut OriginSettings)) -> String {
        match self.read(change).await {
            Err(error @ OriginError::Tls { .. }) => error.to_string(),
            other => panic!("a TLS error was expected, not {other:?}"),
        }
    }

    fn message(&self, reason: &str) -> String {
        format!("TLS with 127.0.0.1:{} failed: {reason}; for a private CA set the origin's ca_file", self.port)
    }
}

#[tokio::test]
async fn ca_file_trusts_private_ca() {
    let server = PrivateServer::start(&["127.0.0.1"], false).await;
    let ca_file = server.ca_file.path().to_owned();
    assert_eq!(server.read(|s| s.ca_file = Some(ca_file)).await.unwrap(), b"x");
    assert_eq!(
        server.refused(|_| {}).await,
        server.message("its certificate is signed by an authority that this machine does not trust")
    );
}

#[tokio::test]
async fn stat_reports_certificate_expiry() {
    let server = PrivateServer::start(&["127.0.0.1"], false).await;
    let origin = OriginSettings { ca_file: Some(server.ca_file.path().to_owned()), ..settings("https://") };
    let report = origins(vec![origin]).stat(&source(&format!("https://127.0.0.1:{}/a", server.port))).await;
    assert_eq!(report.stat.unwrap().size, 1);
    assert_eq!(report.certificate_expiry, Some(rcgen::date_time_ymd(4096, 1, 1).into()));
}

#[tokio::test]
async fn skip_verify_trusts_any_certificate() {
    let server = PrivateServer::start(&["elsewhere.example"], true).await;
    assert_eq!(server.read(|s| s.insecure_skip_verify = true).await.unwrap(), b"x");
}

#[tokio::test]
async fn certificate_name_and_dates_are_checked() {
    let other_name = PrivateServer::start(&["elsewhere.example"], false).await;
    let ca_file = other_name.ca_file.path().to_owned();
    let message = other_name.refused(|s| s.ca_file = Some(ca_file)).await;
    assert!(message.contains("not valid for name"), "{message}");

    let expired = PrivateServer::start(&["127.0.0.1"], true).await;
    let ca_file = expired.ca_file.path().to_owned();
    let message = expired.refused(|s| s.ca_file = Some(ca_file)).await;
    assert!(message.ends_with("its certificate expired 2020-01-01 00:00 UTC"), "{message}");
}

#[tokio::test]
async fn plain_http_port_fails_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let error = error(&origins(Vec::new()), &format!("https://127.0.0.1:{port}/a"), None).await;
    let OriginError::Tls { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.starts_with("it does not speak TLS on this port ("), "{reason}");
}
