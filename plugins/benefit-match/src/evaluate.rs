//! The matching itself: conditions to verdicts, verdicts to amounts, amounts to a total.

use crate::calendar::{check, months_between};
use crate::exports::benefit::policies::matching::{
    Amount, Assessment, Condition, Date, Enterprise, Fact, Finding, Language, MatchError, Policy, Reason, Share,
    Verdict,
};
use crate::words::{self, in_words};
use std::collections::BTreeSet;

/// Policies in one evaluation.
const POLICIES_MAX: usize = 1_000;
/// Conditions of one policy.
const CONDITIONS_MAX: usize = 200;

type Day = (u16, u8, u8);

/// Matches an enterprise with policies on a day, and explains each verdict.
pub fn evaluate(
    policies: &[Policy],
    enterprise: &Enterprise,
    on: Date,
    language: Language,
) -> Result<Assessment, MatchError> {
    let today = check("on", on)?;
    let facts = Facts::of(enterprise, today)?;
    check_policies(policies)?;
    let mut findings =
        policies.iter().map(|policy| find(policy, &facts, today, language)).collect::<Result<Vec<_>, _>>()?;
    count_best(policies, &mut findings);
    let counted = findings.iter().filter(|finding| finding.counted);
    let total = counted.filter_map(|finding| finding.amount).fold(0u64, u64::saturating_add);
    let summary = words::summary(&enterprise.name, &findings, total, language);
    Ok(Assessment { findings, total, summary })
}

/// An enterprise whose dates have been checked.
struct Facts<'a> {
    enterprise: &'a Enterprise,
    age_months: u64,
}

impl<'a> Facts<'a> {
    fn of(enterprise: &'a Enterprise, today: Day) -> Result<Self, MatchError> {
        let invalid = |what: &str| Err(MatchError::InvalidEnterprise(what.to_owned()));
        if enterprise.name.trim().is_empty() {
            return invalid("name is empty");
        }
        let code = &enterprise.credit_code;
        if code.len() != 18 || !code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) {
            return invalid("credit-code is not 18 digits and capital letters");
        }
        let founded = check("founded", enterprise.founded)?;
        if founded > today {
            return invalid("founded is after the day of the evaluation");
        }
        Ok(Self { enterprise, age_months: months_between(founded, today) })
    }

    fn get(&self, fact: Fact) -> Option<u64> {
        let Enterprise { employees, revenue, research_spending, rent, .. } = self.enterprise;
        match fact {
            Fact::Employees => employees.map(u64::from),
            Fact::Revenue => *revenue,
            Fact::ResearchSpending => *research_spending,
            Fact::ResearchPermille => {
                let (spending, revenue) = ((*research_spending)?, (*revenue)?);
                // Spending without any revenue is the highest ratio there is.
                Some(spending.saturating_mul(1_000).checked_div(revenue).unwrap_or(if spending > 0 {
                    u64::MAX
                } else {
                    0
                }))
            }
            Fact::AgeMonths => Some(self.age_months),
            Fact::Rent => *rent,
        }
    }

    /// Whether the condition holds; nothing when a figure is missing.
    fn holds(&self, condition: &Condition) -> Option<bool> {
        let enterprise = self.enterprise;
        match condition {
            Condition::IndustryIn(industries) => Some(industries.contains(&enterprise.industry)),
            Condition::SizeIn(sizes) => Some(sizes.contains(&enterprise.size)),
            Condition::DistrictIn(districts) => Some(districts.contains(&enterprise.district)),
            Condition::AtLeast((fact, value)) => Some(self.get(*fact)? >= *value),
            Condition::AtMost((fact, value)) => Some(self.get(*fact)? <= *value),
            Condition::HasAll(wanted) => Some(enterprise.certifications.contains(*wanted)),
            Condition::HasAny(wanted) => Some(enterprise.certifications.intersects(*wanted)),
            Condition::CreditClean => enterprise.credit_clean,
            Condition::NotReceived(policy) => Some(!enterprise.received.contains(policy)),
        }
    }

    /// Figures that a condition or amount needs and that are not known.
    fn missing(&self, fact: Fact) -> Vec<Fact> {
        let parts: &[Fact] = match fact {
            Fact::ResearchPermille => &[Fact::ResearchSpending, Fact::Revenue],
            _ => &[fact],
        };
        parts.iter().copied().filter(|fact| self.get(*fact).is_none()).collect()
    }
}

