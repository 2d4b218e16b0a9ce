//! Calls at set times: the manifest's `[[schedules]]`, and the times at which they are due.

use crate::Timestamp;
use crate::limits::{CRON_BYTES_MAX, SCHEDULE_ARGUMENTS_BYTES_MAX};
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, ZonedDateTime, civil};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Characters of a schedule's name.
const NAME_BYTES_MAX: usize = 64;

/// One `[[schedules]]`: a call, and when it is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Schedule {
    /// Its name, unique in the manifest: lower-case letters, digits and hyphens.
    pub name: String,
    /// When it is due: a cron expression of five fields (minute, hour, day of month, month, day of week) or `@daily` and the like.
    pub cron: String,
    /// The time zone of the expression, by its IANA name; UTC if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The interface's short or full name; left out for a function of the world itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The function.
    pub function: String,
    /// JSON text of the arguments.
    #[serde(default = "no_arguments")]
    pub arguments: String,
    /// What becomes of times at which the host was down.
    #[serde(default)]
    pub missed: Missed,
}

/// What becomes of due times at which the host was down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// Nothing.
    #[default]
    Skip,
    /// However many there were, the call is made once.
    RunOnce,
}

fn no_arguments() -> String {
    "{}".to_owned()
}

/// The times at which a schedule is due.
#[derive(Debug, Clone)]
pub struct DueTimes {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.chars().all(is_name) {
            return Err(format!("a name has 1 to {NAME_BYTES_MAX} lower-case letters, digits and hyphens"));
        }
        if self.arguments.len() > SCHEDULE_ARGUMENTS_BYTES_MAX {
            return Err(format!("arguments are over {SCHEDULE_ARGUMENTS_BYTES_MAX} bytes"));
        }
        serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments)
            .map_err(|error| format!("arguments is not JSON: {error}"))?;
        let times = self.times()?;
        times.after(Timestamp::now()).map(drop).ok_or_else(|| format!("cron {:?} is never due", self.cron))
    }

    /// The times at which it is due.
    pub fn times(&self) -> Result<DueTimes, String> {
        if self.cron.len() > CRON_BYTES_MAX || !self.cron.is_ascii() {
            return Err(format!("cron has over {CRON_BYTES_MAX} bytes, or others than ASCII"));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&self.cron).map_err(|error| {
            format!("cron {:?}: {error} Write minute, hour, day of month, month, day of week: 30 2 * * MON", self.cron)
        })?;
        let zone = match self.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .map_err(|_| format!("time-zone {name:?} is not an IANA name such as Asia/Shanghai"))?,
        };
        Ok(DueTimes { cron, zone })
    }
}

impl DueTimes {
    /// The first time after a point, if there ever is one.
    pub fn after(&self, point: Timestamp) -> Option<Timestamp> {
        self.cron.find_next_occurrence(&self.zoned(point)?, false).ok()?.timestamp()
    }

    /// The last time that is not after a point, if there ever was one.
    pub fn until(&self, point: Timestamp) -> Option<Timestamp> {
        self.cron.find_previous_occurrence(&self.zoned(point)?, true).ok()?.timestamp()
    }

    fn zoned(&self, point: Timestamp) -> Option<Local> {
        // Whole seconds: expressions know no smaller unit.
        let time = jiff::Timestamp::from_second(point.as_seconds()).ok()?;
        Some(Local(time.to_zoned_datetime(self.zone.clone())))
    }
}

/// A time in its zone, as the search for due times sees it.
#[derive(Debug, Clone)]
struct Local(ZonedDateTime);

impl Local {
    fn timestamp(&self) -> Option<Timestamp> {
        Some(Timestamp::from_micros(self.0.timestamp().as_microsecond()))
    }
}

