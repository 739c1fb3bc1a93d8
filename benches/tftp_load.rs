//! A load generator for TFTP servers: many clients that check every byte, over an emulated network.
//!
//! ```text
//! cargo bench --bench tftp_load -- --server 127.0.0.1:6969 --file name --compare /path/to/it --clients 500 --windowsize 4
//! ```
//!
//! It works against any TFTP server on loopback and prints one line of JSON per run. All clients of a thread share one
//! socket, and each has a source address of its own in 127.0.0.0/8: packets are sent and received in batches, so that the
//! generator does not limit the result. Loss and round trip time are emulated here, because not every kernel can: packets
//! are dropped on arrival and before sending, and the packets of a client are delayed by the round trip time.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "counts here are small, and block numbers are modulo 65,536"
)]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bootdepot::tftp::Packet;
use bootdepot::tftp::batch::{RecvBatch, Route, SendBatch, SourceAddress, enable_packet_info};
use bytes::Bytes;
use clap::Parser;

/// How often a client repeats its last packet before it fails.
const RETRIES: u32 = 6;
/// The interval at which the timers of the clients are checked.
const TICK: Duration = Duration::from_millis(10);
/// The receive buffer, in bytes: the generator itself must lose nothing.
const RECEIVE_BUFFER: usize = 256 << 20;

/// Downloads one file from a TFTP server with many clients at once.
#[derive(Parser, Clone)]
struct Args {
    /// The server, on loopback.
    #[arg(long)]
    server: Option<SocketAddr>,
    /// The name of the file on the server.
    #[arg(long, default_value = "file")]
    file: String,
    /// A local file with the same bytes.
    #[arg(long)]
    compare: Option<PathBuf>,
    /// The number of clients.
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// Requested block size; 0 sends no option.
    #[arg(long, default_value_t = 1468)]
    blksize: u16,
    /// Requested window; 1 sends no option.
    #[arg(long, default_value_t = 1)]
    windowsize: u16,
    /// Percent of packets lost, in each direction.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// The round trip time, in milliseconds.
    #[arg(long, default_value_t = 0.0)]
    rtt: f64,
    /// Send every ACK twice.
    #[arg(long)]
    doubled_acks: bool,
    /// Seconds without an answer after which a client repeats its last packet.
    #[arg(long, default_value_t = 5.0)]
    timeout: f64,
    /// The number of runs, with one line of output each.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// The number of threads, with one socket each. The clients are spread over them.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// The process id of the server, to measure its CPU time.
    #[arg(long)]
    pid: Option<u32>,
    /// A label for the output.
    #[arg(long, default_value = "")]
    label: String,
    /// `cargo bench` passes this flag.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (Some(server), Some(path)) = (args.server, &args.compare) else {
        eprintln!("nothing to do: give --server and --compare");
        return Ok(());
    };
    ensure!(server.ip().is_loopback() && server.is_ipv4(), "the server must be on IPv4 loopback");
    let bytes: Bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.into();
    for _ in 0..args.runs {
        let cpu = args.pid.map(cpu_seconds).transpose()?;
        let started = Instant::now();
        let threads: Vec<_> = (0..args.threads)
            .map(|index| {
                let (args, bytes) = (args.clone(), bytes.clone());
                thread::spawn(move || Load::new(&args, server, bytes, index)?.run())
            })
            .collect();
        let mut total = Counts::default();
        for thread in threads {
            let counts = thread.join().map_err(|_| anyhow::anyhow!("a load thread panicked"))??;
            total.add(counts);
        }
        let seconds = started.elapsed().as_secs_f64();
        let cpu = match (args.pid, cpu) {
            (Some(pid), Some(before)) => Some(cpu_seconds(pid)? - before),
            _ => None,
        };
        println!("{}", total.report(&args, bytes.len(), seconds, cpu));
    }
    Ok(())
}

