//! `wasi:config/store`: the values of a version's manifest, under those that an operator set.

use crate::{CallState, Capability, ConfigureError, Interface, Prepare, VersionConfig};
use std::sync::Arc;
use wares_model::config::{self, ConfigValues};
use wares_model::limits::CONFIG_BYTES_MAX;
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};

pub(crate) struct Config;

const INTERFACES: &[Interface] = &[Interface::new("wasi:config/store", "0.2.0-rc.1", |linker| {
    wasmtime_wasi_config::add_to_linker(linker, |state: &mut CallState| WasiConfig::from(state.config_values()))
})];

/// What configuration holds for one call.
#[derive(Default)]
pub(crate) struct CallConfig {
    manifest: Arc<ConfigValues>,
    /// What the call sees, put together when it first asks: most calls never do.
    seen: Option<Arc<WasiConfigVariables>>,
}

impl Capability for Config {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }

    fn configure(&self, version: &VersionConfig) -> Result<Option<Prepare>, ConfigureError> {
        // A guest may ask for all values at once, again and again.
        let bytes = config::bytes(&version.config);
        if bytes > CONFIG_BYTES_MAX {
            let detail = format!("config has {bytes} bytes of keys and values; at most {CONFIG_BYTES_MAX} are taken");
            return Err(ConfigureError(detail));
        }
        let manifest = Arc::clone(&version.config);
        let as_shipped = Arc::new(variables(&manifest));
        Ok(Some(Box::new(move |state| {
            let untouched = state.context().config().is_empty();
            let seen = untouched.then(|| Arc::clone(&as_shipped));
            state.config = CallConfig { manifest: Arc::clone(&manifest), seen };
        })))
    }
}

impl CallState {
    fn config_values(&mut self) -> &WasiConfigVariables {
        let context = Arc::clone(self.context());
        let CallConfig { manifest, seen } = &mut self.config;
        seen.get_or_insert_with(|| {
            Arc::new(variables(&context.config().over(manifest, &context.version, context.line())))
        })
    }
}

fn variables(values: &ConfigValues) -> WasiConfigVariables {
    WasiConfigVariables::from_iter(values.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}
