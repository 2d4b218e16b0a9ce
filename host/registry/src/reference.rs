//! Names of artifacts in registries: `oci://registry/repository:tag`.

use oci_client::Reference;
use std::fmt;
use std::str::FromStr;
use wares_model::{ComponentName, Version};

/// What stands before a reference, so that it is told apart from a file.
const SCHEME: &str = "oci://";

/// An artifact in a registry, by tag or by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciReference {
    inner: Reference,
    /// Without one, registries understand the tag `latest`.
    tag_is_given: bool,
}

/// A place in a registry under which the components of a namespace are, each in a repository of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciSource(String);

/// The text names no artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no artifact in a registry: {reason}; write it as oci://registry.example/namespace/name:1.2.3")]
pub struct ParseReferenceError {
    text: String,
    reason: String,
}

impl OciReference {
    /// Whether the text is meant as one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The registry's host, with its port if it has one.
    pub fn registry(&self) -> &str {
        self.inner.registry()
    }

    /// The same with the version as its tag, unless it has a tag or a digest.
    pub fn or_tag(&self, version: &Version) -> Result<Self, ParseReferenceError> {
        if self.tag_is_given {
            return Ok(self.clone());
        }
        // A tag has no `+`, which build metadata begins with; others write `_` for it, as Helm does.
        format!("{SCHEME}{}/{}:{}", self.registry(), self.inner.repository(), version.to_string().replace('+', "_"))
            .parse()
    }

    pub(crate) fn inner(&self) -> &Reference {
        &self.inner
    }

    /// Whether the registry is spoken to without TLS: only on this machine, as Docker does.
    pub(crate) fn is_plain(&self) -> bool {
        let host = self.registry().rsplit_once(':').map_or(self.registry(), |(host, _)| host);
        host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for OciReference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        let failed = |reason: String| ParseReferenceError { text: text.to_owned(), reason };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| failed(format!("it does not start with {SCHEME}")))?;
        let names_registry =
            rest.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost");
        if !names_registry {
            return Err(failed("it does not say which registry".to_owned()));
        }
        let inner: Reference = rest.parse().map_err(|error: oci_client::ParseError| failed(error.to_string()))?;
        let path = rest.rsplit('/').next().unwrap_or_default();
        Ok(Self { inner, tag_is_given: path.contains([':', '@']) })
    }
}

impl OciSource {
    /// A version of a component there: its tag is the version.
    pub fn reference(&self, component: &ComponentName, version: &Version) -> Result<OciReference, ParseReferenceError> {
        format!("{}/{}", self.0, component.name()).parse::<OciReference>()?.or_tag(version)
    }
}

impl FromStr for OciSource {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        let text = text.trim_end_matches('/');
        let within: OciReference = format!("{text}/name").parse()?;
        let is_place = within.to_string().strip_suffix("/name:latest") == Some(text);
        let reason = || "it has a tag or a digest, and a place has none".to_owned();
        is_place
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| ParseReferenceError { text: text.to_owned(), reason: reason() })
    }
}

impl fmt::Display for OciSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_tag_where_none_is_given() {
        let tagged =
            |text: &str| text.parse::<OciReference>().unwrap().or_tag(&"1.2.3+b".parse().unwrap()).unwrap().to_string();
        assert_eq!(tagged("oci://localhost:5000/benefit/matching"), "oci://localhost:5000/benefit/matching:1.2.3_b");
        assert_eq!(tagged("oci://localhost:5000/benefit/matching:new"), "oci://localhost:5000/benefit/matching:new");
    }

    #[test]
    fn a_source_is_a_place_for_components() {
        let source: OciSource = "oci://localhost:5000/shelf/benefit/".parse().unwrap();
        let reference = source.reference(&"benefit:matching".parse().unwrap(), &Version::new(1, 2, 3)).unwrap();
        assert_eq!(reference.to_string(), "oci://localhost:5000/shelf/benefit/matching:1.2.3");
        for text in
            ["", "oci://", "oci://benefit", "localhost:5000/benefit", "oci://localhost:5000/benefit:1", "oci://x.y/B"]
        {
            assert!(text.parse::<OciSource>().is_err(), "{text}");
        }
    }

    #[test]
    fn references_are_taken_or_refused() {
        let digest = "a".repeat(64);
        for (text, plain) in [
            ("oci://ghcr.io/benefit/matching:1.2.3", false),
            ("oci://registry.example:5000/benefit/matching:1.2.3", false),
            ("oci://localhost:5000/benefit/matching:1.2.3", true),
            ("oci://127.0.0.1:5000/benefit/matching:1.2.3", true),
            (&format!("oci://ghcr.io/benefit/matching@sha256:{digest}"), false),
        ] {
            let reference: OciReference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.is_plain(), plain, "{text}");
        }
        for text in [
            "",
            "oci://",
            "benefit.wasm",
            "oci://matching:1.0.0",
            "oci://benefit/matching",
            "oci://x.y/UPPER:1",
            "oci://x.y/a:b c",
        ] {
            assert!(text.parse::<OciReference>().is_err(), "{text}");
        }
    }
}
