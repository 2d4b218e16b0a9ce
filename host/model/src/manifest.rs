//! The manifest `wares.toml`: what a vendor says of a component. It travels inside the `.wasm` as a custom section.

use crate::grants::Capabilities;
use crate::limits::{REASON_BYTES_MAX, SCHEDULES_MAX};
use crate::{ComponentName, LimitsAsked, Retry, Schedule, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Name of the custom section that holds the manifest's TOML text.
pub const SECTION: &str = "wares:manifest";
/// File name of the manifest beside a component's source.
pub const FILE_NAME: &str = "wares.toml";
/// Bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// A parsed `wares.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// What the component is.
    pub component: ComponentInfo,
    /// How it is built from source.
    #[serde(default, skip_serializing_if = "Build::is_default")]
    pub build: Build,
    /// Limits asked for, within the operator's ceiling.
    #[serde(default)]
    pub limits: LimitsAsked,
    /// What it wants to use of the world; an operator grants it.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Values that the component reads with `wasi:config/store`, as shipped.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// How often a job is tried when a call of it fails.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
    /// Calls that may be made at set times, for a tenant for whom an operator enables them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// Calls with their expected answers: documentation and tests at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// Table `[component]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ComponentInfo {
    /// `namespace:name`.
    pub name: ComponentName,
    /// Semantic version.
    pub version: Version,
    /// A few words for a list.
    #[serde(default)]
    pub title: Text,
    /// What it does and for whom.
    #[serde(default)]
    pub description: Text,
    /// Whether an instance may serve more than one call.
    #[serde(default, skip_serializing_if = "Reuse::is_none")]
    pub reuse: Reuse,
    /// Whether its functions are pure: the result depends on nothing but the arguments, and a call changes nothing anywhere.
    /// Only then may the host make a call a second time to compare versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pure: bool,
    /// SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// People or departments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Where its source is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Table `[build]`: how `wares build` makes the component. Hosts have no use for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Build {
    /// The language of the source.
    #[serde(default)]
    pub language: Language,
    /// The file that implements the exports, from the project's folder; left out for the language's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The world in `wit/`; left out where there is one. Rust names it in its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<String>,
}

impl Build {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A language that components are written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// A crate, or a member of a cargo workspace.
    #[default]
    Rust,
    /// A module for CPython.
    Python,
    /// An ECMAScript module.
    Js,
    /// C sources.
    C,
}

impl Language {
    /// Every language with its name.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Rust, "rust"), (Self::Python, "python"), (Self::Js, "js"), (Self::C, "c")];
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.iter().find(|(language, _)| language == self);
        f.write_str(named.map_or("", |(_, name)| name))
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.iter().find(|(_, name)| *name == text);
        named.map(|(language, _)| *language).ok_or(UnknownLanguage)
    }
}

/// The text is no language's name.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("no such language: rust, python, js or c")]
pub struct UnknownLanguage;

/// Whether an instance of a component may serve more than one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// Every call gets a fresh instance.
    #[default]
    None,
    /// An instance may serve several calls of one tenant, never of two, if the operator allows it. What one call leaves
    /// behind in memory, the next finds.
    Tenant,
}

impl Reuse {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// A text in the languages of its readers: `"plain"` (English) or `{ en = "…", zh = "…" }`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "TextForm")]
pub struct Text {
    /// English.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub en: String,
    /// Chinese.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zh: String,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text: \"plain\" or { en = \"…\", zh = \"…\" }")]
enum TextForm {
    Plain(String),
    Languages(TextLanguages),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextLanguages {
    #[serde(default)]
    en: String,
    #[serde(default)]
    zh: String,
}

impl From<TextForm> for Text {
    fn from(form: TextForm) -> Self {
        match form {
            TextForm::Plain(en) => Self { en, zh: String::new() },
            TextForm::Languages(TextLanguages { en, zh }) => Self { en, zh },
        }
    }
}

/// One `[[examples]]`: a call and the answer it must give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Example {
    /// What it shows, unique in the manifest.
    pub name: String,
    /// The interface's short or full name; left out for a function of the world itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The function.
    pub function: String,
    /// JSON text of the arguments.
    pub arguments: String,
    /// JSON text of the expected result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// JSON text of the expected error case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why a manifest is refused: where and what.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq, Serialize, Deserialize)]
#[error("{FILE_NAME}: {0}")]
pub struct ManifestError(String);

impl ManifestError {
    fn new(mut text: String) -> Self {
        text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
        Self(text)
    }
}

impl Manifest {
    /// Parses and checks the text of a `wares.toml`.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::new(format!("{} bytes are over the limit of {MANIFEST_BYTES_MAX}", text.len())));
        }
        let manifest: Self =
            toml::from_str(text).map_err(|error| ManifestError::new(error.to_string().trim_end().to_owned()))?;
        manifest.retry.check().map_err(|what| ManifestError::new(format!("retry: {what}")))?;
        manifest.check_schedules()?;
        manifest.check_examples()?;
        Ok(manifest)
    }

