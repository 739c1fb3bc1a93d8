use super::*;

const PIECE: u64 = 1 << 20;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end)
}

/// The state of a read from byte 0 after `pieces` pieces, and a reader of `wanted`.
fn state(pieces: u64, wanted: ByteRange) -> (BypassWindow, ReaderId) {
    let mut state = BypassWindow::default();
    let id = state.add_reader(wanted);
    for _ in 0..pieces {
        state.add(Bytes::from(vec![7; usize::try_from(PIECE).unwrap()]));
    }
    (state, id)
}

fn length(piece: Piece) -> usize {
    match piece {
        Piece::Bytes(bytes) => bytes.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn piece_ends_where_held_end_begins() {
    let (mut state, id) = state(2, range(10, 2 * PIECE));
    assert_eq!(length(state.take(id, 0, range(10, 2 * PIECE), 100).unwrap()), 90);
    assert!(state.is_sent);
    assert_eq!(length(state.take(id, 0, range(100, 2 * PIECE), 100).unwrap()) as u64, PIECE - 100);
    assert!(matches!(state.take(id, 0, range(2 * PIECE, 3 * PIECE), 100).unwrap(), Piece::Nothing));
}

#[test]
fn fast_readers_wait_then_leave_slow_one_behind() {
    let (mut state, slow) = state(5, range(0, 100 * PIECE));
    let fast = state.join(range(0, 100 * PIECE), false).unwrap();
    assert_eq!(state.next_step(false, false), Step::Wait, "both have bytes to take");
    let rest = range(5 * PIECE, 100 * PIECE);
    assert!(matches!(state.take(fast, 0, rest, u64::MAX).unwrap(), Piece::Nothing));
    assert_eq!(state.next_step(false, false), Step::WaitForSlow);
    assert_eq!(state.next_step(false, true), Step::Read);
    assert!(matches!(state.take(slow, 0, range(0, 100 * PIECE), u64::MAX).unwrap(), Piece::LeftBehind));
    assert!(state.join(range(0, 100 * PIECE), false).is_none(), "the first bytes are gone");
    assert!(state.join(range(PIECE, 100 * PIECE), false).is_some());
}

#[test]
fn taken_bytes_are_dropped_beyond_window() {
    let (mut state, id) = state(6, range(0, 100 * PIECE));
    let rest = range(6 * PIECE, 100 * PIECE);
    state.take(id, 0, rest, u64::MAX).unwrap();
    assert_eq!(state.next_step(false, false), Step::Read);
    assert_eq!((state.from, state.window.len()), (2 * PIECE, 4), "a window stays for readers that come later");
}

#[test]
fn reader_of_range_waits_for_whole_verification() {
    let (mut state, id) = state(1, range(10, 20));
    assert_eq!(length(state.take(id, 0, range(10, 20), 10).unwrap()), 10);
    assert!(!state.is_sent, "the end of the range is held back");
    state.take(id, 0, range(20, 20), 10).unwrap();
    assert_eq!(state.next_step(false, false), Step::Read, "the whole must be hashed");
    assert_eq!(state.next_step(true, false), Step::Wait, "its blocks are verified");
}

#[test]
fn restart_voids_held_bytes_only() {
    let (mut held, id) = state(1, range(0, 20));
    held.take(id, 0, range(0, 20), 0).unwrap();
    assert!(held.restart(0, false));
    assert!(matches!(held.take(id, 0, range(20, 20), 0).unwrap(), Piece::Restarted(1)));
    assert!(matches!(held.take(id, 1, range(0, 20), 0).unwrap(), Piece::Nothing));
    let (mut sent, id) = state(1, range(0, 20));
    sent.take(id, 0, range(0, 20), 20).unwrap();
    assert!(!sent.restart(0, false));
    assert_eq!(sent.to, PIECE);
}

#[test]
fn failed_read_accepts_no_reader() {
    let (mut state, id) = state(1, range(0, 2 * PIECE));
    state.end = Some(Err(ReadError::Closing));
    assert_eq!(length(state.take(id, 0, range(0, 2 * PIECE), u64::MAX).unwrap()) as u64, PIECE);
    assert!(state.take(id, 0, range(PIECE, 2 * PIECE), u64::MAX).is_err());
    assert!(state.join(range(0, 20), false).is_none());
}
