//! Sums over `aggregates`.

use super::append::{DAY_US, HOUR_US, MINUTE_US};
use super::filter::Conditions;
use super::{SqliteStore, parse, unsigned};
use crate::{GroupBy, StoreError, UsageQuery, UsageRow};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _};
use wares_model::zone::Offset;
use wares_model::{Timestamp, Zone};

/// Starts of days before and after all calls, far enough from the ends of the integers to reckon with.
const FIRST: i64 = -100_000 * DAY_US;
const LAST: i64 = 10_000_000 * DAY_US;

/// A span of time that buckets of one length cover exactly: `[start, end)`.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    unit: i64,
    start: i64,
    end: i64,
}

impl SqliteStore {
    pub(super) async fn sum_usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let UsageQuery { from, to, mut group_by, zone, of } = query;
        group_by.sort_by_key(|group| *group as u8);
        group_by.dedup();
        let (from, to) = (from.map_or(FIRST, minute), to.map_or(LAST, minute));
        let offsets = match group_by.iter().any(|group| is_time(*group)) {
            true => self.offsets(&zone, from, to).await?,
            false => Vec::new(),
        };
        let spans = cover(from, to, longest(&group_by, &offsets));
        let conditions = Conditions::of(&of);
        // Names of columns come from a fixed list, and the numbers of spans are numbers; all else is bound.
        let statement = sqlx::query(AssertSqlSafe(statement(&group_by, &offsets, &spans, conditions.sql())));
        let rows = conditions.bind(statement).fetch_all(&self.readers).await?;
        rows.iter().map(|row| read(&group_by, &zone, row)).collect()
    }

    /// The zone's offsets at the times within `[from, to)` that have calls.
    async fn offsets(&self, zone: &Zone, from: i64, to: i64) -> Result<Vec<Offset>, StoreError> {
        // Two subqueries, because SQLite looks up one end of an index at a time.
        let (first, last): (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT MIN(bucket) FROM aggregates WHERE unit_us = ?1),
                    (SELECT MAX(bucket) FROM aggregates WHERE unit_us = ?1)",
        )
        .bind(DAY_US)
        .fetch_one(&self.readers)
        .await?;
        let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
        let [from, to] = [from.max(first), to.min(last + DAY_US)].map(Timestamp::from_micros);
        Ok(zone.offsets(from, to))
    }
}

fn is_time(group: GroupBy) -> bool {
    matches!(group, GroupBy::Month | GroupBy::Day | GroupBy::Hour)
}

/// The longest buckets that lie within one of every group: local days begin where all offsets are whole ones of them.
fn longest(group_by: &[GroupBy], offsets: &[Offset]) -> i64 {
    let most = if group_by.contains(&GroupBy::Hour) { HOUR_US } else { DAY_US };
    let fits = |unit: &i64| *unit <= most && offsets.iter().all(|offset| offset.ahead_us % unit == 0);
    [DAY_US, HOUR_US].into_iter().find(fits).unwrap_or(MINUTE_US)
}

/// The start of its minute, within the times that spans are made of.
fn minute(time: Timestamp) -> i64 {
    let micros = time.as_micros().clamp(FIRST, LAST);
    micros - micros.rem_euclid(MINUTE_US)
}

/// The fewest spans of whole days, hours and minutes that make up `[from, to)`, with nothing longer than `longest`.
fn cover(from: i64, to: i64, longest: i64) -> Vec<Span> {
    let (start, end) = (from + (-from).rem_euclid(DAY_US), to - to.rem_euclid(DAY_US));
    let mut spans = Vec::new();
    if longest < HOUR_US {
        spans.extend((from < to).then_some(Span { unit: MINUTE_US, start: from, end: to }));
        return spans;
    }
    if longest < DAY_US || start >= end {
        hours_and_minutes(from, to, &mut spans);
        return spans;
    }
    hours_and_minutes(from, start, &mut spans);
    spans.push(Span { unit: DAY_US, start, end });
    hours_and_minutes(end, to, &mut spans);
    spans
}

/// Covers `[from, to)` with hours, and with minutes where no whole hour fits.
fn hours_and_minutes(from: i64, to: i64, spans: &mut Vec<Span>) {
    let start = from + (-from).rem_euclid(HOUR_US);
    let end = to - to.rem_euclid(HOUR_US);
    let pieces = match start < end {
        true => [(MINUTE_US, from, start), (HOUR_US, start, end), (MINUTE_US, end, to)],
        false => [(MINUTE_US, from, to), (HOUR_US, to, to), (MINUTE_US, to, to)],
    };
    spans.extend(pieces.into_iter().filter(|(_, start, end)| start < end).map(|(unit, start, end)| Span {
        unit,
        start,
        end,
    }));
}

/// Columns that are added up.
const SUMMED: [&str; 5] = ["calls", "cpu_us", "wall_us", "bytes_in", "bytes_out"];

