//! An HTTP load generator that uses little CPU time next to the server: the kernel discards the bodies (`MSG_TRUNC`,
//! tcp(7)), so that a machine with two cores measures the server. It knows nothing of bootdepot. It checks lengths only;
//! `benches/run` checks the bytes beforehand. It prints one JSON object to standard output.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use rustix::net::RecvFlags;
use serde_json::json;

/// The most bytes that one system call discards.
const DISCARD: usize = 4 << 20;
/// The longest response head, in bytes.
const MAX_HEAD: usize = 4096;

#[derive(Parser)]
#[command(about = "An HTTP load generator")]
struct Cli {
    #[command(subcommand)]
    load: Option<Load>,
    /// `cargo bench` passes this flag.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Load {
    /// Download one path repeatedly, on keep-alive connections.
    Throughput {
        #[command(flatten)]
        target: Target,
        /// Connections, which download without a pause.
        #[arg(long, default_value_t = 1)]
        clients: u32,
        /// The duration, in seconds.
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
    /// Request a small file at a fixed rate, however slow the responses are, and report the latency of each response
    /// from the time at which its request was due.
    Latency {
        #[command(flatten)]
        target: Target,
        /// Connections that share the rate.
        #[arg(long, default_value_t = 8)]
        clients: u32,
        /// Requests per second, over all connections.
        #[arg(long, default_value_t = 1000.0)]
        rate: f64,
        /// The duration in seconds, unless `--beside` is given.
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// A path to download at the same time. The requests last as long as this download.
        #[arg(long)]
        beside: Option<String>,
    },
}

#[derive(clap::Args)]
struct Target {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// The path to request.
    #[arg(long)]
    path: String,
}

fn main() -> io::Result<()> {
    let report = match Cli::parse().load {
        None => return Ok(()), // `cargo bench` and `cargo test --benches`: `benches/run` is the driver.
        Some(Load::Throughput { target, clients, seconds }) => {
            throughput(&target, clients, Duration::from_secs_f64(seconds))?
        }
        Some(Load::Latency { target, clients, rate, seconds, beside }) => {
            latency(&target, clients, rate, Duration::from_secs_f64(seconds), beside.as_deref())?
        }
    };
    println!("{report}");
    Ok(())
}

fn throughput(target: &Target, clients: u32, time: Duration) -> io::Result<serde_json::Value> {
    let start = Instant::now();
    let end = start + time;
    let counts = thread::scope(|scope| {
        let client = || -> io::Result<(u64, u64)> {
            let mut connection = Connection::open(target.address)?;
            let (mut bytes, mut requests) = (0, 0);
            while Instant::now() < end {
                let mut left = connection.request(&target.path)?;
                while left > 0 && Instant::now() < end {
                    let taken = connection.discard(left)?;
                    left -= taken;
                    bytes += taken;
                }
                requests += u64::from(left == 0);
            }
            Ok((bytes, requests))
        };
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(join).collect::<io::Result<Vec<_>>>()
    })?;
    let (bytes, requests) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    Ok(json!({ "bytes": bytes, "requests": requests, "seconds": start.elapsed().as_secs_f64() }))
}

fn latency(
    target: &Target,
    clients: u32,
    rate: f64,
    time: Duration,
    beside: Option<&str>,
) -> io::Result<serde_json::Value> {
    let period = Duration::from_secs_f64(f64::from(clients) / rate);
    let ended = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        let (ended, target) = (&ended, target);
        let client = |number: u32| {
            move || -> io::Result<Vec<Duration>> {
                let mut connection = Connection::open(target.address)?;
                let mut due = start + period.mul_f64(f64::from(number) / f64::from(clients));
                let mut taken = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    connection.get(&target.path)?;
                    taken.push(due.elapsed());
                    due += period;
                }
                Ok(taken)
            }
        };
        let clients: Vec<_> = (0..clients).map(|number| scope.spawn(client(number))).collect();
        let download = if let Some(path) = beside {
            Connection::open(target.address).and_then(|mut connection| connection.get(path))
        } else {
            thread::sleep(time);
            Ok(0)
        };
        let seconds = start.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        let mut taken = Vec::new();
        for client in clients {
            taken.extend(join(client)?);
        }
        taken.sort_unstable();
        let at = |share: f64| {
            // The nearest rank. The product is not negative, and less than the length.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "counts of samples are far below 2^52"
            )]
            let rank = ((taken.len() as f64) * share) as usize;
            taken.get(rank.min(taken.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        Ok(json!({
            "requests": taken.len(), "seconds": seconds, "download_bytes": download?,
            "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999), "max_ms": at(1.0),
        }))
    })
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A keep-alive connection with one request at a time.
struct Connection {
    socket: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, address, buffer: vec![0; DISCARD] })
    }

    /// Requests `path` and discards the body. Returns its length.
    fn get(&mut self, path: &str) -> io::Result<u64> {
        let length = self.request(path)?;
        let mut left = length;
        while left > 0 {
            left -= self.discard(left)?;
        }
        Ok(length)
    }

    /// Requests `path` and reads the response head. Returns the length of the body that follows.
    fn request(&mut self, path: &str) -> io::Result<u64> {
        write!(self.socket, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)?;
        let mut filled = 0;
        loop {
            // Peeks first, so that nothing of the body is copied.
            let (_, seen) = rustix::net::recv(&self.socket, &mut self.buffer[..MAX_HEAD], RecvFlags::PEEK)?;
            if seen == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
            if let Some(end) = self.buffer[..seen].windows(4).position(|window| window == b"\r\n\r\n") {
                let (_, taken) = rustix::net::recv(&self.socket, &mut self.buffer[..end + 4], RecvFlags::empty())?;
                return length(&self.buffer[..taken]);
            }
            if seen == MAX_HEAD || seen == filled {
                return Err(io::Error::other("the response head is too long"));
            }
            filled = seen;
        }
    }

    /// Discards some of the `left` bytes that follow. Returns how many.
    fn discard(&mut self, left: u64) -> io::Result<u64> {
        let most = usize::try_from(left).unwrap_or(DISCARD).min(DISCARD);
        match rustix::net::recv(&self.socket, &mut self.buffer[..most], RecvFlags::TRUNC)? {
            (_, 0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body is incomplete")),
            (_, taken) => Ok(taken as u64),
        }
    }
}

fn length(head: &[u8]) -> io::Result<u64> {
    let head = String::from_utf8_lossy(head);
    let field = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    match field {
        Some(length) if head.starts_with("HTTP/1.1 200 ") => Ok(length),
        _ => Err(io::Error::other(format!("unexpected response: {head}"))),
    }
}
