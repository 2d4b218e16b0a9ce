//! The language that the program speaks: that of the environment.

use std::sync::LazyLock;
use wares_model::Language;

/// Where it is named; the first that is set counts, as everywhere on Unix.
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

static SPOKEN: LazyLock<Language> = LazyLock::new(|| {
    let set = VARIABLES.iter().filter_map(|name| std::env::var(name).ok()).find(|locale| !locale.is_empty());
    set.map(|locale| Language::of_locale(&locale)).unwrap_or_default()
});

/// The language of who uses the program.
pub fn spoken() -> Language {
    *SPOKEN
}

/// What went wrong, in that language: each cause by itself.
pub fn explain(error: &anyhow::Error) -> String {
    let causes = error.chain().map(ToString::to_string);
    let said = causes.map(|cause| spoken().say(&cause).into_owned()).collect::<Vec<_>>().join(": ");
    match spoken() {
        Language::English => format!("error: {said}"),
        Language::Chinese => format!("错误：{said}"),
    }
}
