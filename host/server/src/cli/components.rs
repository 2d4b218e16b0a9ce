//! Names of components and versions on the command line, and what the API says of them.

use crate::client::{Client, ClientError, encode};
use crate::language::spoken;
use serde_json::Value;
use std::str::FromStr;
use wares_model::{ComponentName, Version, VersionReq};

/// `NAME` or `NAME@VERSION`, where the version may be a requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAt<V> {
    pub(super) name: ComponentName,
    pub(super) at: Option<V>,
}

impl<V: FromStr<Err: std::fmt::Display>> FromStr for NameAt<V> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, at) = match text.split_once('@') {
            None => (text, None),
            Some((name, at)) => {
                let parsed = at.parse().map_err(|error| {
                    format!("{at:?} after @ is not a version ({error}): write name@1.2.3, or name@^1.2 where any fitting version will do")
                });
                (name, Some(parsed?))
            }
        };
        Ok(Self { name: name.parse().map_err(|error| format!("{error}"))?, at })
    }
}

/// The API's path of a component.
pub(super) fn path(name: &ComponentName) -> String {
    format!("/v1/components/{}", name.path())
}

/// The API's path of a version.
pub(super) fn version_path(name: &ComponentName, version: &Version) -> String {
    format!("{}/versions/{}", path(name), encode(&version.to_string()))
}

/// The version that most calls go to: the one with the largest share, else the latest.
pub(super) fn main_version(component: &Value) -> Option<Version> {
    let traffic = component.pointer("/deployment/traffic").and_then(Value::as_object);
    let shares = traffic
        .into_iter()
        .flatten()
        .filter_map(|(version, share)| Some((share.as_u64()?, version.parse::<Version>().ok()?)));
    let latest = || component.get("latest")?.as_str()?.parse().ok();
    shares.max().map(|(_, version)| version).or_else(latest)
}

/// The version that calls with this requirement go to, as far as it can be told from here.
pub(super) async fn version_for(client: &Client, target: &NameAt<VersionReq>) -> Result<Option<Version>, ClientError> {
    let component: Value = client.get(&path(&target.name)).await?;
    let main = main_version(&component);
    let Some(requirement) = &target.at else { return Ok(main) };
    if main.as_ref().is_some_and(|version| requirement.matches(version)) {
        return Ok(main);
    }
    let versions = client.list(&format!("{}/versions", path(&target.name))).await?;
    let versions = versions.iter().filter_map(|version| version.get("version")?.as_str()?.parse::<Version>().ok());
    Ok(versions.filter(|version| requirement.matches(version)).max())
}

/// `1.2.0`, or `1.2.0 90%, 1.3.0 10%` for several.
pub(super) fn traffic(deployment: &Value) -> String {
    let shares: Vec<_> = deployment.get("traffic").and_then(Value::as_object).into_iter().flatten().collect();
    match shares.as_slice() {
        [] => "-".to_owned(),
        [(version, _)] => (*version).clone(),
        several => several.iter().map(|(version, share)| format!("{version} {share}%")).collect::<Vec<_>>().join(", "),
    }
}

/// A text in the reader's language, or else in the other one.
pub(super) fn words(text: &Value) -> String {
    let of = |language| text.get(language).and_then(Value::as_str).filter(|text| !text.is_empty());
    of(spoken().tag()).or_else(|| of("en")).or_else(|| of("zh")).unwrap_or_default().to_owned()
}

/// What stands at `pointer`, as a cell of a table.
pub(super) fn cell(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The number at `pointer`, or 0.
pub(super) fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_take_a_version_or_a_requirement() {
        let plain: NameAt<Version> = "a/b".parse().unwrap();
        assert_eq!((plain.name.to_string().as_str(), plain.at), ("a:b", None));
        let exact: NameAt<Version> = "a:b@1.2.3".parse().unwrap();
        assert_eq!(exact.at, Some(Version::new(1, 2, 3)));
        let fitting: NameAt<VersionReq> = "a/b@^1.2".parse().unwrap();
        assert!(fitting.at.unwrap().matches(&Version::new(1, 9, 0)));
        for text in ["b", "a/b@", "a/b@x", "A/b", "a/b@1.2"] {
            assert!(text.parse::<NameAt<Version>>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_largest_share_is_the_main_version() {
        let mut component = json!({"latest": "2.0.0", "deployment": {"traffic": {"1.0.0": 90, "1.1.0": 10}}});
        assert_eq!(main_version(&component), Some(Version::new(1, 0, 0)));
        assert_eq!(traffic(&component["deployment"]), "1.0.0 90%, 1.1.0 10%");
        component["deployment"] = Value::Null;
        assert_eq!(main_version(&component), Some(Version::new(2, 0, 0)));
        assert_eq!(traffic(&component["deployment"]), "-");
    }
}
