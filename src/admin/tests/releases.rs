//! The API of releases.

use super::*;
use crate::asset::{AssetName, Digest};
use crate::boot::{Ledger, Releases, Roster};
use crate::catalog::Release;
use crate::http::tests::TestServer;

fn release(name: &str, active: bool) -> Release {
    let assets = vec![AssetName::parse(&format!("okd/{name}")).unwrap()];
    Release { name: name.to_owned(), channel: Some("okd".to_owned()), assets, active }
}

#[tokio::test]
async fn releases_are_listed_and_activated() {
    let builder = TestServer::builder().file("okd/new", b"new");
    let record = builder.dir.path().join("releases.json");
    let missing = format!("file://{}/nowhere", builder.dir.path().display());
    let server = builder.source("okd/old", &missing, Digest::of(b"old")).start().await;
    let releases = Releases::open(vec![release("old", true), release("new", false)], server.depot.clone(), record);
    let boot = Boot::new(Roster::default(), releases.clone(), Ledger::in_memory(), server.depot.clone());
    let admin = TestAdmin::open(boot).await;
    let stop = admin.stop.clone();
    let request = async |method: &str, path: &str, fields: &[&str]| admin.request(method, path, fields).await;

    let response = request("GET", "/readyz", &[]).await;
    assert_eq!((response.status(), response.text()), (503, "release old: okd/old is not cached (0 of 1)\n"));
    let response = request("GET", "/api/v1/releases", &[]).await;
    assert_eq!((response.status(), response.field("Content-Type")), (200, Some("application/json")));
    insta::assert_snapshot!(response.text(), @r#"{"releases":[{"name":"old","channel":"okd","state":"fetching","active":true,"reason":null,"cached":0,"unverified":0,"total":1,"bytes":0,"size":null,"kept_until":null},{"name":"new","channel":"okd","state":"idle","active":false,"reason":null,"cached":0,"unverified":0,"total":1,"bytes":0,"size":null,"kept_until":null}]}"#);

    let response = request("POST", "/api/v1/releases/new/activate", &[]).await;
    assert_eq!(response.status(), 202);
    let view: crate::api::ReleaseView = serde_json::from_str(response.text()).unwrap();
    assert_eq!((view.name.as_str(), view.active), ("new", true));
    let keeping = tokio::spawn({
        let (releases, stop) = (releases.clone(), stop.clone());
        async move { releases.reconcile(stop).await }
    });
    let ready = async {
        while request("GET", "/readyz", &[]).await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    within_deadline("/readyz to be 200", ready).await;

    for (method, path, fields, status, text) in [
        ("POST", "/api/v1/releases/ne%77/activate", &[][..], 202, ""),
        ("POST", "/api/v1/releases/newer/activate", &[], 404, "there is no release \\\"newer\\\"; there are old, new"),
        ("GET", "/api/v1/releases/new/activate", &[], 405, "this path does not support this method"),
        ("POST", "/api/v1/releases", &[], 405, "this path does not support this method"),
        ("GET", "/api/v1/releases/new", &[], 404, ""),
        (
            "POST",
            "/api/v1/releases/new/activate",
            &["Origin: http://x"],
            403,
            "the API accepts changes only from its own web pages",
        ),
    ] {
        let response = request(method, path, fields).await;
        assert_eq!(response.status(), status, "{method} {path}: {}", response.text());
        assert!(response.text().contains(text), "{}", response.text());
    }
    // As a page does whose name was bound to this address (DNS rebinding).
    assert_eq!(admin.send("GET", "/api/v1/releases", &["Host: boot"], "").await.status(), 403);
    let response = request("PUT", "/api/v1/releases/new/activate", &[]).await;
    assert_eq!((response.status(), response.field("Allow")), (405, Some("POST")));
    admin.close().await;
    within_deadline("the end of the reconciler", keeping).await.unwrap();
}
