//! Lists of JSON objects as CSV (RFC 4180), for spreadsheets.

use serde_json::Value;

/// The lines of a table: a head, and a line for each item that is an object. The columns are those of `first`, then whatever
/// else items have, in the order in which it comes; what an item lacks is empty.
///
/// Numbers, times and truth values stand as JSON has them, texts without quotation marks, and what has parts as JSON. A text
/// that a spreadsheet would take for a formula comes after an apostrophe, because texts may be from strangers.
pub fn table(first: &[&str], items: &[Value]) -> String {
    let mut columns: Vec<&str> = first.to_vec();
    for key in items.iter().filter_map(Value::as_object).flat_map(|item| item.keys()) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    let mut text = line(columns.iter().map(|column| field(column)));
    for item in items.iter().filter(|item| item.is_object()) {
        text.push_str(&line(columns.iter().map(|column| item.get(column).map(cell).unwrap_or_default())));
    }
    text
}

fn line(fields: impl Iterator<Item = String>) -> String {
    format!("{}\r\n", fields.collect::<Vec<_>>().join(","))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => field(&format!("'{text}")),
        Value::String(text) => field(text),
        other => field(&other.to_string()),
    }
}

fn field(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_become_lines_and_their_keys_columns() {
        let items = [
            json!({"id": "a", "calls": 18_446_744_073_709_551_615_u64, "ok": true, "by": null}),
            json!({"id": "b,\"c\"\nd", "more": {"x": [1, "y"]}, "calls": -1}),
        ];
        let expected = "calls,id,ok,by,more\r\n18446744073709551615,a,true,,\r\n\
            -1,\"b,\"\"c\"\"\nd\",,,\"{\"\"x\"\":[1,\"\"y\"\"]}\"\r\n";
        assert_eq!(table(&["calls"], &items), expected);
        assert_eq!(table(&["a", "b"], &[]), "a,b\r\n", "a table of nothing has a head");
    }

    #[test]
    fn a_text_is_never_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"] {
            let csv = table(&[], &[json!({"detail": text})]);
            assert!(csv.trim_start_matches("detail\r\n").starts_with('\''), "{csv:?}");
        }
    }
}
