//! Certificates that an origin's client trusts.

use std::sync::Arc;

use bootdepot_test_support::deadline::stretch;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::{WantsServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ConfigBuilder, RootCertStore, ServerConfig, crypto::ring};

use super::fake::{Act, ScriptedServer, perform};
use super::*;
use crate::origin::TlsFault;

/// A certificate with its key.
struct Issued {
    params: CertificateParams,
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Issued {
    fn authority(name: &str, issuer: Option<&Self>) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self::new(params, issuer)
    }

    fn new(params: CertificateParams, issuer: Option<&Self>) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Self { params, key, certificate }
    }

    fn server(names: &[&str], issuer: Option<&Self>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a server");
        change(&mut params);
        Self::new(params, issuer)
    }

    fn file(&self) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), self.certificate.pem()).unwrap();
        file
    }
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";

/// A web server whose certificate is signed by its own private authority.
struct PrivateServer {
    port: u16,
    ca_file: tempfile::NamedTempFile,
}

impl PrivateServer {
    async fn start(names: &[&str], expired: bool) -> Self {
        let ca = Issued::authority("a lab CA", None);
        let server = Issued::server(names, Some(&ca), |params| {
            if expired {
                params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            }
        });
        Self::with_chain(&[&server], ca.file()).await
    }

    /// A server that sends these certificates, its own first.
    async fn with_chain(chain: &[&Issued], ca_file: tempfile::NamedTempFile) -> Self {
        Self::answering(ANSWER.to_owned(), chain, ca_file).await
    }

    async fn answering(answer: String, chain: &[&Issued], ca_file: tempfile::NamedTempFile) -> Self {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        Self::with_config(config, answer, chain, ca_file).await
    }

