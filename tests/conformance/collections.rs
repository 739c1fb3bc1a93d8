//! Rows: collections, by where the digests come from.

use bootdepot::asset::Digest;

use crate::outcome::{Outcome, YES};
use crate::row::Row;
use crate::server::Server;
use crate::support::random_bytes;
use crate::support::s3::BUCKET;

/// The rows.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "`[[collection]]`: digests from `FILE.sha256`", try_it: sidecar_is_trusted },
    Row { name: "`[[collection]]`: digests from `SHA256SUMS`", try_it: sums_are_trusted },
    Row { name: "`[[collection]]`: digests from `x-amz-meta-sha256`", try_it: metadata_is_trusted },
    Row { name: "`[[collection]]`: digests from the server's checksums", try_it: checksum_is_trusted },
];

/// Serves `image` of a directory as a collection, whose digest comes from `place`.
fn serve(server: &Server, directory: &str, place: &str, bytes: &[u8]) {
    let source = format!("s3://{BUCKET}/{directory}/");
    let tables = toml::toml! {
        [[collection]]
        prefix = "isos/"
        source = source
    };
    let site = server.site().tables(tables);
    let running = site.start();
    let response = running.client().get("/assets/isos/image");
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.body == bytes, "it has other bytes");
    running.wait_for_fill("isos/image", "complete");
    running.stop();
    let record = std::fs::read_to_string(site.cache_dir().join("collections.jsonl")).expect("there is a record");
    assert!(record.contains(&format!("\"{place}\"")), "the digest does not come from {place}: {record}");
}

fn sidecar_is_trusted(server: &Server) -> Outcome {
    let bytes = random_bytes(1, 3_000_000);
    server.put("sidecar/image", &bytes, &[], false);
    server.put("sidecar/image.sha256", format!("{}  image\n", Digest::of(&bytes)).as_bytes(), &[], false);
    serve(server, "sidecar", "sidecar", &bytes);
    YES
}

fn sums_are_trusted(server: &Server) -> Outcome {
    let bytes = random_bytes(2, 3_000_000);
    server.put("sums/image", &bytes, &[], false);
    server.put("sums/SHA256SUMS", format!("{} *image\n", Digest::of(&bytes)).as_bytes(), &[], false);
    serve(server, "sums", "sums", &bytes);
    YES
}

fn metadata_is_trusted(server: &Server) -> Outcome {
    let bytes = random_bytes(3, 3_000_000);
    server.put("metadata/image", &bytes, &[("sha256", &Digest::of(&bytes).to_string())], false);
    serve(server, "metadata", "sha256-metadata", &bytes);
    YES
}

fn checksum_is_trusted(server: &Server) -> Outcome {
    let bytes = random_bytes(4, 3_000_000);
    server.put("checksum/image", &bytes, &[], true);
    if server.head("checksum/image").checksum.is_none() {
        return Outcome::NotSupported("it keeps no checksum that comes with the bytes".to_owned());
    }
    serve(server, "checksum", "s3-checksum", &bytes);
    YES
}
