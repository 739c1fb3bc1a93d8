//! How fast the reads of a fill are: which are too slow, which one is worth a race, and which sources make no progress. Pure:
//! time is passed in.
//!
//! A connection that brings a byte a second is alive and no help. Such a read is not given up; another one is started for
//! the same bytes, and the first bytes win.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::asset::ByteRange;

/// Bytes per second below which a read or a source makes no progress. At this rate a part of 8 MiB takes 17 minutes, longer
/// than firmware and installers wait; the slowest links that machines are booted over are ten times as fast.
const FLOOR: u64 = 8 << 10;
/// A read with less than this share of the typical rate is too slow: connections of one fill that share a link differ by
/// less.
const SLOW_SHARE: f64 = 1.0 / 8.0;
/// When everything is being fetched, a read with less than this share of the typical rate is raced, if its rest takes longer
/// than [`RACE_REST`]. At equal rates a race would only cost bytes.
const RACE_SHARE: f64 = 1.0 / 2.0;
const RACE_REST: Duration = Duration::from_secs(1);
/// Ended reads whose rates count for the typical rate.
const ENDED: usize = 15;

/// Identifies an active read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReadId(u64);

/// Identifies a source that is being read.
pub(super) type SourceIndex = usize;

/// The pace of one fill.
#[derive(Debug, Default)]
pub(super) struct Pace {
    reads: BTreeMap<ReadId, Read>,
    next: u64,
    /// Whether any bytes were fetched by two reads.
    was_doubled: bool,
    /// Rates of the last reads that ended.
    ended: VecDeque<f64>,
    sources: BTreeMap<SourceIndex, Meter>,
}

/// An active read of one source.
#[derive(Debug)]
struct Read {
    source: SourceIndex,
    began: Instant,
    /// The bytes that are still to come.
    rest: ByteRange,
    meter: Meter,
    /// Since when another read fetches the same bytes, or is to do so.
    doubled: Option<Instant>,
    /// Cancelled when other reads have written its bytes.
    overtaken: CancellationToken,
}

/// Bytes received, and their rate over the last one or two ticks.
#[derive(Debug)]
struct Meter {
    received: u64,
    /// Times and counts of the last ticks, oldest first; never empty.
    marks: VecDeque<(Instant, u64)>,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self { received: 0, marks: VecDeque::from([(now, 0)]) }
    }

    /// How long it has been measured, and the bytes per second in that time.
    fn rate(&self, now: Instant) -> (Duration, f64) {
        let (since, before) = self.marks.front().copied().unwrap_or((now, self.received));
        let time = now.saturating_duration_since(since);
        (time, per_second(self.received - before, time))
    }

    fn tick(&mut self, now: Instant) {
        self.marks.push_back((now, self.received));
        if self.marks.len() > 2 {
            self.marks.pop_front();
        }
    }

    /// Whether it stayed below the floor for `timeout`.
    fn is_stalled(&self, now: Instant, timeout: Duration) -> bool {
        let (time, rate) = self.rate(now);
        time >= timeout && rate < as_rate(FLOOR)
    }
}

impl Pace {
    /// How often to call [`Pace::tick`] for this stall timeout.
    pub(super) fn interval(stall: Duration) -> Duration {
        stall / 2
    }

    /// Adds a read of `range`. Returns its identifier and a token that is cancelled when other reads have its bytes.
    pub(super) fn begin(&mut self, source: SourceIndex, range: ByteRange, now: Instant) -> (ReadId, CancellationToken) {
        let (id, overtaken) = (ReadId(self.next), CancellationToken::new());
        self.next += 1;
        let is_double = self.reads.values().any(|read| !read.rest.intersect(&range).is_empty());
        self.was_doubled |= is_double;
        let doubled = is_double.then_some(now);
        let read =
            Read { source, began: now, rest: range, meter: Meter::new(now), doubled, overtaken: overtaken.clone() };
        self.reads.insert(id, read);
        self.sources.entry(source).or_insert_with(|| Meter::new(now));
        (id, overtaken)
    }

    /// Records received bytes of a read, and what is still to come of it.
    pub(super) fn advance(&mut self, id: ReadId, bytes: u64, rest: ByteRange) {
        let Some(read) = self.reads.get_mut(&id) else { return };
        read.rest = rest;
        read.meter.received += bytes;
        if let Some(source) = self.sources.get_mut(&read.source) {
            source.received += bytes;
        }
    }

    /// Whether any bytes were fetched by two reads.
    pub(super) fn was_doubled(&self) -> bool {
        self.was_doubled
    }

    /// Lets other reads fetch the rest of every read, and returns these rests. They do not overlap.
    pub(super) fn double_all(&mut self, now: Instant) -> Vec<ByteRange> {
        let mut rests: Vec<ByteRange> = Vec::new();
        for read in self.reads.values_mut() {
            read.doubled = Some(now);
            if rests.iter().all(|rest| rest.intersect(&read.rest).is_empty()) {
                rests.push(read.rest);
            }
        }
        rests.retain(|rest| !rest.is_empty());
        rests
    }

