//! "Did you mean …": the names closest to one that was not found.
//!
//! What it costs does not grow with what is asked, and stays below a millisecond: it is asked by anybody, wherever a name is wrong.

use wares_model::name::LABEL_BYTES_MAX;

/// Names offered at most.
const NEAREST_MAX: usize = 3;
/// Similarity below which a name is no help.
const SIMILARITY_MIN: f64 = 0.8;
/// Bytes of a name that is compared with others, and of those. A component's name fits.
const COMPARED_BYTES_MAX: usize = 2 * LABEL_BYTES_MAX + 1;
/// Names that are looked at; beyond that the first ones.
const LOOKED_AT_MAX: usize = 20_000;
/// Of those, the likeliest ones, which are compared letter by letter.
const COMPARED_MAX: usize = 64;

/// The names of `known` most like `asked`, best first.
pub fn nearest<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    if asked.len() > COMPARED_BYTES_MAX {
        return Vec::new();
    }
    let mut scored: Vec<_> = likeliest(asked, known)
        .into_iter()
        .map(|name| (strsim::jaro_winkler(asked, name), name))
        .filter(|(score, _)| *score >= SIMILARITY_MIN)
        .collect();
    scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.cmp(right)));
    scored.into_iter().take(NEAREST_MAX).map(|(_, name)| name.to_owned()).collect()
}

/// Those that are made of nearly the same letters, and nearly as many.
fn likeliest<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let letters = letters(asked);
    let apart = |name: &str| {
        let others = (letters ^ self::letters(name)).count_ones() as usize;
        others + asked.len().abs_diff(name.len())
    };
    let known = known.into_iter().take(LOOKED_AT_MAX).filter(|name| name.len() <= COMPARED_BYTES_MAX);
    let mut known: Vec<_> = known.map(|name| (apart(name), name)).collect();
    if known.len() > COMPARED_MAX {
        known.select_nth_unstable(COMPARED_MAX);
        known.truncate(COMPARED_MAX);
    }
    known.into_iter().map(|(_, name)| name).collect()
}

/// Which letters occur in a name, a bit each.
fn letters(name: &str) -> u32 {
    name.bytes().fold(0, |letters, byte| letters | 1 << (byte & 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_names_come_first() {
        assert_eq!(nearest("evalute", ["policies", "evaluate", "evaluate-with"]), ["evaluate", "evaluate-with"]);
        assert!(nearest("xyz", ["policies"]).is_empty());
    }

    #[test]
    fn the_closest_of_many_is_found_and_long_names_are_left_alone() {
        let many: Vec<String> = (0..10_000).map(|number| format!("vendor-{}:tool-{number}", number % 97)).collect();
        let known = || many.iter().map(String::as_str).chain(["benefit:match"]);
        assert_eq!(nearest("benefit:macth", known()).first().map(String::as_str), Some("benefit:match"));
        assert!(nearest(&"a".repeat(60_000), known()).is_empty());
        let long = "b".repeat(60_000);
        assert!(nearest("bbb", [long.as_str()]).is_empty());
    }
}
