//! Reads of what may have stayed as it was.

use super::fake::{Act, Scripted};
use super::*;
use crate::origin::Validator;

const FIRST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"1\"\r\n\r\none";

async fn look(origins: &Origins, url: &str, known: Option<&Validator>) -> Option<(Vec<u8>, Validator)> {
    let mut reply = origins.read_changed(&source(url), known).await.unwrap()?;
    Some((collect(&mut reply).await.unwrap(), reply.validator.clone().unwrap()))
}

#[tokio::test]
async fn what_has_not_changed_costs_a_head() {
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"2\"\r\n\r\ntwo";
    let acts = [FIRST, "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n", second];
    let server = Scripted::start(acts.map(|act| Act::Say(act.to_owned()))).await;
    let (origins, url) = (origins(Vec::new()), server.url("/catalog.toml"));
    let (text, validator) = look(&origins, &url, None).await.unwrap();
    assert_eq!(text, b"one");
    assert!(look(&origins, &url, Some(&validator)).await.is_none());
    assert_eq!(look(&origins, &url, Some(&validator)).await.unwrap().0, b"two");
    let requests = server.requests();
    assert!(!requests[0].contains("if-none-match"), "{}", requests[0]);
    assert!(requests[1].contains("\r\nif-none-match: \"1\"\r\n"), "{}", requests[1]);
}

#[tokio::test]
async fn a_source_that_minds_no_condition_is_believed_by_its_validator() {
    let server = Scripted::start([Act::Say(FIRST.to_owned()), Act::Say(FIRST.to_owned())]).await;
    let (origins, url) = (origins(Vec::new()), server.url("/catalog.toml"));
    let (_, validator) = look(&origins, &url, None).await.unwrap();
    assert!(look(&origins, &url, Some(&validator)).await.is_none());
}

#[tokio::test]
async fn nothing_new_is_no_answer_to_whom_did_not_ask() {
    let server = Scripted::saying("HTTP/1.1 304 Not Modified\r\n\r\n").await;
    let error = origins(Vec::new()).read_changed(&source(&server.url("/")), None).await.err().unwrap();
    assert!(error.to_string().ends_with(" answered 304"), "{error}");
}

#[tokio::test]
async fn a_file_has_changed_when_it_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.toml");
    std::fs::write(&path, "one").unwrap();
    let (origins, url) = (origins(Vec::new()), format!("file://{}", path.display()));
    let (_, validator) = look(&origins, &url, None).await.unwrap();
    assert!(look(&origins, &url, Some(&validator)).await.is_none());
    std::fs::write(dir.path().join("new"), "two").unwrap();
    std::fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(look(&origins, &url, Some(&validator)).await.unwrap().0, b"two");
}
