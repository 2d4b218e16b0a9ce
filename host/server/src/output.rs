//! What the program prints: JSON for scripts, tables for people, a spinner on a terminal.

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::time::Duration;

/// How often a spinner moves.
const TICK: Duration = Duration::from_millis(100);

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Format {
    /// How to print: for people, as JSON, or as CSV for spreadsheets
    #[arg(long, value_name = "FORMAT", default_value = "table", hide_default_value = true)]
    output: Output,
    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// What output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
}

impl Format {
    /// Prints `value` as JSON or, if it is a list or has one, as CSV; or else the text that `for_people` makes of it.
    pub fn print<T: Serialize>(self, value: &T, for_people: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        self.print_on(value, for_people).map(drop)
    }

    /// The same for output without end: `Break` says that nobody reads it any more.
    pub fn print_on<T: Serialize>(
        self,
        value: &T,
        for_people: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<ControlFlow<()>> {
        match self.output {
            _ if self.json => write(&harmless_json(&to_json(value)?)),
            Output::Json => write(&harmless_json(&to_json(value)?)),
            Output::Csv => write(&csv(&serde_json::to_value(value)?)),
            Output::Table => write(&for_people(value)),
        }
    }
}

/// The items of a list as lines of CSV; what is none is a list of one.
fn csv(value: &Value) -> String {
    let items = value.get("items").unwrap_or(value);
    let items = items.as_array().map_or_else(|| std::slice::from_ref(items), Vec::as_slice);
    wares_model::csv::table(&[], items).replace("\r\n", "\n")
}

/// Prints a line or several. A reader that went away (`| head`) is no failure.
pub fn text(text: &str) -> anyhow::Result<()> {
    write(text).map(drop)
}

/// Prints `value` as JSON: indented on a terminal, on one line else.
pub fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    write(&harmless_json(&to_json(value)?)).map(drop)
}

/// Prints JSON that is encoded already: indented on a terminal, as it is else.
pub fn encoded(json: &[u8]) -> anyhow::Result<()> {
    let indented = io::stdout().is_terminal().then(|| indented(json).ok()).flatten();
    let json = indented.map_or_else(|| String::from_utf8_lossy(json), Cow::Owned);
    write(&harmless_json(&json)).map(drop)
}

/// Writes to standard output. `Break`: the reader went away.
fn write(text: &str) -> anyhow::Result<ControlFlow<()>> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", harmless(text.trim_end())).and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error).context("standard output"),
    }
}

fn to_json<T: Serialize>(value: &T) -> serde_json::Result<String> {
    match io::stdout().is_terminal() {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    }
}

fn indented(json: &[u8]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&serde_json::from_slice::<Value>(json)?)
}

/// Prints a line for people to standard error.
pub fn note(line: &str) {
    // Nobody can be told when standard error is closed.
    let _ = writeln!(io::stderr(), "{}", harmless(line));
}

/// The text without what would steer a terminal: titles, logs and errors come from components and hosts.
fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    match text.contains(steers) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.replace(steers, "\u{fffd}")),
    }
}

/// The same JSON, with escapes for what steers a terminal and may stand in JSON as it is.
fn harmless_json(json: &str) -> Cow<'_, str> {
    let steers = |c: char| ('\u{7f}'..='\u{9f}').contains(&c);
    if !json.contains(steers) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match steers(c) {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// A table with a head, or `nothing` when it has no rows.
pub fn table<R>(head: &[&str], rows: impl IntoIterator<Item = R>, nothing: &str) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().map(|title| title.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    if table.is_empty() {
        return nothing.to_owned();
    }
    let left = |line: String| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned();
    table.lines().map(left).collect::<Vec<_>>().join("\n")
}

/// Bytes as people read them.
pub fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = "B";
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" || value.fract() == 0.0 { format!("{value} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Microseconds as people read them.
pub fn micros(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} µs"),
        1_000..1_000_000 => format!("{:.1} ms", count as f64 / 1e3),
        _ => format!("{:.1} s", count as f64 / 1e6),
    }
}

/// Shows on a terminal that something takes a while, until it is dropped.
pub struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// Shows what is going on.
    pub fn start(what: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_message(harmless(what).into_owned());
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_readable() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1 MiB"), (1_600, "1.6 KiB"), (64 << 30, "64 GiB")];
        for (count, expected) in cases {
            assert_eq!(bytes(count), expected);
        }
        let cases = [(0, "0 µs"), (1_500, "1.5 ms"), (2_000_000, "2.0 s")];
        for (count, expected) in cases {
            assert_eq!(micros(count), expected);
        }
    }

    #[test]
    fn nothing_that_is_printed_steers_the_terminal() {
        assert_eq!(harmless("a\tb\nc 中"), "a\tb\nc 中");
        assert_eq!(harmless("\u{1b}[2Jx\u{9b}\r"), "\u{fffd}[2Jx\u{fffd}\u{fffd}");
    }

    #[test]
    fn json_says_the_same_without_steering_the_terminal() {
        let json = "{\"中\":\"\u{9b}2J\u{7f}\\u001b\"}";
        let printed = harmless_json(json);
        assert_eq!(printed, r#"{"中":"\u009b2J\u007f\u001b"}"#);
        let read = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        assert_eq!(read(&printed), read(json));
    }

    #[test]
    fn numbers_stay_what_they_are_when_json_is_indented() {
        for number in (1..1_000_u32).map(|count| f64::from(count).sqrt() * 1e-23) {
            let json = serde_json::to_string(&number).unwrap();
            assert_eq!(indented(json.as_bytes()).unwrap(), json);
        }
        assert_eq!(indented(b"18446744073709551615").unwrap(), "18446744073709551615");
    }

    #[test]
    fn tables_line_up_and_have_no_trailing_space() {
        let text =
            table(&["name", "n"], [["a".to_owned(), "1".to_owned()], ["long".to_owned(), "2".to_owned()]], "none");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| !line.ends_with(' ')), "{text:?}");
        assert_eq!(table(&["x"], Vec::<[String; 1]>::new(), "none"), "none");
    }
}