    async fn with_config(
        config: ConfigBuilder<ServerConfig, WantsServerCert>,
        answer: String,
        chain: &[&Issued],
        ca_file: tempfile::NamedTempFile,
    ) -> Self {
        let key = chain[0].key.serialize_der().try_into().unwrap();
        let chain = chain.iter().map(|issued| issued.certificate.der().clone()).collect();
        let config = config.with_single_cert(chain, key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::spawn(perform(stream, Act::Reply(answer.clone()), Arc::default()));
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

    /// Reads with the `ca_file` of the server.
    async fn read_trusted(&self) -> Result<Vec<u8>, OriginError> {
        self.read(|settings| settings.ca_file = Some(self.ca_file.path().to_owned())).await
    }

    /// Checks that the read fails with this text after "TLS with … failed: ".
    fn assert_refused(&self, read: Result<Vec<u8>, OriginError>, fault: TlsFault, message: &str) {
        let error = match read {
            Err(error @ OriginError::Tls { .. }) => error,
            other => panic!("a TLS error was expected, not {other:?}"),
        };
        let OriginError::Tls { fault: found, .. } = &error else { unreachable!() };
        assert_eq!(error.to_string(), format!("TLS with 127.0.0.1:{} failed: {message}", self.port));
        assert_eq!(*found, fault);
    }
}

#[tokio::test]
async fn ca_file_trusts_private_ca() {
    let server = PrivateServer::start(&["127.0.0.1"], false).await;
    assert_eq!(server.read_trusted().await.unwrap(), b"x");
    let message = "its certificate is signed by an authority that this machine does not trust: the server sends only its own \
                   certificate, and \"a lab CA\" (its issuer) is not trusted. If that is an intermediate of a trusted authority, \
                   let the server send it too; for a private CA set the origin's ca_file";
    server.assert_refused(server.read(|_| {}).await, TlsFault::UnknownIssuer, message);
}

#[tokio::test]
async fn listed_self_signed_certificate_is_accepted() {
    // OpenSSL makes self-signed certificates that are authorities, other tools make plain ones.
    for is_ca in [false, true] {
        let make = |names: &[&str], expired: bool| {
            Issued::server(names, None, |params| {
                if is_ca {
                    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                }
                if expired {
                    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
                }
            })
        };
        let own = make(&["127.0.0.1"], false);
        let server = PrivateServer::with_chain(&[&own], own.file()).await;
        assert_eq!(server.read_trusted().await.unwrap(), b"x", "CA: {is_ca}");
        let message = "its certificate \"a server\" is self-signed, and this machine does not trust it; to trust this certificate \
                       write it into a file and set the origin's ca_file";
        server.assert_refused(server.read(|_| {}).await, TlsFault::SelfSigned, message);
        // Another certificate of the same name is not the listed one.
        let other = PrivateServer::with_chain(&[&make(&["127.0.0.1"], false)], own.file()).await;
        let read = other.read_trusted().await;
        assert!(matches!(read, Err(OriginError::Tls { .. })), "{read:?}");
        // Name and dates count for a listed certificate too.
        let elsewhere = make(&["elsewhere.example", "10.0.0.1"], false);
        let server = PrivateServer::with_chain(&[&elsewhere], elsewhere.file()).await;
        let message = "its certificate is not for the name 127.0.0.1; it has elsewhere.example, 10.0.0.1; use a name that is in \
                       the certificate, or renew the certificate with this name";
        server.assert_refused(server.read_trusted().await, TlsFault::Name, message);
        let expired = make(&["127.0.0.1"], true);
        let server = PrivateServer::with_chain(&[&expired], expired.file()).await;
        let message = "its certificate expired 2020-01-01 00:00 UTC; renew the server's certificate, or correct this machine's \
                       clock";
        server.assert_refused(server.read_trusted().await, TlsFault::Dates, message);
    }
}

#[tokio::test]
async fn listed_server_certificate_signs_no_other() {
    let leaf_of = |issuer: &Issued| {
        Issued::server(&["127.0.0.1"], Some(issuer), |params| {
            params.distinguished_name.push(DnType::CommonName, "another server");
        })
    };
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let listed = Issued::server(&["store.example"], None, |params| params.is_ca = is_ca);
        let server = PrivateServer::with_chain(&[&leaf_of(&listed)], listed.file()).await;
        let read = server.read_trusted().await;
        assert!(matches!(read, Err(OriginError::Tls { .. })), "{is_ca:?}: {read:?}");
    }
    // Old private authorities do not say what they are.
    let old = Issued::server(&[], None, |_| {});
    let server = PrivateServer::with_chain(&[&leaf_of(&old)], old.file()).await;
    assert_eq!(server.read_trusted().await.unwrap(), b"x");
}

#[tokio::test]
async fn catalog_is_not_redirected_to_http() {
    let plain = ScriptedServer::replying("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", plain.url("/a"));
    let ca = Issued::authority("a lab CA", None);
    let own = Issued::server(&["127.0.0.1"], Some(&ca), |_| {});
    let server = PrivateServer::answering(answer, &[&own], ca.file()).await;
    let settings = OriginSettings { ca_file: Some(server.ca_file.path().to_owned()), ..settings("https://") };
    let (origins, url) = (origins(vec![settings]), format!("https://127.0.0.1:{}/a", server.port));
    let error = origins.read_if_changed(&source(&url), None).await.err().unwrap();
    let message = "it redirects from https to http, and no digest protects this object";
    assert_eq!(error.to_string(), format!("{url} sent an invalid reply: {message}"));
    assert_eq!(plain.requests(), [""; 0]);
    assert_eq!(read(&origins, &url, None).await.unwrap(), b"x", "a digest protects assets");
}

#[tokio::test]
async fn omitted_intermediate_is_named() {
    let root = Issued::authority("a root", None);
    let intermediate = Issued::authority("an intermediate", Some(&root));
    let own = Issued::server(&["127.0.0.1"], Some(&intermediate), |_| {});
    let whole = PrivateServer::with_chain(&[&own, &intermediate], root.file()).await;
    assert_eq!(whole.read_trusted().await.unwrap(), b"x");
    let alone = PrivateServer::with_chain(&[&own], root.file()).await;
    let message = "the server sends only its own certificate; the intermediate \"an intermediate\" (its issuer) is missing: the \
                   server does not send it, and the CA file does not hold it; let the server send its whole chain, or \
                   add the missing certificate to the origin's ca_file";
    alone.assert_refused(alone.read_trusted().await, TlsFault::MissingIntermediate, message);
    // The remedy works.
    let mended = PrivateServer::with_chain(&[&own], intermediate.file()).await;
    assert_eq!(mended.read_trusted().await.unwrap(), b"x");
    let other_root =
        PrivateServer::with_chain(&[&own, &intermediate, &root], Issued::authority("b", None).file()).await;
    let message = "its chain ends with the authority \"a root\", which this machine does not trust; for a private CA set the \
                   origin's ca_file";
    other_root.assert_refused(other_root.read_trusted().await, TlsFault::UnknownIssuer, message);
}

#[tokio::test]
async fn demanded_client_certificate_is_named() {
    let ca = Issued::authority("a lab CA", None);
    let own = Issued::server(&["127.0.0.1"], Some(&ca), |_| {});
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate.der().clone()).unwrap();
    for version in [&TLS12, &TLS13] {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap());
        let server = PrivateServer::with_config(config, ANSWER.to_owned(), &[&own], ca.file()).await;
        let Err(OriginError::Tls { fault, .. }) = server.read_trusted().await else {
            panic!("a TLS error was expected")
        };
        assert_eq!(fault, TlsFault::ClientCertificate, "{version:?}");
    }
}

