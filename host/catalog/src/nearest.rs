//! "Did you mean …": the names closest to one that was not found.

/// Names offered at most.
const NEAREST_MAX: usize = 3;
/// Similarity below which a name is no help.
const SIMILARITY_MIN: f64 = 0.6;

/// The names of `known` most like `asked`, best first.
pub fn nearest<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<_> = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(asked, name), name))
        .filter(|(score, _)| *score >= SIMILARITY_MIN)
        .collect();
    scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.cmp(right)));
    scored.into_iter().take(NEAREST_MAX).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_closest_names_come_first() {
        assert_eq!(nearest("evalute", ["policies", "evaluate", "evaluate-with"]), ["evaluate", "evaluate-with"]);
        assert!(nearest("xyz", ["policies"]).is_empty());
    }
}
