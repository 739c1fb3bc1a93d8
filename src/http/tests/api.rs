//! Who may ask the admin API.

use super::*;
use crate::boot::{Boot, Ledger, Releases, Roster};
use crate::depot::Delivery;
use crate::http::api;
use crate::http::client::Client;

#[tokio::test]
async fn the_api_answers_this_machine_alone() {
    let site = Plan::new().start().await;
    let depot = site.depot.clone();
    let boot = Boot::new(Roster::default(), Releases::none(depot.clone()), Ledger::in_memory(), depot);
    for (peer, path, status) in [
        ("127.0.0.1:4000", "/api/v1/hosts", Some(200)),
        ("[::1]:4000", "/api/v1/hosts", Some(200)),
        ("[::ffff:127.0.0.1]:4000", "/api/v1/hosts", Some(200)),
        ("192.0.2.7:4000", "/api/v1/hosts", Some(403)),
        ("[2001:db8::7]:4000", "/api/v1/hosts/192.0.2.7", Some(403)),
        ("192.0.2.7:4000", "/api/v1/nothing", Some(403)),
        ("127.0.0.1:4000", "/api/v1/hosts/192.0.2.7", Some(404)),
        ("127.0.0.1:4000", "/metrics", None),
        ("192.0.2.7:4000", "/metrics", None),
    ] {
        let request = http::Request::get(path).header("host", "127.0.0.1:8081").body(()).unwrap();
        let client = Client::new(peer.parse().unwrap(), Delivery::Copied, PATIENCE);
        let answer = api::answer(&boot, &request.into_parts().0, &client);
        assert_eq!(answer.map(|answer| answer.status().as_u16()), status, "{peer} {path}");
    }
}