    /// How many reads are active.
    pub(super) fn active(&self) -> usize {
        self.reads.len()
    }

    /// Whether a read shares its bytes with another one.
    pub(super) fn is_doubled(&self, id: ReadId) -> bool {
        self.reads.get(&id).is_some_and(|read| read.doubled.is_some())
    }

    /// Removes a read that has ended.
    pub(super) fn end(&mut self, id: ReadId, now: Instant) {
        let Some(read) = self.reads.remove(&id) else { return };
        if read.rest.is_empty() {
            self.ended.push_back(per_second(read.meter.received, now.saturating_duration_since(read.began)));
            if self.ended.len() > ENDED {
                self.ended.pop_front();
            }
        }
    }

    /// Cancels the doubled reads whose bytes are written, as `is_written` says: they are overtaken.
    pub(super) fn overtake(&self, is_written: impl Fn(ByteRange) -> bool) {
        for read in
            self.reads.values().filter(|read| read.doubled.is_some() && !read.rest.is_empty() && is_written(read.rest))
        {
            read.overtaken.cancel();
        }
    }

    /// Returns the rests of the reads that have become too slow within the stall timeout. Their bytes are to be fetched over
    /// another connection; once more if that has not helped within two stall timeouts. Starts the next measurement.
    pub(super) fn tick(&mut self, now: Instant, stall: Duration) -> Vec<ByteRange> {
        let typical = self.typical_rate(now);
        let mut slow = Vec::new();
        for read in self.reads.values_mut() {
            let (time, rate) = read.meter.rate(now);
            let is_slow = time >= Self::interval(stall) && typical.is_some_and(|typical| rate < typical * SLOW_SHARE);
            let is_waiting = read.doubled.is_some_and(|since| now.saturating_duration_since(since) < stall * 2);
            if (is_slow || read.meter.is_stalled(now, stall)) && !is_waiting && !read.rest.is_empty() {
                read.doubled = Some(now);
                slow.push(read.rest);
            }
            read.meter.tick(now);
        }
        slow
    }

    /// Whether no source has made progress for the stall timeout. Starts the next measurement. Call it once a tick.
    pub(super) fn is_stalled(&mut self, now: Instant, stall: Duration) -> bool {
        let is_stalled = !self.reads.is_empty() && self.sources.values().all(|source| source.is_stalled(now, stall));
        for source in self.sources.values_mut() {
            source.tick(now);
        }
        is_stalled
    }

    /// Chooses the slowest read to race, for a connection that has nothing else to fetch, and returns its rest. `None` if no
    /// race is worth it.
    pub(super) fn race(&mut self, now: Instant) -> Option<ByteRange> {
        let typical = self.typical_rate(now)?;
        let time_left = |read: &Read| {
            let (time, rate) = read.meter.rate(now);
            let is_slow = time >= RACE_REST && rate < typical * RACE_SHARE;
            let left = as_rate(read.rest.len()) / rate.max(1.0);
            (is_slow && read.doubled.is_none() && left > RACE_REST.as_secs_f64()).then_some(left)
        };
        let slowest = self.reads.iter().filter_map(|(id, read)| Some((time_left(read)?, *id)));
        let (_, id) = slowest.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let read = self.reads.get_mut(&id)?;
        read.doubled = Some(now);
        Some(read.rest)
    }

    /// The median rate of the reads, active and ended. `None` if there are too few to compare.
    fn typical_rate(&self, now: Instant) -> Option<f64> {
        let active = self.reads.values().map(|read| read.meter.rate(now).1);
        let mut rates: Vec<f64> = active.chain(self.ended.iter().copied()).collect();
        rates.sort_by(f64::total_cmp);
        (rates.len() >= 3).then(|| rates[rates.len() / 2])
    }
}

fn per_second(bytes: u64, time: Duration) -> f64 {
    as_rate(bytes) / time.as_secs_f64().max(0.001)
}

