//! The index against a simple model.

use proptest::prelude::*;

use super::super::record::Proof;
use super::*;

const LIMIT: u64 = 20;
const MIN_FREE: u64 = 5;

/// The digest of the blob with this number.
fn digest(name: u8) -> Digest {
    Digest::from_bytes([name; 32])
}

#[derive(Debug, Clone)]
enum Op {
    Fill { name: u8, size: u64, free: u64 },
    Allocated { name: u8, unallocated: u64 },
    Admit { name: u8 },
    Leave { name: u8 },
    Discard { name: u8 },
    Open { name: u8 },
    Close { name: u8 },
    Use { name: u8 },
    Pin { name: u8 },
    Unpin { name: u8 },
    Corrupt { name: u8 },
    Revoke { name: u8 },
    Prove { name: u8 },
    CloseIdle { most: usize },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let name = || 0u8..6;
    let op = prop_oneof![
        4 => (name(), 0u64..24, 0u64..40).prop_map(|(name, size, free)| Op::Fill { name, size, free }),
        1 => (name(), 0u64..10).prop_map(|(name, unallocated)| Op::Allocated { name, unallocated }),
        4 => name().prop_map(|name| Op::Admit { name }),
        1 => name().prop_map(|name| Op::Leave { name }),
        1 => name().prop_map(|name| Op::Discard { name }),
        2 => name().prop_map(|name| Op::Open { name }),
        2 => name().prop_map(|name| Op::Close { name }),
        2 => name().prop_map(|name| Op::Use { name }),
        1 => name().prop_map(|name| Op::Pin { name }),
        1 => name().prop_map(|name| Op::Unpin { name }),
        1 => name().prop_map(|name| Op::Corrupt { name }),
        1 => name().prop_map(|name| Op::Revoke { name }),
        1 => name().prop_map(|name| Op::Prove { name }),
        1 => (0usize..4).prop_map(|most| Op::CloseIdle { most }),
    ];
    prop::collection::vec(op, 0..60)
}

#[derive(Debug, Clone, PartialEq)]
struct Partial {
    name: u8,
    size: u64,
    unallocated: u64,
    filling: bool,
}

/// Each list is in the order of eviction.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    quarantined: Vec<(u8, u64)>,
    partials: Vec<Partial>,
    blobs: Vec<(u8, u64)>,
    /// Once for each pin.
    pinned: Vec<u8>,
    held: HashMap<u8, usize>,
    unverified: HashSet<u8>,
}

impl Model {
    fn total(&self) -> u64 {
        let blobs = self.blobs.iter().chain(&self.quarantined).map(|(_, size)| size);
        blobs.sum::<u64>() + self.partials.iter().map(|it| it.size).sum::<u64>()
    }

    fn is_held(&self, name: u8) -> bool {
        self.held.get(&name).is_some_and(|count| *count > 0)
    }

    /// Evicts one after the other until there is enough space. Returns what was evicted; `None` if there is never enough.
    fn fill(&mut self, name: u8, size: u64, mut free: u64) -> Option<Vec<u8>> {
        let mut evicted = Vec::new();
        if size > LIMIT {
            return None;
        }
        loop {
            let reserved: u64 = self.partials.iter().map(|it| it.unallocated).sum();
            if self.total() + size <= LIMIT && MIN_FREE + reserved + size <= free {
                break;
            }
            if !self.quarantined.is_empty() {
                let (name, size) = self.quarantined.remove(0);
                free += size;
                evicted.push(name);
            } else if let Some(at) = self.partials.iter().position(|it| !it.filling) {
                let it = self.partials.remove(at);
                free += it.size - it.unallocated;
                evicted.push(it.name);
            } else {
                let loose = |(name, _): &(u8, u64)| !self.is_held(*name) && !self.pinned.contains(name);
                let at = self.blobs.iter().position(loose)?;
                let (name, size) = self.blobs.remove(at);
                self.unverified.remove(&name);
                free += size;
                evicted.push(name);
            }
        }
        self.partials.push(Partial { name, size, unallocated: size, filling: true });
        Some(evicted)
    }

