//! Conditional reads.

use super::fake::{Act, ScriptedServer};
use super::*;
use crate::origin::Validator;

const FIRST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"1\"\r\n\r\none";

async fn read_if_changed(origins: &Origins, url: &str, known: Option<&Validator>) -> Option<(Vec<u8>, Validator)> {
    let mut reply = origins.read_if_changed(&source(url), known).await.unwrap()?;
    Some((collect(&mut reply).await.unwrap(), reply.validator.clone().unwrap()))
}

#[tokio::test]
async fn unchanged_source_sends_no_body() {
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"2\"\r\n\r\ntwo";
    let acts = [FIRST, "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n", second];
    let server = ScriptedServer::start(acts.map(|act| Act::Reply(act.to_owned()))).await;
    let (origins, url) = (origins(Vec::new()), server.url("/catalog.toml"));
    let (text, validator) = read_if_changed(&origins, &url, None).await.unwrap();
    assert_eq!(text, b"one");
    assert!(read_if_changed(&origins, &url, Some(&validator)).await.is_none());
    assert_eq!(read_if_changed(&origins, &url, Some(&validator)).await.unwrap().0, b"two");
    let requests = server.requests();
    assert!(!requests[0].contains("if-none-match"), "{}", requests[0]);
    assert!(requests[1].contains("\r\nif-none-match: \"1\"\r\n"), "{}", requests[1]);
}

#[tokio::test]
async fn ignored_condition_compares_validator() {
    let server = ScriptedServer::start([Act::Reply(FIRST.to_owned()), Act::Reply(FIRST.to_owned())]).await;
    let (origins, url) = (origins(Vec::new()), server.url("/catalog.toml"));
    let (_, validator) = read_if_changed(&origins, &url, None).await.unwrap();
    assert!(read_if_changed(&origins, &url, Some(&validator)).await.is_none());
}

#[tokio::test]
async fn unconditional_304_is_error() {
    let server = ScriptedServer::replying("HTTP/1.1 304 Not Modified\r\n\r\n").await;
    let error = origins(Vec::new()).read_if_changed(&source(&server.url("/")), None).await.err().unwrap();
    assert!(error.to_string().ends_with(" answered 304"), "{error}");
}

#[tokio::test]
async fn replaced_file_counts_as_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.toml");
    std::fs::write(&path, "one").unwrap();
    let (origins, url) = (origins(Vec::new()), format!("file://{}", path.display()));
    let (_, validator) = read_if_changed(&origins, &url, None).await.unwrap();
    assert!(read_if_changed(&origins, &url, Some(&validator)).await.is_none());
    std::fs::write(dir.path().join("new"), "two").unwrap();
    std::fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(read_if_changed(&origins, &url, Some(&validator)).await.unwrap().0, b"two");
}
