//! A rack that powers on at once.

use std::sync::Barrier;
use std::thread;

use crate::support::{Origin, Site, noise};

#[test]
fn two_hundred_clients_of_a_cold_asset_cost_the_origin_every_byte_once() {
    const CLIENTS: usize = 200;
    let origin = Origin::start();
    let image = origin.put("rootfs.img", noise(20, 64 << 20));
    // The fill cannot end before everybody is there.
    origin.allow(&image.key, 32 << 20);
    let server = Site::new(&origin).asset(&image).set("fill.part_size", "8 MiB").start();

    let everybody = Barrier::new(CLIENTS + 1);
    let whole = thread::scope(|scope| {
        let one = || {
            let opened = server.client().open("GET", "/assets/rootfs.img", &[]);
            everybody.wait();
            opened.status() == 200 && opened.compare(&image.bytes)
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(one)).collect();
        everybody.wait();
        origin.allow(&image.key, u64::MAX);
        clients.into_iter().map(|c| c.join().expect("every byte is right")).filter(|whole| *whole).count()
    });
    assert_eq!(whole, CLIENTS, "clients with the whole body");
    assert_eq!(origin.sent(&image.key), image.size(), "every byte crossed the origin once");
    assert_eq!(server.lines(|l| l.is("bootdepot::fill")).len(), 1, "there was one fill");
    let transfers = server.wait_for_lines(CLIENTS, |l| l.is("bootdepot::transfer"));
    let of = |cache: &str| transfers.iter().filter(|l| l.text("cache") == cache).count();
    assert_eq!((of("miss"), of("join") + of("hit")), (1, CLIENTS - 1), "one began the fill, all others joined it");
}
