//! Rules over several fields of the merged form.

use crate::exports::form::report::reporting::{Cell, Check, Field, Form, FormError, Issue, SumCheck, Text, Value};
use crate::values::{self, text};
use std::cmp::Ordering;
use std::collections::HashMap;

/// How far a sum of decimals may be off, relative to its size.
const TOLERANCE: f64 = 1e-9;

/// Whether every field that a check names is in the form.
pub fn check_names(form: &Form, fields: &HashMap<&str, &Field>) -> Result<(), FormError> {
    let named = form.checks.iter().flat_map(names);
    match named.into_iter().find(|name| !fields.contains_key(name)) {
        Some(name) => Err(FormError::BadForm(format!("a check names {name:?}, which is no field of the form"))),
        None => Ok(()),
    }
}

/// The checks that fail.
pub fn run(form: &Form, cells: &[Cell]) -> Vec<Issue> {
    let values: HashMap<&str, &Value> =
        cells.iter().filter_map(|cell| Some((cell.field.as_str(), cell.value.as_ref()?))).collect();
    let labels: HashMap<&str, &Text> = form.fields.iter().map(|field| (field.id.as_str(), &field.label)).collect();
    let failing = form.checks.iter().filter(|check| holds(check, &values) == Some(false));
    failing
        .map(|check| Issue { fields: names(check).map(str::to_owned).collect(), words: words(check, &labels) })
        .collect()
}

fn names(check: &Check) -> impl Iterator<Item = &str> {
    let names: Vec<&str> = match check {
        Check::AddsUp(SumCheck { total, parts }) => std::iter::once(total).chain(parts).map(String::as_str).collect(),
        Check::NotAbove((one, other)) | Check::Requires((one, other)) => vec![one, other],
    };
    names.into_iter()
}

/// Whether a check holds; nothing while a field that it needs is empty.
fn holds(check: &Check, values: &HashMap<&str, &Value>) -> Option<bool> {
    let value = |name: &String| values.get(name.as_str()).copied();
    match check {
        Check::AddsUp(SumCheck { total, parts }) => {
            let total = value(total)?;
            let parts: Vec<&Value> = parts.iter().map(value).collect::<Option<_>>()?;
            let sum = parts.into_iter().try_fold(Value::Integer(0), |sum, part| values::add(&sum, part));
            Some(sum.is_some_and(|sum| equal(total, &sum)))
        }
        Check::NotAbove((one, other)) => Some(values::compare(value(one)?, value(other)?)? != Ordering::Greater),
        Check::Requires((one, other)) => Some(!values::says_yes(value(one)?) || value(other).is_some_and(filled)),
    }
}

fn filled(value: &Value) -> bool {
    !matches!(value, Value::Text(words) if words.trim().is_empty())
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one == other,
        _ => match (values::number(one), values::number(other)) {
            (Some(one), Some(other)) => (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0),
            _ => false,
        },
    }
}

fn words(check: &Check, labels: &HashMap<&str, &Text>) -> Text {
    let label = |name: &String| labels.get(name.as_str()).map_or_else(|| text(name, name), |label| (*label).clone());
    match check {
        Check::AddsUp(SumCheck { total, parts }) => {
            let (total, parts): (_, Vec<Text>) = (label(total), parts.iter().map(label).collect());
            let en = parts.iter().map(|part| part.en.as_str()).collect::<Vec<_>>().join(" + ");
            let zh = parts.iter().map(|part| part.zh.as_str()).collect::<Vec<_>>().join(" + ");
            text(format!("{} is not {en}", total.en), format!("{}不等于 {zh}", total.zh))
        }
        Check::NotAbove((one, other)) => {
            let (one, other) = (label(one), label(other));
            text(format!("{} is above {}", one.en, other.en), format!("{}大于{}", one.zh, other.zh))
        }
        Check::Requires((one, other)) => {
            let (one, other) = (label(one), label(other));
            text(format!("{} asks for {}", one.en, other.en), format!("填写了{}，还须填写{}", one.zh, other.zh))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::form::report::reporting::Value::{Date, Decimal, Integer, YesNo};

    #[test]
    fn checks_hold_fail_or_wait() {
        let values = [
            ("total", Integer(10)),
            ("a", Integer(4)),
            ("b", Integer(6)),
            ("c", Decimal(0.1)),
            ("d", Decimal(0.2)),
            ("e", Decimal(0.3)),
            ("from", Date("2026-01-01".into())),
            ("to", Date("2025-12-31".into())),
            ("yes", YesNo(true)),
            ("no", YesNo(false)),
        ];
        let values: HashMap<&str, &Value> = values.iter().map(|(name, value)| (*name, value)).collect();
        let sum = |total: &str, parts: &[&str]| {
            Check::AddsUp(SumCheck {
                total: total.into(),
                parts: parts.iter().map(|part| (*part).to_owned()).collect(),
            })
        };
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        for (check, expected) in [
            (sum("total", &["a", "b"]), Some(true)),
            (sum("total", &["a", "a"]), Some(false)),
            (sum("e", &["c", "d"]), Some(true)),
            (sum("total", &["a", "empty"]), None),
            (Check::NotAbove(pair("a", "b")), Some(true)),
            (Check::NotAbove(pair("from", "to")), Some(false)),
            (Check::NotAbove(pair("a", "empty")), None),
            (Check::Requires(pair("yes", "empty")), Some(false)),
            (Check::Requires(pair("yes", "a")), Some(true)),
            (Check::Requires(pair("no", "empty")), Some(true)),
            (Check::Requires(pair("empty", "also-empty")), None),
        ] {
            assert_eq!(holds(&check, &values), expected, "{check:?}");
        }
    }
}
