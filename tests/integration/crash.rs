//! SIGKILL at random times: the server starts again, never serves a wrong byte, and resumes its fills.

use std::thread;

use bootdepot::asset::Digest;

use crate::support::{FakeOrigin, TestSite, random_bytes, seed};

#[test]
fn repeated_kills_serve_no_wrong_byte() {
    const KILLS: u64 = 20;
    const STEP: u64 = 3 << 20;
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(30, 64 << 20));
    let mut random = fastrand::Rng::with_seed(seed());
    // A part is larger than the bytes that one run receives, so that no run completes a part.
    let site = TestSite::new(&origin).asset(&image).set("fill.part_size", "16 MiB").set("fill.connections", 4);

    for kill in 0..KILLS {
        let server = site.start();
        // Each run receives at most 3 MiB, all of them 60 MiB. The kill comes at a random byte of these.
        let before = origin.sent(&image.key);
        origin.allow(&image.key, before + STEP);
        let killed_at = before + random.u64(1..STEP - (64 << 10));
        let client = server.client();
        let complete = thread::scope(|scope| {
            // Fails at a wrong byte.
            let reader = scope.spawn(|| client.compare("/assets/rootfs.img", &image.bytes));
            origin.wait_until_sent(&image.key, killed_at);
            server.kill();
            reader.join().expect("no wrong byte is served")
        });
        assert!(!complete, "kill {kill}: the body is complete, but the origin has not sent all of it");
        assert!(site.blobs().is_empty(), "kill {kill}: a blob is in the cache before its last byte arrived");
    }

    origin.allow(&image.key, u64::MAX);
    let server = site.start();
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
    let fill = server.wait_for_fill(&image.key, "complete");
    assert!(fill.number("reused") > 0, "the last fill reused the bytes of the others");
    assert_eq!(fill.number("reused") + fill.number("bytes"), image.size());
}

#[test]
fn kill_at_fill_end_leaves_valid_blobs() {
    let origin = FakeOrigin::start();
    let images: Vec<_> = (0..8).map(|n| origin.put(&format!("image-{n}"), random_bytes(40 + n, 3 << 20))).collect();
    let site = images.iter().fold(TestSite::new(&origin), TestSite::asset);
    for (round, image) in images.iter().enumerate() {
        let server = site.start();
        let (client, path) = (server.client(), format!("/assets/{}", image.key));
        thread::scope(|scope| {
            let reader = scope.spawn(|| client.compare(&path, &image.bytes));
            if round % 2 == 0 {
                // The origin has just sent the last byte. The server still has to write, verify and rename.
                origin.wait_until_sent(&image.key, image.size());
            } else {
                server.wait_for_fill(&image.key, "complete");
            }
            server.kill();
            reader.join().expect("no wrong byte is served");
        });
        let blobs = site.blobs();
        for (name, bytes) in &blobs {
            assert_eq!(Digest::of(bytes).to_string(), *name, "the name of a blob is its digest");
        }
        let cached = blobs.iter().any(|(name, _)| *name == image.sha256());
        assert!(cached || round % 2 == 0, "{}: the fill was complete, but the blob is missing", image.key);
    }
    let server = site.start();
    for image in &images {
        assert!(server.client().compare(&format!("/assets/{}", image.key), &image.bytes), "{}", image.key);
    }
}
