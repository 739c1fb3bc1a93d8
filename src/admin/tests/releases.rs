//! The API of releases.

use super::*;
use crate::asset::{AssetName, Digest};
use crate::boot::{Ledger, Releases, Roster};
use crate::catalog::Release;
use crate::http::tests::Plan;

fn release(name: &str, active: bool) -> Release {
    let assets = vec![AssetName::parse(&format!("okd/{name}")).unwrap()];
    Release { name: name.to_owned(), channel: Some("okd".to_owned()), assets, active }
}

#[tokio::test]
async fn releases_are_listed_and_activated() {
    let plan = Plan::new().file("okd/new", b"new");
    let record = plan.dir.path().join("releases.json");
    let missing = format!("file://{}/nowhere", plan.dir.path().display());
    let site = plan.source("okd/old", &missing, Digest::of(b"old")).start().await;
    let releases = Releases::open(vec![release("old", true), release("new", false)], site.depot.clone(), record);
    let boot = Boot::new(Roster::default(), releases.clone(), Ledger::in_memory(), site.depot.clone());
    let desk = Desk::open(boot).await;
    let stop = desk.stop.clone();
    let ask = async |method: &str, path: &str, fields: &[&str]| desk.ask(method, path, fields).await;

    let reply = ask("GET", "/readyz", &[]).await;
    assert_eq!((reply.status(), reply.text()), (503, "release old: okd/old is not proven (0 of 1)\n"));
    let reply = ask("GET", "/api/v1/releases", &[]).await;
    assert_eq!((reply.status(), reply.field("Content-Type")), (200, Some("application/json")));
    insta::assert_snapshot!(reply.text(), @r#"{"releases":[{"name":"old","channel":"okd","state":"fetching","active":true,"reason":null,"proven":0,"total":1,"bytes":0,"size":null,"kept_until":null},{"name":"new","channel":"okd","state":"idle","active":false,"reason":null,"proven":0,"total":1,"bytes":0,"size":null,"kept_until":null}]}"#);

    let reply = ask("POST", "/api/v1/releases/new/activate", &[]).await;
    assert_eq!(reply.status(), 202);
    let view: crate::api::ReleaseView = serde_json::from_str(reply.text()).unwrap();
    assert_eq!((view.name.as_str(), view.active), ("new", true));
    let keeping = tokio::spawn({
        let (releases, stop) = (releases.clone(), stop.clone());
        async move { releases.keep(stop).await }
    });
    while ask("GET", "/readyz", &[]).await.status() != 200 {
        tokio::task::yield_now().await;
    }

    for (method, path, fields, status, text) in [
        ("POST", "/api/v1/releases/ne%77/activate", &[][..], 202, ""),
        ("POST", "/api/v1/releases/newer/activate", &[], 404, "there is no release \\\"newer\\\"; there are old, new"),
        ("GET", "/api/v1/releases/new/activate", &[], 405, "this path does not take this method"),
        ("POST", "/api/v1/releases", &[], 405, "this path does not take this method"),
        ("GET", "/api/v1/releases/new", &[], 404, ""),
        (
            "POST",
            "/api/v1/releases/new/activate",
            &["Origin: http://x"],
            403,
            "the API takes no orders from web pages other than its own",
        ),
    ] {
        let reply = ask(method, path, fields).await;
        assert_eq!(reply.status(), status, "{method} {path}: {}", reply.text());
        assert!(reply.text().contains(text), "{}", reply.text());
    }
    // As who was led here by a name does.
    assert_eq!(desk.send("GET", "/api/v1/releases", &["Host: boot"], "").await.status(), 403);
    let reply = ask("PUT", "/api/v1/releases/new/activate", &[]).await;
    assert_eq!((reply.status(), reply.field("Allow")), (405, Some("POST")));
    desk.close().await;
    keeping.await.unwrap();
}