    fn filling(&mut self, name: u8) -> Option<&mut Partial> {
        self.partials.iter_mut().find(|it| it.name == name && it.filling)
    }

    fn used(&mut self, name: u8) {
        if let Some(at) = self.blobs.iter().position(|it| it.0 == name) {
            let it = self.blobs.remove(at);
            self.blobs.push(it);
        }
    }
}

fn name_of(victim: &Victim<u8>) -> u8 {
    let (Victim::Quarantined(digest, _) | Victim::Partial(digest, _) | Victim::Blob(digest, _)) = victim;
    digest.as_bytes()[0]
}

/// The index, and the open files that readers have.
struct Tested {
    index: Index<u8>,
    handles: HashMap<u8, Vec<Arc<u8>>>,
    now: SystemTime,
}

impl Tested {
    #[expect(clippy::too_many_lines, reason = "one arm for each operation")]
    fn apply(&mut self, model: &mut Model, op: &Op) {
        self.now += Duration::from_secs(1);
        let now = self.now;
        match *op {
            Op::Fill { name, size, free } => self.fill(model, name, size, free),
            Op::Allocated { name, unallocated } => {
                if let Some(it) = model.filling(name) {
                    it.unallocated = unallocated.min(it.size);
                    self.index.set_unallocated(&digest(name), unallocated.min(it.size));
                }
            }
            Op::Admit { name } => {
                if let Some(it) = model.filling(name).cloned() {
                    model.partials.retain(|it| it.name != name);
                    model.blobs.retain(|it| it.0 != name);
                    model.blobs.push((name, it.size));
                    model.unverified.remove(&name);
                    // Readers of the replaced file do not protect the new one.
                    model.held.remove(&name);
                    self.handles.remove(&name);
                    self.index.admit(&digest(name), Proof::of_size(it.size), Arc::new(name), now);
                }
            }
            Op::Leave { name } => {
                if let Some(it) = model.filling(name).cloned() {
                    model.partials.retain(|it| it.name != name);
                    model.partials.push(Partial { filling: false, ..it });
                    self.index.set_idle(&digest(name), now);
                }
            }
            Op::Discard { name } => {
                if model.filling(name).is_some() {
                    model.partials.retain(|it| it.name != name);
                    self.index.release(&digest(name));
                }
            }
            Op::Open { name } if model.unverified.contains(&name) => {
                // Finding it counts as a use all the same.
                let found = self.index.find(&digest(name), now);
                assert!(matches!(found, Location::Unverified { .. } | Location::Missing), "{found:?}");
                model.used(name);
            }
            Op::Open { name } => {
                let handle = match self.index.find(&digest(name), now) {
                    Location::Open(handle) => handle,
                    Location::Closed { serial, .. } => self.index.keep_open(&digest(name), serial, Arc::new(name)),
                    Location::Unverified { .. } | Location::Missing => return,
                };
                self.handles.entry(name).or_default().push(handle);
                *model.held.entry(name).or_default() += 1;
                model.used(name);
            }
            Op::Close { name } => {
                if model.is_held(name) {
                    self.handles.entry(name).or_default().pop();
                    *model.held.entry(name).or_default() -= 1;
                }
            }
            Op::Use { name } => {
                if self.index.opened(&digest(name), now).is_some() {
                    model.used(name);
                }
            }
            Op::Pin { name } => {
                self.index.pin(&digest(name));
                model.pinned.push(name);
            }
            Op::Unpin { name } => {
                self.index.unpin(&digest(name));
                if let Some(at) = model.pinned.iter().position(|it| *it == name) {
                    model.pinned.swap_remove(at);
                }
            }
            Op::Corrupt { name } => {
                if let Some(at) = model.blobs.iter().position(|it| it.0 == name) {
                    let (_, size) = model.blobs.remove(at);
                    model.unverified.remove(&name);
                    model.held.remove(&name);
                    self.handles.remove(&name);
                    self.index.remove(&digest(name));
                    model.quarantined.retain(|it| it.0 != name);
                    model.quarantined.push((name, size));
                    self.index.add_quarantined(&digest(name), size, now);
                }
            }
            Op::Revoke { name } => {
                let (was_verified, _) = self.index.revoke(&digest(name), |_, _| true);
                let is_cached = model.blobs.iter().any(|it| it.0 == name);
                assert_eq!(was_verified, is_cached && !model.unverified.contains(&name));
                if is_cached {
                    model.unverified.insert(name);
                    // Readers of the changed file do not protect it.
                    model.held.remove(&name);
                    self.handles.remove(&name);
                }
            }
            Op::Prove { name } => {
                if let Some((size, serial)) = self.index.peek(&digest(name)) {
                    let other = self.index.prove(&digest(name), serial + 1, Proof::of_size(size), None);
                    assert!(other.0.is_none(), "another blob was hashed");
                    let (record, _) = self.index.prove(&digest(name), serial, Proof::of_size(size), None);
                    assert_eq!(record.unwrap().proof, Some(Proof::of_size(size)));
                    model.unverified.remove(&name);
                }
            }
            Op::CloseIdle { most } => {
                let closed = self.index.close_idle(most);
                assert!(
                    closed.iter().all(|handle| Arc::strong_count(handle) == 1),
                    "a file that is being read stays open"
                );
            }
        }
    }

