//! What a call's log says of something that the call may not use: who would have to allow it, and how.

use wares_model::ComponentName;

/// Something that a component wants to use, and what of it is lacking.
pub(crate) struct Refusal<'a> {
    pub(crate) component: &'a ComponentName,
    /// Whether the manifest asks for it, or is not there.
    pub(crate) is_asked: bool,
    /// Whether an operator granted it.
    pub(crate) is_granted: bool,
    /// The line under `[capabilities]` that would ask for it.
    pub(crate) ask: String,
    /// Flags of `wares grants add` that would grant it.
    pub(crate) flags: String,
}

impl Refusal<'_> {
    /// What would have to be done.
    pub(crate) fn advice(&self) -> String {
        let Self { component, is_asked, is_granted, ask, flags } = self;
        let ask =
            || format!("the manifest of {component} does not ask for it: it would with `{ask}` under [capabilities]");
        let grant = || format!("it is not granted: `wares grants add {component} {flags}` would grant it");
        match (is_asked, is_granted) {
            (true, _) => grant(),
            (false, true) => ask(),
            (false, false) => format!("{}; and {}", grant(), ask()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_said_with_who_can_give_it() {
        let component = "a:b".parse().unwrap();
        let advice = |is_asked, is_granted| {
            let (ask, flags) = ("files = \"read-only\"".to_owned(), "--files read-only".to_owned());
            Refusal { component: &component, is_asked, is_granted, ask, flags }.advice()
        };
        let grant = "it is not granted: `wares grants add a:b --files read-only` would grant it";
        let ask = "the manifest of a:b does not ask for it: it would with `files = \"read-only\"` under [capabilities]";
        assert_eq!(advice(true, false), grant);
        assert_eq!(advice(false, true), ask);
        assert_eq!(advice(false, false), format!("{grant}; and {ask}"));
    }
}
