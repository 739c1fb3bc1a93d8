//! A TFTP client that a test leads packet by packet.

use std::net::{SocketAddr, UdpSocket};

use super::TEST_TIMEOUT;
use crate::tftp::Packet;
use crate::tftp::packet::TransferMode;

/// A packet that a client received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Received {
    OptionAck(Vec<(String, String)>),
    Data(u16, Vec<u8>),
    Error(u16, String),
}

pub(super) struct Client {
    pub(super) socket: UdpSocket,
    pub(super) server: SocketAddr,
    /// The sender of the last datagram.
    pub(super) from: SocketAddr,
}

impl Client {
    pub(super) fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        socket.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        Self { socket, server, from: server }
    }

    pub(super) fn send(&self, to: SocketAddr, packet: &[u8]) {
        self.socket.send_to(packet, to).unwrap();
    }

    /// Sends an RRQ. `options` are names and values, separated by blanks.
    pub(super) fn request(&self, name: &str, mode: TransferMode, options: &str) {
        let options: String = options.split_whitespace().flat_map(|text| [text, "\0"]).collect();
        self.send(self.server, format!("\0\x01{name}\0{mode}\0{options}").as_bytes());
    }

    pub(super) fn ack(&self, block: u16) {
        let [high, low] = block.to_be_bytes();
        self.send(self.from, &[0, 4, high, low]);
    }

    pub(super) fn receive(&mut self) -> Received {
        let mut buffer = vec![0; 70_000];
        let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
        self.from = from;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match Packet::parse(&buffer[..length]).unwrap() {
            Packet::OptionAck { options } => {
                Received::OptionAck(options.iter().map(|(n, v)| (text(n), text(v))).collect())
            }
            Packet::Data { block, payload } => Received::Data(block, payload.to_vec()),
            Packet::Error { code, message } => Received::Error(code, text(message)),
            other => panic!("{other:?}"),
        }
    }

    /// Receives a file in blocks of `blksize` bytes, from block 1 on, and sends an ACK for each window.
    pub(super) fn receive_file(&mut self, blksize: usize, window: u16) -> Vec<u8> {
        let (mut bytes, mut block) = (Vec::new(), 1u16);
        loop {
            let (number, payload) = match self.receive() {
                // On a busy machine an ACK may come after the retransmission of what it acknowledges. The first OACK may also have been
                // a retransmission of the last transfer, so that this is the one to acknowledge.
                Received::OptionAck(_) if block == 1 => {
                    self.ack(0);
                    continue;
                }
                Received::Data(number, _) if number.wrapping_add(1) == block => continue,
                Received::Data(number, payload) => (number, payload),
                other => panic!("no DATA for block {block}: {other:?}"),
            };
            assert_eq!(number, block);
            bytes.extend_from_slice(&payload);
            let last = payload.len() < blksize;
            if last || block % window == 0 {
                self.ack(block);
            }
            if last {
                return bytes;
            }
            block += 1;
        }
    }

    pub(super) fn fetch(&mut self, name: &str, options: &str, blksize: usize, window: u16) -> Vec<u8> {
        self.request(name, TransferMode::Octet, options);
        if !options.is_empty() {
            assert!(matches!(self.receive(), Received::OptionAck(_)));
            self.ack(0);
        }
        self.receive_file(blksize, window)
    }
}

pub(super) fn oack(pairs: &[(&str, &str)]) -> Received {
    Received::OptionAck(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}
