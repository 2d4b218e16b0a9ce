//! Reading the settings from where they are written, with errors that say which setting, where, and what would be right.

use super::Config;
use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::path::{Path, PathBuf};

/// The settings file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "wares-host.toml";
/// What variables with settings start with.
const PREFIX: &str = "WARES_";
/// Variables that start the same but are no settings: those of the command line, and those that `wares test` sets.
const RESERVED: &[&str] = &[
    "WARES_CONFIG",
    "WARES_HOST",
    "WARES_KEY",
    "WARES_MIRROR_KEY",
    "WARES_BIN",
    "WARES_COMPONENT",
    "WARES_TEST_SECRETS",
    SECRETS_KEY,
];

/// The variable with the keys of secrets: no setting, so that no print of the settings shows it.
pub const SECRETS_KEY: &str = "WARES_SECRETS_KEY";

/// Whether a `WARES_*` variable is not a setting: one of ours, or one that Kubernetes makes for a service named `wares`.
fn is_reserved(variable: &str) -> bool {
    let kubernetes = ["WARES_SERVICE_", "WARES_PORT_"].iter().any(|prefix| variable.starts_with(prefix));
    kubernetes || variable == "WARES_PORT" || RESERVED.contains(&variable)
}

/// Where settings come from.
#[derive(Debug, Default)]
pub struct Sources {
    /// The settings file that the user names; nothing: [`DEFAULT_FILE`], if it is there.
    pub file: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(String, String)>,
    /// Settings given as flags, by their dotted names.
    pub flags: Vec<(&'static str, String)>,
}

/// Why the settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ConfigError {
    /// The file, the variable or the flag.
    place: String,
    /// What is wrong there.
    what: String,
}

impl Sources {
    /// The settings that these sources come to.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some((path, text)) = self.read_file()? {
            figment = figment.merge(Named { name: path.display().to_string(), inner: Toml::string(&text) });
        }
        let settings = settings();
        for (variable, text) in self.variables.iter().filter(|(name, _)| name.starts_with(PREFIX) && !is_reserved(name))
        {
            let setting = settings.iter().find(|setting| variable_of(&setting.name) == *variable);
            let setting = setting.ok_or_else(|| unknown_variable(variable, &settings))?;
            figment = figment.merge(One::new(variable.clone(), setting, text)?);
        }
        for (name, text) in &self.flags {
            let place = format!("flag for {name}");
            let setting = settings.iter().find(|setting| setting.name == *name);
            let setting = setting.ok_or_else(|| ConfigError::new(&place, "there is no such setting"))?;
            figment = figment.merge(One::new(place, setting, text)?);
        }
        let config: Config = figment.extract().map_err(|error| of_figment(&error))?;
        match config.fault() {
            None => Ok(config),
            Some(fault) => {
                let place = figment.find_metadata(&fault.name).map_or("settings", |metadata| &metadata.name);
                Err(ConfigError::new(place, fault.message))
            }
        }
    }

    /// The file's text, known to hold settings of the right types only: reading it by itself gives errors with line numbers.
    fn read_file(&self) -> Result<Option<(PathBuf, String)>, ConfigError> {
        let path = self.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let place = path.display().to_string();
        if self.file.is_none() && !Path::new(DEFAULT_FILE).exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::new(&place, error.to_string()))?;
        match toml::from_str::<Config>(&text) {
            Ok(_) => Ok(Some((path, text))),
            Err(error) => Err(ConfigError::new(&place, error.to_string().trim_end().to_owned())),
        }
    }
}

impl ConfigError {
    fn new(place: &str, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), what: what.into() }
    }
}

/// A setting by its dotted name, and whether it is a number.
struct Setting {
    name: String,
    is_number: bool,
}

/// Every setting there is, as the default configuration shows them.
fn settings() -> Vec<Setting> {
    let mut found = Vec::new();
    let tree = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut open = vec![(String::new(), tree)];
    while let Some((name, value)) = open.pop() {
        match value {
            serde_json::Value::Object(table) => open.extend(table.into_iter().map(|(key, value)| {
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                (name, value)
            })),
            leaf => found.push(Setting { name, is_number: leaf.is_number() }),
        }
    }
    found
}

/// `calls.queue-ms-max` is `WARES_CALLS_QUEUE_MS_MAX`.
fn variable_of(setting: &str) -> String {
    format!("{PREFIX}{}", setting.replace(['.', '-'], "_").to_uppercase())
}

fn unknown_variable(variable: &str, settings: &[Setting]) -> ConfigError {
    let known = settings.iter().map(|setting| variable_of(&setting.name));
    let known = known.chain(RESERVED.iter().map(|name| (*name).to_owned()));
    let nearest = known.min_by_key(|name| strsim::levenshtein(name, variable)).unwrap_or_default();
    let what = format!("there is no such setting; did you mean {nearest}? `wares serve --print-config` shows all");
    ConfigError::new(variable, what)
}

fn of_figment(error: &figment::Error) -> ConfigError {
    let place = error.metadata.as_ref().map_or("settings", |metadata| &metadata.name);
    ConfigError::new(place, format!("{}: {}", error.path.join("."), error.kind))
}

/// One setting from a variable or a flag.
struct One {
    place: String,
    name: String,
    value: Value,
}

impl One {
    fn new(place: String, setting: &Setting, text: &str) -> Result<Self, ConfigError> {
        let value = match setting.is_number {
            false => Value::from(text),
            true => {
                let number = text.trim().parse::<u64>();
                Value::from(number.map_err(|_| {
                    ConfigError::new(&place, format!("{}: {text:?} is not a whole number", setting.name))
                })?)
            }
        };
        Ok(Self { place, name: setting.name.clone(), value })
    }
}

