//! Tests against a scripted server that accepts only the next expected request, in the format of Vault's API.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};

use bootdepot_test_support::deadline::stretch;

use super::client::Vault;
use super::settings::{Login, VaultSettings};

/// An expected request and its reply.
struct Exchange {
    /// Method and path.
    line: &'static str,
    /// The required token.
    token: Option<&'static str>,
    /// The required JSON body.
    body: Option<Value>,
    status: u16,
    reply: String,
}

fn exchange(line: &'static str, token: Option<&'static str>, status: u16, reply: &str) -> Exchange {
    Exchange { line, token, body: None, status, reply: reply.to_owned() }
}

/// A read of the key-value engine, version 2.
fn secret(line: &'static str, token: &'static str, fields: &str) -> Exchange {
    let reply = format!(
        r#"{{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":{{"data":{fields},
        "metadata":{{"created_time":"2026-01-01T00:00:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":2}}}},
        "wrap_info":null,"warnings":null,"auth":null}}"#
    );
    exchange(line, Some(token), 200, &reply)
}

fn granted(token: &str, seconds: u64) -> String {
    format!(
        r#"{{"auth":{{"client_token":"{token}","accessor":"a","policies":["default"],"lease_duration":{seconds},"renewable":true}}}}"#
    )
}

const TOKEN: Option<&str> = Some("t1");

/// The lookup of a token that does not expire.
fn lookup_without_expiry() -> Exchange {
    exchange("GET /v1/auth/token/lookup-self", TOKEN, 200, r#"{"data":{"ttl":0,"renewable":false,"type":"service"}}"#)
}

/// The server, and the exchanges that are still expected.
struct ScriptedVault {
    address: String,
    remaining: Arc<Mutex<VecDeque<Exchange>>>,
}

impl ScriptedVault {
    async fn new(exchanges: Vec<Exchange>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let remaining = Arc::new(Mutex::new(VecDeque::from(exchanges)));
        let expected = Arc::clone(&remaining);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(BufStream::new(stream), Arc::clone(&expected)));
            }
        });
        Self { address, remaining }
    }

    fn vault(&self, login: Login) -> Vault {
        Vault::new(VaultSettings { namespace: Some("lab".into()), ..settings(&self.address, login) })
    }

    fn is_finished(&self) -> bool {
        self.remaining.lock().unwrap().is_empty()
    }
}

/// Serves one connection. Answers unexpected requests with 418.
async fn serve(mut stream: BufStream<TcpStream>, exchanges: Arc<Mutex<VecDeque<Exchange>>>) -> std::io::Result<()> {
    loop {
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let field = |name: &str| {
            let values = head.iter().filter_map(|line| line.split_once(": "));
            values.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
        };
        let (status, reply) = match exchanges.lock().unwrap().pop_front() {
            Some(exchange)
                if head[0] == format!("{} HTTP/1.1", exchange.line)
                    && field("X-Vault-Token") == exchange.token
                    && field("X-Vault-Namespace") == Some("lab")
                    && field("X-Vault-Request") == Some("true")
                    && exchange
                        .body
                        .as_ref()
                        .is_none_or(|expected| serde_json::from_slice::<Value>(&body).unwrap() == *expected) =>
            {
                (exchange.status, exchange.reply)
            }
            other => {
                let expected = other.map(|exchange| exchange.line);
                (418, json_errors(&format!("expected {expected:?}, got {head:?}")))
            }
        };
        let reply = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{reply}", reply.len());
        stream.write_all(reply.as_bytes()).await?;
        stream.flush().await?;
    }
}

fn json_errors(text: &str) -> String {
    serde_json::json!({ "errors": [text] }).to_string()
}

fn settings(address: &str, login: Login) -> VaultSettings {
    VaultSettings { address: Some(address.to_owned()), login: Some(login), ..VaultSettings::default() }
}

fn token_login() -> Login {
    Login::Token("t1".to_owned())
}

