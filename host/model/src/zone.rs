//! The time zone that days, months and hours are counted in.

use crate::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A time zone of the IANA database, as `Asia/Shanghai`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// How far local time is ahead of UTC, from a point in time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// From this time on, in microseconds since the epoch.
    pub since_us: i64,
    /// So many microseconds ahead; less than none: behind.
    pub ahead_us: i64,
}

impl Zone {
    /// Where days begin at midnight UTC.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// Its offsets within `[from, to]`, the first of them since before that.
    pub fn offsets(&self, from: Timestamp, to: Timestamp) -> Vec<Offset> {
        let Ok(first) = jiff::Timestamp::from_microsecond(from.as_micros()) else { return Vec::new() };
        let micros = |offset: jiff::tz::Offset| i64::from(offset.seconds()) * 1_000_000;
        let mut offsets = vec![Offset { since_us: i64::MIN, ahead_us: micros(self.zone.to_offset(first)) }];
        let changes =
            self.zone.following(first).take_while(|change| change.timestamp().as_microsecond() <= to.as_micros());
        offsets.extend(
            changes.map(|change| Offset {
                since_us: change.timestamp().as_microsecond(),
                ahead_us: micros(change.offset()),
            }),
        );
        offsets.dedup_by_key(|offset| offset.ahead_us);
        offsets
    }

    /// A time as it is written here, to the second and with its offset: `2026-11-24T08:00:00+08:00`.
    pub fn write(&self, time: Timestamp) -> String {
        match jiff::Timestamp::from_microsecond(time.as_micros()) {
            Ok(time) => time.display_with_offset(self.zone.to_offset(time)).to_string(),
            Err(_) => time.to_string(),
        }
    }

    fn start_of(&self, day: Date) -> Option<Timestamp> {
        let start = self.zone.to_timestamp(day.at(0, 0, 0, 0)).ok()?;
        Some(Timestamp::from_micros(start.as_microsecond()))
    }
}

impl Default for Zone {
    /// That of China.
    fn default() -> Self {
        let name = "Asia/Shanghai";
        Self { name: name.to_owned(), zone: TimeZone::get(name).unwrap_or(TimeZone::UTC) }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A name that is no time zone's.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a time zone: write the name that the IANA database has for it, as Asia/Shanghai or UTC")]
pub struct ParseZoneError(String);

impl FromStr for Zone {
    type Err = ParseZoneError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let zone = TimeZone::get(text).map_err(|_| ParseZoneError(text.chars().take(80).collect()))?;
        Ok(Self { name: zone.iana_name().unwrap_or(text).to_owned(), zone })
    }
}

impl TryFrom<String> for Zone {
    type Error = ParseZoneError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

/// The end of a period as people name it: a point in time, or a day, which begins when it does in the time zone that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum TimeOrDay {
    /// A point in time.
    Time(Timestamp),
    /// A day.
    Day(Date),
}

impl TimeOrDay {
    /// The time, or the start of the day in this zone.
    pub fn in_zone(self, zone: &Zone) -> Timestamp {
        match self {
            Self::Time(time) => time,
            Self::Day(day) => zone.start_of(day).unwrap_or_else(|| {
                // Days at the ends of the calendar begin beyond them in some zones.
                Timestamp::from_micros(if day.year() < 0 { i64::MIN } else { i64::MAX })
            }),
        }
    }
}

impl fmt::Display for TimeOrDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => time.fmt(f),
            Self::Day(day) => day.fmt(f),
        }
    }
}

/// A text that is neither.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is neither a time nor a day: write 2026-11-24T08:00:00+08:00, or 2026-11-24 for the start of that day")]
pub struct ParseTimeOrDayError(String);

impl FromStr for TimeOrDay {
    type Err = ParseTimeOrDayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = || text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp::from_micros(time.as_microsecond()));
        // `Date` takes what stands before a time as well.
        let day = || text.parse::<Date>().ok().filter(|day| day.to_string() == text);
        let read = time().map(Self::Time).or_else(|| day().map(Self::Day));
        read.ok_or_else(|| ParseTimeOrDayError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for TimeOrDay {
    type Error = ParseTimeOrDayError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn offsets_change_where_the_zone_says() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let offsets = |name: &str| name.parse::<Zone>().unwrap().offsets(time("2026-01-01"), time("2026-12-31"));
        let shanghai = Offset { since_us: i64::MIN, ahead_us: 8 * HOUR_US };
        assert_eq!(offsets("Asia/Shanghai"), [shanghai]);
        assert_eq!(offsets("UTC"), [Offset { since_us: i64::MIN, ahead_us: 0 }]);
        let berlin = [
            Offset { since_us: i64::MIN, ahead_us: HOUR_US },
            Offset { since_us: time("2026-03-29T01:00:00Z").as_micros(), ahead_us: 2 * HOUR_US },
            Offset { since_us: time("2026-10-25T01:00:00Z").as_micros(), ahead_us: HOUR_US },
        ];
        assert_eq!(offsets("Europe/Berlin"), berlin);
    }

    #[test]
    fn days_begin_when_they_do_there() {
        let day: TimeOrDay = "2026-11-24".parse().unwrap();
        let start = |zone: &str| day.in_zone(&zone.parse().unwrap()).to_string();
        assert_eq!(start("UTC"), "2026-11-24T00:00:00.000000Z");
        assert_eq!(start("Asia/Shanghai"), "2026-11-23T16:00:00.000000Z");
        let time: TimeOrDay = "2026-11-24T08:00:00+08:00".parse().unwrap();
        assert_eq!(time.in_zone(&Zone::default()).to_string(), "2026-11-24T00:00:00.000000Z");
        for (given, text) in [(day, "2026-11-24"), (time, "2026-11-24T00:00:00.000000Z")] {
            assert_eq!((given.to_string().as_str(), text.parse()), (text, Ok(given)));
        }
        for text in ["", "yesterday", "2026-11-24T08:00:00", "2026-11-31", "20261124x"] {
            assert!(text.parse::<TimeOrDay>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_those_of_the_database() {
        assert_eq!(Zone::default().to_string(), "Asia/Shanghai");
        let error = "Asia/Peking".parse::<Zone>().unwrap_err().to_string();
        assert!(error.contains("Asia/Peking") && error.contains("Asia/Shanghai"), "{error}");
        let noon: Timestamp = "2026-11-24T04:00:00Z".parse().unwrap();
        assert_eq!(Zone::default().write(noon), "2026-11-24T12:00:00+08:00");
        assert_eq!(Zone::utc().write(noon), "2026-11-24T04:00:00+00:00");
    }
}
