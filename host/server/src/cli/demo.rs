//! `wares demo`: a host with the components of a plugins folder on it, ready to be called.

mod stock;

use super::Settings;
use super::serve::{HostFlags, stop_signal, url};
use crate::config::Config;
use crate::exit::Exit;
use crate::output;
use crate::serve::Running;
use crate::telemetry;
use crate::vendor::build::Built;
use std::path::{Path, PathBuf};
use stock::Stocked;
use tokio::sync::oneshot;

/// Name of the folder with the components.
const PLUGINS: &str = "plugins";

/// Runs a host with components on it.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Folder with the components' projects [default: plugins in this folder or above, else in wares' source]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    #[command(flatten)]
    flags: HostFlags,
}

impl Demo {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let config = self.flags.load(settings)?;
        let plugins = find_plugins(self.plugins)?;
        let (traces, _) = telemetry::install(&config.log, &config.traces)?;
        let stop = stop_signal()?;
        let build = tokio::task::spawn_blocking(move || super::build::all_that_can_be(&plugins));
        let mut stop = std::pin::pin!(stop);
        let built = tokio::select! {
            built = build => built??,
            // The compiler got the same signal from the terminal; there is nothing to drain yet.
            () = &mut stop => std::process::exit(Exit::Failed as i32),
        };
        let ended = run(&config, &built, stop).await;
        if let Some(traces) = traces {
            traces.finish().await;
        }
        ended
    }
}

/// Serves, and stocks the shelf once the host is up; stops when told to, or when stocking failed.
async fn run(config: &Config, built: &[Built], stop: impl Future<Output = ()>) -> anyhow::Result<Exit> {
    let (up, is_up) = oneshot::channel();
    let (fail, failed) = oneshot::channel::<()>();
    let ready = move |running: Running| {
        // The receiver waits in this very function.
        let _ = up.send(running);
    };
    let stop = async move {
        tokio::select! {
            () = stop => {}
            Ok(()) = failed => {}
        }
    };
    let stocking = async {
        // Nothing is sent when the host does not come up; it says why itself.
        let Ok(running) = is_up.await else { return Ok(()) };
        let base = url(&running);
        let stocked = stock::stock(&base, &config.data_dir, running.admin_key, built).await;
        match stocked.and_then(|stocked| output::text(&introduction(&base, &stocked, built))) {
            Ok(()) => {
                // The host runs until it is told to stop.
                std::future::pending::<()>().await;
                Ok(())
            }
            Err(error) => {
                let _ = fail.send(());
                Err(error)
            }
        }
    };
    let mut stocking = std::pin::pin!(stocking);
    let mut serving = std::pin::pin!(crate::serve::serve(config, None, ready, stop));
    tokio::select! {
        served = &mut serving => served?,
        stocked = &mut stocking => {
            let served = serving.await;
            stocked?;
            served?;
        }
    }
    Ok(Exit::Ok)
}

/// What to do next, to be pasted.
fn introduction(base: &str, stocked: &Stocked, built: &[Built]) -> String {
    let mut lines = vec![
        format!("listening: {base}"),
        format!("console: {base}/"),
        format!("admin key: {}", stocked.admin_key),
        format!("tenant key: {}", stocked.tenant_key),
    ];
    let called = built.iter().filter(|built| !stocked.refused.contains(&built.manifest.component.name));
    lines.extend(called.filter_map(|built| stock::curl(base, &stocked.tenant_key, &built.manifest)));
    lines.join("\n")
}

fn find_plugins(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let missing = |message: String| Exit::NotFound.error(message);
    if let Some(named) = named {
        return match named.is_dir() {
            true => Ok(named),
            false => Err(missing(format!("{} is not a folder", named.display()))),
        };
    }
    let here = std::env::current_dir()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = [here.as_path(), source].into_iter().flat_map(Path::ancestors).map(|folder| folder.join(PLUGINS));
    let mut found = found.filter(|plugins| plugins.join("Cargo.toml").is_file());
    found.next().ok_or_else(|| {
        missing(format!(
            "there is no folder {PLUGINS} with components in {} or above: name one with --plugins",
            here.display()
        ))
    })
}
