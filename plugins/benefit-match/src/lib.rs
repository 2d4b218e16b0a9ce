//! `benefit:match`: which business-support policies an enterprise qualifies for, and how much they pay.

mod calendar;
mod catalogue;
mod evaluate;
mod words;

wares_sdk::component!(Component);

use exports::benefit::policies::matching::{Assessment, Date, Enterprise, Guest, Language, MatchError, Policy};

struct Component;

impl Guest for Component {
    fn policies() -> Vec<Policy> {
        catalogue::policies()
    }

    fn evaluate(enterprise: Enterprise, on: Date, language: Language) -> Result<Assessment, MatchError> {
        evaluate::evaluate(&catalogue::policies(), &enterprise, on, language)
    }

    fn evaluate_with(
        policies: Vec<Policy>,
        enterprise: Enterprise,
        on: Date,
        language: Language,
    ) -> Result<Assessment, MatchError> {
        evaluate::evaluate(&policies, &enterprise, on, language)
    }
}