    fn check_schedules(&self) -> Result<(), ManifestError> {
        if self.schedules.len() > SCHEDULES_MAX {
            let count = self.schedules.len();
            return Err(ManifestError::new(format!("{count} schedules are over the limit of {SCHEDULES_MAX}")));
        }
        let mut names = std::collections::BTreeSet::new();
        for schedule in &self.schedules {
            let fail = |what| ManifestError::new(format!("schedule {:?}: {what}", schedule.name));
            schedule.check().map_err(fail)?;
            if !names.insert(&schedule.name) {
                return Err(fail("two schedules have this name; give each its own".to_owned()));
            }
        }
        Ok(())
    }

    fn check_examples(&self) -> Result<(), ManifestError> {
        let mut names = std::collections::BTreeSet::new();
        for example in &self.examples {
            let fail = |what: String| Err(ManifestError::new(format!("example {:?}: {what}", example.name)));
            if !names.insert(&example.name) {
                return fail("two examples have this name; give each its own".into());
            }
            if example.result.is_some() && example.error.is_some() {
                return fail("it has both result and error; a call gives one of them".into());
            }
            let texts = [
                ("arguments", Some(&example.arguments)),
                ("result", example.result.as_ref()),
                ("error", example.error.as_ref()),
            ];
            for (key, text) in texts {
                if let Some(Err(error)) = text.map(|text| serde_json::from_str::<serde::de::IgnoredAny>(text)) {
                    return fail(format!("{key} is not JSON: {error}"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
        [component]
        name = "benefit:match"
        version = "1.0.0"
        title = { en = "Benefit matching", zh = "惠企政策匹配" }
        description = "Finds policies."
        reuse = "tenant"
        pure = true
        [limits]
        cpu-ms-max = 500
        [config]
        city = "Shenzhen"
        [retry]
        attempts-max = 7
        [[schedules]]
        name = "nightly"
        cron = "0 2 * * *"
        time-zone = "Asia/Shanghai"
        interface = "matching"
        function = "evaluate"
        arguments = '[2]'
        missed = "run-once"
        [[examples]]
        name = "one"
        interface = "matching"
        function = "evaluate"
        arguments = '{"n": 1}'
        result = "2"
    "#;

    #[test]
    fn a_full_manifest_parses() {
        let manifest = Manifest::parse(FULL).unwrap();
        assert_eq!(manifest.component.title.zh, "惠企政策匹配");
        assert_eq!(manifest.component.description.en, "Finds policies.");
        assert_eq!(manifest.component.reuse, Reuse::Tenant);
        assert!(manifest.component.pure);
        assert_eq!(manifest.limits.cpu_ms_max, Some(500));
        assert_eq!(manifest.retry, Retry { attempts_max: 7, ..Retry::default() });
        assert_eq!(manifest.schedules.len(), 1);
        assert_eq!(manifest.examples.len(), 1);
    }

    #[test]
    fn errors_say_where_and_what() {
        let cases = [
            ("", "component"),
            ("[component]\nname = 'x'\nversion = '1.0.0'", "namespace"),
            ("[component]\nname = 'a:b'\nversion = '1'", "version"),
            ("[component]\nname = 'a:b'\nversion = '1.0.0'\nnaem = 1", "naem"),
            ("[component]\nname = 'a:b'\nversion = '1.0.0'\nreuse = 'all'", "all"),
            ("[component]\nname = 'a:b'\nversion = '1.0.0'\n[limits]\ncpu = 1", "cpu"),
            (&FULL.replace("attempts-max = 7", "attempts-max = 0"), "retry: attempts-max = 0"),
            (&FULL.replace("attempts-max = 7", "backoff-ms-first = 9000000"), "backoff-ms-max"),
            (&FULL.replace("0 2 * * *", "0 2 * *"), "\"nightly\": cron"),
            (&FULL.replace("0 2 * * *", "0 0 30 2 *"), "never"),
            (&FULL.replace("Asia/Shanghai", "Asia/Nowhere"), "Asia/Nowhere"),
            (&FULL.replace("\"nightly\"", "\"Nightly run\""), "lower-case"),
            (&FULL.replace("arguments = '[2]'", "arguments = '[2'"), "\"nightly\": arguments is not JSON"),
            (&format!("{FULL}\n[[schedules]]\nname = 'nightly'\ncron = '@daily'\nfunction = 'f'"), "this name"),
            ("[component]\nname = 'a:b'\nversion = '1.0.0'\n[build]\nlanguage = 'perl'", "perl"),
            (&FULL.replace(r#"'{"n": 1}'"#, "'{'"), "\"one\": arguments is not JSON"),
            (&FULL.replace("result = \"2\"", "result = '1'\nerror = '2'"), "both result and error"),
        ];
        for (text, word) in cases {
            let error = Manifest::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error:?} does not say {word:?}");
        }
    }
}
