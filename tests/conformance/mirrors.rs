//! Rows: `mirror`, from a web server of this process.

use crate::outcome::{Outcome, YES};
use crate::row::Row;
use crate::server::{Server, SiteExt};
use crate::support::s3::BUCKET;
use crate::support::upstream::Upstream;
use crate::support::{TestSite, random_bytes};

/// The rows.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "`mirror` of a small tree, served by the written catalog", try_it: tree_is_mirrored },
    Row { name: "`mirror`: `keep` deletes an old version", try_it: old_version_is_deleted },
    Row {
        name: "`mirror`: a file with other bytes than announced stays invisible",
        try_it: altered_file_stays_invisible,
    },
];

/// A site that mirrors the files that `SHA256SUMS` of the upstream names, to this prefix.
fn mirror(server: &Server, upstream: &Upstream, prefix: &str) -> TestSite {
    let site = server.site();
    let catalog = site.put_file("mirrored.toml", b"# Kept by hand.\n");
    let (url, to) = (upstream.url("SHA256SUMS"), format!("s3://{BUCKET}/{prefix}"));
    let tables = toml::toml! {
        include = ["mirrored.toml"]
        [[mirror]]
        name = "os"
        recipe = "sums"
        select = ["*.img"]
        url = url
        to = to
        catalog = catalog
        keep = 1
    };
    site.tables(tables)
}

fn tree_is_mirrored(server: &Server) -> Outcome {
    let upstream = Upstream::start();
    let (kernel, rootfs) = (random_bytes(1, 50_000), random_bytes(2, 9 << 20));
    let digests = [upstream.put("kernel-1.2.img", kernel.clone()), upstream.put("rootfs-1.2.img", rootfs.clone())];
    upstream.put("SHA256SUMS", format!("{}  kernel-1.2.img\n{}  rootfs-1.2.img\n", digests[0], digests[1]));
    let site = mirror(server, &upstream, "mirror");
    site.succeed(&["mirror"]);
    let running = site.start();
    assert!(running.client().compare("/assets/os/1.2/kernel-1.2.img", &kernel));
    assert!(running.client().compare("/assets/os/1.2/rootfs-1.2.img", &rootfs));
    let requests = upstream.seen("rootfs-1.2.img").len();
    let again = site.succeed(&["mirror"]);
    assert!(again.contains("up to date"), "{again}");
    assert_eq!(upstream.seen("rootfs-1.2.img").len(), requests, "it was transferred again");
    YES
}

fn old_version_is_deleted(server: &Server) -> Outcome {
    let upstream = Upstream::start();
    let digest = upstream.put("kernel-2.1.img", "kernel");
    upstream.put("SHA256SUMS", format!("{digest}  kernel-2.1.img\n"));
    server.put("kept/2.0/kernel-2.0.img", b"old", &[], false);
    let printed = mirror(server, &upstream, "kept").succeed(&["mirror"]);
    assert!(printed.contains("deleted kept/2.0/kernel-2.0.img"), "{printed}");
    assert_eq!(server.get(BUCKET, "kept/2.0/kernel-2.0.img"), None);
    assert_eq!(server.get(BUCKET, "kept/2.1/kernel-2.1.img"), Some(b"kernel".to_vec()));
    YES
}

fn altered_file_stays_invisible(server: &Server) -> Outcome {
    let upstream = Upstream::start();
    // One that is sent in one request, and one in parts.
    let announced = "0".repeat(64);
    for (version, size) in [("1.3", 50_000), ("1.4", 9 << 20)] {
        let name = format!("image-{version}.img");
        upstream.put(&name, random_bytes(3, size));
        upstream.put("SHA256SUMS", format!("{announced}  {name}\n"));
        let site = mirror(server, &upstream, "altered");
        let errors = site.fail(&["mirror"]);
        assert!(errors.contains("is not what the upstream announced"), "{errors}");
        assert_eq!(server.get(BUCKET, &format!("altered/{version}/{name}")), None);
    }
    YES
}
