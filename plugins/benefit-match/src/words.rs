//! What people read: conditions, amounts and the summary, in English and Chinese.

use crate::exports::benefit::policies::matching::{
    Amount, Certifications, Condition, Fact, Finding, Industry, Language, Share, Size, Text, Verdict,
};

/// The text in the reader's language.
pub fn in_words(text: &Text, language: Language) -> &str {
    match language {
        Language::En => &text.en,
        Language::Zh => &text.zh,
    }
}

/// Conditions of which one must hold.
pub fn any_of(conditions: &[Condition], language: Language) -> String {
    let separator = pick(language, " or ", "，或");
    conditions.iter().map(|one| condition(one, language)).collect::<Vec<_>>().join(separator)
}

/// A policy's period.
pub fn validity(from: Option<(u16, u8, u8)>, until: Option<(u16, u8, u8)>, language: Language) -> String {
    let day = |day: Option<(u16, u8, u8)>| day.map(|(year, month, day)| format!("{year}-{month:02}-{day:02}"));
    match (day(from), day(until), language) {
        (Some(from), Some(until), Language::En) => format!("the policy runs from {from} to {until}"),
        (Some(from), Some(until), Language::Zh) => format!("政策有效期为 {from} 至 {until}"),
        (Some(from), None, Language::En) => format!("the policy runs from {from}"),
        (Some(from), None, Language::Zh) => format!("政策自 {from} 起有效"),
        (None, Some(until), Language::En) => format!("the policy runs until {until}"),
        (None, Some(until), Language::Zh) => format!("政策有效期至 {until}"),
        (None, None, _) => String::new(),
    }
}

/// How an amount came about.
pub fn computation(amount: &Amount, result: u64, language: Language) -> String {
    let result = yuan(result, language);
    match amount {
        Amount::Fixed(_) => format!("{}{result}", pick(language, "fixed amount: ", "定额：")),
        Amount::Share(share) => {
            let Share { of, permille, floor, cap } = share;
            // The share of a head count is an amount a head.
            let rate = match of {
                Fact::Employees => {
                    let each = yuan(u64::from(*permille) / 1_000, language);
                    format!("{each}{}", pick(language, " per employee", "/人"))
                }
                _ => {
                    let percent = format!("{}.{}%", permille / 10, permille % 10);
                    match language {
                        Language::En => format!("{percent} of {}", fact(*of, language)),
                        Language::Zh => format!("{}的 {percent}", fact(*of, language)),
                    }
                }
            };
            let bound = |name: &str, bound: &Option<u64>| bound.map(|fen| format!("{name}{}", yuan(fen, language)));
            let floor = bound(pick(language, ", at least ", "，不低于 "), floor).unwrap_or_default();
            let cap = bound(pick(language, ", at most ", "，不超过 "), cap).unwrap_or_default();
            format!("{rate}{floor}{cap}{}{result}", pick(language, ": ", "："))
        }
        Amount::Tiers(tiers) => match language {
            Language::En => format!("tier by {}: {result}", fact(tiers.of, language)),
            Language::Zh => format!("按{}分档：{result}", fact(tiers.of, language)),
        },
    }
}

/// The whole answer in a sentence.
pub fn summary(name: &str, findings: &[Finding], total: u64, language: Language) -> String {
    let count = |verdict: Verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (qualified, undecided) = (count(Verdict::Qualified), count(Verdict::Undecided));
    let total = yuan(total, language);
    match language {
        Language::En => format!(
            "{name} qualifies for {qualified} of {} policies, {total} in all; {undecided} cannot be decided yet.",
            findings.len()
        ),
        Language::Zh => format!(
            "{name}符合 {} 项政策中的 {qualified} 项，合计 {total}；另有 {undecided} 项信息不足，暂不能判定。",
            findings.len()
        ),
    }
}

