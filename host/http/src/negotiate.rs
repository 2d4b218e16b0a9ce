//! What a client would rather have, by the `Accept` headers (RFC 9110, 12.5).

use axum::http::{HeaderMap, HeaderValue, header};
use wares_model::Language;

/// Whether the header names `this`, and with no less weight than `that`.
pub(crate) fn prefers(header: Option<&HeaderValue>, this: &str, that: &str) -> bool {
    let ranges = ranges(header.and_then(|value| value.to_str().ok()).unwrap_or_default());
    let weight = |wanted: &str| ranges.iter().filter(|(range, _)| range == wanted).map(|(_, weight)| *weight).max();
    weight(this).is_some_and(|this| this > 0 && weight(that).is_none_or(|that| this >= that))
}

/// The language that a client would rather have: of those that it names, the heaviest; of several, the first.
pub(crate) fn language(headers: &HeaderMap) -> Language {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut best = (Language::English, 0);
    for (tag, weight) in ranges(accepted) {
        let is_known = ["en", "zh"].contains(&tag.split('-').next().unwrap_or_default());
        if is_known && weight > best.1 {
            best = (Language::of_tag(&tag), weight);
        }
    }
    best.0
}

/// The ranges of a header in lower case with their weights in thousandths, as they came.
pub(crate) fn ranges(header: &str) -> Vec<(String, u32)> {
    let range = |text: &str| {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or_default().clamp(0.0, 1.0));
        Some((name, (weight * 1_000.0) as u32))
    };
    header.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heavier_one_is_preferred_and_only_one_that_is_named() {
        for (header, expected) in [
            ("text/csv", true),
            ("Text/CSV; charset=utf-8", true),
            ("application/json, text/csv", true),
            ("application/json;q=0.5, text/csv;q=0.9", true),
            ("application/json, text/csv;q=0.9", false),
            ("text/csv;q=0", false),
            ("*/*", false),
            ("text/html, application/xml;q=0.9, */*;q=0.8", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(header);
            assert_eq!(prefers(Some(&value), "text/csv", "application/json"), expected, "{header}");
        }
        for (header, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-US,en;q=0.9,zh;q=0.8", Language::English),
            ("fr, zh;q=0.5", Language::Chinese),
            ("en;q=0, zh;q=0.1", Language::Chinese),
            ("*", Language::English),
            ("", Language::English),
        ] {
            let headers = [(header::ACCEPT_LANGUAGE, HeaderValue::from_static(header))].into_iter().collect();
            assert_eq!(language(&headers), expected, "{header}");
        }
        assert!(!prefers(None, "text/csv", "application/json"));
    }
}