impl Provider for One {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let (section, last) = self.name.rsplit_once('.').unwrap_or(("", &self.name));
        let mut dict = Dict::from([(last.to_owned(), self.value.clone())]);
        for key in section.rsplit('.').filter(|key| !key.is_empty()) {
            dict = Dict::from([(key.to_owned(), Value::from(dict))]);
        }
        Ok(Profile::Default.collect(dict))
    }
}

/// A provider under the name that errors show.
struct Named<P> {
    name: String,
    inner: P,
}

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        self.inner.data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn load(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.toml");
        std::fs::write(&path, file).unwrap();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let sources = Sources {
            file: Some(path.clone()),
            variables: variables.iter().map(own).collect(),
            flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        };
        sources.load().map_err(|error| error.to_string().replace(&path.display().to_string(), "host.toml"))
    }

    #[test]
    fn later_sources_win_and_the_rest_stays() {
        let file = "listen = '127.0.0.1:1'\n[calls]\nqueue-ms-max = 1\nqueue-length-max = 7\n[limits.ceiling]\ncpu-ms-max = 2000";
        let variables = [("WARES_LISTEN", "127.0.0.1:2"), ("WARES_CALLS_QUEUE_MS_MAX", "2"), ("PATH", "/bin")];
        let config = load(file, &variables, &[("listen", "127.0.0.1:3")]).unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!((config.calls.queue_ms_max, config.calls.queue_length_max), (2, 7));
        assert_eq!(config.limits.ceiling.cpu_ms_max, 2_000);
        let defaults = Config::default();
        assert_eq!(config.limits.ceiling.memory_bytes_max, defaults.limits.ceiling.memory_bytes_max);
        assert_eq!((config.http, config.ledger), (defaults.http, defaults.ledger));
    }

    #[test]
    fn a_path_or_a_word_that_looks_like_a_number_stays_text() {
        let config = load("", &[("WARES_DATA_DIR", "123")], &[]).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("123"));
    }

    #[test]
    fn errors_name_the_place_and_the_setting() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);
        let cases: &[Case] = &[
            ("lisen = 'x'", &[], &["host.toml", "line 1", "lisen", "listen"]),
            ("[calls]\n\nqueue-ms = 1", &[], &["host.toml", "line 3", "queue-ms", "queue-ms-max"]),
            ("[ledger]\nsync = 'often'", &[], &["host.toml", "line 2", "often", "normal"]),
            ("[limits.default]\nmemory = 1", &[], &["line 2", "memory"]),
            ("", &[("WARES_LISEN", "x")], &["WARES_LISEN", "no such setting", "WARES_LISTEN"]),
            ("", &[("WARES_LISTEN", "nowhere")], &["WARES_LISTEN", "listen", "socket address"]),
            ("", &[("WARES_CALLS_QUEUE_MS_MAX", "soon")], &["WARES_CALLS_QUEUE_MS_MAX", "soon", "whole number"]),
            ("", &[("WARES_LEDGER_SYNC", "often")], &["WARES_LEDGER_SYNC", "ledger.sync", "often"]),
            ("", &[("WARES_CALLS_CONCURRENCY_MAX", "0")], &["WARES_CALLS_CONCURRENCY_MAX", "1 to 2000"]),
            ("[limits.default]\ncpu-ms-max = 20000", &[], &["host.toml", "limits.ceiling.cpu-ms-max = 10000"]),
            ("[traces]\nendpoint = 'collector'", &[], &["host.toml", "traces.endpoint", "4318/v1/traces"]),
            ("[log]\nfilter = 'a=b=c'", &[], &["host.toml", "log.filter"]),
        ];
        for (file, variables, words) in cases {
            let error = load(file, variables, &[]).unwrap_err();
            for word in *words {
                assert!(error.contains(word), "{error:?} does not say {word:?}");
            }
        }
    }

    #[test]
    fn variables_that_are_no_settings_are_left_alone() {
        let variables =
            [("WARES_HOST", "x"), ("WARES_KEY", "x"), ("WARES_PORT", "tcp://10.0.0.1:80"), ("WARES_SERVICE_HOST", "y")];
        assert_eq!(load("", &variables, &[]), Ok(Config::default()));
    }

    fn variables_of(command: &clap::Command, found: &mut Vec<String>) {
        let own = command.get_arguments().filter_map(|argument| argument.get_env());
        found.extend(own.map(|variable| variable.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|inner| variables_of(inner, found));
    }

    #[test]
    fn variables_of_the_command_line_are_no_settings() {
        let mut found = Vec::new();
        variables_of(&crate::cli::Cli::command(), &mut found);
        assert!(found.iter().any(|variable| variable == "WARES_MIRROR_KEY"), "{found:?}");
        for variable in found {
            assert!(is_reserved(&variable), "{variable}");
        }
    }

    #[test]
    fn a_named_file_must_be_there() {
        let sources = Sources { file: Some("/nowhere/host.toml".into()), ..Sources::default() };
        assert!(sources.load().unwrap_err().to_string().starts_with("/nowhere/host.toml: "));
    }

    #[test]
    fn every_setting_has_its_own_variable() {
        let mut names: Vec<_> = settings().iter().map(|setting| variable_of(&setting.name)).collect();
        names.extend(RESERVED.iter().map(|name| (*name).to_owned()));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(count > 30, "{names:?}");
    }

    #[test]
    fn printed_settings_read_back_the_same() {
        let text = Config::default().to_toml().unwrap();
        assert_eq!(load(&text, &[], &[]), Ok(Config::default()));
    }
}
