//! The API of machines.

use std::collections::HashMap;

use super::*;
use crate::boot::{HostCards, Ledger, Mac, Machine, Releases, Role, Roster, ScriptKind, SentScript};
use crate::depot::{Outcome, Protocol};
use crate::http::tests::TestServer;

fn boot(server: &TestServer, ledger: &Ledger) -> Boot {
    Boot::new(Roster::default(), Releases::empty(server.depot.clone()), ledger.clone(), server.depot.clone())
}

#[tokio::test]
async fn ledger_drains_events_before_stop() {
    let server = TestServer::builder().start().await;
    let (ledger, end) = (Ledger::in_memory(), CancellationToken::new());
    let (follower, depot, its) = (ledger.clone(), server.depot.clone(), end.clone());
    let following = tokio::spawn(async move { follower.follow(&depot, &|_| None, &its).await });
    // The ledger subscribes when its task first runs.
    tokio::task::yield_now().await;
    for _ in 0..1000 {
        let transfer = server.depot.transfer(Protocol::Http, "127.0.0.1:4000".parse().unwrap(), "x");
        transfer.finish(Outcome::Complete, None);
    }
    end.cancel();
    following.await.unwrap();
    let step = ledger.machine("127.0.0.1", &HashMap::new()).unwrap().last_step.unwrap();
    assert_eq!((step.requests, step.open), (1000, 0));
}

#[tokio::test]
async fn missed_events_leave_no_transfer_open() {
    let server = TestServer::builder().start().await;
    let (ledger, end) = (Ledger::in_memory(), CancellationToken::new());
    let (follower, depot, its) = (ledger.clone(), server.depot.clone(), end.clone());
    let following = tokio::spawn(async move { follower.follow(&depot, &|_| None, &its).await });
    tokio::task::yield_now().await;
    let begin = || server.depot.transfer(Protocol::Http, "127.0.0.1:4000".parse().unwrap(), "x");
    // Its start is among the events that wait, and its end is one of those that do not fit.
    let first = begin();
    for _ in 0..5000 {
        begin().finish(Outcome::Complete, None);
    }
    first.finish(Outcome::Complete, None);
    end.cancel();
    following.await.unwrap();
    let step = ledger.machine("127.0.0.1", &HashMap::new()).unwrap().last_step.unwrap();
    assert_eq!(step.open, 0);
}

#[tokio::test]
async fn machine_is_done_after_all_files() {
    let server = TestServer::builder().file("okd/kernel", &[7; 5000]).file("okd/initrd", &[8; 300]).start().await;
    let ledger = Ledger::in_memory();
    let boot = boot(&server, &ledger);
    let (follower, depot) = (ledger.clone(), server.depot.clone());
    let following = tokio::spawn(async move { follower.follow(&depot, &|_| None, &CancellationToken::new()).await });
    let machine = Machine { mac: Some(Mac([2, 0, 0, 0, 0, 1])), ..Machine::default() };
    let named = [(Role::Kernel, "okd/kernel".to_owned()), (Role::Initrd, "okd/initrd".to_owned())];
    ledger.record_script(SentScript {
        machine: &machine,
        peer: "127.0.0.1".parse().unwrap(),
        host: Some(&HostCards { name: "r630-01".to_owned(), macs: Vec::new() }),
        near_miss: None,
        profile: Some("worker"),
        kind: ScriptKind::Files,
        named: &named,
    });

    let admin = TestAdmin::open(boot).await;
    let mut connection = TestConnection::connect(admin.address).await;
    let mut said = async |who: &str, wanted: &str| {
        let asking = async {
            loop {
                connection.send(&format!("GET /api/v1/hosts/{who} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
                let json: serde_json::Value =
                    serde_json::from_str(connection.read_response("GET").await.text()).unwrap();
                if json["state"] == wanted {
                    return json;
                }
            }
        };
        within_deadline(&format!("{who} to be {wanted}"), asking).await
    };
    said("r630-01", "booting").await;
    // Two ranges make a whole kernel; half an initrd is not whole.
    server.get("/assets/okd/kernel", &["Range: bytes=0-999"]).await;
    server.get("/assets/okd/kernel", &["Range: bytes=1000-"]).await;
    server.get("/assets/okd/initrd", &["Range: bytes=0-99"]).await;
    server.get("/assets/okd/nothing", &[]).await;
    server.get("/assets/okd/initrd", &["Range: bytes=100-"]).await;
    let json = said("02-00-00-00-00-01", "done").await;
    assert_eq!(json["note"], "everything that its script named was sent");
    let steps = json["boots"][0]["steps"].as_array().unwrap();
    let received: Vec<_> = steps.iter().map(|step| (&step["role"], &step["requests"], &step["bytes"])).collect();
    let expected = [("kernel", 2, 5000), ("initrd", 2, 300), ("asset", 1, 0)]
        .map(|(role, requests, bytes)| (role.into(), requests.into(), bytes.into()));
    assert_eq!(received, expected.each_ref().map(|(role, requests, bytes)| (role, requests, bytes)));
    admin.close().await;
    following.abort();
}
