//! Vault as its API describes it: a scripted server that takes no request but the next one it waits for.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};

use super::settings::Login;
use super::*;

/// One request that is expected, and its answer.
struct Turn {
    /// The method and the path.
    line: &'static str,
    /// The token that it has to carry.
    token: Option<&'static str>,
    /// The JSON that it has to carry.
    body: Option<Value>,
    status: u16,
    answer: String,
}

fn turn(line: &'static str, token: Option<&'static str>, status: u16, answer: &str) -> Turn {
    Turn { line, token, body: None, status, answer: answer.to_owned() }
}

/// A read of the key-value engine, version 2.
fn secret(line: &'static str, token: &'static str, fields: &str) -> Turn {
    let answer = format!(
        r#"{{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":{{"data":{fields},
        "metadata":{{"created_time":"2026-01-01T00:00:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":2}}}},
        "wrap_info":null,"warnings":null,"auth":null}}"#
    );
    turn(line, Some(token), 200, &answer)
}

fn granted(token: &str, seconds: u64) -> String {
    format!(
        r#"{{"auth":{{"client_token":"{token}","accessor":"a","policies":["default"],"lease_duration":{seconds},"renewable":true}}}}"#
    )
}

const LIFE: Option<&str> = Some("t1");

/// What a token without an end says of itself.
fn endless() -> Turn {
    turn("GET /v1/auth/token/lookup-self", LIFE, 200, r#"{"data":{"ttl":0,"renewable":false,"type":"service"}}"#)
}

/// The server; its turns that have not come yet.
struct Script {
    address: String,
    left: Arc<Mutex<VecDeque<Turn>>>,
}

impl Script {
    async fn new(turns: Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let left = Arc::new(Mutex::new(VecDeque::from(turns)));
        let turns = Arc::clone(&left);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(BufStream::new(stream), Arc::clone(&turns)));
            }
        });
        Self { address, left }
    }

    fn vault(&self, login: Login) -> Vault {
        Vault::new(VaultSettings { namespace: Some("lab".into()), ..settings(&self.address, login) })
    }

    fn is_over(&self) -> bool {
        self.left.lock().unwrap().is_empty()
    }
}

