//! Many clients that request the same uncached asset at once, as when a rack powers on.

use std::sync::mpsc;
use std::thread;

use crate::support::{FakeOrigin, TestSite, random_bytes, timeout};

#[test]
fn cold_stampede_fetches_each_byte_once() {
    const CLIENTS: usize = 200;
    let origin = FakeOrigin::start();
    let image = origin.put("rootfs.img", random_bytes(20, 64 << 20));
    // The fill cannot complete before all clients are connected.
    origin.allow(&image.key, 32 << 20);
    let server = TestSite::new(&origin).asset(&image).start();

    let (connected, connections) = mpsc::channel();
    let complete = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (connected, server, image) = (connected.clone(), &server, &image);
                scope.spawn(move || {
                    let opened = server.client().open("GET", "/assets/rootfs.img", &[]);
                    connected.send(()).expect("the test waits for it");
                    opened.status() == 200 && opened.compare(&image.bytes)
                })
            })
            .collect();
        for number in 0..CLIENTS {
            // The clients that are connected end too if the test fails here: the server stops sending.
            let next = connections.recv_timeout(timeout());
            next.unwrap_or_else(|_| panic!("only {number} of {CLIENTS} clients got a response"));
        }
        origin.allow(&image.key, u64::MAX);
        clients.into_iter().map(|c| c.join().expect("every byte is right")).filter(|complete| *complete).count()
    });
    assert_eq!(complete, CLIENTS, "clients with a complete body");
    assert_eq!(origin.sent(&image.key), image.size(), "the origin sent each byte once");
    server.wait_for_fill(&image.key, "complete");
    assert_eq!(server.lines(|l| l.is("bootdepot::fill")).len(), 1, "there was one fill");
    let transfers = server.wait_for_lines(CLIENTS, |l| l.is("bootdepot::transfer"));
    let count = |cache: &str| transfers.iter().filter(|l| l.text("cache") == cache).count();
    assert_eq!(
        (count("miss"), count("join") + count("hit")),
        (1, CLIENTS - 1),
        "one client started the fill, all others joined it"
    );
}
