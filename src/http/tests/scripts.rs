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
async fn script_is_found_in_any_directory() {
    let server = TestServer::builder().file("own/boot.ipxe", b"own script").start().await;
    for (path, begin) in [
        ("/boot/autoexec.ipxe", "#!ipxe\n"),
        ("/assets/firmware/autoexec.ipxe", "#!ipxe\n"),
        ("/assets/boot.ipxe", "#!ipxe\n"),
        ("/grub/grub.cfg-01-52-54-00-12-34-56", "# bootdepot: sends"),
        ("/assets/grub/grub.cfg-C0A80001", "# bootdepot: sends"),
        ("/assets/grub/grub.cfg?mac=52:54:00:12:34:56", "set received=script\n"),
        ("/pxelinux.cfg/01-52-54-00-12-34-56", "# bootdepot: nothing"),
        ("/assets/boot/pxelinux.cfg/default", "# bootdepot: nothing"),
        // An asset comes first.
        ("/assets/own/boot.ipxe", "own script"),
    ] {
        let response = server.get(path, &[]).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.text().starts_with(begin), "{path}: {}", response.text());
    }
    // A UUID of no host: the client goes on to its MAC address.
    let uuid = "/pxelinux.cfg/44454c4c-0077-1034-8054-000000000001";
    for path in [uuid, "/pxelinux.cfg/graphics.conf", "/assets/other.ipxe", "/hosts/a/boot.ipxe"] {
        assert_eq!(server.get(path, &[]).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn asset_name_is_brought_to_canonical_form() {
    let files = TestServer::builder().file("debian/Packages", b"packages").file("A/x", b"A").file("a/X", b"a");
    let server = files.start().await;
    for (path, text) in [
        ("/assets/debian/./Packages", "packages"),
        ("/assets/debian/dists/../Packages", "packages"),
        ("//assets//debian//Packages", "packages"),
        // In another case only if nothing else fits, and only one asset does.
        ("/assets/DEBIAN/PACKAGES", "packages"),
        ("/assets/A/x", "A"),
        ("/assets/a/X", "a"),
    ] {
        let response = server.get(path, &[]).await;
        assert_eq!((response.status(), response.text()), (200, text), "{path}");
    }
    for path in ["/assets/a/x", "/assets/A/X", "/assets/debian/other"] {
        assert_eq!(server.get(path, &[]).await.status(), 404, "{path}");
    }
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
