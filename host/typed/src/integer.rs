//! Integers from number texts, exactly: no floating point on the way.

/// Decimal digits of the longest value that fits any WIT integer.
const DIGITS_MAX: usize = 20;

/// Why a number is no integer of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotInteger {
    /// Its value is not whole.
    Fraction,
    /// It is an integer of more digits than any type has.
    Range,
}

/// The integer that a JSON number is, by its exact value: `6`, `6.0`, `1e3`, `10e-1` and `1.5e1` are integers.
pub(crate) fn parse(number: &str) -> Result<i128, NotInteger> {
    if let Ok(value) = number.parse::<i64>() {
        return Ok(value.into());
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (is_negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |digits| (true, digits));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let count = |digits: usize| i64::try_from(digits).unwrap_or(i64::MAX);
    // An exponent that is no i64 has more digits than any text with enough zeros to balance it.
    let exponent = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
    let zeros = count(digits.len() - significant.len());
    let shift = (zeros - count(fraction.len())).saturating_add(exponent);
    if shift < 0 {
        return Err(NotInteger::Fraction);
    }
    let shift = usize::try_from(shift).unwrap_or(usize::MAX);
    let significant = significant.trim_start_matches('0');
    if significant.len().saturating_add(shift) > DIGITS_MAX {
        return Err(NotInteger::Range);
    }
    let power = (0..shift).fold(1i128, |power, _| power * 10);
    let value = significant.parse::<i128>().map_err(|_| NotInteger::Range)? * power;
    Ok(if is_negative { -value } else { value })
}

/// Whether a text is a plain decimal integer, as 64-bit integers may be written in a string.
pub(crate) fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = text == "0" || digits.starts_with(|first: char| matches!(first, '1'..='9'));
    canonical && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly() {
        use NotInteger::{Fraction, Range};
        let cases = [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("18446744073709551615", Ok(u64::MAX.into())),
            ("18446744073709551616", Ok(i128::from(u64::MAX) + 1)),
            ("-9223372036854775808", Ok(i64::MIN.into())),
            ("1e3", Ok(1000)),
            ("1E+3", Ok(1000)),
            ("-12e1", Ok(-120)),
            ("1000e-3", Ok(1)),
            ("0e999999999999999999999", Ok(0)),
            ("9007199254740993e0", Ok(9_007_199_254_740_993)),
            ("1.0", Ok(1)),
            ("-6.000", Ok(-6)),
            ("0.0", Ok(0)),
            ("-0.0e-5", Ok(0)),
            ("1.5e1", Ok(15)),
            ("0.001e3", Ok(1)),
            ("0.00120e4", Ok(12)),
            ("100.50e2", Ok(10_050)),
            ("1200.0e-2", Ok(12)),
            ("1.8446744073709551615e19", Ok(u64::MAX.into())),
            ("1.8446744073709551616e19", Ok(i128::from(u64::MAX) + 1)),
            ("-9.223372036854775808E+18", Ok(i64::MIN.into())),
            ("1.5", Err(Fraction)),
            ("0.1", Err(Fraction)),
            ("1.05e1", Err(Fraction)),
            ("1.8446744073709551615e18", Err(Fraction)),
            ("1e-1", Err(Fraction)),
            ("15e-1", Err(Fraction)),
            ("1e-99999999999999999999", Err(Fraction)),
            ("1e20", Err(Range)),
            ("1e99999999999999999999", Err(Range)),
            ("123456789012345678901", Err(Range)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse(&format!("1{}e-400", "0".repeat(400))), Ok(1));
        assert_eq!(parse(&format!("0.{}1e401", "0".repeat(400))), Ok(1));
        assert_eq!(parse(&format!("1.{}", "0".repeat(400))), Ok(1));
        assert_eq!(parse(&format!("1.{}1", "0".repeat(400))), Err(Fraction));
    }

    #[test]
    fn strings_are_plain_decimal_integers() {
        for text in ["0", "-1", "18446744073709551615"] {
            assert!(is_plain(text), "{text}");
        }
        for text in ["", "-", "-0", "01", "+1", "1e3", "1.0", " 1", "0x1", "１"] {
            assert!(!is_plain(text), "{text}");
        }
    }
}
