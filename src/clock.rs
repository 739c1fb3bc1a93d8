//! The wall clock. A board without a battery starts in 1970, and a wrong one may be anywhere: no time is an error.

use std::time::SystemTime;

use jiff::Timestamp;

/// Returns the time now, or the nearest one that a [`Timestamp`] can have: the years -9999 to 9999.
pub(crate) fn now() -> Timestamp {
    nearest(SystemTime::now())
}

/// Converts a time to the API's precision: whole microseconds, enough to order transfers.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let time = nearest(time);
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

fn nearest(time: SystemTime) -> Timestamp {
    let nearest = if time < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::try_from(time).unwrap_or(nearest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn impossible_times_become_nearest() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(timestamp(epoch + Duration::from_nanos(1_234_567)).as_nanosecond(), 1_234_000);
        let age = Duration::from_hours(24 * 366 * 20_000);
        assert_eq!(timestamp(epoch + age).as_microsecond(), Timestamp::MAX.as_microsecond());
        assert_eq!(timestamp(epoch - age), Timestamp::MIN);
    }
}
