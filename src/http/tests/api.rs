//! The admin API: who may ask it, and what it says of machines.

use std::collections::HashMap;

use super::*;
use crate::boot::{Boot, Ledger, Mac, Machine, Releases, Role, Roster};
use crate::depot::{Outcome, Protocol};
use crate::http::api;
use crate::http::client::Client;

fn boot(site: &Site, ledger: &Ledger) -> Boot {
    Boot::new(Roster::default(), Releases::none(site.depot.clone()), ledger.clone(), site.depot.clone())
}

#[tokio::test]
async fn the_api_answers_this_machine_alone() {
    let site = Plan::new().start().await;
    let boot = boot(&site, &Ledger::in_memory());
    for (peer, path, status) in [
        ("127.0.0.1:4000", "/api/v1/hosts", Some(200)),
        ("[::1]:4000", "/api/v1/hosts", Some(200)),
        ("[::ffff:127.0.0.1]:4000", "/api/v1/hosts", Some(200)),
        ("192.0.2.7:4000", "/api/v1/hosts", Some(403)),
        ("[2001:db8::7]:4000", "/api/v1/hosts/192.0.2.7", Some(403)),
        ("192.0.2.7:4000", "/api/v1/nothing", Some(403)),
        ("127.0.0.1:4000", "/api/v1/hosts/192.0.2.7", Some(404)),
        ("127.0.0.1:4000", "/api/v1/hostsx", Some(404)),
        ("127.0.0.1:4000", "/metrics", None),
        ("192.0.2.7:4000", "/metrics", None),
    ] {
        let request = http::Request::get(path).header("host", "127.0.0.1:8081").body(()).unwrap();
        let client = Client::new(peer.parse().unwrap(), site.address, false, PATIENCE);
        let answer = api::answer(&boot, &request.into_parts().0, &client).await;
        let failed = status.is_some_and(|status| status >= 400);
        let named = answer.as_ref().is_some_and(|answer| answer.headers().contains_key("x-request-id"));
        assert_eq!(named, failed, "what went wrong has a name in the log");
        assert_eq!(answer.map(|answer| answer.status().as_u16()), status, "{peer} {path}");
    }
    // Where the listener has an address of its own, this machine comes from that.
    for (peer, local, status) in [
        ("192.0.2.7:4000", "192.0.2.7:8081", 200),
        ("[::ffff:192.0.2.7]:4000", "192.0.2.7:8081", 200),
        ("192.0.2.8:4000", "192.0.2.7:8081", 403),
    ] {
        let request = http::Request::get("/api/v1/hosts").header("host", local).body(()).unwrap();
        let client = Client::new(peer.parse().unwrap(), local.parse().unwrap(), false, PATIENCE);
        let answer = api::answer(&boot, &request.into_parts().0, &client).await;
        assert_eq!(answer.map(|answer| answer.status().as_u16()), Some(status), "{peer} {local}");
    }
}

#[tokio::test]
async fn what_was_told_before_the_end_is_taken_note_of() {
    let site = Plan::new().start().await;
    let (ledger, end) = (Ledger::in_memory(), CancellationToken::new());
    let (follower, depot, its) = (ledger.clone(), site.depot.clone(), end.clone());
    let following = tokio::spawn(async move { follower.follow(&depot, &its).await });
    // It listens from its first turn on.
    tokio::task::yield_now().await;
    for _ in 0..1000 {
        let transfer = site.depot.transfer(Protocol::Http, "127.0.0.1:4000".parse().unwrap(), "x");
        transfer.finish(Outcome::Complete, None);
    }
    end.cancel();
    following.await.unwrap();
    let step = ledger.machine("127.0.0.1", &HashMap::new()).unwrap().last_step.unwrap();
    assert_eq!((step.requests, step.open), (1000, 0));
}

#[tokio::test]
async fn a_machine_that_fetched_what_its_script_named_is_done() {
    let site = Plan::new().file("okd/kernel", &[7; 5000]).file("okd/initrd", &[8; 300]).start().await;
    let ledger = Ledger::in_memory();
    let boot = boot(&site, &ledger);
    let (follower, depot) = (ledger.clone(), site.depot.clone());
    let following = tokio::spawn(async move { follower.follow(&depot, &CancellationToken::new()).await });
    let machine = Machine { mac: Some(Mac([2, 0, 0, 0, 0, 1])), ..Machine::default() };
    let named = [(Role::Kernel, "okd/kernel".to_owned()), (Role::Initrd, "okd/initrd".to_owned())];
    ledger.scripted(&machine, "127.0.0.1".parse().unwrap(), Some("r630-01"), Some("worker"), &named);

    let admin = AdminServer::bind("127.0.0.1:0".parse().unwrap(), &mut Inherited::default()).await.unwrap();
    let (address, stop) = (admin.address(), CancellationToken::new());
    let running = tokio::spawn(admin.serve(boot, Arc::new(String::new), stop.clone()));
    let mut wire = Wire::connect(address).await;
    let mut said = async |who: &str, wanted: &str| {
        let asking = async {
            loop {
                wire.send(&format!("GET /api/v1/hosts/{who} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
                let json: serde_json::Value = serde_json::from_str(wire.reply("GET").await.text()).unwrap();
                if json["state"] == wanted {
                    return json;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{who} is not {wanted}"))
    };
    said("r630-01", "booting").await;
    // A kernel in two parts is a whole one; half an initrd is not.
    site.get("/assets/okd/kernel", &["Range: bytes=0-999"]).await;
    site.get("/assets/okd/kernel", &["Range: bytes=1000-"]).await;
    site.get("/assets/okd/initrd", &["Range: bytes=0-99"]).await;
    site.get("/assets/okd/nothing", &[]).await;
    site.get("/assets/okd/initrd", &["Range: bytes=100-"]).await;
    let json = said("02-00-00-00-00-01", "done").await;
    assert_eq!(json["note"], "everything that its script named came");
    let steps = json["boots"][0]["steps"].as_array().unwrap();
    let told: Vec<_> = steps.iter().map(|step| (&step["role"], &step["requests"], &step["bytes"])).collect();
    let expected = [("kernel", 2, 5000), ("initrd", 2, 300), ("asset", 1, 0)]
        .map(|(role, requests, bytes)| (role.into(), requests.into(), bytes.into()));
    assert_eq!(told, expected.each_ref().map(|(role, requests, bytes)| (role, requests, bytes)));
    stop.cancel();
    running.await.unwrap();
    following.abort();
}
