//! Servers for tests: one with scripted replies, byte for byte, and a real S3.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// The action of a [`ScriptedServer`] on one connection after it has read a request's head.
#[derive(Clone)]
pub(super) enum Act {
    /// Sends these bytes and closes.
    Reply(String),
    /// Sends these bytes, then keeps the connection open and sends nothing.
    Stall(String),
    /// Sends these bytes, and then a space every 20 ms.
    Trickle(String),
}

/// Performs one act per connection, in order, and records the heads of the requests.
pub(super) struct ScriptedServer {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl ScriptedServer {
    pub(super) async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        let acts: Vec<_> = acts.into_iter().collect();
        tokio::spawn(async move {
            for act in acts {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(perform(stream, act, Arc::clone(&recorded)));
            }
            // Records further requests and closes without a reply.
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(perform(stream, Act::Reply(String::new()), Arc::clone(&recorded)));
            }
        });
        Self { address, requests }
    }

    /// Starts a server that sends one reply.
    pub(super) async fn replying(answer: impl Into<String>) -> Self {
        Self::start([Act::Reply(answer.into())]).await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the heads of the requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Performs one act on a connection.
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
    let (Act::Reply(answer) | Act::Stall(answer) | Act::Trickle(answer)) = &act;
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    match act {
        Act::Reply(_) => stream.shutdown().await.unwrap(),
        // Until the client closes the connection.
        Act::Stall(_) => drop(stream.read_u8().await),
        Act::Trickle(_) => {
            while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// A real S3 server over a local directory. It checks signatures.
pub(super) struct RealS3 {
    pub(super) endpoint: url::Url,
    root: tempfile::TempDir,
}

impl RealS3 {
    pub(super) const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
    pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    /// Starts one with an empty bucket named `bucket`.
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
