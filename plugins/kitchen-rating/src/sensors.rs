//! What sensor events cost.

use crate::exports::kitchen::safety::rating::{Event, EventKind, RatingError, Reason, Source, Text};
use std::collections::BTreeMap;

/// Degrees Celsius up to which a fridge is in order.
const FRIDGE_CELSIUS_MAX: f32 = 5.0;
/// Percent of polar compounds up to which frying oil may be used (GB 2716).
const OIL_PERCENT_MAX: f32 = 27.0;
/// Seconds in a day.
const DAY_SECONDS: u64 = 86_400;

/// One kind of trouble: how it is weighed and named.
struct Trouble {
    name: Text,
    /// Points for an event that nobody looked at; a confirmed one counts twice.
    points: u32,
    /// Points that all events of the kind cost at most.
    most: u32,
}

/// Points lost by events of the days `[from, to]`, a reason for each kind of trouble.
pub fn reasons(events: &[Event], from: i64, to: i64) -> Result<Vec<Reason>, RatingError> {
    let mut kinds: BTreeMap<u8, (u32, u32)> = BTreeMap::new();
    for event in recent(events, from, to)? {
        let Some(kind) = trouble_kind(&event.kind) else { continue };
        let (count, points) = kinds.entry(kind).or_default();
        *count = count.saturating_add(1);
        *points = points.saturating_add(cost(event, kind));
    }
    let reason = |(kind, (count, points)): (u8, (u32, u32))| {
        let Trouble { name, most, .. } = trouble(kind);
        let words = Text { en: format!("{}: {count}", name.en), zh: format!("{}：{count} 次", name.zh) };
        Reason { words, points: points.min(most), source: Source::Sensors(count) }
    };
    Ok(kinds.into_iter().map(reason).collect())
}

/// Whether gas leaked and a person confirmed it within the days `[from, to]`.
pub fn gas_leaked(events: &[Event], from: i64, to: i64) -> Result<bool, RatingError> {
    let leaked = |event: &Event| matches!(event.kind, EventKind::GasLeak) && event.confirmed == Some(true);
    Ok(recent(events, from, to)?.into_iter().any(leaked))
}

/// Events of the days, without those that a person rejected.
fn recent(events: &[Event], from: i64, to: i64) -> Result<Vec<&Event>, RatingError> {
    for event in events {
        if let EventKind::FridgeTemperature(value) | EventKind::OilPolarCompounds(value) = event.kind
            && !value.is_finite()
        {
            return Err(RatingError::InvalidEvent(format!("the event at {} has no finite measurement", event.at)));
        }
    }
    let within = |event: &&Event| i64::try_from(event.at / DAY_SECONDS).is_ok_and(|day| (from..=to).contains(&day));
    Ok(events.iter().filter(within).filter(|event| event.confirmed != Some(false)).collect())
}

/// A number for the kind of trouble, if the event is any.
fn trouble_kind(kind: &EventKind) -> Option<u8> {
    match kind {
        EventKind::FridgeTemperature(celsius) => (*celsius > FRIDGE_CELSIUS_MAX).then_some(0),
        EventKind::OilPolarCompounds(percent) => (*percent > OIL_PERCENT_MAX).then_some(1),
        EventKind::Pest => Some(2),
        EventKind::NoCapOrMask => Some(3),
        EventKind::GasLeak => Some(4),
        EventKind::BinOpen => Some(5),
    }
}

fn trouble(kind: u8) -> Trouble {
    let (en, zh, points, most) = match kind {
        0 => ("fridge too warm", "冷藏温度超标", 2, 20),
        1 => ("frying oil used too long", "煎炸油极性组分超标", 3, 15),
        2 => ("pests seen", "发现有害生物", 4, 24),
        3 => ("staff without cap or mask", "人员未戴帽或口罩", 1, 10),
        4 => ("gas leak", "燃气泄漏", 5, 30),
        _ => ("bin left open", "垃圾桶未加盖", 1, 5),
    };
    Trouble { name: Text { en: en.into(), zh: zh.into() }, points, most }
}

/// A fridge that is warm for hours is worse than a door left open: each full hour counts again, up to a day.
fn cost(event: &Event, kind: u8) -> u32 {
    let times = if event.confirmed == Some(true) { 2 } else { 1 };
    let hours = if kind == 0 { (event.minutes / 60).clamp(1, 24) } else { 1 };
    trouble(kind).points * times * hours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, minutes: u32, confirmed: Option<bool>) -> Event {
        Event { at: 10 * DAY_SECONDS, minutes, kind, confirmed }
    }

    fn points(events: &[Event]) -> u32 {
        reasons(events, 0, 20).unwrap().iter().map(|reason| reason.points).sum()
    }

    #[test]
    fn events_cost_by_kind_length_and_confirmation() {
        for (one, expected) in [
            (event(EventKind::FridgeTemperature(5.0), 60, None), 0),
            (event(EventKind::FridgeTemperature(9.0), 10, None), 2),
            (event(EventKind::FridgeTemperature(9.0), 180, None), 6),
            (event(EventKind::FridgeTemperature(9.0), u32::MAX, Some(true)), 20),
            (event(EventKind::OilPolarCompounds(27.5), 1, None), 3),
            (event(EventKind::Pest, 1, Some(true)), 8),
            (event(EventKind::Pest, 1, Some(false)), 0),
            (event(EventKind::GasLeak, 1, None), 5),
        ] {
            assert_eq!(points(std::slice::from_ref(&one)), expected, "{one:?}");
        }
        assert_eq!(points(&vec![event(EventKind::BinOpen, 1, None); 10_000]), 5, "a kind costs no more than its most");
    }

    #[test]
    fn only_events_of_the_period_count() {
        let events = [event(EventKind::Pest, 1, None)];
        assert!(reasons(&events, 11, 20).unwrap().is_empty());
        assert!(reasons(&events, 0, 9).unwrap().is_empty());
        let never = Event { at: u64::MAX, ..events[0] };
        assert!(reasons(&[never], 0, 20).unwrap().is_empty());
    }

    #[test]
    fn measurements_must_be_numbers() {
        let bad = [event(EventKind::FridgeTemperature(f32::NAN), 1, None)];
        assert!(matches!(reasons(&bad, 0, 20), Err(RatingError::InvalidEvent(_))));
    }
}