#[expect(clippy::cast_precision_loss, reason = "rates are compared, not counted")]
fn as_rate(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(10);
    const PART: u64 = 8 << 20;

    fn part(index: u64) -> ByteRange {
        ByteRange::new(index * PART, (index + 1) * PART)
    }

    /// Parts of one source that began together, and have these bytes each second.
    struct Parts {
        pace: Pace,
        ids: Vec<(ReadId, u64, u64)>,
        began: Instant,
        seconds: u64,
    }

    impl Parts {
        fn new(rates: &[u64]) -> Self {
            let (mut pace, began) = (Pace::default(), Instant::now());
            let ids = rates.iter().enumerate().map(|(index, rate)| {
                let index = index as u64;
                (pace.begin(0, part(index), began).0, index, *rate)
            });
            Self { ids: ids.collect(), pace, began, seconds: 0 }
        }

        fn now(&self) -> Instant {
            self.began + Duration::from_secs(self.seconds)
        }

        fn run(&mut self, seconds: u64) {
            for _ in 0..seconds {
                self.seconds += 1;
                for (id, index, rate) in &self.ids {
                    let got = (rate * self.seconds).min(PART);
                    self.pace.advance(*id, *rate, ByteRange::new(part(*index).start + got, part(*index).end));
                }
            }
        }

        fn slow_after(&mut self, seconds: u64) -> Vec<u64> {
            self.run(seconds);
            let slow = self.pace.tick(self.now(), STALL);
            slow.iter().map(|rest| rest.start / PART).collect()
        }
    }

    #[test]
    fn part_far_below_median_is_slow() {
        let mut parts = Parts::new(&[300_000, 200_000, 20_000, 250_000]);
        assert_eq!(parts.slow_after(5), [2]);
        assert_eq!(parts.slow_after(5), [0; 0], "the other connection has time");
        assert_eq!(parts.slow_after(15), [2], "it has not helped");
    }

    #[test]
    fn similar_rates_are_not_slow() {
        let mut parts = Parts::new(&[500_000, 400_000, 100_000, 450_000]);
        assert_eq!(parts.slow_after(5), [0; 0]);
        let mut parts = Parts::new(&[20_000, 20_000, 10_000]);
        assert_eq!(parts.slow_after(5), [0; 0], "a slow link is no slow part");
        assert_eq!(parts.slow_after(5), [0; 0]);
    }

    #[test]
    fn single_part_below_floor_is_slow() {
        let mut parts = Parts::new(&[1]);
        assert_eq!(parts.slow_after(5), [0; 0], "the stall timeout has not passed");
        assert_eq!(parts.slow_after(5), [0]);
    }

    #[test]
    fn part_that_stops_becomes_slow() {
        let mut parts = Parts::new(&[100_000]);
        assert_eq!(parts.slow_after(5), [0; 0]);
        assert_eq!(parts.slow_after(5), [0; 0]);
        parts.ids[0].2 = 0;
        parts.run(5);
        assert_eq!(parts.pace.tick(parts.now(), STALL), [], "half of the window had bytes");
        parts.run(5);
        assert_eq!(parts.pace.tick(parts.now(), STALL).len(), 1);
    }

    #[test]
    fn bytes_below_floor_are_no_progress() {
        for (rate, stalled) in [(1, true), (FLOOR - 1, true), (FLOOR, false)] {
            let mut parts = Parts::new(&[rate]);
            parts.run(5);
            assert!(!parts.pace.is_stalled(parts.now(), STALL), "too early");
            parts.run(5);
            assert_eq!(parts.pace.is_stalled(parts.now(), STALL), stalled, "{rate}");
        }
        assert!(!Pace::default().is_stalled(Instant::now(), STALL), "nothing is being read");
    }

    #[test]
    fn progress_of_one_source_is_enough() {
        let mut parts = Parts::new(&[1]);
        let (second, _) = parts.pace.begin(1, part(1), parts.began);
        parts.run(10);
        parts.pace.advance(second, 10 * FLOOR, part(1));
        assert!(!parts.pace.is_stalled(parts.now(), STALL));
    }

    #[test]
    fn slowest_part_is_raced_once() {
        let mut parts = Parts::new(&[1_000_000, 1_000_000, 300_000, 200_000]);
        parts.run(3);
        let now = parts.now();
        assert_eq!(parts.pace.race(now).map(|rest| rest.start / PART), Some(3));
        assert_eq!(parts.pace.race(now).map(|rest| rest.start / PART), Some(2));
        assert_eq!(parts.pace.race(now), None);
    }

    #[test]
    fn equal_or_nearly_done_parts_are_not_raced() {
        let mut parts = Parts::new(&[1_000_000, 900_000, 800_000]);
        parts.run(3);
        let now = parts.now();
        assert_eq!(parts.pace.race(now), None);
        let mut parts = Parts::new(&[4_000_000, 4_000_000, 1_000_000]);
        parts.run(8);
        let now = parts.now();
        assert_eq!(parts.pace.race(now), None, "less than a second is left");
    }

    #[test]
    fn written_bytes_overtake_doubled_reads_only() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let (_, alone) = pace.begin(0, part(0), now);
        let (_, other) = pace.begin(0, part(1), now);
        assert!(!pace.was_doubled());
        let (_, doubled) = pace.begin(0, part(1), now);
        pace.overtake(|_| false);
        assert!(pace.was_doubled() && !doubled.is_cancelled());
        assert_eq!(pace.double_all(now), [part(0), part(1)]);
        pace.overtake(|range| range == part(1));
        assert!(doubled.is_cancelled() && other.is_cancelled() && !alone.is_cancelled());
    }
}