    fn fill(&mut self, model: &mut Model, name: u8, size: u64, free: u64) {
        let known = model.partials.iter().find(|it| it.name == name).cloned();
        let claimed = self.index.claim(&digest(name));
        match known {
            Some(it) if it.filling => assert_eq!(claimed, ClaimOutcome::Busy),
            Some(it) => {
                assert_eq!(claimed, ClaimOutcome::Resumed(it.size));
                model.partials.iter_mut().filter(|it| it.name == name).for_each(|it| it.filling = true);
            }
            None => {
                assert_eq!(claimed, ClaimOutcome::Fresh);
                let before = model.clone();
                let expected = model.fill(name, size, free);
                let reserved = self.index.reserve(&digest(name), size, free, self.now);
                let evicted = reserved.ok().map(|victims| victims.iter().map(name_of).collect::<Vec<_>>());
                assert_eq!(evicted, expected);
                if expected.is_none() {
                    *model = before;
                } else {
                    assert!(model.total() <= LIMIT);
                }
            }
        }
    }

    fn compare(&self, model: &Model) {
        let stats = self.index.stats();
        let (unverified, verified): (Vec<_>, Vec<_>) =
            model.blobs.iter().partition(|it| model.unverified.contains(&it.0));
        let sums = |blobs: &[&(u8, u64)]| (blobs.iter().map(|it| it.1).sum::<u64>(), blobs.len());
        assert_eq!((stats.blob_bytes, stats.blob_entries), sums(&verified));
        assert_eq!((stats.unverified_bytes, stats.unverified_entries), sums(&unverified));
        assert_eq!(stats.partial_bytes, model.partials.iter().map(|it| it.size).sum::<u64>());
        assert_eq!(stats.quarantined_bytes, model.quarantined.iter().map(|it| it.1).sum::<u64>());
        assert_eq!(stats.partial_entries, model.partials.len());
        assert_eq!(stats.quarantined_entries, model.quarantined.len());
        let mut listed = self.index.list();
        listed.sort_by_key(|it| it.used);
        let listed: Vec<_> = listed.iter().map(|it| (it.digest.as_bytes()[0], it.size, it.held, it.pinned)).collect();
        let expected = model.blobs.iter();
        let expected: Vec<_> =
            expected.map(|&(name, size)| (name, size, model.is_held(name), model.pinned.contains(&name))).collect();
        assert_eq!(listed, expected);
        assert_eq!(self.index.open, self.index.blobs.values().filter(|blob| blob.open.is_some()).count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn index_matches_simple_model(ops in ops()) {
        let mut model = Model::default();
        let mut tested =
            Tested { index: Index::new(LIMIT, MIN_FREE), handles: HashMap::new(), now: SystemTime::UNIX_EPOCH };
        for op in &ops {
            tested.apply(&mut model, op);
            tested.compare(&model);
        }
        // Without readers, pins and fills everything can be evicted.
        tested.handles.clear();
        for name in 0..6 {
            model.pinned.iter().filter(|it| **it == name).for_each(|_| tested.index.unpin(&digest(name)));
            tested.index.set_idle(&digest(name), tested.now);
        }
        prop_assert_eq!(tested.index.evictable(), tested.index.total());
    }
}

#[test]
fn shortage_names_its_reason() {
    let mut index = Index::<u8>::new(LIMIT, MIN_FREE);
    let now = SystemTime::UNIX_EPOCH;
    let why = |index: &mut Index<u8>, size, free| index.reserve(&digest(9), size, free, now).unwrap_err().to_string();
    assert_eq!(why(&mut index, 21, 99), "max_size is 20");
    assert_eq!(
        why(&mut index, 20, 24),
        "24 bytes are free on the disk, min_free keeps 5 of them free, and evicting blobs does not free enough"
    );
    index.reserve(&digest(1), 12, 99, now).unwrap();
    assert_eq!(why(&mut index, 9, 99), "max_size is 20, and 12 bytes are pinned, being read or being filled");
}

#[test]
fn uses_stay_ordered_when_clock_steps_back() {
    let mut index = Index::new(LIMIT, 0);
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    for (name, now) in [(1, late), (2, SystemTime::UNIX_EPOCH)] {
        index.reserve(&digest(name), 10, 99, now).unwrap();
        index.admit(&digest(name), Proof::of_size(10), Arc::new(name), now);
    }
    let victims = index.reserve(&digest(3), 10, 99, late).unwrap();
    assert_eq!(victims.iter().map(name_of).collect::<Vec<_>>(), [1]);
}

#[test]
fn file_of_replaced_blob_is_not_kept() {
    let mut index = Index::new(LIMIT, 0);
    let now = SystemTime::UNIX_EPOCH;
    let put = |index: &mut Index<&str>, file| {
        index.reserve(&digest(1), 1, 99, now).unwrap();
        index.admit(&digest(1), Proof::of_size(1), Arc::new(file), now);
    };
    put(&mut index, "old");
    assert_eq!(index.close_idle(0).len(), 1);
    let Location::Closed { serial, .. } = index.find(&digest(1), now) else { panic!("it is closed") };
    index.remove(&digest(1));
    put(&mut index, "new");
    assert_eq!(*index.keep_open(&digest(1), serial, Arc::new("old")), "old");
    assert_eq!(*index.opened(&digest(1), now).unwrap(), "new");
}

#[test]
fn first_failed_reader_marks_blob_suspect() {
    let mut index = Index::new(LIMIT, 0);
    let now = SystemTime::UNIX_EPOCH;
    index.reserve(&digest(1), 1, 99, now).unwrap();
    index.admit(&digest(1), Proof::of_size(1), Arc::new("first"), now);
    let first = index.opened(&digest(1), now).unwrap();
    assert!(index.mark_suspect(&digest(1), &first));
    assert!(!index.mark_suspect(&digest(1), &first), "it is marked already");
    let Location::Closed { serial, .. } = index.find(&digest(1), now) else { panic!("it is opened again") };
    let second = index.keep_open(&digest(1), serial, Arc::new("second"));
    assert!(!index.mark_suspect(&digest(1), &first), "another file is open now");
    assert!(!index.mark_suspect(&digest(1), &second), "it is being verified");
    index.set_scrubbed(&digest(1), now);
    let third = index.keep_open(&digest(1), serial, Arc::new("third"));
    assert!(index.mark_suspect(&digest(1), &third));
    assert_eq!(index.open, 0);
    index.remove(&digest(1));
    assert!(!index.mark_suspect(&digest(1), &third));
}

#[test]
fn uses_are_saved_after_their_age() {
    let mut index = Index::new(LIMIT, 0);
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    index.reserve(&digest(1), 1, 99, start).unwrap();
    index.admit(&digest(1), Proof::of_size(1), Arc::new(1), start);
    let hour = Duration::from_hours(1);
    assert!(index.take_unsaved(Duration::ZERO).is_empty(), "admission saved it");
    index.opened(&digest(1), start + hour).unwrap();
    assert!(index.take_unsaved(hour).is_empty());
    index.opened(&digest(1), start + hour * 2).unwrap();
    let record = Record { digest: digest(1), used: start + hour * 2, proof: Some(Proof::of_size(1)) };
    assert_eq!(index.take_unsaved(hour), [record]);
    assert!(index.take_unsaved(hour).is_empty());
}

#[test]
fn unverified_blob_is_scrubbed_first() {
    let mut index = Index::new(LIMIT, 0);
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    for name in 1..=3u8 {
        let proof = Proof { at: start + Duration::from_secs(name.into()), ..Proof::of_size(1) };
        index.admit(&digest(name), proof, Arc::new(name), start);
    }
    let after = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(index.to_scrub(after(2), 9), [digest(1), digest(2)]);
    assert_eq!(index.to_scrub(after(9), 2), [digest(1), digest(2)]);
    index.revoke(&digest(3), |_, _| true);
    assert_eq!(index.to_scrub(start, 9), [digest(3)]);
    assert_eq!(index.to_scrub(after(9), 9), [digest(3), digest(1), digest(2)]);
    assert!(index.is_to_scrub(&digest(3), start) && !index.is_to_scrub(&digest(1), start));
    // It could not be hashed: the others get their turns.
    index.set_scrubbed(&digest(3), after(9));
    assert_eq!(index.to_scrub(after(9), 1), [digest(1)]);
}

/// A blob: its size, and whether it is pinned, being read, and one of the requested digests.
type TestBlob = (u64, bool, bool, bool);

proptest! {
    #[test]
    fn capacity_is_what_can_be_reserved(
        limit in 0u64..60,
        free in 0u64..60,
        blobs in prop::collection::vec((1u64..9, any::<bool>(), any::<bool>(), any::<bool>()), 0..8),
        reservations in prop::collection::vec((1u64..9, any::<bool>(), any::<bool>()), 0..3),
        wanted in prop::collection::vec(1u64..9, 0..6),
    ) {
        let now = SystemTime::UNIX_EPOCH;
        // Large enough for everything that is set up.
        let mut index = Index::new(u64::MAX / 4, MIN_FREE);
        let (mut readers, mut requested, mut cached) = (Vec::new(), HashSet::new(), 0);
        for (name, &(size, pinned, held, is_requested)) in (0u8..).zip::<&Vec<TestBlob>>(&blobs) {
            let file = Arc::new(());
            readers.extend(held.then(|| Arc::clone(&file)));
            index.admit(&digest(name), Proof::of_size(size), file, now);
            if pinned {
                index.pin(&digest(name));
            }
            if is_requested {
                requested.insert(digest(name));
                cached += size;
            }
        }
        for (name, &(size, filling, allocated)) in (50u8..).zip(&reservations) {
            index.reserve(&digest(name), size, u64::MAX / 4, now).unwrap();
            if allocated {
                index.set_unallocated(&digest(name), 0);
            }
            if !filling {
                index.set_idle(&digest(name), now);
            }
        }
        index.limit = limit;
        let names: Vec<Digest> = (100u8..).zip(&wanted).map(|(name, _)| digest(name)).collect();
        requested.extend(&names);
        let capacity = index.capacity_for(&requested, free);

        for digest in &requested {
            index.pin(digest);
        }
        let mut free = free;
        let mut all = true;
        for (name, size) in names.iter().zip(&wanted) {
            match index.reserve(name, *size, free, now) {
                Ok(victims) => free += victims.iter().map(|victim| match victim {
                    Victim::Quarantined(_, it) => it.size,
                    Victim::Partial(_, it) => it.size - it.unallocated,
                    Victim::Blob(_, it) => it.size,
                }).sum::<u64>(),
                Err(_) => all = false,
            }
        }
        prop_assert_eq!(all, wanted.is_empty() || cached + wanted.iter().sum::<u64>() <= capacity);
    }
}