/// The CPU time of a process and its ended children, in seconds.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name in parentheses: utime, stime, cutime and cstime are the 12th to 15th fields (proc_pid_stat(5)).
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// The result of a run.
#[derive(Default)]
struct Counts {
    complete: usize,
    failed: usize,
    data: u64,
    repeats: u64,
    strays: u64,
    first_bytes: Vec<Duration>,
    first_failure: Option<String>,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.complete += other.complete;
        self.failed += other.failed;
        self.data += other.data;
        self.repeats += other.repeats;
        self.strays += other.strays;
        self.first_bytes.extend(other.first_bytes);
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    fn report(mut self, args: &Args, size: usize, seconds: f64, cpu: Option<f64>) -> serde_json::Value {
        self.first_bytes.sort();
        let millis = |percent: usize| {
            let at = (self.first_bytes.len() * percent / 100).min(self.first_bytes.len().saturating_sub(1));
            self.first_bytes.get(at).map(|latency| round(latency.as_secs_f64() * 1e3, 3))
        };
        let bytes = (self.complete * size) as f64;
        serde_json::json!({
            "label": args.label,
            "clients": args.clients,
            "windowsize": args.windowsize,
            "blksize": args.blksize,
            "loss_percent": args.loss,
            "rtt_ms": args.rtt,
            "doubled_acks": args.doubled_acks,
            "file_bytes": size,
            "seconds": round(seconds, 3),
            "mb_s": round(bytes / 1e6 / seconds, 1),
            "complete": self.complete,
            "failures": self.failed,
            "first_failure": self.first_failure,
            "data_packets": self.data,
            "repeated_packets": self.repeats,
            "stray_packets": self.strays,
            "first_byte_p50_ms": millis(50),
            "first_byte_p99_ms": millis(99),
            "server_cpu_s_per_gib": cpu.map(|cpu| round(cpu / (bytes / f64::from(1 << 30)), 3)),
        })
    }
}

fn round(value: f64, digits: i32) -> f64 {
    (value * 10f64.powi(digits)).round() / 10f64.powi(digits)
}

/// The clients of one thread.
struct Load {
    args: Args,
    server: SocketAddr,
    bytes: Bytes,
    socket: UdpSocket,
    out: SendBatch,
    clients: Vec<Client>,
    /// Packets of clients, and when they reach the server.
    in_flight: VecDeque<(Instant, Route, Bytes)>,
    counts: Counts,
    random: fastrand::Rng,
    thread: usize,
}

struct Client {
    route: Route,
    /// The server has answered, so its data port is known.
    answered: bool,
    started: Instant,
    last_heard: Instant,
    repeats: u32,
    last_sent: Bytes,
    blksize: usize,
    window: u16,
    received: u64,
    in_window: u16,
    gap: bool,
    end: Option<Result<(), String>>,
}

