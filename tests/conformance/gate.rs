//! A TCP proxy in front of the server that stops to forward at a chosen byte, so that a command can be killed in the middle of
//! an upload.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::runtime;

/// A TCP proxy. It ends with the process.
pub(crate) struct Gate {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    passed: Arc<AtomicU64>,
    limit: watch::Sender<u64>,
}

impl Gate {
    /// Starts one that forwards `limit` bytes to the server.
    pub(crate) fn start(server: SocketAddr, limit: u64) -> Self {
        let listener = runtime().block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (passed, limit) = (Arc::new(AtomicU64::new(0)), watch::Sender::new(limit));
        let (count, limits) = (Arc::clone(&passed), limit.clone());
        runtime().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (count, limits) = (Arc::clone(&count), limits.subscribe());
                // Fails if either side closes its connection.
                tokio::spawn(async move { connect(client, server, &count, limits).await });
            }
        });
        Self { address, passed, limit }
    }

    /// The bytes that were forwarded to the server.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Forwards everything from now on. Connections that have stopped are closed.
    pub(crate) fn open(&self) {
        self.limit.send_replace(u64::MAX);
    }
}

async fn connect(
    client: TcpStream,
    server: SocketAddr,
    passed: &AtomicU64,
    limit: watch::Receiver<u64>,
) -> io::Result<()> {
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = TcpStream::connect(server).await?.into_split();
    let replies = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(drop) };
    tokio::try_join!(forward(from_client, to_server, passed, limit), replies).map(drop)
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    passed: &AtomicU64,
    mut limit: watch::Receiver<u64>,
) -> io::Result<()> {
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        if passed.load(Ordering::Relaxed) >= *limit.borrow_and_update() {
            // Fails if the gate was dropped.
            let _ = limit.changed().await;
            return Err(io::Error::other("the gate was closed"));
        }
        to.write_all(&piece[..read]).await?;
        passed.fetch_add(read as u64, Ordering::Relaxed);
    }
}