impl CronDateTime for Local {
    fn to_civil(&self) -> CivilDateTime {
        let part = |value: i8| u32::try_from(value).unwrap_or_default();
        let time = self.0.datetime();
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(i32::from(time.year()), part(time.month()), part(time.day())),
            CivilTime::from_parts_unchecked(part(time.hour()), part(time.minute()), part(time.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.0.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::try_from(days).unwrap_or_default())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let ambiguous = self.0.time_zone().to_ambiguous_zoned_datetime(of_civil(civil).ok_or(CronError::InvalidDate)?);
        let local = |zoned: Result<ZonedDateTime, jiff::Error>| zoned.map(Self).map_err(|_| CronError::InvalidTime);
        Ok(match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(local(ambiguous.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(local(ambiguous.clone().earlier())?, local(ambiguous.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

fn of_civil(civil: CivilDateTime) -> Option<civil::DateTime> {
    let part = |value: u32| i8::try_from(value).ok();
    let (year, month, day) = (i16::try_from(civil.year()).ok()?, part(civil.month())?, part(civil.day())?);
    civil::DateTime::new(year, month, day, part(civil.hour())?, part(civil.minute())?, part(civil.second())?, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(cron: &str, zone: Option<&str>) -> DueTimes {
        let schedule = Schedule {
            name: "test".into(),
            cron: cron.into(),
            time_zone: zone.map(str::to_owned),
            interface: None,
            function: "f".into(),
            arguments: no_arguments(),
            missed: Missed::Skip,
        };
        schedule.times().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_follow_the_expression_in_its_zone() {
        let cases = [
            ("* * * * *", None, "2026-11-25T12:00:00Z", "2026-11-25T12:01:00Z"),
            ("* * * * *", None, "2026-11-25T12:00:59.999999Z", "2026-11-25T12:01:00Z"),
            ("30 2 * * *", None, "2026-11-25T12:00:00Z", "2026-11-26T02:30:00Z"),
            ("30 2 * * *", Some("Asia/Shanghai"), "2026-11-25T12:00:00Z", "2026-11-25T18:30:00Z"),
            ("0 9 * * MON", None, "2026-11-25T12:00:00Z", "2026-11-30T09:00:00Z"),
            ("0 0 L * *", None, "2026-11-25T12:00:00Z", "2026-11-30T00:00:00Z"),
            ("@daily", None, "2026-11-25T12:00:00Z", "2026-11-26T00:00:00Z"),
            // The clock skips 02:30 there on that day; the call is made when it goes on.
            ("30 2 * * *", Some("Europe/Berlin"), "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
        ];
        for (cron, zone, after, expected) in cases {
            assert_eq!(times(cron, zone).after(at(after)), Some(at(expected)), "{cron} {zone:?} after {after}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_is_due_once() {
        let times = times("30 2 * * *", Some("Europe/Berlin"));
        let first = times.after(at("2026-10-24T12:00:00Z")).unwrap();
        assert_eq!(times.after(first), Some(at("2026-10-26T01:30:00Z")));
    }

    #[test]
    fn the_last_time_is_found_backwards() {
        let daily = times("0 0 * * *", None);
        assert_eq!(daily.until(at("2026-11-25T12:00:00Z")), Some(at("2026-11-25T00:00:00Z")));
        assert_eq!(daily.until(at("2026-11-25T00:00:00Z")), Some(at("2026-11-25T00:00:00Z")));
        assert_eq!(times("0 0 30 2 *", None).after(at("2026-11-25")), None);
    }

    #[test]
    fn no_expression_breaks_the_search() {
        let patterns =
            ["*/0 * * * *", "60 * * * *", "1-0 * * * *", "* * 31W * *", "* * * * 1#9", "* * LW 2 *", "# # # # #"];
        for cron in patterns {
            let schedule = Schedule { cron: cron.into(), ..example() };
            if let Ok(times) = schedule.times() {
                let _ = (times.after(at("2026-11-25")), times.until(at("2026-11-25")));
            }
        }
        for cron in ["* * * * * *", "", "* * * *", &"1,".repeat(100)] {
            assert!(Schedule { cron: cron.into(), ..example() }.times().is_err(), "{cron:?}");
        }
    }

    fn example() -> Schedule {
        let (cron, arguments) = ("@daily".to_owned(), no_arguments());
        let (name, function) = ("a".to_owned(), "f".to_owned());
        Schedule { name, cron, time_zone: None, interface: None, function, arguments, missed: Missed::RunOnce }
    }
}
