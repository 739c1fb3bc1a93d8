//! Servers for tests: one that says what it is told, byte for byte, and a real S3.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a [`Scripted`] server does with one connection, once it has read a request's head.
#[derive(Clone)]
pub(super) enum Act {
    /// Sends these bytes and closes.
    Say(String),
    /// Sends these bytes and keeps the connection open, silent.
    Hang(String),
}

/// Says what it is told: one act a connection, in order. Keeps the heads of the requests it got.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(super) async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        let acts: Vec<_> = acts.into_iter().collect();
        tokio::spawn(async move {
            for act in acts {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(perform(stream, act, Arc::clone(&heard)));
            }
            // Whoever connects once more is heard of and gets nothing.
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(perform(stream, Act::Say(String::new()), Arc::clone(&heard)));
            }
        });
        Self { address, requests }
    }

    /// A server with one act.
    pub(super) async fn saying(answer: impl Into<String>) -> Self {
        Self::start([Act::Say(answer.into())]).await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of the requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Plays one act on a connection.
pub(super) async fn perform(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    act: Act,
    requests: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    requests.lock().unwrap().push(String::from_utf8(head).unwrap());
    let (Act::Say(answer) | Act::Hang(answer)) = &act;
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    match act {
        Act::Say(_) => stream.shutdown().await.unwrap(),
        // Until the client goes away.
        Act::Hang(_) => drop(stream.read_u8().await),
    }
}

/// A real S3 server over a directory of this machine, with signatures checked.
pub(super) struct RealS3 {
    pub(super) endpoint: url::Url,
    root: tempfile::TempDir,
}

impl RealS3 {
    pub(super) const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
    pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    /// With an empty bucket named `bucket`.
    pub(super) async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("bucket")).unwrap();
        let mut service = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        service.set_auth(s3s::auth::SimpleAuth::from_single(Self::KEY_ID, Self::SECRET));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = server.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { endpoint, root }
    }

    pub(super) fn put(&self, key: &str, content: &[u8]) {
        let path = self.root.path().join("bucket").join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}
