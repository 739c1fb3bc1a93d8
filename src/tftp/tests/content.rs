//! Files and scripts: names, bytes, and bytes that are lost.

use std::os::unix::fs::PermissionsExt as _;

use super::client::{Client, Received, oack};
use super::*;
use crate::tftp::packet::TransferMode;

#[test]
fn files_served_cold_and_cached() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    for _ in 0..2 {
        let mut client = Client::new(server.address);
        assert_eq!(client.fetch("image", "", 512, 1), image());
        assert_eq!(client.fetch("/image", "blksize 1432", 1432, 1), image());
        assert_eq!(client.fetch("\\image", "blksize 1024 windowsize 16", 1024, 16), image());
        assert_eq!(client.fetch("undionly.kpxe", "windowsize 64", 512, 64), image());
        assert_eq!(client.fetch("even", "", 512, 1), [7; 1024]);
        assert_eq!(client.fetch("empty", "windowsize 4", 512, 4), [0u8; 0]);
    }
}

/// The kernel fails to read the mapped pages while it sends them (EFAULT).
#[test]
fn lost_pages_end_transfer_then_refill() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    assert_eq!(Client::new(server.address).fetch("image", "", 512, 1), image());
    let mut client = Client::new(server.address);
    client.request("image", TransferMode::Octet, "");
    assert!(matches!(client.receive(), Received::Data(1, _)));
    let (hex, cache) = (Digest::of(&image()).to_string(), server.dir.path().join("cache"));
    let blob = cache.join("blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::File::options().write(true).open(&blob).unwrap().set_len(0).unwrap();
    client.ack(1);
    let message = "the server cannot read its cache; try again later".to_owned();
    assert_eq!(client.receive(), Received::Error(0, message));
    let deadline = Instant::now() + TEST_TIMEOUT;
    while !cache.join("quarantine").join(&hex).exists() {
        assert!(Instant::now() < deadline, "the blob is not in quarantine");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(Client::new(server.address).fetch("image", "", 512, 1), image());
}

#[test]
fn tsize_sent_in_octet_mode_only() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    let mut client = Client::new(server.address);
    client.request("image", TransferMode::Octet, "tsize 0 BlkSize 9000");
    assert_eq!(client.receive(), oack(&[("tsize", "70001"), ("BlkSize", "1468")]));
    let mut client = Client::new(server.address);
    client.request("text", TransferMode::Netascii, "tsize 0");
    assert_eq!(client.receive(), Received::Data(1, b"one\r\ntwo\r\0\r\n".to_vec()));
}

#[test]
fn script_urls_use_requested_address() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    for name in ["autoexec.ipxe", "/boot/autoexec.ipxe", "boot.ipxe"] {
        let script = String::from_utf8(Client::new(server.address).fetch(name, "", 512, 1)).unwrap();
        assert!(script.starts_with("#!ipxe\n"), "{script}");
        // The requested address, with the port of the HTTP server.
        assert!(script.contains("http://127.0.0.1:8080/ipxe?"), "{script}");
    }
    let grub = String::from_utf8(Client::new(server.address).fetch("grub/grub.cfg", "blksize 1024", 1024, 1)).unwrap();
    assert!(grub.contains("127.0.0.1:8080"), "{grub}");
}

#[test]
fn careless_file_names_are_understood() {
    let server = TestServer::start(settings("127.0.0.1:0"));
    for name in ["even", "/even", "boot/../even", ".\\even", "EVEN"] {
        assert_eq!(Client::new(server.address).fetch(name, "", 512, 1).len(), 1024, "{name}");
    }
    let text = |name: &str| String::from_utf8(Client::new(server.address).fetch(name, "", 512, 1)).unwrap();
    // GRUB without HTTP says all that it knows in the name.
    let grub = text("grub/grub.cfg?mac=52:54:00:12:34:56&serial=ABC1234");
    assert!(grub.starts_with("set received=script\n") && grub.contains("ABC1234"), "{grub}");
    assert!(text("boot/pxelinux.cfg/01-52-54-00-12-34-56").contains("MAC address 52:54:00:12:34:56"));
}
