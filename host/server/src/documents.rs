//! What the documents show is what the program takes: the commands of README.md, and the manifest in the SDK's README.md.

use crate::cli::Cli;
use clap::Parser as _;
use serde_json::json;
use wares_model::grants::Capabilities;
use wares_model::manifest::{Build, ComponentInfo, Example, Language, Manifest, Reuse};
use wares_model::schedule::Missed;
use wares_model::{Limits, Retry, Schedule};

const README: &str = include_str!("../../../README.md");
const SDK: &str = include_str!("../../../sdk/README.md");
/// Commands in the README, at the least: a block that is not found would otherwise be right.
const COMMANDS_MIN: usize = 30;
/// What ends a command's own words in a shell.
const OPERATORS: [&str; 5] = ["<", ">", "|", "&&", ";"];
/// What stands for words that only a host could tell.
const PLACEHOLDERS: [(&str, &str); 2] = [
    ("ID", "019ac000-0000-7000-8000-000000000000"),
    ("ed25519:…", "ed25519:5866666666666666666666666666666666666666666666666666666666666666"),
];

/// The blocks of a document that are in this language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    document.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_command_of_the_readme_is_one() {
    let mut commands = 0;
    let text = blocks(README, "sh").concat().replace("\\\n", " ");
    for line in text.lines() {
        let words = shlex::split(line).unwrap_or_else(|| panic!("{line}: it ends inside quotes"));
        if words.first().is_none_or(|first| first != "wares") {
            continue;
        }
        let words = words.into_iter().take_while(|word| !OPERATORS.contains(&word.as_str()));
        let filled = |word: String| {
            let known = PLACEHOLDERS.iter().find(|(placeholder, _)| *placeholder == word);
            known.map_or(word, |(_, value)| (*value).to_owned())
        };
        if let Err(error) = Cli::try_parse_from(words.map(filled)) {
            panic!("{line}\n{error}");
        }
        commands += 1;
    }
    assert!(commands >= COMMANDS_MIN, "only {commands} commands were found");
}

/// A key that is added to the manifest does not compile here until it is named, and fails until the document has it.
#[test]
fn the_manifest_in_the_document_of_the_sdk_has_every_key() {
    let [text] = blocks(SDK, "toml")[..] else { panic!("the manifest is the one block of TOML") };
    let Manifest { component, build, limits, capabilities, config, retry, schedules, examples } =
        Manifest::parse(text).unwrap();
    let ComponentInfo { name: _, version: _, title, description, reuse, pure, license, authors, keywords, source } =
        component;
    assert!([title, description].iter().all(|text| !text.en.is_empty() && !text.zh.is_empty()));
    assert!(reuse == Reuse::Tenant && pure && license.is_some() && source.is_some());
    assert!(!authors.is_empty() && !keywords.is_empty() && !config.is_empty());
    let Build { language, entry, world } = build;
    assert!(language != Language::default() && entry.is_some() && world.is_some());
    let Capabilities { http, keyvalue, files, secrets } = capabilities;
    assert!(!http.is_empty() && !keyvalue.is_empty() && files.is_some() && !secrets.is_empty());
    let [schedule] = &schedules[..] else { panic!("one schedule") };
    let Schedule { name: _, cron: _, time_zone, interface, function: _, arguments: _, missed } = schedule;
    assert!(time_zone.is_some() && interface.is_some() && *missed == Missed::RunOnce);
    let example = |Example { name: _, interface, function: _, arguments: _, result, error }: &Example| {
        (interface.is_some(), result.is_some(), error.is_some())
    };
    assert_eq!(examples.iter().map(example).collect::<Vec<_>>(), [(true, true, false), (true, false, true)]);

    // What it says of defaults is so.
    assert_eq!(json!(limits), json!(Limits::DEFAULT));
    assert_eq!(retry, Retry::default());
    let written: toml::Table = text.parse().unwrap();
    let keys = written.get("retry").and_then(toml::Value::as_table).map(toml::Table::len);
    assert_eq!(keys, json!(Retry::default()).as_object().map(serde_json::Map::len));
}