/// Answers the requests of one connection; what is not expected is answered 418.
async fn serve(mut stream: BufStream<TcpStream>, turns: Arc<Mutex<VecDeque<Turn>>>) -> std::io::Result<()> {
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
        let (status, answer) = match turns.lock().unwrap().pop_front() {
            Some(turn)
                if head[0] == format!("{} HTTP/1.1", turn.line)
                    && field("X-Vault-Token") == turn.token
                    && field("X-Vault-Namespace") == Some("lab")
                    && field("X-Vault-Request") == Some("true")
                    && turn
                        .body
                        .as_ref()
                        .is_none_or(|wanted| serde_json::from_slice::<Value>(&body).unwrap() == *wanted) =>
            {
                (turn.status, turn.answer)
            }
            other => {
                let expected = other.map(|turn| turn.line);
                (418, json_errors(&format!("expected {expected:?}, got {head:?}")))
            }
        };
        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

fn json_errors(text: &str) -> String {
    serde_json::json!({ "errors": [text] }).to_string()
}

fn settings(address: &str, login: Login) -> VaultSettings {
    VaultSettings { address: Some(address.to_owned()), login: Some(login), ..VaultSettings::default() }
}

fn given() -> Login {
    Login::Token("t1".to_owned())
}

async fn message(vault: &Vault, reference: &str) -> String {
    vault.reveal(reference).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_field_is_read_and_believed_for_a_while() {
    let read = secret("GET /v1/kv/data/hosts/a%20b", "t1", r#"{"root":"hush","port":22,"on":true,"list":[1]}"#);
    let script = Script::new(vec![endless(), read]).await;
    let vault = script.vault(given());
    for (field, value) in [("root", "hush"), ("port", "22"), ("on", "true"), ("root", "hush")] {
        assert_eq!(vault.reveal(&format!("kv/hosts/a b#{field}")).await.unwrap(), value);
    }
    assert!(script.is_over(), "one request for all of them");
    assert_eq!(message(&vault, "kv/hosts/a b#list").await, "vault:kv/hosts/a b#list: the field is not a text");
    assert_eq!(
        message(&vault, "kv/hosts/a b#rot").await,
        "vault:kv/hosts/a b#rot: the secret has no such field; it has list, on, port, root"
    );
}

#[tokio::test]
async fn all_who_want_a_secret_at_once_ask_once() {
    let script = Script::new(vec![endless(), secret("GET /v1/kv/data/x", "t1", r#"{"f":"v"}"#)]).await;
    let vault = script.vault(given());
    let revealed = futures_util::future::join_all((0..20).map(|_| vault.reveal("kv/x#f"))).await;
    assert!(revealed.iter().all(|value| value.as_deref() == Ok("v")), "{revealed:?}");
}

#[tokio::test]
async fn what_is_leased_is_read_again_before_its_end() {
    let leased = |value: &str| {
        turn("GET /v1/kv/data/x", LIFE, 200, &format!(r#"{{"lease_duration":1,"data":{{"data":{{"f":"{value}"}}}}}}"#))
    };
    let script = Script::new(vec![endless(), leased("one"), leased("two")]).await;
    let vault = script.vault(given());
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "one");
    // Not a matter of time: however long it takes, the next value comes.
    while vault.reveal("kv/x#f").await.unwrap() == "one" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(script.is_over());
}

#[tokio::test]
async fn what_vault_refuses_is_told_by_what_it_means() {
    let deleted = r#"{"data":{"data":null,"metadata":{"deletion_time":"2026-01-01T00:00:00Z"}}}"#;
    let script = Script::new(vec![
        endless(),
        turn("GET /v1/kv/data/x", LIFE, 404, r#"{"errors":[]}"#),
        turn("GET /v1/kv/data/x", LIFE, 404, deleted),
        turn("GET /v1/kv/data/x", LIFE, 200, deleted),
        turn("GET /v1/kv/data/x", LIFE, 403, &json_errors("permission denied")),
        turn("GET /v1/kv/data/x", LIFE, 503, &json_errors("Vault is sealed")),
        turn("GET /v1/kv/data/x", LIFE, 200, "<html>"),
        secret("GET /v1/kv/data/x", "t1", r#"{"f":"v"}"#),
    ])
    .await;
    let vault = script.vault(given());
    let gone = "vault:kv/x#f: Vault has no such secret, or its newest version is deleted; is it of the key-value engine, version 2?";
    for expected in [
        gone,
        gone,
        gone,
        "vault:kv/x#f: Vault refuses (403): the token has expired, or its policy does not let it read this",
        "vault:kv/x#f: Vault answered 503: Vault is sealed",
        "vault:kv/x#f: Vault's answer is not understood; is VAULT_ADDR that of Vault?",
    ] {
        assert_eq!(message(&vault, "kv/x#f").await, expected);
    }
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v", "no failure is remembered");
}

#[tokio::test]
async fn what_is_missing_to_ask_at_all_is_named() {
    let without = |change: fn(&mut VaultSettings)| {
        let mut settings = settings("http://127.0.0.1:9", given());
        change(&mut settings);
        Vault::new(settings)
    };
    let vault = without(|it| it.address = None);
    assert_eq!(message(&vault, "kv/x#f").await, "vault:kv/x#f: VAULT_ADDR is not set; it is Vault's URL");
    let vault = without(|it| it.login = None);
    assert!(message(&vault, "kv/x#f").await.contains("set VAULT_TOKEN, VAULT_TOKEN_FILE or VAULT_K8S_ROLE"));
    let vault = without(|it| it.address = Some("vault.lab:8200".to_owned()));
    assert!(message(&vault, "kv/x#f").await.contains("VAULT_ADDR is no URL"));
    let vault = without(|it| it.ca_file = Some(PathBuf::from("/nowhere/ca.pem")));
    assert!(message(&vault, "kv/x#f").await.contains("VAULT_CACERT /nowhere/ca.pem cannot be read"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let vault = Vault::new(settings(&format!("http://{free}"), given()));
    let unreachable = message(&vault, "kv/x#f").await;
    assert!(
        unreachable.starts_with(&format!("vault:kv/x#f: Vault at http://{free} cannot be reached: ")),
        "{unreachable}"
    );
}

#[tokio::test]
async fn certificates_that_come_late_are_looked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let vault = Vault::new(VaultSettings { ca_file: Some(path.clone()), ..settings("http://127.0.0.1:9", given()) });
    assert!(message(&vault, "kv/x#f").await.contains("cannot be read"));
    std::fs::write(&path, "").unwrap();
    assert!(message(&vault, "kv/x#f").await.contains("holds no certificate"));
}

#[tokio::test]
async fn a_token_in_a_file_is_read_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let script = Script::new(vec![
        secret("GET /v1/kv/data/x", "f1", r#"{"f":"v"}"#),
        secret("GET /v1/kv/data/y", "f2", r#"{"f":"w"}"#),
    ])
    .await;
    let vault = script.vault(Login::File(path.clone()));
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

fn login(status: u16, answer: &str) -> Turn {
    let body = Some(serde_json::json!({ "role": "bootdepot", "jwt": "ey.jwt" }));
    Turn { body, ..turn("POST /v1/auth/kubernetes/login", None, status, answer) }
}

#[tokio::test]
async fn a_service_account_logs_in_and_again_when_its_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::new(vec![
        login(200, &granted("k1", 3600)),
        secret("GET /v1/kv/data/x", "k1", r#"{"f":"v"}"#),
        turn("GET /v1/kv/data/y", Some("k1"), 403, &json_errors("permission denied")),
        login(200, &granted("k2", 3600)),
        secret("GET /v1/kv/data/y", "k2", r#"{"f":"w"}"#),
        turn("GET /v1/kv/data/z", Some("k2"), 403, &json_errors("permission denied")),
        login(200, &granted("k3", 3600)),
        turn("GET /v1/kv/data/z", Some("k3"), 403, &json_errors("permission denied")),
    ])
    .await;
    let vault = script.vault(kubernetes(&dir));
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v");
    assert_eq!(vault.reveal("kv/y#f").await.unwrap(), "w");
    assert!(message(&vault, "kv/z#f").await.contains("refuses (403)"), "it is the policy, then");
    assert!(script.is_over());
}

#[tokio::test]
async fn a_service_account_logs_in_again_before_its_token_ends() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::new(vec![
        login(200, &granted("k1", 1)),
        secret("GET /v1/kv/data/x", "k1", r#"{"f":"v"}"#),
        login(200, &granted("k2", 3600)),
        secret("GET /v1/kv/data/y", "k2", r#"{"f":"w"}"#),
    ])
    .await;
    let vault = script.vault(kubernetes(&dir));
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v");
    // Past two thirds of a second, for the token's own clock runs on.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(vault.reveal("kv/y#f").await.unwrap(), "w");
    assert!(script.is_over());
}

#[tokio::test]
async fn a_login_that_is_refused_is_told_from_a_read() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::new(vec![
        login(400, &json_errors("invalid role name \"bootdepot\"")),
        login(403, &json_errors("permission denied")),
        login(404, r#"{"errors":["no handler for route"]}"#),
    ])
    .await;
    let vault = script.vault(kubernetes(&dir));
    for expected in [
        "vault:kv/x#f: Vault refuses the login with 400: invalid role name \"bootdepot\"",
        "vault:kv/x#f: Vault refuses the login with 403",
        "vault:kv/x#f: Vault refuses the login with 404; is VAULT_K8S_MOUNT_PATH right?",
    ] {
        assert_eq!(message(&vault, "kv/x#f").await, expected);
    }
}

#[tokio::test]
async fn a_given_token_is_renewed_before_it_ends() {
    let life = turn("GET /v1/auth/token/lookup-self", LIFE, 200, r#"{"data":{"ttl":1,"renewable":true}}"#);
    let renewal = |seconds| turn("POST /v1/auth/token/renew-self", LIFE, 200, &granted("t1", seconds));
    let read = secret("GET /v1/kv/data/x", "t1", r#"{"f":"v"}"#);
    let script = Script::new(vec![life, read, renewal(1), renewal(3600)]).await;
    let vault = script.vault(given());
    assert_eq!(vault.reveal("kv/x#f").await.unwrap(), "v");
    // Nobody asks for anything meanwhile.
    while !script.is_over() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_token_that_may_not_look_itself_up_may_still_read() {
    let refused = turn("GET /v1/auth/token/lookup-self", LIFE, 403, &json_errors("permission denied"));
    let script = Script::new(vec![refused, secret("GET /v1/kv/data/x", "t1", r#"{"f":"v"}"#)]).await;
    assert_eq!(script.vault(given()).reveal("kv/x#f").await.unwrap(), "v");
}

#[test]
fn the_environment_is_read_as_vaults_own_tools_do() {
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
