//! An S3 origin with credentials from Vault.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::s3::{ACCESS_KEY, SECRET_KEY};
use crate::support::{FakeOrigin, TestSite, random_bytes};

/// Starts a fake Vault with one secret, `kv/boot/s3`. Returns its address and the requested paths.
fn fake_vault(secret: Value) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let requested = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&requested);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut head: Vec<String> = Vec::new();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            head.extend(lines.take_while(|line| !line.is_empty()));
            let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { continue };
            let authorized = head.iter().any(|line| line.eq_ignore_ascii_case("x-vault-token: hvs.test"));
            let (status, answer) = match path {
                _ if !authorized => (403, json!({ "errors": ["permission denied"] })),
                "/v1/auth/token/lookup-self" => (200, json!({ "data": { "ttl": 0, "renewable": false } })),
                "/v1/kv/data/boot/s3" => {
                    (200, json!({ "lease_duration": 0, "data": { "data": secret, "metadata": {} } }))
                }
                _ => (404, json!({ "errors": [] })),
            };
            recorded.lock().expect("the list").push(path.to_owned());
            let text = answer.to_string();
            let head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
            let _ = (&stream).write_all((head + &text).as_bytes());
        }
    });
    (address, requested)
}

fn credentials() -> toml::Table {
    toml::toml! {
        from = "vault"
        path = "kv/boot/s3"
    }
}

#[test]
fn vault_keys_are_read_once() {
    let origin = FakeOrigin::start();
    let image = origin.put("okd/rootfs.img", random_bytes(1, 3 << 20));
    let (address, requested) = fake_vault(json!({ "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY }));
    let site = TestSite::new(&origin).origin_with(&origin.endpoint(), credentials()).asset(&image);
    let mut command = site.command();
    command.env("VAULT_ADDR", address).env("VAULT_TOKEN", "hvs.test");
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("VAULT_NAMESPACE");
    let server = TestSite::run(command);
    assert!(server.client().compare("/assets/okd/rootfs.img", &image.bytes));
    assert_eq!(*requested.lock().expect("the list"), ["/v1/auth/token/lookup-self", "/v1/kv/data/boot/s3"]);
}

#[test]
fn vault_refusal_is_logged_not_sent() {
    let origin = FakeOrigin::start();
    let image = origin.put("okd/rootfs.img", random_bytes(1, 1000));
    let (address, _) = fake_vault(json!({}));
    let site = TestSite::new(&origin).origin_with(&origin.endpoint(), credentials()).asset(&image);
    let mut command = site.command();
    command.env("VAULT_ADDR", address).env("VAULT_TOKEN", "hvs.wrong").env_remove("VAULT_NAMESPACE");
    let server = TestSite::run(command);
    let answer = server.client().get("/assets/okd/rootfs.img");
    assert_eq!(answer.status, 503);
    assert!(!answer.text().to_lowercase().contains("vault"), "{}", answer.text());
    let fill = server.wait_for_fill(&image.key, "origin-failed");
    let detail = fill.text("detail");
    assert!(detail.contains("vault:kv/boot/s3#access_key_id: Vault refuses (403): "), "{detail}");
    assert!(!detail.contains("hvs.wrong"), "{detail}");
}