impl Load {
    fn new(args: &Args, server: SocketAddr, bytes: Bytes, thread: usize) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        }
        enable_packet_info(&socket)?;
        let now = Instant::now();
        let share = args.clients / args.threads + usize::from(thread < args.clients % args.threads);
        let clients = (0..share).map(|index| Client {
            route: Route {
                peer: server,
                source: Some(SourceAddress::from(IpAddr::from(address(thread, index)))),
                segmentation: true,
            },
            answered: false,
            started: now,
            last_heard: now,
            repeats: 0,
            last_sent: Bytes::new(),
            blksize: 512,
            window: 1,
            received: 0,
            in_window: 0,
            gap: false,
            end: None,
        });
        Ok(Self {
            clients: clients.collect(),
            args: args.clone(),
            server,
            bytes,
            socket,
            out: SendBatch::new(),
            in_flight: VecDeque::new(),
            counts: Counts::default(),
            random: fastrand::Rng::new(),
            thread,
        })
    }

    fn run(mut self) -> anyhow::Result<Counts> {
        let request = self.request();
        let mut now = Instant::now();
        for index in 0..self.clients.len() {
            (self.clients[index].started, self.clients[index].last_heard) = (now, now);
            self.enqueue(index, &request, now);
        }
        let (mut received, mut last_check) = (RecvBatch::new(), now);
        let mut active = self.clients.len();
        while active > 0 {
            self.send_due(now);
            let count = received.receive(&self.socket)?;
            now = Instant::now();
            for datagram in received.iter() {
                if self.is_lost() {
                    continue;
                }
                let Some(index) = datagram.route.source.and_then(|to| self.index(to.ip())) else { continue };
                active -= usize::from(self.handle_datagram(index, datagram.route.peer, datagram.bytes, now));
            }
            if now.duration_since(last_check) >= TICK {
                last_check = now;
                active -= self.check_timers(now);
            }
            self.send_due(now);
            if count == 0 {
                self.sleep(now)?;
                now = Instant::now();
            }
        }
        for client in &self.clients {
            match &client.end {
                Some(Ok(())) => self.counts.complete += 1,
                Some(Err(reason)) => {
                    self.counts.failed += 1;
                    self.counts.first_failure.get_or_insert_with(|| reason.clone());
                }
                None => {}
            }
        }
        Ok(self.counts)
    }

    fn request(&self) -> Bytes {
        let mut packet = b"\0\x01".to_vec();
        let mut texts = vec![self.args.file.clone(), "octet".into()];
        if self.args.blksize > 0 {
            texts.extend(["blksize".into(), self.args.blksize.to_string()]);
        }
        if self.args.windowsize > 1 {
            texts.extend(["windowsize".into(), self.args.windowsize.to_string()]);
        }
        for text in texts {
            packet.extend_from_slice(text.as_bytes());
            packet.push(0);
        }
        packet.into()
    }

    /// Decides at random whether the emulated network loses a packet.
    fn is_lost(&mut self) -> bool {
        self.args.loss > 0.0 && self.random.f64() * 100.0 < self.args.loss
    }

    fn index(&self, ip: IpAddr) -> Option<usize> {
        let IpAddr::V4(ip) = ip else { return None };
        let index = (u32::from(ip) - u32::from(address(self.thread, 0))) as usize;
        (index < self.clients.len()).then_some(index)
    }

    /// Queues a packet of a client for sending.
    fn enqueue(&mut self, index: usize, packet: &Bytes, now: Instant) {
        let client = &mut self.clients[index];
        client.last_sent = packet.clone();
        let (route, is_ack) = (client.route, client.answered);
        for _ in 0..=u32::from(self.args.doubled_acks && is_ack) {
            if !self.is_lost() {
                let due = now + Duration::from_secs_f64(self.args.rtt / 1e3);
                self.in_flight.push_back((due, route, packet.clone()));
            }
        }
    }

    /// Sends the packets whose delay is over.
    fn send_due(&mut self, now: Instant) {
        while let Some((due, ..)) = self.in_flight.front()
            && *due <= now
            && let Some((_, route, packet)) = self.in_flight.pop_front()
        {
            self.out.push_single(&route, packet);
            if self.out.is_full() {
                self.out.flush(&self.socket, |_, _| {});
            }
        }
        self.out.flush(&self.socket, |_, _| {});
    }

    /// Handles a datagram for a client. Returns whether the client has ended.
    fn handle_datagram(&mut self, index: usize, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let client = &mut self.clients[index];
        if client.answered && client.route.peer != from {
            self.counts.strays += 1;
            return false;
        }
        let answer = match Packet::parse(datagram) {
            Ok(Packet::OptionAck { options }) if client.received == 0 => {
                let granted = |word: &[u8]| {
                    let value = options.iter().find(|(name, _)| name.eq_ignore_ascii_case(word))?.1;
                    std::str::from_utf8(value).ok()?.parse::<u16>().ok()
                };
                client.blksize = granted(b"blksize").map_or(512, usize::from);
                client.window = granted(b"windowsize").unwrap_or(1);
                true
            }
            Ok(Packet::Data { block, payload }) => {
                self.counts.data += 1;
                match client.handle_data(block, payload, &self.bytes) {
                    Ok(DataKind::New { acknowledge }) => {
                        if client.received == 1 {
                            self.counts.first_bytes.push(now.duration_since(client.started));
                        }
                        acknowledge
                    }
                    Ok(DataKind::Old { acknowledge }) => {
                        self.counts.repeats += 1;
                        acknowledge
                    }
                    Err(reason) => {
                        client.end = Some(Err(reason));
                        return true;
                    }
                }
            }
            Ok(Packet::Error { code, message }) if client.end.is_none() => {
                client.end = Some(Err(format!("ERROR {code}: {}", String::from_utf8_lossy(message))));
                return true;
            }
            _ => return false,
        };
        let was_over = client.end.is_some();
        client.route.peer = from;
        client.answered = true;
        client.last_heard = now;
        client.repeats = 0;
        if client.received > 0 && client.received == (self.bytes.len() / client.blksize + 1) as u64 {
            client.end = Some(Ok(()));
        }
        let ended = client.end.is_some() && !was_over;
        if answer {
            let [high, low] = (client.received as u16).to_be_bytes();
            self.enqueue(index, &Bytes::copy_from_slice(&[0, 4, high, low]), now);
        }
        ended
    }

    /// Repeats the last packets of clients that got no answer in time. Returns how many clients failed.
    fn check_timers(&mut self, now: Instant) -> usize {
        let mut ended = 0;
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            if client.end.is_some() || now.duration_since(client.last_heard).as_secs_f64() < self.args.timeout {
                continue;
            }
            client.last_heard = now;
            client.repeats += 1;
            if client.repeats > RETRIES {
                let blocks = client.received;
                client.end = Some(Err(format!("{} stopped answering after {blocks} blocks", self.server)));
                ended += 1;
            } else {
                let packet = client.last_sent.clone();
                self.enqueue(index, &packet, now);
            }
        }
        ended
    }

    fn sleep(&self, now: Instant) -> anyhow::Result<()> {
        let due = self.in_flight.front().map_or(TICK, |(due, ..)| due.saturating_duration_since(now).min(TICK));
        let mut fds = [rustix::event::PollFd::new(&self.socket, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&due.try_into()?))?;
        Ok(())
    }
}

