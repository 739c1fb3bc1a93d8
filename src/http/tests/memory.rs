//! The memory budget, and progress: clients that do not read, or too slowly, beside one that does.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, RecvStream};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::version;
use tokio_rustls::{TlsConnector, rustls};

use super::secure::{client_config, tls_server};
use super::*;
use crate::memory::SMALL_PIECE;

/// A TLS connection that offers one protocol.
async fn connect_tls(server: &TestServer, cert: &CertificateDer<'static>, alpn: &str) -> TlsStream<TcpStream> {
    let config: rustls::ClientConfig = client_config(cert, &version::TLS13, &[alpn]);
    let stream = TcpStream::connect(server.tls_address.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// An HTTP/2 client whose streams accept `window` bytes. Its connection runs in the background.
async fn connect_http2(
    server: &TestServer,
    cert: &CertificateDer<'static>,
    window: u32,
) -> (SendRequest<Bytes>, h2::PingPong, JoinHandle<Result<(), h2::Error>>) {
    let stream = connect_tls(server, cert, "h2").await;
    let (client, mut connection) =
        h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
    let ping = connection.ping_pong().unwrap();
    (client.ready().await.unwrap(), ping, tokio::spawn(connection))
}

/// The body of `path`.
async fn get_http2(client: &mut SendRequest<Bytes>, path: &str) -> RecvStream {
    let request = hyper::Request::get(format!("https://localhost{path}")).body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    within_deadline("the head of a response", response).await.unwrap().into_body()
}

#[tokio::test]
async fn http2_without_windows_costs_little() {
    let bytes = random_bytes(8 << 20);
    let (server, cert) = tls_server(TestServer::builder().file("image", &bytes).memory(1 << 20)).await;
    // Fills the cache.
    assert!(server.get("/assets/image", &[]).await.body == bytes);
    let (mut greedy, _ping, _running) = connect_http2(&server, &cert, 1).await;
    let mut streams = Vec::new();
    for _ in 0..64 {
        let mut body = get_http2(&mut greedy, "/assets/image").await;
        assert_eq!(within_deadline("the first byte", body.data()).await.unwrap().unwrap().len(), 1);
        streams.push(body);
    }
    assert!(server.memory.used() <= 64, "one byte a stream: {}", server.memory.used());

    let (mut honest, _ping, _running) = connect_http2(&server, &cert, 1 << 20).await;
    let mut body = get_http2(&mut honest, "/assets/image").await;
    let mut received = Vec::new();
    while let Some(piece) = within_deadline("bytes of the honest client", body.data()).await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        received.extend_from_slice(&piece);
    }
    assert!(received == bytes);
}

#[tokio::test]
async fn tls_clients_that_do_not_read_share_budget() {
    const CLIENTS: usize = 60;
    const BUDGET: usize = 1 << 20;
    let bytes = random_bytes(8 << 20);
    let (server, cert) = tls_server(TestServer::builder().file("image", &bytes).memory(BUDGET)).await;
    assert!(server.get("/assets/image", &[]).await.body == bytes);
    let mut silent = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = connect_tls(&server, &cert, "http/1.1").await;
        stream.write_all(b"GET /assets/image HTTP/1.1\r\nHost: boot\r\n\r\n").await.unwrap();
        silent.push(stream);
    }
    // Each of them holds a piece that its socket has no room for.
    let full = async {
        while server.memory.used() < CLIENTS * SMALL_PIECE {
            tokio::task::yield_now().await;
        }
    };
    within_deadline("the budget to fill", full).await;
    assert!(server.memory.used() <= BUDGET + CLIENTS * SMALL_PIECE, "{}", server.memory.used());

    let mut honest = connect_tls(&server, &cert, "http/1.1").await;
    honest.write_all(b"GET /assets/image HTTP/1.1\r\nHost: boot\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut received = Vec::new();
    within_deadline("the honest client", honest.read_to_end(&mut received)).await.unwrap();
    assert!(received.ends_with(&bytes));
    drop(silent);
    let empty = async {
        while server.memory.used() > 0 {
            tokio::task::yield_now().await;
        }
    };
    within_deadline("the return of all memory", empty).await;
}

#[tokio::test]
async fn slow_reader_above_floor_is_not_cut() {
    let bytes = random_bytes(8 << 20);
    let builder = TestServer::builder().file("image", &bytes).idle_timeout(Duration::from_secs(3)).min_rate(512);
    let server = builder.start().await;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // So that what it reads shows at the server in small steps.
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut client = TestConnection(BufStream::with_capacity(1, 64, TcpStream::from_std(socket.into()).unwrap()));
    client.send_request("GET", "/assets/image", &[]).await;
    client.read_head().await;
    // Three idle timeouts at 40 KiB a second: the server's send queue has room again only after a longer time.
    let mut received = vec![0; 400 << 10];
    for piece in received.chunks_mut(4 << 10) {
        within_deadline("bytes", client.0.read_exact(piece)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    received.extend(client.read_bytes(bytes.len() - received.len()).await);
    assert!(received == bytes);
}

#[tokio::test]
async fn pings_and_dripped_windows_are_no_progress() {
    let builder = TestServer::builder().file("image", &random_bytes(8 << 20)).idle_timeout(Duration::from_secs(1));
    let (server, cert) = tls_server(builder.min_rate(512)).await;
    let (mut client, mut ping, running) = connect_http2(&server, &cert, 1).await;
    let mut body = get_http2(&mut client, "/assets/image").await;
    let drip = async {
        while let Some(Ok(piece)) = body.data().await {
            body.flow_control().release_capacity(piece.len()).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within_deadline("the end of the stream", drip).await;
    server.wait_for_log(&["asset=image", "outcome=\"timeout\""]).await;
    let pings = async {
        while ping.ping(Ping::opaque()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within_deadline("the end of the connection", pings).await;
    let _ = within_deadline("the connection", running).await;
}
