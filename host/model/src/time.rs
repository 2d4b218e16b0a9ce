//! Points in time as the store keeps them.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A day in microseconds.
pub const DAY_US: i64 = 86_400_000_000;
const MINUTE_US: i64 = 60_000_000;

/// How far the clock may have gone on since ages were judged last for that to be believed at once: a host that was off for a
/// week of holidays and a day removes what it would have removed meanwhile.
pub const ABSENCE_BELIEVED_MAX: Duration = Duration::from_secs(8 * 86_400);
/// What is beyond it may be a clock that was set wrong. Ages follow such a clock slowly: of what it is ahead, as much within
/// so long as an exponential decay leaves behind (63%), so that there is time to notice, and to set it right.
pub const CATCHING_UP: Duration = Duration::from_secs(2 * 86_400);

/// The time by which the age of what is kept for so long is judged, `running` after it was judged to be `last` by the same
/// process. It is the clock's, but for a clock that has jumped ahead.
pub fn judged(now: Timestamp, last: Option<Timestamp>, running: Duration) -> Timestamp {
    let Some(last) = last else { return now };
    let ahead = now.since(last);
    if ahead <= ABSENCE_BELIEVED_MAX {
        return now;
    }
    let share = (running.as_secs_f64() / CATCHING_UP.as_secs_f64()).min(1.0);
    // Never slower than time goes.
    last.plus(ahead.mul_f64(share).max(running)).min(now)
}

/// A point in time in whole microseconds since 1970-01-01T00:00:00Z, written in RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// Now, by the system's clock.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_microsecond())
    }

    /// The point this many microseconds after the epoch.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// As HTTP writes dates (RFC 9110), to the second; none beyond what a date can be.
    pub fn to_http_date(self) -> Option<String> {
        let time = jiff::Timestamp::from_second(self.as_seconds()).ok()?;
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
    }

    /// The beginning of its minute.
    pub fn minute(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(MINUTE_US)))
    }

    /// The beginning of the first minute that is not before it.
    pub fn minute_from(self) -> Self {
        Self(self.0.saturating_add(self.0.wrapping_neg().rem_euclid(MINUTE_US)))
    }

    /// The point so much later.
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The point so much earlier.
    pub fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long it is from another point to this one; nothing if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }

    /// Microseconds since the epoch.
    pub fn as_micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// A text that is neither an RFC 3339 time nor a date.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a time: write 2026-11-24T08:00:00Z, or 2026-11-24 for the start of that day in UTC")]
pub struct ParseTimestampError(String);

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = || TimeZone::UTC.to_timestamp(text.parse::<jiff::civil::Date>().ok()?.at(0, 0, 0, 0)).ok();
        text.parse::<jiff::Timestamp>()
            .ok()
            .or_else(day)
            .map(|time| Self(time.as_microsecond()))
            .ok_or_else(|| ParseTimestampError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = ParseTimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_move_and_stay_within_what_there_is() {
        let (time, hour) = (Timestamp::from_micros(0), Duration::from_secs(3_600));
        assert_eq!(time.plus(hour).since(time), hour);
        assert_eq!(time.since(time.plus(hour)), Duration::ZERO);
        assert_eq!(time.plus(hour).minus(hour), time);
        assert_eq!(Timestamp::from_micros(i64::MAX).plus(Duration::MAX), Timestamp::from_micros(i64::MAX));
    }

    #[test]
    fn ages_follow_a_clock_that_jumps_slowly_and_any_other_at_once() {
        let day = |days: u64| Timestamp::from_micros(0).plus(Duration::from_secs(days * 86_400));
        let minute = Duration::from_secs(60);
        assert_eq!(judged(day(100), None, Duration::ZERO), day(100));
        assert_eq!(judged(day(108), Some(day(100)), Duration::ZERO), day(108));
        assert_eq!(judged(day(3), Some(day(100)), Duration::ZERO), day(3), "it was set back");
        assert_eq!(judged(day(200), Some(day(100)), Duration::ZERO), day(100), "a start alone says nothing");
        let after_a_minute = judged(day(200), Some(day(100)), minute).since(day(100));
        assert!((minute..Duration::from_secs(3_600)).contains(&after_a_minute), "{after_a_minute:?}");
        let (mut at, mut minutes) = (day(100), 0_u64);
        while at < day(200) {
            at = judged(day(200), Some(at), minute);
            minutes += 1;
        }
        assert!((2 * 1_440..14 * 1_440).contains(&minutes), "{minutes} minutes");
        assert_eq!(
            judged(Timestamp::from_micros(i64::MAX), Some(day(0)), Duration::MAX),
            Timestamp::from_micros(i64::MAX)
        );
    }

    #[test]
    fn minutes_begin_where_they_should() {
        for (micros, begins, from) in [(0, 0, 0), (1, 0, 60_000_000), (59_999_999, 0, 60_000_000), (-1, -60_000_000, 0)]
        {
            let time = Timestamp::from_micros(micros);
            assert_eq!((time.minute().as_micros(), time.minute_from().as_micros()), (begins, from), "{micros}");
        }
        for edge in [i64::MIN, i64::MAX] {
            let _ = (Timestamp::from_micros(edge).minute(), Timestamp::from_micros(edge).minute_from());
        }
    }

    #[test]
    fn text_round_trips_and_days_are_accepted() {
        let time: Timestamp = "2026-11-24T08:00:00.000001Z".parse().unwrap();
        assert_eq!(time.to_string().parse(), Ok(time));
        let day: Timestamp = "2026-11-24".parse().unwrap();
        assert_eq!(day.to_string(), "2026-11-24T00:00:00.000000Z");
        assert_eq!((time.as_seconds(), Timestamp::from_micros(-1).as_seconds()), (1_795_507_200, -1));
        assert_eq!(time.to_http_date().as_deref(), Some("Tue, 24 Nov 2026 08:00:00 GMT"));
        assert_eq!(Timestamp::from_micros(i64::MAX).to_http_date(), None);
        assert!("tomorrow".parse::<Timestamp>().is_err());
    }
}
