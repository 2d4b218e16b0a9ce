//! Lines of versions: which numbers promise that callers can go on, and which number comes next.
//!
//! A line is what semver's caret takes together: one major version, or one minor version below 1.0.0. Three rules:
//!
//! - Within a line a release keeps what the releases before it export. `0.0.x` promises nothing.
//! - Numbers rise: a release is above every release of its line, a pre-release above everything on it. A release may still
//!   come below a pre-release, so that `1.1.5` can mend what runs while `1.2.0-rc.1` is tried out.
//! - A pre-release promises nothing to those who come after it, but is itself measured against the last release of its line:
//!   what it takes away, the release it prepares would take away too.
//!
//! Build metadata does not count: `1.0.0+b` is not above `1.0.0+a`.

use crate::Version;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// How far a version moves from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Nothing that is exported changed.
    Patch,
    /// Exports were added, none was lost.
    Minor,
    /// Something that is exported was changed or removed.
    Major,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

/// Whether both are on one line.
pub fn same_line(one: &Version, other: &Version) -> bool {
    one.major == other.major && (one.major > 0 || one.minor == other.minor)
}

/// The version whose callers `version` promises to serve: the highest release of its line below it.
pub fn predecessor<'a>(version: &Version, published: impl IntoIterator<Item = &'a Version>) -> Option<&'a Version> {
    if version.major == 0 && version.minor == 0 {
        return None;
    }
    let promised = |other: &&Version| {
        other.pre.is_empty() && same_line(version, other) && other.cmp_precedence(version) == Ordering::Less
    };
    published.into_iter().filter(promised).max_by(|one, other| one.cmp_precedence(other))
}

/// A number that is not above those of its line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{version} is not above {highest}, the highest on its line: the next free number is {next}")]
pub struct NumberError {
    /// The number.
    pub version: Version,
    /// The highest one that stands in its way.
    pub highest: Version,
    /// The lowest number above it that is free.
    pub next: Version,
}

/// Checks that a new version's number is above those published on its line.
pub fn check_number<'a>(
    version: &Version,
    published: impl IntoIterator<Item = &'a Version>,
) -> Result<(), NumberError> {
    match in_the_way(version, published) {
        None => Ok(()),
        Some(highest) => {
            Err(NumberError { version: version.clone(), highest: highest.clone(), next: next(highest, Step::Patch) })
        }
    }
}

/// The highest version of the line, if the number is not above it.
fn in_the_way<'a>(version: &Version, published: impl IntoIterator<Item = &'a Version>) -> Option<&'a Version> {
    let counts = |other: &&Version| same_line(version, other) && (other.pre.is_empty() || !version.pre.is_empty());
    let highest = published.into_iter().filter(counts).max_by(|one, other| one.cmp_precedence(other));
    highest.filter(|highest| version.cmp_precedence(highest) != Ordering::Greater)
}

/// The number one step after `version`, or as far after what is published already as it takes to be free.
pub fn next_free<'a>(
    version: &Version,
    step: Step,
    published: impl IntoIterator<Item = &'a Version> + Clone,
) -> Version {
    let mut candidate = next(version, step);
    while let Some(highest) = in_the_way(&candidate, published.clone()) {
        let above = next(highest, step);
        // Numbers have an end.
        if above <= candidate {
            break;
        }
        candidate = above;
    }
    candidate
}