fn statement(group_by: &[GroupBy], offsets: &[Offset], spans: &[Span], conditions: &str) -> String {
    let groups = group_by.iter().map(|group| format!("{} AS {group}", expression(*group, offsets)));
    let groups: Vec<String> = groups.collect();
    // High and low halves apart: SUM over whole numbers fails when it is over 63 bits.
    let halves = |column| format!("SUM({column} >> 32) AS {column}_high, SUM({column} & 4294967295) AS {column}_low");
    let highest = "MAX(memory_peak_bytes) AS memory_peak_bytes".to_owned();
    let columns: Vec<_> = groups.into_iter().chain(SUMMED.map(halves)).chain([highest]).collect();
    let columns = columns.join(", ");
    let spans: Vec<String> = spans
        .iter()
        .map(|Span { unit, start, end }| format!("(unit_us = {unit} AND bucket >= {start} AND bucket < {end})"))
        .collect();
    let spans = if spans.is_empty() { "FALSE".to_owned() } else { spans.join(" OR ") };
    let mut sql =
        format!("SELECT {columns} FROM aggregates JOIN subjects ON subjects.id = subject WHERE ({spans}){conditions}");
    if group_by.is_empty() {
        // Without it a sum over nothing has one row, of nothing.
        sql.push_str(" HAVING COUNT(*) > 0");
    } else {
        let positions = (1..=group_by.len()).map(|position| position.to_string()).collect::<Vec<_>>().join(", ");
        sql.push_str(&format!(" GROUP BY {positions} ORDER BY {positions}"));
    }
    sql
}

fn expression(group: GroupBy, offsets: &[Offset]) -> String {
    let ahead = ahead(offsets);
    match group {
        GroupBy::Month => format!("strftime('%Y-%m', (bucket + {ahead}) / 1000000, 'unixepoch')"),
        GroupBy::Day => format!("date((bucket + {ahead}) / 1000000, 'unixepoch')"),
        // Hours are told apart that are called alike, where clocks are set back.
        GroupBy::Hour => format!("bucket - (bucket + {ahead}) % {HOUR_US}"),
        column => column.to_string(),
    }
}

/// How far local time is ahead at the time of a bucket.
fn ahead(offsets: &[Offset]) -> String {
    let Some((last, before)) = offsets.split_last() else { return "0".to_owned() };
    if before.is_empty() {
        return last.ahead_us.to_string();
    }
    let until = |pair: &[Offset]| match pair {
        [this, next] => format!("WHEN bucket < {} THEN {}", next.since_us, this.ahead_us),
        _ => String::new(),
    };
    let cases = offsets.windows(2).map(until).collect::<Vec<_>>().join(" ");
    format!("(CASE {cases} ELSE {} END)", last.ahead_us)
}

fn read(group_by: &[GroupBy], zone: &Zone, row: &SqliteRow) -> Result<UsageRow, StoreError> {
    let sum = |column: &str| -> Result<u64, StoreError> {
        let half =
            |half| row.try_get::<i64, _>(format!("{column}_{half}").as_str()).map(|half| u128::from(unsigned(half)));
        Ok(u64::try_from((half("high")? << 32) + half("low")?).unwrap_or(u64::MAX))
    };
    let text = |group: GroupBy| -> Result<Option<String>, StoreError> {
        Ok(group_by.contains(&group).then(|| row.try_get(group.as_str())).transpose()?)
    };
    let hour = group_by.contains(&GroupBy::Hour).then(|| row.try_get(GroupBy::Hour.as_str())).transpose()?;
    Ok(UsageRow {
        tenant: text(GroupBy::Tenant)?,
        application: text(GroupBy::Application)?,
        component: text(GroupBy::Component)?,
        version: text(GroupBy::Version)?,
        interface: text(GroupBy::Interface)?,
        function: text(GroupBy::Function)?,
        outcome: text(GroupBy::Outcome)?.map(|outcome| parse("outcome", &outcome)).transpose()?,
        month: text(GroupBy::Month)?,
        day: text(GroupBy::Day)?,
        hour: hour.map(|micros| zone.write(Timestamp::from_micros(micros))),
        calls: sum("calls")?,
        cpu_us: sum("cpu_us")?,
        wall_us: sum("wall_us")?,
        bytes_in: sum("bytes_in")?,
        bytes_out: sum("bytes_out")?,
        memory_peak_bytes: unsigned(row.try_get("memory_peak_bytes")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_a_period_once() {
        let cases = [
            (0, 3 * DAY_US, DAY_US),
            (MINUTE_US, DAY_US + 2 * HOUR_US + 3 * MINUTE_US, DAY_US),
            (5 * HOUR_US + MINUTE_US, 5 * HOUR_US + 2 * MINUTE_US, DAY_US),
            (5 * HOUR_US, 9 * DAY_US + MINUTE_US, HOUR_US),
            (5 * HOUR_US, 9 * DAY_US + MINUTE_US, MINUTE_US),
            (DAY_US, DAY_US, MINUTE_US),
            (DAY_US, DAY_US, DAY_US),
            (2 * DAY_US, DAY_US, DAY_US),
        ];
        for (from, to, longest) in cases {
            let spans = cover(from, to, longest);
            let mut at = from;
            for span in &spans {
                assert_eq!(span.start, at, "{from}..{to}: {spans:?}");
                assert!(span.unit <= longest && span.start % span.unit == 0 && span.end % span.unit == 0, "{spans:?}");
                at = span.end;
            }
            assert_eq!(at, to.max(from), "{from}..{to}: {spans:?}");
        }
    }
}
