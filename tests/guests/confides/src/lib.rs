//! Tells what it is configured with and what it is trusted with, and writes what it is told to.

use exports::test::confides::confidant::Guest;
use std::sync::OnceLock;
use wares_sdk::{config, log, secrets};

wares_sdk::component!(Component);

struct Component;

static FIRST: OnceLock<Option<String>> = OnceLock::new();

impl Guest for Component {
    fn setting(key: String) -> Option<String> {
        config::get(&key)
    }

    fn settings() -> Vec<String> {
        config::all().into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    fn first_setting(key: String) -> Option<String> {
        FIRST.get_or_init(|| config::get(&key)).clone()
    }

    fn secret(name: String) -> Result<String, String> {
        secrets::get(&name).map(|secret| secret.reveal()).map_err(|error| error.to_string())
    }

    fn say(line: String) {
        log::warn!("logged {line}");
        println!("out {line}");
        eprintln!("err {line}");
    }
}
