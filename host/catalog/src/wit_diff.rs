//! What is different between the interfaces of two versions, line by line.

use similar::TextDiff;
use std::time::Duration;

/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 3;
/// Bytes of a difference; of a longer one the beginning is shown.
const BYTES_MAX: usize = 256 << 10;
/// After this long the difference is a coarse one.
const TIME_MAX: Duration = Duration::from_millis(500);

/// The difference of two WIT texts in the unified form; empty when there is none.
pub fn wit_diff(before: &str, after: &str) -> String {
    let diff = TextDiff::configure().timeout(TIME_MAX).diff_lines(before, after);
    let mut text = diff.unified_diff().context_radius(CONTEXT_LINES).to_string();
    if text.len() > BYTES_MAX {
        text.truncate(text.floor_char_boundary(BYTES_MAX));
        text.push_str("\n… and more\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_come_and_go_are_marked() {
        let before = "interface a {\n  one: func();\n  two: func();\n}\n";
        let after = "interface a {\n  one: func();\n  three: func();\n}\n";
        let diff = wit_diff(before, after);
        assert!(diff.contains("\n-  two: func();\n") && diff.contains("\n+  three: func();\n"), "{diff}");
        assert_eq!(wit_diff(before, before), "");
        assert!(wit_diff("", after).lines().filter(|line| line.starts_with('+')).count() >= 4);
        let long: String = (0..100_000).map(|line| format!("line {line}\n")).collect();
        assert!(wit_diff("", &long).len() < BYTES_MAX + 100);
    }
}