fn condition(condition: &Condition, language: Language) -> String {
    let list = |names: Vec<&str>| names.join(pick(language, ", ", "、"));
    let value = |of: Fact, value: u64| match of {
        Fact::Revenue | Fact::ResearchSpending | Fact::Rent => yuan(value, language),
        Fact::ResearchPermille => format!("{}.{}%", value / 10, value % 10),
        Fact::AgeMonths => format!("{value}{}", pick(language, " months", " 个月")),
        Fact::Employees => format!("{value}{}", pick(language, "", " 人")),
    };
    match (condition, language) {
        (Condition::IndustryIn(industries), _) => {
            let names = list(industries.iter().map(|one| industry(*one, language)).collect());
            format!("{}{names}", pick(language, "industry: ", "行业属于："))
        }
        (Condition::SizeIn(sizes), _) => {
            let names = list(sizes.iter().map(|one| size(*one, language)).collect());
            format!("{}{names}", pick(language, "size: ", "规模属于："))
        }
        (Condition::DistrictIn(districts), _) => {
            let names = list(districts.iter().map(String::as_str).collect());
            format!("{}{names}", pick(language, "registered in: ", "注册地属于："))
        }
        (Condition::AtLeast((of, least)), Language::En) => {
            format!("{} at least {}", fact(*of, language), value(*of, *least))
        }
        (Condition::AtLeast((of, least)), Language::Zh) => {
            format!("{}不低于 {}", fact(*of, language), value(*of, *least))
        }
        (Condition::AtMost((of, most)), Language::En) => {
            format!("{} at most {}", fact(*of, language), value(*of, *most))
        }
        (Condition::AtMost((of, most)), Language::Zh) => format!("{}不超过 {}", fact(*of, language), value(*of, *most)),
        (Condition::HasAll(wanted), _) => {
            format!(
                "{}{}",
                pick(language, "certified as all of: ", "同时具备资质："),
                list(certifications(*wanted, language))
            )
        }
        (Condition::HasAny(wanted), _) => {
            format!(
                "{}{}",
                pick(language, "certified as one of: ", "具备任一资质："),
                list(certifications(*wanted, language))
            )
        }
        (Condition::CreditClean, _) => pick(language, "clean public credit record", "公共信用记录良好").to_owned(),
        (Condition::NotReceived(policy), Language::En) => format!("not paid under {policy} before"),
        (Condition::NotReceived(policy), Language::Zh) => format!("此前未享受过 {policy}"),
    }
}

fn pick<'a>(language: Language, en: &'a str, zh: &'a str) -> &'a str {
    match language {
        Language::En => en,
        Language::Zh => zh,
    }
}

fn yuan(fen: u64, language: Language) -> String {
    let (whole, part) = (fen / 100, fen % 100);
    let amount = if part == 0 { whole.to_string() } else { format!("{whole}.{part:02}") };
    format!("{amount}{}", pick(language, " yuan", " 元"))
}

fn fact(fact: Fact, language: Language) -> &'static str {
    let (en, zh) = match fact {
        Fact::Employees => ("employees", "员工人数"),
        Fact::Revenue => ("revenue", "营业收入"),
        Fact::ResearchSpending => ("research spending", "研发投入"),
        Fact::ResearchPermille => ("research ratio", "研发投入占比"),
        Fact::AgeMonths => ("age", "成立时间"),
        Fact::Rent => ("rent", "租金"),
    };
    pick(language, en, zh)
}

fn industry(industry: Industry, language: Language) -> &'static str {
    let (en, zh) = match industry {
        Industry::Manufacturing => ("manufacturing", "制造业"),
        Industry::Software => ("software", "软件业"),
        Industry::Trade => ("trade", "批发零售业"),
        Industry::Logistics => ("logistics", "物流业"),
        Industry::Catering => ("catering", "餐饮业"),
        Industry::Healthcare => ("healthcare", "医疗健康"),
        Industry::Education => ("education", "教育"),
        Industry::Construction => ("construction", "建筑业"),
        Industry::Agriculture => ("agriculture", "农业"),
        Industry::Other => ("other", "其他"),
    };
    pick(language, en, zh)
}

fn size(size: Size, language: Language) -> &'static str {
    let (en, zh) = match size {
        Size::Micro => ("micro", "微型"),
        Size::Small => ("small", "小型"),
        Size::Medium => ("medium", "中型"),
        Size::Large => ("large", "大型"),
    };
    pick(language, en, zh)
}

fn certifications(certifications: Certifications, language: Language) -> Vec<&'static str> {
    [
        (Certifications::HIGH_TECH, "high-tech enterprise", "国家高新技术企业"),
        (Certifications::SPECIALIZED, "specialised and innovative", "专精特新"),
        (Certifications::LITTLE_GIANT, "little giant", "专精特新“小巨人”"),
        (Certifications::GREEN_FACTORY, "green factory", "绿色工厂"),
        (Certifications::GAZELLE, "gazelle enterprise", "瞪羚企业"),
    ]
    .into_iter()
    .filter(|(flag, ..)| certifications.contains(*flag))
    .map(|(_, en, zh)| pick(language, en, zh))
    .collect()
}
