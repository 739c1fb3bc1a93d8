//! Scripts and hosts' files over the wire.

use super::*;

#[tokio::test]
async fn the_entry_script_leads_back_the_way_the_client_came() {
    let site = Plan::new().start().await;
    for path in ["/boot.ipxe", "//boot.ipxe"] {
        // The test's client calls the server "boot", without its port.
        let reply = site.get(path, &[]).await;
        assert_eq!(reply.status(), 200);
        assert!(reply.text().starts_with("#!ipxe\n"));
        assert!(reply.text().contains(&format!("http://boot:{}/ipxe?", site.address.port())), "{}", reply.text());
        assert_eq!(reply.field("Cache-Control"), Some("no-store"));
        assert_eq!(reply.field("Content-Type"), Some("text/plain; charset=utf-8"));
    }
    site.logged(&["asset=boot.ipxe", "outcome=\"complete\"", "cache=\"none\""]).await;
}

#[tokio::test]
async fn a_head_tells_a_scripts_length_and_is_a_probe() {
    let site = Plan::new().start().await;
    let length = site.get("/boot.ipxe", &[]).await.text().len().to_string();
    let head = site.ask("HEAD", "/boot.ipxe", &[]).await;
    assert_eq!((head.status(), head.field("Content-Length")), (200, Some(length.as_str())));
    site.logged(&["asset=boot.ipxe", "outcome=\"probe\""]).await;
}

#[tokio::test]
async fn a_machine_that_nobody_named_gets_a_script_all_the_same() {
    let site = Plan::new().start().await;
    let reply = site.get("/ipxe?mac=52:54:00:12:34:56&serial=ABC1234", &[]).await;
    assert_eq!(reply.status(), 200);
    assert!(reply.text().starts_with("#!ipxe\n"));
    assert_eq!(site.get("/grub.cfg", &[]).await.status(), 200);
}

#[tokio::test]
async fn a_file_of_no_host_is_not_found() {
    let site = Plan::new().start().await;
    let reply = site.get("/hosts/r630-01/config.ign", &[]).await;
    assert_eq!((reply.status(), reply.text()), (404, "no host with this name has such a file\n"));
    site.logged(&["asset=hosts/r630-01/config.ign", "outcome=\"not-found\""]).await;
}
