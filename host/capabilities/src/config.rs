//! `wasi:config/store`: named values that a version was deployed with.

use crate::{CallState, Capability, ConfigureError, Interface, Prepare, VersionConfig};
use std::sync::Arc;
use wares_model::limits::CONFIG_BYTES_MAX;
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};

pub(crate) struct Config;

const INTERFACES: &[Interface] = &[Interface {
    name: "wasi:config/store",
    version: "0.2.0-rc.1",
    link: |linker| {
        wasmtime_wasi_config::add_to_linker(linker, |state: &mut CallState| WasiConfig::from(&*state.config))
    },
}];

impl Capability for Config {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }

    fn configure(&self, version: &VersionConfig) -> Result<Option<Prepare>, ConfigureError> {
        // A guest may ask for all values at once, again and again.
        let bytes: usize = version.config.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes as u64 > CONFIG_BYTES_MAX {
            let detail = format!("config has {bytes} bytes of keys and values; at most {CONFIG_BYTES_MAX} are taken");
            return Err(ConfigureError(detail));
        }
        let values = version.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let values = Arc::new(WasiConfigVariables::from_iter(values));
        Ok(Some(Box::new(move |state| state.config = Arc::clone(&values))))
    }
}