#[tokio::test]
async fn silent_tls_peer_is_no_connect_error() {
    // The backlog accepts connections, and nothing reads them.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = stretch(Duration::from_millis(300));
    let silent = Origins::new(Vec::new(), Timeouts { connect, stall: connect }).unwrap();
    let error = error(&silent, &format!("https://{address}/a"), None).await;
    assert_eq!(
        error.to_string(),
        format!(
            "{address} accepted the connection but did not answer the TLS handshake within {} s",
            connect.as_secs_f32()
        )
    );
    assert!(error.is_transient());
}

#[tokio::test]
async fn silent_plain_http_server_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Waits for the end of a head, which a handshake does not have.
            let answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_owned();
            tokio::spawn(perform(stream, Act::Reply(answer), Arc::default()));
        }
    });
    let connect = stretch(Duration::from_millis(300));
    let impatient = Origins::new(Vec::new(), Timeouts { connect, stall: connect }).unwrap();
    let error = error(&impatient, &format!("https://{address}/a"), None).await;
    assert_eq!(
        error.to_string(),
        format!(
            "TLS with {address} failed: it speaks plain HTTP on this port; write http://, or the port that speaks TLS"
        )
    );
}

#[tokio::test]
async fn closed_handshake_suggests_plain_http() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    });
    let error = error(&origins(Vec::new()), &format!("https://{address}/a"), None).await;
    let start = format!("cannot connect to {address}: it ended the connection during the TLS handshake (");
    let text = error.to_string();
    assert!(text.starts_with(&start) && text.ends_with("); if it speaks plain HTTP, write http://"), "{text}");
}

#[tokio::test]
async fn tls_port_in_plain_http_is_named() {
    let server = PrivateServer::start(&["127.0.0.1"], false).await;
    let url = format!("http://127.0.0.1:{}/a", server.port);
    let error = error(&origins(Vec::new()), &url, None).await;
    assert_eq!(error.to_string(), format!("{url} sent an invalid reply: it speaks TLS on this port; write https://"));
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
    let message = "its certificate is not for the name 127.0.0.1; it has elsewhere.example; use a name that is in the \
                   certificate, or renew the certificate with this name";
    other_name.assert_refused(other_name.read_trusted().await, TlsFault::Name, message);

    let expired = PrivateServer::start(&["127.0.0.1"], true).await;
    let message =
        "its certificate expired 2020-01-01 00:00 UTC; renew the server's certificate, or correct this machine's clock";
    expired.assert_refused(expired.read_trusted().await, TlsFault::Dates, message);

    let ca = Issued::authority("a lab CA", None);
    let future =
        Issued::server(&["127.0.0.1"], Some(&ca), |params| params.not_before = rcgen::date_time_ymd(3000, 1, 1));
    let future = PrivateServer::with_chain(&[&future], ca.file()).await;
    let message = "its certificate is not valid before 3000-01-01 00:00 UTC; renew the server's certificate, or correct this \
                   machine's clock";
    future.assert_refused(future.read_trusted().await, TlsFault::Dates, message);
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
    assert_eq!(reason, "it does not speak TLS on this port; its answer is no TLS message");
}
