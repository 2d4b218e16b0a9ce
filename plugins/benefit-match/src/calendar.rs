//! Days: which exist, and months between them.

use crate::exports::benefit::policies::matching::{Date, MatchError};

/// The date as year, month and day, if there is such a day.
pub fn check(what: &str, date: Date) -> Result<(u16, u8, u8), MatchError> {
    let Date { year, month, day } = date;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(leap),
        1..=12 => 31,
        _ => 0,
    };
    let fits = (1900..=2999).contains(&year) && (1..=days).contains(&day);
    fits.then_some((year, month, day))
        .ok_or_else(|| MatchError::InvalidDate(format!("{what}: there is no day {year}-{month:02}-{day:02}")))
}

/// Whole months from one day to a later one; 0 when it is not later.
pub fn months_between(from: (u16, u8, u8), to: (u16, u8, u8)) -> u64 {
    let months = |(year, month, _): (u16, u8, u8)| i64::from(year) * 12 + i64::from(month);
    let whole = months(to) - months(from) - i64::from(to.2 < from.2);
    u64::try_from(whole).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_that_exist_pass() {
        for (year, month, day, exists) in [
            (2024, 2, 29, true),
            (2023, 2, 29, false),
            (2000, 2, 29, true),
            (1900, 2, 29, false),
            (2026, 4, 31, false),
            (2026, 13, 1, false),
            (2026, 0, 1, false),
            (2026, 1, 0, false),
            (0, 1, 1, false),
        ] {
            assert_eq!(check("x", Date { year, month, day }).is_ok(), exists, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn months_are_whole() {
        assert_eq!(months_between((2024, 1, 31), (2024, 2, 29)), 0);
        assert_eq!(months_between((2024, 1, 15), (2026, 1, 15)), 24);
        assert_eq!(months_between((2026, 1, 15), (2024, 1, 15)), 0);
    }
}
