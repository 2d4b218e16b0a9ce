//! Days as numbers, so that they can be subtracted and added to.

use crate::exports::kitchen::safety::rating::{Date, RatingError};

/// Days since 1970-01-01 of a day that exists.
pub fn number(what: &str, date: Date) -> Result<i64, RatingError> {
    let Date { year, month, day } = date;
    if (1970..=2999).contains(&year) && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day) {
        return Ok(days_before(year)
            + (1..month).map(|month| i64::from(days_in(year, month))).sum::<i64>()
            + i64::from(day)
            - 1);
    }
    Err(RatingError::InvalidDate(format!("{what}: there is no day {year}-{month:02}-{day:02}")))
}

/// The day with this number, which is not before 1970.
pub fn date(number: i64) -> Date {
    let mut rest = number.max(0);
    let mut year = 1970;
    while rest >= days_before(year + 1) - days_before(year) {
        rest -= days_before(year + 1) - days_before(year);
        year += 1;
    }
    let mut month = 1;
    while rest >= i64::from(days_in(year, month)) {
        rest -= i64::from(days_in(year, month));
        month += 1;
    }
    Date { year, month, day: u8::try_from(rest + 1).unwrap_or(1) }
}

fn days_before(year: u16) -> i64 {
    let years = i64::from(year) - 1;
    let leaps = years / 4 - years / 100 + years / 400;
    years * 365 + leaps - 719_162
}

fn days_in(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(leap),
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_numbers_are_two_forms_of_one_thing() {
        for (year, month, day, expected) in
            [(1970, 1, 1, 0), (2000, 2, 29, 11_016), (2026, 11, 24, 20_781), (2999, 12, 31, 376_199)]
        {
            let this = Date { year, month, day };
            assert_eq!(number("x", this), Ok(expected));
            assert_eq!(date(expected), this);
        }
        for other in 0..40_000 {
            assert_eq!(number("x", date(other)), Ok(other));
        }
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for (year, month, day) in
            [(2023, 2, 29), (2026, 0, 1), (2026, 13, 1), (2026, 1, 32), (1969, 12, 31), (3000, 1, 1)]
        {
            assert!(number("x", Date { year, month, day }).is_err(), "{year}-{month}-{day}");
        }
    }
}
