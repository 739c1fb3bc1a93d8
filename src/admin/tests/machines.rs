//! What the API says of machines.

use std::collections::HashMap;

use super::*;
use crate::boot::{Ledger, Mac, Machine, Releases, Role, Roster};
use crate::depot::{Outcome, Protocol};
use crate::http::tests::{PATIENCE, Plan, Site};

fn boot(site: &Site, ledger: &Ledger) -> Boot {
    Boot::new(Roster::default(), Releases::empty(site.depot.clone()), ledger.clone(), site.depot.clone())
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
    ledger.record_script(&machine, "127.0.0.1".parse().unwrap(), Some("r630-01"), Some("worker"), &named);

    let desk = Desk::open(boot).await;
    let mut wire = Wire::connect(desk.address).await;
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
    assert_eq!(json["note"], "everything that its script named was sent");
    let steps = json["boots"][0]["steps"].as_array().unwrap();
    let told: Vec<_> = steps.iter().map(|step| (&step["role"], &step["requests"], &step["bytes"])).collect();
    let expected = [("kernel", 2, 5000), ("initrd", 2, 300), ("asset", 1, 0)]
        .map(|(role, requests, bytes)| (role.into(), requests.into(), bytes.into()));
    assert_eq!(told, expected.each_ref().map(|(role, requests, bytes)| (role, requests, bytes)));
    desk.close().await;
    following.abort();
}