/// The number one step after `version`. After a pre-release comes the release that it prepares.
pub fn next(version: &Version, step: Step) -> Version {
    let &Version { major, minor, patch, .. } = version;
    match step {
        _ if !version.pre.is_empty() => Version::new(major, minor, patch),
        Step::Major if major > 0 => Version::new(major.saturating_add(1), 0, 0),
        Step::Major if minor > 0 => Version::new(0, minor.saturating_add(1), 0),
        Step::Minor if major > 0 => Version::new(major, minor.saturating_add(1), 0),
        _ => Version::new(major, minor, patch.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(texts: &[&str]) -> Vec<Version> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_predecessor_is_the_last_release_of_the_line() {
        let published = versions(&[
            "0.0.1",
            "0.1.0",
            "0.1.4",
            "0.2.0-rc.1",
            "1.0.0-rc.1",
            "1.0.0",
            "1.2.0",
            "1.3.0-rc.1",
            "2.0.0-rc.1",
        ]);
        let cases = [
            ("0.0.2", None),
            ("0.1.5", Some("0.1.4")),
            ("0.2.0", None),
            ("1.2.1", Some("1.2.0")),
            ("1.1.0", Some("1.0.0")),
            ("1.3.0-rc.2", Some("1.2.0")),
            ("1.3.0", Some("1.2.0")),
            ("2.0.0", None),
            ("3.0.0", None),
        ];
        for (version, expected) in cases {
            let found = predecessor(&version.parse().unwrap(), &published).map(ToString::to_string);
            assert_eq!(found.as_deref(), expected, "{version}");
        }
    }

    #[test]
    fn numbers_rise_on_their_line() {
        let published = versions(&["0.1.4", "1.0.0", "1.1.4", "1.2.0-rc.2", "2.0.0-rc.1", "4.0.0+a"]);
        // The number, and the highest and the next one if it is refused.
        let cases = [
            ("0.1.3", Some(("0.1.4", "0.1.5"))),
            ("0.2.0", None),
            ("1.0.1", Some(("1.1.4", "1.1.5"))),
            ("1.1.4", Some(("1.1.4", "1.1.5"))),
            ("1.1.5", None),
            ("1.2.0", None),
            ("1.2.0-rc.2", Some(("1.2.0-rc.2", "1.2.0"))),
            ("1.2.0-rc.3", None),
            ("1.1.5-rc.1", Some(("1.2.0-rc.2", "1.2.0"))),
            ("2.0.0", None),
            ("3.0.0", None),
            ("4.0.0+b", Some(("4.0.0+a", "4.0.1"))),
        ];
        for (version, expected) in cases {
            let found = check_number(&version.parse().unwrap(), &published).err();
            let found = found.map(|error| (error.highest.to_string(), error.next.to_string()));
            assert_eq!(found, expected.map(|(highest, next)| (highest.to_owned(), next.to_owned())), "{version}");
        }
    }

    #[test]
    fn a_free_number_is_above_what_is_there() {
        let published = versions(&["0.0.3", "0.1.4", "0.2.0", "1.0.0", "1.1.4", "2.0.0-rc.1", "3.0.0"]);
        let cases = [
            ("1.1.4", ["1.1.5", "1.2.0", "2.0.0"]),
            ("1.0.0", ["1.1.5", "1.2.0", "2.0.0"]),
            ("2.0.0-rc.1", ["2.0.0", "2.0.0", "2.0.0"]),
            ("2.1.0", ["2.1.1", "2.2.0", "4.0.0"]),
            ("0.1.4", ["0.1.5", "0.1.5", "0.3.0"]),
            ("0.0.1", ["0.0.4", "0.0.4", "0.0.4"]),
        ];
        for (version, expected) in cases {
            let steps = [Step::Patch, Step::Minor, Step::Major];
            let found = steps.map(|step| next_free(&version.parse().unwrap(), step, &published).to_string());
            assert_eq!(found, expected, "{version}");
        }
        let last = Version::new(u64::MAX, 0, 0);
        assert_eq!(next_free(&last, Step::Major, [&last]), last, "there is none, and it ends");
    }

    #[test]
    fn a_step_goes_as_far_as_the_line_allows() {
        let cases = [
            ("1.2.3", ["1.2.4", "1.3.0", "2.0.0"]),
            ("0.2.3", ["0.2.4", "0.2.4", "0.3.0"]),
            ("0.0.3", ["0.0.4", "0.0.4", "0.0.4"]),
            ("1.2.3-rc.1", ["1.2.3", "1.2.3", "1.2.3"]),
            ("1.2.3+build", ["1.2.4", "1.3.0", "2.0.0"]),
        ];
        for (version, expected) in cases {
            let steps = [Step::Patch, Step::Minor, Step::Major];
            let found = steps.map(|step| next(&version.parse().unwrap(), step).to_string());
            assert_eq!(found, expected, "{version}");
        }
    }
}
