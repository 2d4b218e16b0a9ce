//! Score, grade, caps and the next inspection.

use crate::calendar::{date, number};
use crate::exports::kitchen::safety::rating::{
    Date, Event, Finding, Grade, Inspection, Kitchen, Permits, Rating, RatingError, Reason, Severity, Source, Text,
    Trend,
};
use crate::sensors;

/// The points that a score must reach for each grade.
pub const SCALE: [(Grade, u8); 4] = [(Grade::A, 90), (Grade::B, 75), (Grade::C, 60), (Grade::D, 0)];

/// Days that an inspection counts.
const INSPECTION_DAYS: i64 = 365;
/// Days after which a finding weighs half.
const HALF_WEIGHT_DAYS: i64 = 180;
/// Days that an event counts.
const EVENT_DAYS: i64 = 30;
/// Points of a perfect kitchen.
const POINTS_FULL: u32 = 100;

/// Rates a kitchen on a day.
pub fn rate(kitchen: &Kitchen, inspections: &[Inspection], events: &[Event], on: Date) -> Result<Rating, RatingError> {
    let today = number("on", on)?;
    let inspections = counted(inspections, today)?;
    let Some((latest, _)) = inspections.last() else { return Err(RatingError::NoInspection) };
    let mut reasons: Vec<Reason> =
        inspections.iter().flat_map(|(day, inspection)| findings(inspection, today - day)).collect();
    reasons.extend(sensors::reasons(events, today - EVENT_DAYS + 1, today)?);
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.points));

    let lost = reasons.iter().fold(0u32, |lost, reason| lost.saturating_add(reason.points));
    let score = u8::try_from(POINTS_FULL.saturating_sub(lost)).unwrap_or(0);
    let by_score = SCALE.iter().find(|(_, least)| score >= *least).map_or(Grade::D, |(grade, _)| *grade);
    let cap = cap(kitchen, &inspections, sensors::gas_leaked(events, today - EVENT_DAYS + 1, today)?);
    let grade = cap.as_ref().map_or(by_score, |(most, _)| worse(by_score, *most));
    Ok(Rating {
        score,
        grade,
        reasons,
        capped: cap.filter(|_| grade != by_score).map(|(_, words)| words),
        trend: kitchen.previous.map(|previous| trend(previous, grade)),
        next_inspection: date((latest + days_until_next(grade)).max(today + 1)),
    })
}

/// Inspections that count on the day, oldest first.
fn counted(inspections: &[Inspection], today: i64) -> Result<Vec<(i64, &Inspection)>, RatingError> {
    let dated =
        inspections.iter().map(|one| Ok((number("inspection", one.on)?, one))).collect::<Result<Vec<_>, _>>()?;
    let mut counted: Vec<_> =
        dated.into_iter().filter(|(day, _)| (today - INSPECTION_DAYS + 1..=today).contains(day)).collect();
    counted.sort_by_key(|(day, _)| *day);
    Ok(counted)
}

/// What an inspection's findings cost after so many days: less when corrected, less when long ago.
fn findings(inspection: &Inspection, age_days: i64) -> Vec<Reason> {
    let cost = |finding: &Finding| {
        let (full, severity) = match finding.severity {
            Severity::Minor => (2, ("minor", "一般")),
            Severity::Major => (8, ("major", "较重")),
            Severity::Critical => (24, ("critical", "严重")),
        };
        let corrected = if finding.corrected { full / 2 } else { full };
        let points = if age_days > HALF_WEIGHT_DAYS { corrected / 2 } else { corrected };
        let state = if finding.corrected { (", corrected", "，已整改") } else { ("", "") };
        let words = Text {
            en: format!("{} ({}{})", finding.item, severity.0, state.0),
            zh: format!("{}（{}{}）", finding.item, severity.1, state.1),
        };
        Reason { words, points, source: Source::Inspection(inspection.on) }
    };
    inspection.findings.iter().map(cost).filter(|reason| reason.points > 0).collect()
}

/// The best grade that the kitchen can have whatever its score, and why.
fn cap(kitchen: &Kitchen, inspections: &[(i64, &Inspection)], gas_leaked: bool) -> Option<(Grade, Text)> {
    let text = |en: &str, zh: &str| Text { en: en.into(), zh: zh.into() };
    let latest = inspections.last().map(|(_, inspection)| *inspection);
    let open = |severity: Severity| {
        let findings = latest.map(|inspection| inspection.findings.as_slice()).unwrap_or_default();
        findings.iter().filter(|finding| finding.severity == severity && !finding.corrected).count()
    };
    if !kitchen.permits.contains(Permits::FOOD_BUSINESS) {
        return Some((Grade::Suspended, text("no food business permit", "无食品经营许可证")));
    }
    if open(Severity::Critical) >= 2 {
        return Some((Grade::Suspended, text("several critical findings are not corrected", "多项严重问题未整改")));
    }
    if open(Severity::Critical) == 1 {
        return Some((Grade::D, text("a critical finding is not corrected", "严重问题未整改")));
    }
    if gas_leaked {
        return Some((Grade::C, text("a gas leak was confirmed within 30 days", "30 天内确认发生燃气泄漏")));
    }
    if !kitchen.permits.contains(Permits::STAFF_HEALTH | Permits::FIRE_SAFETY) {
        return Some((
            Grade::B,
            text("a permit for fire safety or staff health is missing", "缺少消防或从业人员健康证明"),
        ));
    }
    None
}

