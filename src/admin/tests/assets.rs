//! The API of assets: list, view, pin, unpin, evict.

use super::*;
use crate::asset::{AssetName, Digest};
use crate::boot::{Ledger, Releases, Roster};
use crate::catalog::Release;
use crate::depot::RetentionReason;
use crate::http::tests::TestServer;

fn json<T: serde::de::DeserializeOwned>(response: &TestResponse, status: u16) -> T {
    assert_eq!(response.status(), status, "{}", response.text());
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

/// Three assets: `okd/kernel` belongs to the release `okd-1`, and `lost` is missing at the origin.
async fn start_admin() -> (TestServer, TestAdmin) {
    let builder = TestServer::builder().file("okd/kernel", b"kernel").file("boot/x.efi", b"efi");
    let missing = format!("file://{}/nowhere", builder.dir.path().display());
    let server = builder.source("lost", &missing, Digest::of(b"lost")).start().await;
    let assets = vec![AssetName::parse("okd/kernel").unwrap()];
    let release = Release { name: "okd-1".to_owned(), channel: None, assets, active: false };
    let releases = Releases::open(vec![release], server.depot.clone(), server.dir.path().join("releases.json"));
    let boot = Boot::new(Roster::default(), releases, Ledger::in_memory(), server.depot.clone());
    let admin = TestAdmin::open(boot).await;
    (server, admin)
}

#[tokio::test]
async fn asset_list_pages_and_filters() {
    let (server, admin) = start_admin().await;
    assert_eq!(server.get("/assets/boot/x.efi", &[]).await.status(), 200);
    let names = async |query: &str| {
        let list: AssetList = json(&admin.request("GET", &format!("/api/v1/assets{query}"), &[]).await, 200);
        let names: Vec<_> = list.assets.into_iter().map(|asset| asset.name).collect();
        (names.join(" "), list.total, list.next)
    };
    assert_eq!(names("").await, ("boot/x.efi lost okd/kernel".to_owned(), 3, None));
    assert_eq!(names("?limit=1").await, ("boot/x.efi".to_owned(), 3, Some("boot/x.efi".to_owned())));
    assert_eq!(names("?limit=1&after=boot/x.efi").await, ("lost".to_owned(), 3, Some("lost".to_owned())));
    assert_eq!(names("?after=m").await, ("okd/kernel".to_owned(), 3, None));
    assert_eq!(names("?after=z").await, (String::new(), 3, None));
    assert_eq!(names("?prefix=okd/").await, ("okd/kernel".to_owned(), 1, None));
    assert_eq!(names("?state=cached").await, ("boot/x.efi".to_owned(), 1, None));
    assert_eq!(names("?state=missing&limit=1").await, ("lost".to_owned(), 2, Some("lost".to_owned())));
    for (query, detail) in [
        ("limit=0", "limit is 0; it may be 1 to 1000"),
        ("limit=1001", "limit is 1001; it may be 1 to 1000"),
        ("limit=x", "Failed to deserialize query string: limit: invalid digit found in string"),
    ] {
        let response = admin.request("GET", &format!("/api/v1/assets?{query}"), &[]).await;
        assert_eq!((response.status(), problem(&response).detail.as_str()), (400, detail));
    }
    admin.close().await;
}

#[tokio::test]
async fn asset_is_pinned_unpinned_and_evicted() {
    let (server, admin) = start_admin().await;
    let path = "/api/v1/assets/okd/kernel";
    let asset = async || -> AssetView { json(&admin.request("GET", path, &[]).await, 200) };
    let before = asset().await;
    assert_eq!((before.state, before.bytes, before.size, before.evicted_next), (AssetState::Missing, 0, None, None));
    assert_eq!(
        (before.releases.as_slice(), before.content_type.as_str()),
        (&["okd-1".to_owned()][..], "application/octet-stream")
    );
    let response = admin.request("POST", &format!("{path}/evict"), &[]).await;
    assert_eq!((response.status(), problem(&response).detail.as_str()), (409, "okd/kernel is not in the cache"));

    assert_eq!(server.get("/assets/okd/kernel", &[]).await.status(), 200);
    let here = asset().await;
    assert_eq!((here.state, here.bytes, here.size, here.evicted_next), (AssetState::Cached, 6, Some(6), Some(1)));
    assert!(here.used.is_some() && here.verified.is_some() && !here.pinned);

    let pinned: AssetView = json(&admin.request("POST", &format!("{path}/pin"), &[]).await, 200);
    assert_eq!((pinned.pinned, pinned.pinned_by, pinned.evicted_next), (true, vec![RetentionReason::Operator], None));
    let response = admin.request("POST", &format!("{path}/evict"), &[]).await;
    let detail = "okd/kernel is not evicted: an operator pinned it; unpin it first";
    assert_eq!((response.status(), problem(&response).detail.as_str()), (409, detail));
    let loose: AssetView = json(&admin.request("POST", "/api/v1/assets/okd%2Fkernel/unpin", &[]).await, 200);
    assert!(!loose.pinned && loose.pinned_by.is_empty());
    let gone: Evicted = json(&admin.request("POST", &format!("{path}/evict"), &[]).await, 200);
    assert_eq!(gone.freed, 6);
    assert_eq!(asset().await.state, AssetState::Missing);

    for (method, path, status) in [
        ("GET", "/api/v1/assets/okd/kernels", 404),
        ("GET", "/api/v1/assets/okd/kernel/pin", 404),
        ("POST", "/api/v1/assets/okd/kernels/pin", 404),
        ("POST", "/api/v1/assets/okd/kernels/unpin", 404),
        ("POST", "/api/v1/assets/okd/kernels/evict", 404),
        ("POST", "/api/v1/assets/okd/kernels/preload", 404),
        ("POST", "/api/v1/assets/okd/kernel/eat", 404),
        ("POST", "/api/v1/assets/okd", 405),
        ("DELETE", "/api/v1/assets/okd/kernel", 405),
    ] {
        let response = admin.request(method, path, &[]).await;
        assert_eq!(response.status(), status, "{method} {path}");
        problem(&response);
    }
    admin.close().await;
}

#[tokio::test]
async fn failed_asset_shows_reason_and_totals() {
    let (server, admin) = start_admin().await;
    assert_eq!(server.get("/assets/lost", &[]).await.status(), 404);
    assert_eq!(server.get("/assets/okd/kernel", &[]).await.status(), 200);
    let lost: AssetView = json(&admin.request("GET", "/api/v1/assets/lost", &[]).await, 200);
    assert!(lost.failure.as_deref().is_some_and(|failure| failure.contains("nowhere")), "{:?}", lost.failure);

    let fills: FillList = json(&admin.request("GET", "/api/v1/fills", &[]).await, 200);
    let ended: Vec<_> = fills.recent.iter().map(|fill| (fill.name.as_str(), fill.outcome.as_str())).collect();
    assert_eq!((fills.fills.len(), ended), (0, vec![("okd/kernel", "complete"), ("lost", "origin-failed")]));
    server.wait_for_log(&["asset=okd/kernel", "outcome=\"complete\""]).await;
    let transfers: TransferList = json(&admin.request("GET", "/api/v1/transfers", &[]).await, 200);
    let newest = &transfers.recent[0];
    assert_eq!(
        (newest.transfer.name.as_str(), newest.transfer.sent, newest.outcome.as_str()),
        ("okd/kernel", 6, "complete")
    );

    let status: Status = json(&admin.request("GET", "/api/v1/status", &[]).await, 200);
    assert!(status.ready && status.troubles.is_empty() && status.cache.writable);
    assert_eq!((status.cache.cached.entries, status.cache.cached.bytes), (1, 6));
    assert_eq!((status.totals.sent.http, status.totals.transfers.http, status.totals.received), (6, 2, 6));
    assert_eq!((status.transfers.active, status.fills.active), (0, 0));
    let [origin] = &status.origins[..] else { panic!("{:?}", status.origins) };
    assert_eq!((origin.origin.as_str(), origin.requests, origin.failures, origin.received), ("file://", 2, 1, 6));
    assert!(origin.last_ok.is_some());
    assert!(origin.last_error.as_ref().is_some_and(|error| error.message.contains("nowhere")));
    assert_eq!(status.listeners[0].address, admin.address);
    admin.close().await;
}
