//! Calls another component with records, variants, flags, options and lists, and takes its result and its error.

use exports::test::canteens::canteens::Guest;
use kitchen::safety::rating::{self, Date, Event, EventKind, Finding, Inspection, Kitchen, Permits, Severity};

wares_sdk::component!(Component);

struct Component;

impl Guest for Component {
    fn rank(kitchens: Vec<String>, inspector: Option<String>) -> Result<Vec<(String, u8)>, String> {
        let mut ranked = Vec::new();
        for (findings, name) in kitchens.into_iter().enumerate() {
            let finding = |n| Finding { item: format!("台面 {n}"), severity: Severity::Major, corrected: true };
            let inspection = |inspector: &String| Inspection {
                on: Date { year: 2026, month: 5, day: 1 },
                inspector: inspector.clone(),
                findings: (0..findings).map(finding).collect(),
            };
            let inspections: Vec<_> = inspector.iter().map(inspection).collect();
            let warm = Event {
                at: 1_780_000_000,
                minutes: 90,
                kind: EventKind::FridgeTemperature(9.5),
                confirmed: Some(false),
            };
            let kitchen = Kitchen { name, permits: Permits::all(), previous: None };
            let rated = rating::rate(&kitchen, &inspections, &[warm], Date { year: 2026, month: 6, day: 1 });
            let rating = rated.map_err(|error| format!("{}: {error:?}", kitchen.name))?;
            ranked.push((kitchen.name, rating.score));
        }
        ranked.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
        Ok(ranked)
    }
}
