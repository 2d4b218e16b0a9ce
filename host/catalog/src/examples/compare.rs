//! Where two JSON values differ. Members of objects have no order; numbers are compared by value.

use serde_json::{Number, Value};

/// Differences that are told apart; beyond them there are "more".
const DIFFERENCES_MAX: usize = 20;
/// Characters of a value that a difference shows.
const SHOWN_CHARS_MAX: usize = 200;

/// Each difference as a line that says where and what; none if the values are the same.
pub(super) fn differences(expected: &Value, got: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", expected, got, &mut lines);
    let more = lines.len().saturating_sub(DIFFERENCES_MAX);
    lines.truncate(DIFFERENCES_MAX);
    lines.extend((more > 0).then(|| format!("and {more} more differences")));
    lines
}

fn compare(at: &str, expected: &Value, got: &Value, lines: &mut Vec<String>) {
    let place = || if at.is_empty() { "the whole".to_owned() } else { at.to_owned() };
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, expected) in expected {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match got.get(key) {
                    Some(got) => compare(&at, expected, got, lines),
                    None => lines.push(format!("{at}: expected {}, but it is missing", shown(expected))),
                }
            }
            for (key, got) in got.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                lines.push(format!("{at}/{key}: not expected, but it is {}", shown(got)));
            }
        }
        (Value::Array(expected), Value::Array(got)) => {
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                compare(&format!("{at}/{index}"), expected, got, lines);
            }
            if expected.len() != got.len() {
                lines.push(format!("{}: expected {} items, but it has {}", place(), expected.len(), got.len()));
            }
        }
        (Value::Number(a), Value::Number(b)) if same_number(a, b) => {}
        (expected, got) if expected == got => {}
        (expected, got) => lines.push(format!("{}: expected {}, but it is {}", place(), shown(expected), shown(got))),
    }
}

/// Integers exactly; `1` and `1.0` are the same.
fn same_number(a: &Number, b: &Number) -> bool {
    let whole = |number: &Number| number.as_i128();
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a.as_f64() == b.as_f64(),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_meaning() {
        let cases: [(&str, &str, &[&str]); 11] = [
            (r#"{"a": 1, "b": [2]}"#, r#"{"b":[2],"a":1}"#, &[]),
            ("1", "1.0", &[]),
            ("100", "1e2", &[]),
            (
                "18446744073709551615",
                "18446744073709551614",
                &["the whole: expected 18446744073709551615, but it is 18446744073709551614"],
            ),
            ("1", "\"1\"", &["the whole: expected 1, but it is \"1\""]),
            ("null", "false", &["the whole: expected null, but it is false"]),
            ("[1,2]", "[2,1]", &["/0: expected 1, but it is 2", "/1: expected 2, but it is 1"]),
            ("[1]", "[1,2]", &["the whole: expected 1 items, but it has 2"]),
            (r#"{"a/b": {"c": 1}}"#, r#"{"a/b": {"c": 2}}"#, &["/a~1b/c: expected 1, but it is 2"]),
            (r#"{"a": 1}"#, "{}", &["/a: expected 1, but it is missing"]),
            ("{}", r#"{"a": 1}"#, &["/a: not expected, but it is 1"]),
        ];
        for (expected, got, lines) in cases {
            let [expected, got] = [expected, got].map(|text| serde_json::from_str(text).unwrap());
            assert_eq!(differences(&expected, &got), lines, "{expected} {got}");
        }
    }

    #[test]
    fn many_and_long_differences_are_cut() {
        let long = Value::from("x".repeat(1_000));
        let lines = differences(&Value::Array(vec![long; 50]), &Value::Array(vec![Value::Null; 50]));
        assert_eq!(lines.len(), DIFFERENCES_MAX + 1);
        assert_eq!(lines.last().unwrap(), "and 30 more differences");
        assert!(lines.iter().all(|line| line.len() < 300));
    }
}