/// The role of a DATA packet for its client.
enum DataKind {
    New { acknowledge: bool },
    Old { acknowledge: bool },
}

impl Client {
    /// Handles a block as in RFC 7440: the client sends an ACK at the end of a window and of the file, and at a gap.
    fn handle_data(&mut self, block: u16, payload: &[u8], bytes: &[u8]) -> Result<DataKind, String> {
        let ahead = block.wrapping_sub(self.received as u16);
        if ahead == 1 {
            let at = (self.received as usize * self.blksize).min(bytes.len());
            let expected = &bytes[at..bytes.len().min(at + self.blksize)];
            if payload != expected {
                return Err(format!("block {} has the wrong bytes", self.received + 1));
            }
            self.received += 1;
            self.gap = false;
            self.in_window += 1;
            let acknowledge = self.in_window >= self.window || payload.len() < self.blksize;
            if acknowledge {
                self.in_window = 0;
            }
            return Ok(DataKind::New { acknowledge });
        }
        if ahead == 0 || ahead > u16::MAX / 2 {
            // The end of the window again: its ACK was lost.
            return Ok(DataKind::Old { acknowledge: ahead == 0 && self.in_window == 0 });
        }
        self.in_window = 0;
        Ok(DataKind::Old { acknowledge: !std::mem::replace(&mut self.gap, true) })
    }
}

/// The source address of a client.
fn address(thread: usize, index: usize) -> Ipv4Addr {
    // From 127.1.0.1 on, 65,536 addresses per thread.
    Ipv4Addr::from(0x7f01_0001 + (thread as u32) * 0x1_0000 + index as u32)
}
