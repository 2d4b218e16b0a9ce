//! Sums over periods against a plain reckoning over the entries.

use super::*;
use crate::GroupBy;
use crate::sqlite::append::{DAY_US, HOUR_US, MINUTE_US};
use std::collections::BTreeMap;
use wares_model::TenantId;

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

/// What usage must be, entry by entry.
fn reckon(entries: &[LedgerEntry], query: &UsageQuery) -> Vec<UsageRow> {
    let floor = |micros: i64, unit: i64| micros.div_euclid(unit) * unit;
    let minute = |time: Timestamp| floor(time.as_micros(), MINUTE_US);
    let mut rows = BTreeMap::new();
    for entry in entries {
        let started = minute(entry.started);
        if query.from.is_some_and(|from| started < minute(from))
            || query.to.is_some_and(|to| started >= minute(to))
            || query.tenant.as_ref().is_some_and(|tenant| entry.tenant != *tenant)
        {
            continue;
        }
        let text = |group, value: &dyn ToString| query.group_by.contains(&group).then(|| value.to_string());
        let time = |group, unit| {
            let start = || Timestamp::from_micros(floor(entry.started.as_micros(), unit));
            query.group_by.contains(&group).then(start)
        };
        let key = (
            text(GroupBy::Tenant, &entry.tenant),
            text(GroupBy::Application, &entry.application),
            text(GroupBy::Component, &entry.component),
            text(GroupBy::Version, &entry.version),
            text(GroupBy::Interface, &entry.interface),
            text(GroupBy::Function, &entry.function),
            text(GroupBy::Outcome, &entry.outcome),
            time(GroupBy::Day, DAY_US),
            time(GroupBy::Hour, HOUR_US),
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
        |((tenant, application, component, version, interface, function, outcome, day, hour), row)| {
            let outcome = outcome.map(|outcome| outcome.parse().unwrap());
            UsageRow { tenant, application, component, version, interface, function, outcome, day, hour, ..row }
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
    let tenants: [Option<TenantId>; 3] = [None, Some("city".parse().unwrap()), Some("nobody".parse().unwrap())];
    for group_by in &groupings {
        for (from, to) in periods {
            for tenant in &tenants {
                let (from, to) = (from.map(Timestamp::from_micros), to.map(Timestamp::from_micros));
                let query = UsageQuery { from, to, group_by: group_by.clone(), tenant: tenant.clone() };
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