fn check_policies(policies: &[Policy]) -> Result<(), MatchError> {
    let invalid = |policy: &str, what: String| Err(MatchError::InvalidPolicy((policy.to_owned(), what)));
    if policies.len() > POLICIES_MAX {
        return invalid("", format!("{} policies are more than {POLICIES_MAX}", policies.len()));
    }
    let mut ids = BTreeSet::new();
    for policy in policies {
        if !ids.insert(&policy.id) {
            return invalid(&policy.id, "two policies have this id".to_owned());
        }
        if policy.conditions.iter().map(Vec::len).sum::<usize>() > CONDITIONS_MAX {
            return invalid(&policy.id, format!("it has more than {CONDITIONS_MAX} conditions"));
        }
        if policy.conditions.iter().any(Vec::is_empty) {
            return invalid(&policy.id, "a list of conditions is empty and could never hold".to_owned());
        }
        match &policy.amount {
            Amount::Tiers(tiers) if !tiers.steps.is_sorted_by_key(|tier| tier.at_least) => {
                return invalid(&policy.id, "tiers are not in rising order".to_owned());
            }
            Amount::Share(Share { floor: Some(floor), cap: Some(cap), .. }) if floor > cap => {
                return invalid(&policy.id, "the floor is above the cap".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

fn find(policy: &Policy, facts: &Facts<'_>, today: Day, language: Language) -> Result<Finding, MatchError> {
    let mut reasons = Vec::new();
    if let Some(reason) = validity(policy, today, language)? {
        reasons.push(reason);
    }
    reasons.extend(policy.conditions.iter().map(|any_of| {
        let each: Vec<_> = any_of.iter().map(|condition| facts.holds(condition)).collect();
        let holds =
            if each.contains(&Some(true)) { Some(true) } else { each.iter().all(Option::is_some).then_some(false) };
        Reason { holds, words: words::any_of(any_of, language) }
    }));
    let amount = amount(&policy.amount, facts);
    let verdict = if reasons.iter().any(|reason| reason.holds == Some(false)) {
        Verdict::NotQualified
    } else if reasons.iter().any(|reason| reason.holds.is_none()) || amount.is_none() {
        Verdict::Undecided
    } else {
        Verdict::Qualified
    };
    let missing = if verdict == Verdict::Undecided { missing(policy, facts) } else { Vec::new() };
    let amount = amount.filter(|_| verdict == Verdict::Qualified);
    Ok(Finding {
        policy: policy.id.clone(),
        title: in_words(&policy.title, language).to_owned(),
        verdict,
        amount,
        computation: amount.map(|amount| words::computation(&policy.amount, amount, language)).unwrap_or_default(),
        reasons,
        missing,
        counted: false,
    })
}

/// The reason that a policy with a period holds or not today.
fn validity(policy: &Policy, today: Day, language: Language) -> Result<Option<Reason>, MatchError> {
    let place = format!("policy {}", policy.id);
    let day = |date: Option<Date>| date.map(|date| check(&place, date)).transpose();
    let (from, until) = (day(policy.valid_from)?, day(policy.valid_until)?);
    if from.is_none() && until.is_none() {
        return Ok(None);
    }
    let holds = from.is_none_or(|from| from <= today) && until.is_none_or(|until| today <= until);
    Ok(Some(Reason { holds: Some(holds), words: words::validity(from, until, language) }))
}

fn amount(amount: &Amount, facts: &Facts<'_>) -> Option<u64> {
    match amount {
        Amount::Fixed(fen) => Some(*fen),
        Amount::Share(Share { of, permille, floor, cap }) => {
            let share = u128::from(facts.get(*of)?) * u128::from(*permille) / 1_000;
            let share = u64::try_from(share).unwrap_or(u64::MAX);
            let at_least = share.max(floor.unwrap_or(0));
            Some(cap.map_or(at_least, |cap| at_least.min(cap)))
        }
        Amount::Tiers(tiers) => {
            let value = facts.get(tiers.of)?;
            let reached = tiers.steps.iter().rev().find(|tier| tier.at_least <= value);
            Some(reached.map_or(0, |tier| tier.amount))
        }
    }
}

fn missing(policy: &Policy, facts: &Facts<'_>) -> Vec<Fact> {
    let asked = policy.conditions.iter().flatten().filter_map(|condition| match condition {
        Condition::AtLeast((fact, _)) | Condition::AtMost((fact, _)) => Some(*fact),
        _ => None,
    });
    let paid = match &policy.amount {
        Amount::Fixed(_) => None,
        Amount::Share(share) => Some(share.of),
        Amount::Tiers(tiers) => Some(tiers.of),
    };
    let mut missing: Vec<Fact> = asked.chain(paid).flat_map(|fact| facts.missing(fact)).collect();
    missing.sort_by_key(|fact| *fact as u8);
    missing.dedup();
    missing
}

/// Of policies that exclude each other the one that pays most counts; between equals, the one that comes first.
fn count_best(policies: &[Policy], findings: &mut [Finding]) {
    let mut order: Vec<usize> = (0..findings.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(findings.get(*index).and_then(|finding| finding.amount)));
    let mut counted: Vec<&Policy> = Vec::new();
    for index in order {
        let (Some(policy), Some(finding)) = (policies.get(index), findings.get_mut(index)) else { continue };
        let apart = |other: &&Policy| other.excludes.contains(&policy.id) || policy.excludes.contains(&other.id);
        if finding.amount.is_some() && !counted.iter().any(apart) {
            finding.counted = true;
            counted.push(policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::policies;
    use crate::exports::benefit::policies::matching::{Certifications, Industry, Size};

    const TODAY: Date = Date { year: 2026, month: 6, day: 1 };

    fn enterprise() -> Enterprise {
        Enterprise {
            name: "深圳样例科技有限公司".into(),
            credit_code: "91440300MA5EXAMPL1".into(),
            industry: Industry::Software,
            size: Size::Small,
            district: "光明区".into(),
            founded: Date { year: 2024, month: 3, day: 15 },
            employees: Some(30),
            revenue: Some(1_000_000_000),
            research_spending: Some(100_000_000),
            rent: Some(60_000_000),
            certifications: Certifications::HIGH_TECH,
            credit_clean: Some(true),
            received: vec![],
        }
    }

    fn finding(assessment: &Assessment, policy: &str) -> Finding {
        assessment.findings.iter().find(|finding| finding.policy == policy).unwrap().clone()
    }

    #[test]
    fn amounts_follow_their_formulas() {
        let assessment = evaluate(&policies(), &enterprise(), TODAY, Language::En).unwrap();
        for (policy, amount) in [
            ("hightech-recognition", Some(10_000_000)),
            ("research-subsidy", Some(10_000_000)),
            ("startup-research", Some(20_000_000)),
            ("specialized-growth", None),
            ("rent-relief", Some(6_000_000)),
            ("job-stability", Some(1_500_000)),
            ("green-factory", None),
        ] {
            assert_eq!(finding(&assessment, policy).amount, amount, "{policy}");
        }
    }

    #[test]
    fn of_policies_that_exclude_each_other_the_better_one_counts() {
        let assessment = evaluate(&policies(), &enterprise(), TODAY, Language::Zh).unwrap();
        assert!(finding(&assessment, "startup-research").counted);
        assert!(!finding(&assessment, "research-subsidy").counted);
        assert_eq!(assessment.total, 10_000_000 + 20_000_000 + 6_000_000 + 1_500_000);
    }

    #[test]
    fn a_missing_figure_makes_a_policy_undecided_and_is_named() {
        let unknown = Enterprise { revenue: None, rent: None, credit_clean: None, ..enterprise() };
        let assessment = evaluate(&policies(), &unknown, TODAY, Language::En).unwrap();
        let startup = finding(&assessment, "startup-research");
        assert_eq!((startup.verdict, startup.missing), (Verdict::Undecided, vec![Fact::Revenue]));
        assert_eq!(finding(&assessment, "hightech-recognition").verdict, Verdict::Undecided);
        // A condition that fails decides, whatever else is missing.
        let elsewhere = Enterprise { district: "Nanshan".into(), ..unknown };
        let assessment = evaluate(&policies(), &elsewhere, TODAY, Language::En).unwrap();
        assert_eq!(finding(&assessment, "hightech-recognition").verdict, Verdict::NotQualified);
    }

    #[test]
    fn a_policy_applies_in_its_period_only() {
        let later = Date { year: 2027, month: 1, day: 1 };
        let assessment = evaluate(&policies(), &enterprise(), later, Language::En).unwrap();
        assert_eq!(finding(&assessment, "rent-relief").verdict, Verdict::NotQualified);
        assert_eq!(finding(&assessment, "job-stability").verdict, Verdict::Qualified);
    }

    #[test]
    fn extreme_figures_do_not_overflow() {
        let huge = Enterprise {
            employees: Some(u32::MAX),
            revenue: Some(0),
            research_spending: Some(u64::MAX),
            rent: Some(u64::MAX),
            ..enterprise()
        };
        let mut open = policies();
        for policy in &mut open {
            if let Amount::Share(share) = &mut policy.amount {
                share.cap = None;
                share.permille = u32::MAX;
            }
        }
        assert_eq!(evaluate(&open, &huge, TODAY, Language::En).unwrap().total, u64::MAX);
    }

    #[test]
    fn bad_input_is_named() {
        let bad = |change: fn(&mut Enterprise)| {
            let mut changed = enterprise();
            change(&mut changed);
            evaluate(&policies(), &changed, TODAY, Language::En).unwrap_err()
        };
        assert!(matches!(bad(|e| e.name = " ".into()), MatchError::InvalidEnterprise(what) if what.contains("name")));
        assert!(
            matches!(bad(|e| e.credit_code = "1".into()), MatchError::InvalidEnterprise(what) if what.contains("credit-code"))
        );
        assert!(matches!(bad(|e| e.founded.month = 13), MatchError::InvalidDate(what) if what.contains("founded")));
        assert!(matches!(bad(|e| e.founded.year = 2030), MatchError::InvalidEnterprise(_)));

        let mut twice = policies();
        twice.extend(policies());
        assert!(matches!(evaluate(&twice, &enterprise(), TODAY, Language::En), Err(MatchError::InvalidPolicy(_))));
        let mut never = policies();
        never[0].conditions.push(vec![]);
        assert!(matches!(evaluate(&never, &enterprise(), TODAY, Language::En), Err(MatchError::InvalidPolicy(_))));
    }

    #[test]
    fn no_policies_pay_nothing() {
        let assessment = evaluate(&[], &enterprise(), TODAY, Language::En).unwrap();
        assert_eq!((assessment.findings.len(), assessment.total), (0, 0));
    }
}