/// Waits until `condition` holds. Fails at a deadline that stretches on a busy machine.
async fn eventually(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + stretch(Duration::from_mins(1));
    while !condition().await {
        assert!(Instant::now() < deadline, "the condition did not become true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn message(vault: &Vault, reference: &str) -> String {
    vault.reveal(reference).await.unwrap_err().to_string()
}

#[tokio::test]
async fn secret_fields_are_cached() {
    let read = secret("GET /v1/kv/data/hosts/a%20b", "t1", r#"{"root":"hush","port":22,"on":true,"list":[1]}"#);
    let server = ScriptedVault::new(vec![lookup_without_expiry(), read]).await;
    let vault = server.vault(token_login());
    for (field, value) in [("root", "hush"), ("port", "22"), ("on", "true"), ("root", "hush")] {
        assert_eq!(vault.reveal(&format!("kv/hosts/a b#{field}")).await.unwrap(), value);
    }
    assert!(server.is_finished(), "one request for all of them");
    assert_eq!(message(&vault, "kv/hosts/a b#list").await, "vault:kv/hosts/a b#list: the field is not a text");
    assert_eq!(
        message(&vault, "kv/hosts/a b#rot").await,
        "vault:kv/hosts/a b#rot: the secret has no such field; it has list, on, port, root"
    );
}

#[tokio::test]
async fn concurrent_reads_share_one_request() {
    let server =
        ScriptedVault::new(vec![lookup_without_expiry(), secret("GET /v1/kv/data/x", "t1", r#"{"f":"v"}"#)]).await;
    let vault = server.vault(token_login());
    let revealed = futures_util::future::join_all((0..20).map(|_| vault.reveal("kv/x#f"))).await;
    assert!(revealed.iter().all(|value| value.as_deref().is_ok_and(|value| value == "v")), "{revealed:?}");
}

#[tokio::test]
async fn leased_secret_is_reread_before_expiry() {
    let leased = |value: &str| {
        exchange(
            "GET /v1/kv/data/x",
            TOKEN,
            200,
            &format!(r#"{{"lease_duration":1,"data":{{"data":{{"f":"{value}"}}}}}}"#),
        )
    };
    let server = ScriptedVault::new(vec![lookup_without_expiry(), leased("one"), leased("two")]).await;
    let vault = server.vault(token_login());
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "one");
    eventually(async || vault.reveal("kv/x#f").await.unwrap() == "two").await;
    assert!(server.is_finished());
}

#[tokio::test]
async fn error_statuses_are_classified() {
    let deleted = r#"{"data":{"data":null,"metadata":{"deletion_time":"2026-01-01T00:00:00Z"}}}"#;
    let server = ScriptedVault::new(vec![
        lookup_without_expiry(),
        exchange("GET /v1/kv/data/x", TOKEN, 404, r#"{"errors":[]}"#),
        exchange("GET /v1/kv/data/x", TOKEN, 404, deleted),
        exchange("GET /v1/kv/data/x", TOKEN, 200, deleted),
        exchange("GET /v1/kv/data/x", TOKEN, 403, &json_errors("permission denied")),
        exchange("GET /v1/kv/data/x", TOKEN, 503, &json_errors("Vault is sealed")),
        exchange("GET /v1/kv/data/x", TOKEN, 200, "<html>"),
        secret("GET /v1/kv/data/x", "t1", r#"{"f":"v"}"#),
    ])
    .await;
    let vault = server.vault(token_login());
    let gone = "vault:kv/x#f: Vault has no such secret, or its newest version is deleted; check that its engine is key-value version 2";
    for expected in [
        gone,
        gone,
        gone,
        "vault:kv/x#f: Vault refuses (403): the token has expired, or its policy does not allow it to read this secret",
        "vault:kv/x#f: Vault answered 503: Vault is sealed",
        "vault:kv/x#f: the reply is not from Vault; check VAULT_ADDR",
    ] {
        assert_eq!(message(&vault, "kv/x#f").await, expected);
    }
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v", "failures are not cached");
}

#[tokio::test]
async fn missing_settings_are_named() {
    let without = |change: fn(&mut VaultSettings)| {
        let mut settings = settings("http://127.0.0.1:9", token_login());
        change(&mut settings);
        Vault::new(settings)
    };
    let vault = without(|it| it.address = None);
    assert_eq!(message(&vault, "kv/x#f").await, "vault:kv/x#f: VAULT_ADDR is not set; set it to Vault's URL");
    let vault = without(|it| it.login = None);
    assert!(message(&vault, "kv/x#f").await.contains("set VAULT_TOKEN, VAULT_TOKEN_FILE or VAULT_K8S_ROLE"));
    let vault = without(|it| it.address = Some("vault.lab:8200".to_owned()));
    assert!(message(&vault, "kv/x#f").await.contains("VAULT_ADDR is not"));
    let vault = without(|it| it.ca_file = Some(PathBuf::from("/nowhere/ca.pem")));
    assert!(message(&vault, "kv/x#f").await.contains("VAULT_CACERT /nowhere/ca.pem cannot be read"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let vault = Vault::new(settings(&format!("http://{free}"), token_login()));
    let unreachable = message(&vault, "kv/x#f").await;
    assert!(
        unreachable.starts_with(&format!("vault:kv/x#f: Vault at http://{free} cannot be reached: ")),
        "{unreachable}"
    );
}

#[tokio::test]
async fn missing_ca_file_is_retried() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let vault =
        Vault::new(VaultSettings { ca_file: Some(path.clone()), ..settings("http://127.0.0.1:9", token_login()) });
    assert!(message(&vault, "kv/x#f").await.contains("cannot be read"));
    std::fs::write(&path, "").unwrap();
    assert!(message(&vault, "kv/x#f").await.contains("contains no certificate"));
}

#[tokio::test]
async fn token_file_is_read_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let server = ScriptedVault::new(vec![
        secret("GET /v1/kv/data/x", "f1", r#"{"f":"v"}"#),
        secret("GET /v1/kv/data/y", "f2", r#"{"f":"w"}"#),
    ])
    .await;
    let vault = server.vault(Login::File(path.clone()));
    assert!(message(&vault, "kv/x#f").await.contains("there is no token"));
    std::fs::write(&path, "f1\n").unwrap();
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v");
    std::fs::write(&path, "f2").unwrap();
    assert_eq!(vault.reveal("kv/y#f").await.unwrap(), "w");
}

fn kubernetes(dir: &tempfile::TempDir) -> Login {
    let token = dir.path().join("jwt");
    std::fs::write(&token, "ey.jwt\n").unwrap();
    Login::Kubernetes { role: "bootdepot".to_owned(), mount: "auth/kubernetes".to_owned(), token }
}

fn login(status: u16, reply: &str) -> Exchange {
    let body = Some(serde_json::json!({ "role": "bootdepot", "jwt": "ey.jwt" }));
    Exchange { body, ..exchange("POST /v1/auth/kubernetes/login", None, status, reply) }
}

#[tokio::test]
async fn refused_token_triggers_new_login() {
    let dir = tempfile::tempdir().unwrap();
    let server = ScriptedVault::new(vec![
        login(200, &granted("k1", 3600)),
        secret("GET /v1/kv/data/x", "k1", r#"{"f":"v"}"#),
        exchange("GET /v1/kv/data/y", Some("k1"), 403, &json_errors("permission denied")),
        login(200, &granted("k2", 3600)),
        secret("GET /v1/kv/data/y", "k2", r#"{"f":"w"}"#),
        exchange("GET /v1/kv/data/z", Some("k2"), 403, &json_errors("permission denied")),
        login(200, &granted("k3", 3600)),
        exchange("GET /v1/kv/data/z", Some("k3"), 403, &json_errors("permission denied")),
    ])
    .await;
    let vault = server.vault(kubernetes(&dir));
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v");
    assert_eq!(vault.reveal("kv/y#f").await.unwrap(), "w");
    assert!(message(&vault, "kv/z#f").await.contains("refuses (403)"), "a second refusal is the policy's");
    assert!(server.is_finished());
}

#[tokio::test]
async fn login_repeats_before_token_expiry() {
    let dir = tempfile::tempdir().unwrap();
    let server = ScriptedVault::new(vec![
        login(200, &granted("k1", 1)),
        secret("GET /v1/kv/data/x", "k1", r#"{"f":"v"}"#),
        login(200, &granted("k2", 3600)),
        secret("GET /v1/kv/data/y", "k2", r#"{"f":"w"}"#),
    ])
    .await;
    let vault = server.vault(kubernetes(&dir));
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v");
    // The token of one second is due for renewal after two thirds of it.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(vault.reveal("kv/y#f").await.unwrap(), "w");
    assert!(server.is_finished());
}

#[tokio::test]
async fn refused_login_names_status() {
    let dir = tempfile::tempdir().unwrap();
    let server = ScriptedVault::new(vec![
        login(400, &json_errors("invalid role name \"bootdepot\"")),
        login(403, &json_errors("permission denied")),
        login(404, r#"{"errors":["no handler for route"]}"#),
    ])
    .await;
    let vault = server.vault(kubernetes(&dir));
    for expected in [
        "vault:kv/x#f: Vault refuses the login with 400: invalid role name \"bootdepot\"",
        "vault:kv/x#f: Vault refuses the login with 403",
        "vault:kv/x#f: Vault refuses the login with 404; check VAULT_K8S_MOUNT_PATH",
    ] {
        assert_eq!(message(&vault, "kv/x#f").await, expected);
    }
}

#[tokio::test]
async fn given_token_is_renewed_before_expiry() {
    let life = exchange("GET /v1/auth/token/lookup-self", TOKEN, 200, r#"{"data":{"ttl":1,"renewable":true}}"#);
    let renewal = |seconds| exchange("POST /v1/auth/token/renew-self", TOKEN, 200, &granted("t1", seconds));
    let read = secret("GET /v1/kv/data/x", "t1", r#"{"f":"v"}"#);
    let server = ScriptedVault::new(vec![life, read, renewal(1), renewal(3600)]).await;
    let vault = server.vault(token_login());
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v");
    // The session renews the token without any further read.
    eventually(async || server.is_finished()).await;
}

#[tokio::test]
async fn failed_token_renewal_is_retried() {
    let lookup = exchange("GET /v1/auth/token/lookup-self", TOKEN, 200, r#"{"data":{"ttl":1,"renewable":true}}"#);
    let renewal = |status, reply: &str| exchange("POST /v1/auth/token/renew-self", TOKEN, status, reply);
    let read = secret("GET /v1/kv/data/x", "t1", r#"{"f":"v"}"#);
    let failed = renewal(503, &json_errors("Vault is sealed"));
    let server = ScriptedVault::new(vec![lookup, read, failed, renewal(200, &granted("t1", 3600))]).await;
    let vault = server.vault(token_login());
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v");
    eventually(async || server.is_finished()).await;
}

#[tokio::test]
async fn denied_token_lookup_still_reads() {
    let refused = exchange("GET /v1/auth/token/lookup-self", TOKEN, 403, &json_errors("permission denied"));
    let server = ScriptedVault::new(vec![refused, secret("GET /v1/kv/data/x", "t1", r#"{"f":"v"}"#)]).await;
    assert_eq!(server.vault(token_login()).reveal("kv/x#f").await.unwrap(), "v");
}

#[test]
fn environment_follows_vault_cli_rules() {
    let read = |pairs: &[(&str, &str)]| {
        let find = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        VaultSettings::read(find, Some("/home/me".into()))
    };
    assert_eq!(read(&[]).login, Some(Login::File("/home/me/.vault-token".into())));
    let all = [
        ("VAULT_ADDR", "https://vault.lab:8200"),
        ("VAULT_NAMESPACE", ""),
        ("VAULT_CACERT", "/ca.pem"),
        ("VAULT_TOKEN", "t\n"),
        ("VAULT_TOKEN_FILE", "/t"),
        ("VAULT_K8S_ROLE", "r"),
    ];
    let settings = read(&all);
    assert_eq!((settings.address.as_deref(), settings.namespace), (Some("https://vault.lab:8200"), None));
    assert_eq!((settings.ca_file, settings.login), (Some("/ca.pem".into()), Some(Login::Token("t".to_owned()))));
    assert_eq!(read(&all[4..]).login, Some(Login::File("/t".into())));
    let (mount, token) = ("auth/kubernetes".to_owned(), "/var/run/secrets/kubernetes.io/serviceaccount/token".into());
    assert_eq!(read(&all[5..]).login, Some(Login::Kubernetes { role: "r".to_owned(), mount, token }));
}
