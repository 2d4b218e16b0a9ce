//! `form:report`: one form, several collectors, one report.

mod checks;
mod collect;
mod report;
mod values;

wares_sdk::component!(Component);

use exports::form::report::reporting::{Debt, Entry, Form, FormError, Guest, Language, Merged, Report};

struct Component;

impl Guest for Component {
    fn collect(form: Form, entries: Vec<Entry>) -> Result<Merged, FormError> {
        collect::collect(&form, &entries)
    }

    fn missing(form: Form, entries: Vec<Entry>) -> Result<Vec<Debt>, FormError> {
        collect::collect(&form, &entries).map(|merged| merged.missing)
    }

    fn generate(form: Form, entries: Vec<Entry>, language: Language) -> Result<Report, FormError> {
        collect::collect(&form, &entries).map(|merged| report::write(&form, &merged, language))
    }
}
