//! Places in a JSON document, and names as error messages show them.

use std::borrow::Cow;

const QUOTE_CHARS_MAX: usize = 60;
const NAMES_SHOWN_MAX: usize = 8;
/// Characters of a name that are compared with others.
const NAME_CHARS_COMPARED_MAX: usize = 64;
/// Names that it is compared with; of those beyond it comes the count.
const NAMES_COMPARED_MAX: usize = 200;

/// One step into a JSON document.
pub(super) enum Place<'a> {
    /// The member of this key.
    Key(Cow<'a, str>),
    /// The element at this index.
    Index(usize),
}

/// The pointer (RFC 6901) of these steps.
pub(super) fn pointer(places: &[Place<'_>]) -> String {
    use std::fmt::Write as _;
    places.iter().fold(String::new(), |mut pointer, place| {
        pointer.push('/');
        match place {
            Place::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Place::Index(index) => {
                let _ = write!(pointer, "{index}");
            }
        }
        pointer
    })
}

/// A caller's text in quotes, cut to a readable length.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

/// Which of the known names was probably meant, or what they are.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let name = name.chars().take(NAME_CHARS_COMPARED_MAX).collect::<String>().to_lowercase();
    let mut names: Vec<&str> = known.collect();
    let short = names.iter().filter(|known| known.len() <= 4 * NAME_CHARS_COMPARED_MAX).take(NAMES_COMPARED_MAX);
    let close = short.map(|known| (strsim::jaro_winkler(&name, known), known));
    if let Some((likeness, close)) = close.max_by(|(a, _), (b, _)| a.total_cmp(b))
        && likeness > 0.8
    {
        return format!("did you mean {}?", quote(close));
    }
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    names.truncate(NAMES_SHOWN_MAX);
    let shown: Vec<String> = names.iter().map(|name| quote(name)).collect();
    match (shown.is_empty(), more) {
        (true, _) => "there are none".to_owned(),
        (false, 0) => format!("known are {}", shown.join(", ")),
        (false, more) => format!("known are {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_what_rfc_6901_says() {
        let key = |key: &'static str| Place::Key(key.into());
        assert_eq!(pointer(&[key("a/b"), Place::Index(3), key("~1"), key("")]), "/a~1b/3/~01/");
        assert_eq!(pointer(&[]), "");
    }

    #[test]
    fn near_names_are_suggested_and_others_listed() {
        assert_eq!(nearest("amuont", ["amount", "currency"].into_iter()), "did you mean \"amount\"?");
        assert_eq!(nearest("zzz", ["amount", "currency"].into_iter()), "known are \"amount\", \"currency\"");
        assert_eq!(nearest("zzz", [].into_iter()), "there are none");
        let many: Vec<String> = (0..20).map(|n| format!("name-{n}")).collect();
        assert!(nearest("zzz", many.iter().map(String::as_str)).ends_with("and 12 more"));
    }
}
