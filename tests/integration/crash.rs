//! SIGKILL at random moments: the server always starts again, never serves a wrong byte, and goes on where it was.

use std::thread;

use bootdepot::asset::Digest;

use crate::support::{Origin, Site, noise};

#[test]
fn twenty_kills_during_a_fill_cost_no_wrong_byte_and_the_last_fill_reuses_what_is_here() {
    const KILLS: u64 = 20;
    const STEP: u64 = 3 << 20;
    let origin = Origin::start();
    let image = origin.put("rootfs.img", noise(30, 64 << 20));
    // Another range of moments in every run; a failure prints the seed.
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    // The parts asked for are as large as all that one run brings: none of them comes to its end.
    let site = Site::new(&origin).asset(&image).set("fill.part_size", "16 MiB").set("fill.connections", 4);

    for kill in 0..KILLS {
        let server = site.start();
        // 3 MiB more than last time, 60 in all, and the end somewhere on the way there.
        let before = origin.sent(&image.key);
        origin.allow(&image.key, before + STEP);
        let moment = before + dice.u64(1..STEP - (64 << 10));
        let client = server.client();
        let whole = thread::scope(|scope| {
            // Fails on a wrong byte.
            let reader = scope.spawn(|| client.compare("/assets/rootfs.img", &image.bytes));
            origin.wait_until_sent(&image.key, moment);
            server.kill();
            reader.join().expect("no wrong byte is served")
        });
        assert!(!whole, "kill {kill}: the body cannot be whole, so much was not sent yet");
        assert!(site.blobs().is_empty(), "kill {kill}: a blob was admitted before all of its bytes were here");
    }

    origin.allow(&image.key, u64::MAX);
    let server = site.start();
    assert!(server.client().compare("/assets/rootfs.img", &image.bytes));
    let fill = server.wait_for_fill(&image.key, "complete");
    assert!(fill.number("reused") > 0, "the last fill took over what the others had");
    assert_eq!(fill.number("reused") + fill.number("bytes"), image.size());
}

#[test]
fn a_kill_at_the_end_of_a_fill_leaves_a_proven_blob_or_none() {
    let origin = Origin::start();
    let images: Vec<_> = (0..8).map(|n| origin.put(&format!("image-{n}"), noise(40 + n, 3 << 20))).collect();
    let site = images.iter().fold(Site::new(&origin), Site::asset);
    for (round, image) in images.iter().enumerate() {
        let server = site.start();
        let (client, path) = (server.client(), format!("/assets/{}", image.key));
        thread::scope(|scope| {
            let reader = scope.spawn(|| client.compare(&path, &image.bytes));
            if round % 2 == 0 {
                // The last byte has just left the origin: written, proven and renamed are still to come.
                origin.wait_until_sent(&image.key, image.size());
            } else {
                server.wait_for_fill(&image.key, "complete");
            }
            server.kill();
            reader.join().expect("no wrong byte is served");
        });
        for (name, bytes) in site.blobs() {
            assert_eq!(Digest::of(&bytes).to_string(), name, "the digest of a blob is its name");
        }
    }
    let server = site.start();
    for image in &images {
        assert!(server.client().compare(&format!("/assets/{}", image.key), &image.bytes), "{}", image.key);
    }
}
