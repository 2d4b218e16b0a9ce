//! The district's policies, as data.

use crate::exports::benefit::policies::matching::{
    Amount, Certifications, Condition, Date, Fact, Industry, Policy, Share, Size, Text, Tier, Tiers,
};

const YUAN: u64 = 100;
const TEN_THOUSAND_YUAN: u64 = 10_000 * YUAN;

/// The district that these policies are of.
const HOME: &str = "Guangming";

/// All policies, in the order in which they are explained.
pub fn policies() -> Vec<Policy> {
    vec![
        Policy {
            id: "hightech-recognition".into(),
            title: text("Reward for first recognition as a high-tech enterprise", "首次认定国家高新技术企业奖励"),
            valid_from: day(2025, 1, 1),
            valid_until: day(2027, 12, 31),
            conditions: vec![
                home(),
                vec![Condition::HasAll(Certifications::HIGH_TECH)],
                vec![Condition::CreditClean],
                vec![Condition::NotReceived("hightech-recognition".into())],
            ],
            amount: Amount::Fixed(10 * TEN_THOUSAND_YUAN),
            excludes: vec![],
        },
        Policy {
            id: "research-subsidy".into(),
            title: text("Subsidy for research spending", "企业研发投入补助"),
            valid_from: day(2025, 1, 1),
            valid_until: day(2027, 12, 31),
            conditions: vec![
                home(),
                vec![Condition::CreditClean],
                vec![Condition::AtLeast((Fact::ResearchPermille, 30)), Condition::HasAny(Certifications::HIGH_TECH)],
                vec![Condition::AtLeast((Fact::ResearchSpending, 50 * TEN_THOUSAND_YUAN))],
            ],
            amount: Amount::Share(Share {
                of: Fact::ResearchSpending,
                permille: 100,
                floor: Some(5 * TEN_THOUSAND_YUAN),
                cap: Some(200 * TEN_THOUSAND_YUAN),
            }),
            excludes: vec!["startup-research".into()],
        },
        Policy {
            id: "startup-research".into(),
            title: text("Research start-up grant for young enterprises", "初创企业研发启动资助"),
            valid_from: day(2026, 1, 1),
            valid_until: day(2026, 12, 31),
            conditions: vec![
                home(),
                vec![Condition::AtMost((Fact::AgeMonths, 36))],
                vec![Condition::SizeIn(vec![Size::Micro, Size::Small])],
                vec![Condition::AtLeast((Fact::ResearchPermille, 50))],
            ],
            amount: Amount::Fixed(20 * TEN_THOUSAND_YUAN),
            excludes: vec!["research-subsidy".into()],
        },
        Policy {
            id: "specialized-growth".into(),
            title: text("Reward for specialised and innovative enterprises", "专精特新企业奖励"),
            valid_from: day(2025, 7, 1),
            valid_until: None,
            conditions: vec![
                home(),
                vec![Condition::HasAny(Certifications::SPECIALIZED | Certifications::LITTLE_GIANT)],
                vec![Condition::CreditClean],
            ],
            amount: Amount::Tiers(Tiers {
                of: Fact::Revenue,
                steps: vec![tier(0, 20), tier(2_000 * TEN_THOUSAND_YUAN, 30), tier(10_000 * TEN_THOUSAND_YUAN, 50)],
            }),
            excludes: vec![],
        },
        Policy {
            id: "rent-relief".into(),
            title: text("Rent relief for micro and small enterprises", "小微企业租金补贴"),
            valid_from: day(2026, 1, 1),
            valid_until: day(2026, 12, 31),
            conditions: vec![
                home(),
                vec![Condition::SizeIn(vec![Size::Micro, Size::Small])],
                vec![Condition::IndustryIn(vec![
                    Industry::Catering,
                    Industry::Trade,
                    Industry::Software,
                    Industry::Education,
                ])],
                vec![Condition::AtLeast((Fact::Rent, 1))],
            ],
            amount: Amount::Share(Share {
                of: Fact::Rent,
                permille: 300,
                floor: None,
                cap: Some(6 * TEN_THOUSAND_YUAN),
            }),
            excludes: vec![],
        },
        Policy {
            id: "job-stability".into(),
            title: text("Refund for keeping jobs", "稳岗返还"),
            valid_from: None,
            valid_until: None,
            conditions: vec![
                vec![Condition::AtLeast((Fact::Employees, 5))],
                vec![Condition::CreditClean],
                vec![Condition::AtLeast((Fact::AgeMonths, 12))],
            ],
            amount: Amount::Share(Share {
                of: Fact::Employees,
                // 500 yuan a head: 50,000 fen per employee.
                permille: 50_000_000,
                floor: None,
                cap: Some(50 * TEN_THOUSAND_YUAN),
            }),
            excludes: vec![],
        },
        Policy {
            id: "green-factory".into(),
            title: text("Support for green factories", "绿色工厂资助"),
            valid_from: day(2025, 1, 1),
            valid_until: day(2028, 12, 31),
            conditions: vec![
                home(),
                vec![Condition::IndustryIn(vec![Industry::Manufacturing])],
                vec![Condition::HasAll(Certifications::GREEN_FACTORY)],
                vec![Condition::NotReceived("green-factory".into())],
            ],
            amount: Amount::Fixed(50 * TEN_THOUSAND_YUAN),
            excludes: vec![],
        },
    ]
}

fn home() -> Vec<Condition> {
    vec![Condition::DistrictIn(vec![HOME.into(), "光明".into(), "光明区".into()])]
}

fn text(en: &str, zh: &str) -> Text {
    Text { en: en.into(), zh: zh.into() }
}

fn day(year: u16, month: u8, day: u8) -> Option<Date> {
    Some(Date { year, month, day })
}

/// From a revenue in fen on, an amount in ten thousand yuan.
fn tier(at_least: u64, amount: u64) -> Tier {
    Tier { at_least, amount: amount * TEN_THOUSAND_YUAN }
}
