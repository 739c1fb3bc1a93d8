//! HTML pages in place of an object: named where the bytes are wrong, and served where they are right.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sign in to the lab</title></head></html>";

/// A web server that answers every request with 200 and the page. Returns a source below it.
async fn portal() -> SourceUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/disk.img", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    PAGE.len()
                );
                stream.write_all((head + PAGE).as_bytes()).await
            });
        }
    });
    url.parse().unwrap()
}

#[tokio::test]
async fn page_in_place_of_object_is_named() {
    let source = portal().await;
    for (size, max_size) in [(None, 1 << 30), (Some(SIZE as u64), 1 << 30), (Some(SIZE as u64), 1 << 20)] {
        let test = TestDepot::with(&[&[]], |h| {
            h.asset.sources = vec![source.clone()];
            (h.asset.size, h.max_size) = (size, max_size);
        })
        .await;
        let error = test.get_all().await.1.unwrap_err().to_string();
        assert!(
            error.ends_with("; it sent an HTML page with the title \"Sign in to the lab\" in place of the object")
                || error.contains("\"Sign in to the lab\" in place of the object (seen before: "),
            "{size:?} {max_size}: {error}"
        );
    }
}

#[tokio::test]
async fn asset_that_is_html_is_served() {
    let source = portal().await;
    let test = TestDepot::with(&[&[]], |h| {
        h.asset = Asset::new(h.asset.name.clone(), Digest::of(PAGE.as_bytes()), vec![source]);
    })
    .await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert_eq!(got, PAGE.as_bytes());
}