fn worse(one: Grade, other: Grade) -> Grade {
    if one as u8 >= other as u8 { one } else { other }
}

fn trend(previous: Grade, now: Grade) -> Trend {
    match (previous as u8).cmp(&(now as u8)) {
        std::cmp::Ordering::Less => Trend::Worse,
        std::cmp::Ordering::Equal => Trend::Same,
        std::cmp::Ordering::Greater => Trend::Better,
    }
}

fn days_until_next(grade: Grade) -> i64 {
    match grade {
        Grade::A => 365,
        Grade::B => 180,
        Grade::C => 90,
        Grade::D => 30,
        Grade::Suspended => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::kitchen::safety::rating::EventKind;

    const TODAY: Date = Date { year: 2026, month: 6, day: 1 };

    fn kitchen() -> Kitchen {
        Kitchen { name: "食堂".into(), permits: Permits::all(), previous: Some(Grade::B) }
    }

    fn inspection(month: u8, findings: &[(Severity, bool)]) -> Inspection {
        let finding = |(severity, corrected): &(Severity, bool)| Finding {
            item: "chopping boards".into(),
            severity: *severity,
            corrected: *corrected,
        };
        let on = Date { year: 2026, month, day: 1 };
        Inspection { on, inspector: "Li".into(), findings: findings.iter().map(finding).collect() }
    }

    fn rated(findings: &[(Severity, bool)]) -> Rating {
        rate(&kitchen(), &[inspection(5, findings)], &[], TODAY).unwrap()
    }

    #[test]
    fn findings_lower_score_and_grade() {
        use Severity::{Critical, Major, Minor};
        for (findings, score, grade) in [
            (vec![], 100, Grade::A),
            (vec![(Minor, false)], 98, Grade::A),
            (vec![(Major, false), (Minor, true)], 91, Grade::A),
            (vec![(Major, false), (Major, false)], 84, Grade::B),
            (vec![(Critical, true)], 88, Grade::B),
            (vec![(Critical, false)], 76, Grade::D),
            (vec![(Critical, false), (Critical, false)], 52, Grade::Suspended),
            (vec![(Major, false); 100], 0, Grade::D),
        ] {
            let rating = rated(&findings);
            assert_eq!((rating.score, rating.grade), (score, grade), "{findings:?}");
        }
    }

    #[test]
    fn a_cap_is_explained_only_where_it_bites() {
        assert!(rated(&[(Severity::Critical, false)]).capped.is_some());
        assert!(rated(&[]).capped.is_none());
        let without = Kitchen { permits: Permits::FIRE_SAFETY, ..kitchen() };
        let rating = rate(&without, &[inspection(5, &[])], &[], TODAY).unwrap();
        assert_eq!(rating.grade, Grade::Suspended);
        let leak = Event { at: 1_780_200_000, minutes: 5, kind: EventKind::GasLeak, confirmed: Some(true) };
        let rating = rate(&kitchen(), &[inspection(5, &[])], &[leak], TODAY).unwrap();
        assert_eq!((rating.score, rating.grade), (90, Grade::C));
    }

    #[test]
    fn old_findings_weigh_less_and_then_nothing() {
        let points = |month: u8, year: u16| {
            let mut old = inspection(month, &[(Severity::Major, false)]);
            old.on.year = year;
            rate(&kitchen(), &[old, inspection(6, &[])], &[], TODAY)
                .unwrap()
                .reasons
                .iter()
                .map(|reason| reason.points)
                .sum::<u32>()
        };
        assert_eq!(points(5, 2026), 8);
        assert_eq!(points(10, 2025), 4);
        assert_eq!(points(5, 2025), 0);
    }

    #[test]
    fn the_next_inspection_is_sooner_for_worse_grades_and_never_past() {
        assert_eq!(rated(&[]).next_inspection, Date { year: 2027, month: 5, day: 1 });
        assert_eq!(rated(&[(Severity::Critical, false)]).next_inspection, Date { year: 2026, month: 6, day: 2 });
    }

    #[test]
    fn trend_compares_with_the_previous_grade() {
        assert_eq!(rated(&[]).trend, Some(Trend::Better));
        assert_eq!(rated(&[(Severity::Critical, false)]).trend, Some(Trend::Worse));
    }

    #[test]
    fn no_inspection_and_bad_days_are_errors() {
        assert_eq!(rate(&kitchen(), &[], &[], TODAY), Err(RatingError::NoInspection));
        assert_eq!(
            rate(&kitchen(), &[inspection(7, &[])], &[], TODAY),
            Err(RatingError::NoInspection),
            "the future does not count"
        );
        assert!(matches!(rate(&kitchen(), &[inspection(13, &[])], &[], TODAY), Err(RatingError::InvalidDate(_))));
    }
}
