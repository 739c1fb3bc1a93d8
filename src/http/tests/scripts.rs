//! Scripts and host files.

use super::*;

#[tokio::test]
async fn entry_script_uses_request_host() {
    let server = TestServer::builder().start().await;
    for path in ["/boot.ipxe", "//boot.ipxe"] {
        // The test client sends `Host: boot` without a port.
        let response = server.get(path, &[]).await;
        assert_eq!(response.status(), 200);
        assert!(response.text().starts_with("#!ipxe\n"));
        assert!(
            response.text().contains(&format!("http://boot:{}/ipxe?", server.address.port())),
            "{}",
            response.text()
        );
        assert_eq!(response.field("Cache-Control"), Some("no-store"));
        assert_eq!(response.field("Content-Type"), Some("text/plain; charset=utf-8"));
    }
    server.wait_for_log(&["asset=boot.ipxe", "outcome=\"complete\"", "cache=\"none\""]).await;
}

#[tokio::test]
async fn script_head_is_logged_as_probe() {
    let server = TestServer::builder().start().await;
    let length = server.get("/boot.ipxe", &[]).await.text().len().to_string();
    let head = server.request("HEAD", "/boot.ipxe", &[]).await;
    assert_eq!((head.status(), head.field("Content-Length")), (200, Some(length.as_str())));
    server.wait_for_log(&["asset=boot.ipxe", "outcome=\"probe\""]).await;
}

#[tokio::test]
async fn unknown_machine_gets_default_script() {
    let server = TestServer::builder().start().await;
    let response = server.get("/ipxe?mac=52:54:00:12:34:56&serial=ABC1234", &[]).await;
    assert_eq!(response.status(), 200);
    assert!(response.text().starts_with("#!ipxe\n"));
    assert_eq!(server.get("/grub.cfg", &[]).await.status(), 200);
}

#[tokio::test]
async fn unknown_host_file_returns_404() {
    let server = TestServer::builder().start().await;
    let response = server.get("/hosts/r630-01/config.ign", &[]).await;
    assert_eq!((response.status(), response.text()), (404, "no host with this name has such a file\n"));
    server.wait_for_log(&["asset=hosts/r630-01/config.ign", "outcome=\"not-found\""]).await;
}
