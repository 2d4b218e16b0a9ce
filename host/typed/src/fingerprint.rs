//! Whether two JSON texts say the same: a digest over their values, whatever white space, order of members, escapes and
//! notation of numbers they are written with.
//!
//! It takes no memory but for the nesting, which is bounded, and needs no types: what a function makes of the values is not
//! looked at, so that an option that is left out differs from one that is `null`.

use crate::json::{Kind, Reader, SyntaxError};
use sha2::{Digest as _, Sha256};
use wares_model::Digest;
use wares_model::limits::JSON_DEPTH_MAX;

/// The digest of a value; none if the text is no JSON, or nests deeper than any value may. No text at all is an empty object,
/// as it is for arguments.
pub fn fingerprint(json: &[u8]) -> Option<Digest> {
    let text = std::str::from_utf8(json).ok()?;
    let mut reader = Reader::new(if text.trim_ascii().is_empty() { "{}" } else { text });
    let mut hasher = Sha256::new();
    value(&mut reader, &mut hasher, JSON_DEPTH_MAX).ok()?;
    reader.end().ok()?;
    Some(Digest::from_bytes(hasher.finalize().into()))
}

/// Each token ends by itself, so that different values are different bytes.
fn value(reader: &mut Reader<'_>, hasher: &mut Sha256, depth: usize) -> Result<(), SyntaxError> {
    let Some(within) = depth.checked_sub(1) else { return Err(reader.unexpected("less nesting")) };
    match reader.kind()? {
        None => return Err(reader.unexpected("a value")),
        Some(Kind::Null) => {
            reader.null()?;
            hasher.update(b"n");
        }
        Some(Kind::Boolean) => hasher.update(if reader.boolean()? { b"t" } else { b"f" }),
        Some(Kind::Number) => hasher.update(number(reader.number()?)),
        Some(Kind::String) => text(&reader.string()?, hasher),
        Some(Kind::Array) => {
            hasher.update(b"[");
            let mut more = reader.array()?;
            while more {
                value(reader, hasher, within)?;
                more = reader.next_element()?;
            }
            hasher.update(b"]");
        }
        Some(Kind::Object) => object(reader, hasher, within)?,
    }
    Ok(())
}

fn text(text: &str, hasher: &mut Sha256) {
    hasher.update(b"s");
    hasher.update((text.len() as u64).to_le_bytes());
    hasher.update(text);
}

/// Members count in any order: their digests are added up. Whoever finds two sums alike has fooled himself alone.
fn object(reader: &mut Reader<'_>, hasher: &mut Sha256, depth: usize) -> Result<(), SyntaxError> {
    let mut sum = [0u64; 4];
    let mut more = reader.object()?;
    while more {
        let mut member = Sha256::new();
        text(&reader.key()?, &mut member);
        value(reader, &mut member, depth)?;
        let digest: [u8; 32] = member.finalize().into();
        for (sum, lane) in sum.iter_mut().zip(digest.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*lane));
        }
        more = reader.next_member()?;
    }
    hasher.update(b"{");
    sum.iter().for_each(|lane| hasher.update(lane.to_le_bytes()));
    Ok(())
}

/// A number in one notation: its sign, its digits without zeros around them, and the power of ten of the last one.
fn number(written: &str) -> String {
    let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // One that is beyond all numbers stays as it was written.
    let Ok(exponent) = exponent.parse::<i64>() else { return format!("#{written};") };
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let zeros = (digits.len() - significant.len()) as i64;
    match significant.trim_start_matches('0') {
        "" => format!("#{sign}0;"),
        significant => {
            let power = exponent.saturating_sub(fraction.len() as i64).saturating_add(zeros);
            format!("#{sign}{significant}e{power};")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    #[test]
    fn the_same_values_are_alike_however_they_are_written() {
        let alike = [
            ["{}", "  { }\n"],
            ["", "{}"],
            [r#"{"a":1,"b":[true,null]}"#, "{ \"b\" : [ true, null ],\t\"a\" : 1 }"],
            ["[100]", "[1e2]"],
            ["[100]", "[100.000]"],
            ["[0.5]", "[5E-1]"],
            ["[0.5]", "[0.50e0]"],
            ["[-12e-1]", "[-1.2]"],
            ["[0]", "[0e7]"],
            ["[18446744073709551615]", "[18446744073709551615.0]"],
            [r#"["é\/"]"#, r#"["\u00e9/"]"#],
            [r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":2,"x":1}}"#],
        ];
        for [one, other] in alike {
            assert_eq!(fingerprint(one.as_bytes()).unwrap(), fingerprint(other.as_bytes()).unwrap(), "{one} {other}");
        }
    }

    #[test]
    fn other_values_differ() {
        let all = [
            "{}",
            "[]",
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1",
            "10",
            "0.1",
            "1e999999999999999999999",
            "\"\"",
            "\"1\"",
            "[1,2]",
            "[12]",
            "[2,1]",
            "[[1],2]",
            "[1,[2]]",
            r#"{"a":1}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":[],"b":{}}"#,
            r#"{"a":{},"b":[]}"#,
            "[9007199254740993]",
            "[9007199254740992]",
            "[null]",
            r#"["null"]"#,
            r#"[{"a":1},{"b":2}]"#,
            r#"[{"a":1,"b":2}]"#,
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(
                    fingerprint(one.as_bytes()).unwrap(),
                    fingerprint(other.as_bytes()).unwrap(),
                    "{one} {other}"
                );
            }
        }
        for none in ["{", "[1,]", "nul", "1 2", "\u{7f}"] {
            assert_eq!(fingerprint(none.as_bytes()), None, "{none}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(fingerprint(nested(JSON_DEPTH_MAX).as_bytes()).is_some());
        assert_eq!(fingerprint(nested(100_000).as_bytes()), None);
        assert_eq!(fingerprint(b"\"\xff\""), None);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    fn reversed(value: &Value) -> Value {
        match value {
            Value::Array(elements) => elements.iter().map(reversed).collect(),
            Value::Object(members) => {
                Value::Object(members.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect())
            }
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn order_and_white_space_do_not_matter(value in any_value()) {
            let plain = fingerprint(value.to_string().as_bytes());
            let pretty = serde_json::to_vec_pretty(&reversed(&value)).unwrap();
            prop_assert!(plain.is_some());
            prop_assert_eq!(plain, fingerprint(&pretty));
        }
    }
}
