//! Single values: whether they fit their field, how they compare, how they read.

use crate::exports::form::report::reporting::{Kind, Language, Range, Text, Value};
use std::cmp::Ordering;

/// A text in both languages.
pub fn text(en: impl Into<String>, zh: impl Into<String>) -> Text {
    Text { en: en.into(), zh: zh.into() }
}

/// Why the value does not fit the kind of field, if it does not.
pub fn misfit(kind: &Kind, value: &Value) -> Option<Text> {
    match (kind, value) {
        (Kind::Text(most), Value::Text(words)) => {
            let long = *most > 0 && words.chars().count() > *most as usize;
            long.then(|| text(format!("longer than {most} characters"), format!("超过 {most} 个字符")))
        }
        (Kind::Integer(range), Value::Integer(number)) => outside(range, *number as f64, Some(*number)),
        (Kind::Decimal(_), Value::Decimal(number)) if !number.is_finite() => {
            Some(text("not a finite number", "不是有限数值"))
        }
        (Kind::Decimal(range), Value::Decimal(number)) => outside(range, *number, None),
        (Kind::Choice(choices), Value::Choice(choice)) => {
            let list = choices.join(", ");
            (!choices.contains(choice)).then(|| text(format!("not one of: {list}"), format!("不在选项中：{list}")))
        }
        (Kind::Date, Value::Date(day)) => {
            (!is_day(day)).then(|| text("not a day such as 2026-11-24", "不是有效日期（如 2026-11-24）"))
        }
        (Kind::YesNo, Value::YesNo(_)) => None,
        (kind, _) => {
            let (en, zh) = name(kind);
            Some(text(format!("the field takes {en}"), format!("该字段应填写{zh}")))
        }
    }
}

fn outside(range: &Range, number: f64, whole: Option<i64>) -> Option<Text> {
    // Whole numbers are compared as such: a float would round large ones.
    let below = |min: i64| whole.map_or(number < min as f64, |whole| whole < min);
    let above = |max: i64| whole.map_or(number > max as f64, |whole| whole > max);
    if let Some(min) = range.min.filter(|min| below(*min)) {
        return Some(text(format!("below {min}"), format!("小于 {min}")));
    }
    let max = range.max.filter(|max| above(*max))?;
    Some(text(format!("above {max}"), format!("大于 {max}")))
}

fn name(kind: &Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Text(_) => ("a text", "文本"),
        Kind::Integer(_) => ("an integer", "整数"),
        Kind::Decimal(_) => ("a decimal", "小数"),
        Kind::Choice(_) => ("a choice", "选项"),
        Kind::Date => ("a date", "日期"),
        Kind::YesNo => ("yes or no", "是或否"),
    }
}

fn is_day(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part =
            parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        part.parse::<u32>().ok()
    };
    let (Some(year), Some(month), Some(day), None) = (part(4), part(2), part(2), parts.next()) else { return false };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// A number's value as far as a sum or comparison needs it.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Decimal(number) => Some(*number),
        _ => None,
    }
}

/// Which of two values is larger, where that means something.
pub fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => Some(one.cmp(other)),
        // Days in this form sort as text.
        (Value::Date(one), Value::Date(other)) => Some(one.cmp(other)),
        _ => number(one)?.partial_cmp(&number(other)?),
    }
}

/// The sum of two numbers; nothing when they are none or too large.
pub fn add(one: &Value, other: &Value) -> Option<Value> {
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.checked_add(*other).map(Value::Integer),
        _ => Some(number(one)? + number(other)?).filter(|sum| sum.is_finite()).map(Value::Decimal),
    }
}

/// Whether a field with this value counts as filled for a rule that asks for more.
pub fn says_yes(value: &Value) -> bool {
    match value {
        Value::YesNo(yes) => *yes,
        Value::Text(words) => !words.trim().is_empty(),
        _ => true,
    }
}

/// How a report writes the value.
pub fn in_words(value: &Value, language: Language) -> String {
    match (value, language) {
        (Value::Text(words) | Value::Choice(words) | Value::Date(words), _) => words.clone(),
        (Value::Integer(number), _) => number.to_string(),
        (Value::Decimal(number), _) => number.to_string(),
        (Value::YesNo(true), Language::En) => "yes".to_owned(),
        (Value::YesNo(false), Language::En) => "no".to_owned(),
        (Value::YesNo(true), Language::Zh) => "是".to_owned(),
        (Value::YesNo(false), Language::Zh) => "否".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_their_kind_and_range() {
        let range = Range { min: Some(0), max: Some(i64::MAX - 1) };
        for (kind, value, fits) in [
            (Kind::Text(2), Value::Text("光明".into()), true),
            (Kind::Text(2), Value::Text("光明区".into()), false),
            (Kind::Text(0), Value::Text("x".repeat(10_000)), true),
            (Kind::Integer(range), Value::Integer(i64::MAX - 1), true),
            (Kind::Integer(range), Value::Integer(i64::MAX), false),
            (Kind::Integer(range), Value::Integer(-1), false),
            (Kind::Integer(range), Value::Decimal(1.0), false),
            (Kind::Decimal(range), Value::Decimal(f64::NAN), false),
            (Kind::Decimal(range), Value::Decimal(0.5), true),
            (Kind::Choice(vec!["a".into()]), Value::Choice("b".into()), false),
            (Kind::Date, Value::Date("2024-02-29".into()), true),
            (Kind::Date, Value::Date("2023-02-29".into()), false),
            (Kind::Date, Value::Date("2023-2-9".into()), false),
            (Kind::Date, Value::Date("2023-02-09-1".into()), false),
            (Kind::YesNo, Value::Text("yes".into()), false),
        ] {
            assert_eq!(misfit(&kind, &value).is_none(), fits, "{kind:?} {value:?}");
        }
    }

    #[test]
    fn sums_do_not_overflow() {
        assert_eq!(add(&Value::Integer(i64::MAX), &Value::Integer(1)), None);
        assert_eq!(add(&Value::Decimal(f64::MAX), &Value::Decimal(f64::MAX)), None);
        assert_eq!(add(&Value::Integer(1), &Value::Decimal(0.5)), Some(Value::Decimal(1.5)));
    }
}
