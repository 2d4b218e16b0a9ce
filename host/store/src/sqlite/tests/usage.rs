//! Sums over periods against a plain reckoning over the entries.

use super::*;
use crate::sqlite::append::{DAY_US, HOUR_US, MINUTE_US};
use crate::{CallFilter, GroupBy};
use std::collections::BTreeMap;
use wares_model::Zone;

/// 2026-09-21 13:46:40 UTC: amid a minute, an hour and a day.
const START: i64 = 1_790_000_000_000_000;

/// Entries over five days, of many subjects, whose numbers all differ.
fn entries() -> Vec<LedgerEntry> {
    let pick = |names: &[&'static str], i: usize| names[i % names.len()];
    let one = |i: usize| {
        let outcome = Outcome::ALL[i * i % Outcome::ALL.len()];
        let started = START + (i as i64 * 7_919_000_003) % (5 * DAY_US);
        let number = i as u64;
        LedgerEntry {
            tenant: pick(&["city", "district", "street"], i).parse().unwrap(),
            application: pick(&["app", "系统"], i / 3).into(),
            component: pick(&["a:b", "a:c"], i / 5).parse().unwrap(),
            version: pick(&["1.0.0", "1.0.1-rc.1", "2.0.0"], i / 7).parse().unwrap(),
            interface: pick(&["a:b/c@1.0.0", ""], i / 11).into(),
            usage: Usage {
                cpu_us: number,
                wall_us: number * 3,
                memory_peak_bytes: number % 97,
                bytes_in: number << 33,
                bytes_out: number % 5,
            },
            ..entry(pick(&["f", "g", "h"], i / 13), outcome, started)
        }
    };
    (0..3_000).map(one).collect()
}

/// Whether an entry is one of those that are meant.
fn is_meant(entry: &LedgerEntry, of: &CallFilter) -> bool {
    let CallFilter { tenant, application, component, version, function, outcome } = of;
    tenant.as_ref().is_none_or(|wanted| *wanted == entry.tenant)
        && application.as_ref().is_none_or(|wanted| **wanted == *entry.application)
        && component.as_ref().is_none_or(|wanted| *wanted == entry.component)
        && version.as_ref().is_none_or(|wanted| *wanted == entry.version)
        && function.as_ref().is_none_or(|wanted| **wanted == *entry.function)
        && outcome.is_none_or(|wanted| wanted == entry.outcome)
}

/// What usage must be, entry by entry.
fn reckon(entries: &[LedgerEntry], query: &UsageQuery) -> Vec<UsageRow> {
    let floor = |micros: i64, unit: i64| micros.div_euclid(unit) * unit;
    let minute = |time: Timestamp| floor(time.as_micros(), MINUTE_US);
    let zone = jiff::tz::TimeZone::get(&query.zone.to_string()).unwrap();
    let mut rows = BTreeMap::new();
    for entry in entries {
        let started = minute(entry.started);
        if query.from.is_some_and(|from| started < minute(from))
            || query.to.is_some_and(|to| started >= minute(to))
            || !is_meant(entry, &query.of)
        {
            continue;
        }
        let there =
            jiff::Timestamp::from_microsecond(entry.started.as_micros()).unwrap().to_zoned_datetime(zone.clone());
        let text = |group, value: &dyn ToString| query.group_by.contains(&group).then(|| value.to_string());
        let time = |group, format| query.group_by.contains(&group).then(|| there.strftime(format).to_string());
        let key = (
            text(GroupBy::Tenant, &entry.tenant),
            text(GroupBy::Application, &entry.application),
            text(GroupBy::Component, &entry.component),
            text(GroupBy::Version, &entry.version),
            text(GroupBy::Interface, &entry.interface),
            text(GroupBy::Function, &entry.function),
            text(GroupBy::Outcome, &entry.outcome),
            time(GroupBy::Month, "%Y-%m"),
            time(GroupBy::Day, "%Y-%m-%d"),
            // With what it is ahead of UTC, the other way round, so that hours that are called alike come in their order.
            query.group_by.contains(&GroupBy::Hour).then(|| {
                let start = there.with().minute(0).second(0).subsec_nanosecond(0).build().unwrap();
                (start.timestamp(), start.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
            }),
        );
        let row: &mut UsageRow = rows.entry(key).or_default();
        row.calls += 1;
        row.cpu_us += entry.usage.cpu_us;
        row.wall_us += entry.usage.wall_us;
        row.bytes_in += entry.usage.bytes_in;
        row.bytes_out += entry.usage.bytes_out;
        row.memory_peak_bytes = row.memory_peak_bytes.max(entry.usage.memory_peak_bytes);
    }
    let rows = rows.into_iter().map(
        |((tenant, application, component, version, interface, function, outcome, month, day, hour), row)| {
            let outcome = outcome.map(|outcome| outcome.parse().unwrap());
            let hour = hour.map(|(_, written)| written);
            UsageRow { tenant, application, component, version, interface, function, outcome, month, day, hour, ..row }
        },
    );
    rows.collect()
}

#[tokio::test]
async fn usage_is_what_the_entries_add_up_to() {
    let Fixture { store, .. } = &fixture().await;
    let entries = entries();
    for batch in entries.chunks(700) {
        store.append_entries(batch).await.unwrap();
    }
    let groupings: Vec<Vec<GroupBy>> = GroupBy::ALL
        .into_iter()
        .map(|group| vec![group])
        .chain([
            vec![],
            GroupBy::ALL.to_vec(),
            vec![GroupBy::Hour, GroupBy::Tenant, GroupBy::Hour],
            vec![GroupBy::Day, GroupBy::Component, GroupBy::Function],
            vec![GroupBy::Outcome, GroupBy::Application],
        ])
        .collect();
    let day = START.div_euclid(DAY_US) * DAY_US;
    let periods = [
        (None, None),
        (Some(day), Some(day + 3 * DAY_US)),
        (Some(START + 1), Some(START + 4 * DAY_US + HOUR_US + 1)),
        (Some(START), Some(START + 3 * HOUR_US + 59_999_999)),
        (Some(START), Some(START + MINUTE_US * 200)),
        (None, Some(START + 2 * DAY_US)),
        (Some(START + 2 * DAY_US), None),
        (Some(START + DAY_US), Some(START)),
        (Some(i64::MIN), Some(i64::MAX)),
        (Some(i64::MAX), Some(i64::MIN)),
    ];
    let of = |tenant: &str| CallFilter { tenant: Some(tenant.parse().unwrap()), ..CallFilter::default() };
    let narrow = CallFilter {
        application: Some("系统".into()),
        component: Some("a:b".parse().unwrap()),
        version: Some("2.0.0".parse().unwrap()),
        function: Some("g".into()),
        ..CallFilter::default()
    };
    let filters = [CallFilter::default(), of("city"), of("nobody"), narrow];
    for group_by in &groupings {
        for (from, to) in periods {
            for of in &filters {
                let (from, to) = (from.map(Timestamp::from_micros), to.map(Timestamp::from_micros));
                let query =
                    UsageQuery { from, to, group_by: group_by.clone(), of: of.clone(), ..UsageQuery::default() };
                // Ends at the edge of the integers are beyond all calls, and the reckoning's rounding would overflow there.
                let within = |time: Timestamp| Timestamp::from_micros(time.as_micros().clamp(0, 2 * START));
                let plain = UsageQuery { from: from.map(within), to: to.map(within), ..query.clone() };
                let expected = reckon(&entries, &plain);
                assert_eq!(store.usage(query.clone()).await.unwrap(), expected, "{query:?}");
            }
        }
    }
    let everything = reckon(&entries, &UsageQuery::default());
    assert_eq!(everything[0].calls, 3_000, "the reckoning sees all entries");
}

#[tokio::test]
async fn months_days_and_hours_are_those_of_the_zone() {
    let Fixture { store, .. } = &fixture().await;
    let entries = entries();
    store.append_entries(&entries).await.unwrap();
    // Over the ends of summer times.
    let autumn: Vec<_> = (0..400).map(|i| entry("f", Outcome::Ok, 1_792_800_000_000_000 + i * HOUR_US / 4)).collect();
    store.append_entries(&autumn).await.unwrap();
    let all: Vec<_> = entries.into_iter().chain(autumn).collect();
    for name in ["UTC", "Asia/Shanghai", "Asia/Kathmandu", "Europe/Berlin", "America/St_Johns"] {
        let zone: Zone = name.parse().unwrap();
        for group_by in [vec![GroupBy::Month], vec![GroupBy::Day], vec![GroupBy::Hour], GroupBy::ALL.to_vec()] {
            for from in [None, Some(Timestamp::from_micros(START + 2 * DAY_US + 7 * MINUTE_US))] {
                let zone = zone.clone();
                let query = UsageQuery { from, group_by: group_by.clone(), zone, ..UsageQuery::default() };
                assert_eq!(store.usage(query.clone()).await.unwrap(), reckon(&all, &query), "{query:?}");
            }
        }
    }
}

#[tokio::test]
async fn periods_that_share_an_end_neither_overlap_nor_leave_a_gap() {
    let Fixture { store, .. } = &fixture().await;
    store.append_entries(&entries()).await.unwrap();
    let calls = async |from: Option<i64>, to: Option<i64>| {
        let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
        let query = UsageQuery { from: time(from), to: time(to), ..UsageQuery::default() };
        store.usage(query).await.unwrap().pop().unwrap_or_default().calls
    };
    for step in 0..100 {
        let cut = Some(START + step * 4_321_987_654);
        assert_eq!(calls(None, cut).await + calls(cut, None).await, 3_000, "cut at {cut:?}");
    }
}

#[tokio::test]
async fn a_long_period_reads_few_rows() {
    let Fixture { store, .. } = &fixture().await;
    // One function called every minute for 100 days: 144,000 minutes, 100 days.
    for day in 0..100 {
        let minutes: Vec<_> =
            (0..1_440).map(|minute| entry("f", Outcome::Ok, day * DAY_US + minute * MINUTE_US)).collect();
        store.append_entries(&minutes).await.unwrap();
    }
    // What is left of the finer buckets cannot matter to a question over whole days.
    sqlx::query("DELETE FROM aggregates WHERE unit_us < ?").bind(DAY_US).execute(&store.writer).await.unwrap();
    let query = UsageQuery {
        from: Some(Timestamp::from_micros(0)),
        to: Some(Timestamp::from_micros(100 * DAY_US)),
        ..UsageQuery::default()
    };
    assert_eq!(store.usage(query).await.unwrap()[0].calls, 144_000);
    assert_eq!(count(store, "aggregates").await, 100);
}
