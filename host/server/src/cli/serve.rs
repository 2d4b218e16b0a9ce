//! `wares serve`: one host, until it is told to stop.

use super::Settings;
use crate::config::{Config, LogFormat};
use crate::exit::Exit;
use crate::reload::Reload;
use crate::serve::Running;
use crate::{output, telemetry};
use anyhow::Context as _;
use clap::ValueEnum as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::signal::unix::{SignalKind, signal};

/// Runs a host.
#[derive(Debug, clap::Args)]
pub struct Serve {
    #[command(flatten)]
    flags: HostFlags,
    /// Print the settings in force as TOML and stop
    #[arg(long)]
    print_config: bool,
}

/// Flags of a command that runs a host. Settings without a flag stand in the file or in the environment.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct HostFlags {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// What to log: a level, or target=level, comma-separated [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How to log [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Serve {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let config = self.flags.load(settings)?;
        if self.print_config {
            output::text(&config.to_toml()?)?;
            return Ok(Exit::Ok);
        }
        let (traces, filter) = telemetry::install(&config.log, &config.traces)?;
        let stop = stop_signal()?;
        let asked = signal(SignalKind::hangup()).context("SIGHUP")?;
        let (flags, settings) = (self.flags, settings.clone());
        let reload = Reload { asked, load: Box::new(move || flags.load(&settings)), filter };
        let served = crate::serve::serve(&config, Some(reload), |running| announce(&running), stop).await;
        if let Some(traces) = traces {
            traces.finish().await;
        }
        served?;
        Ok(Exit::Ok)
    }
}

impl HostFlags {
    /// The settings in force.
    pub(super) fn load(&self, settings: &Settings) -> anyhow::Result<Config> {
        let format = self.log_format.and_then(|format| format.to_possible_value());
        let flags = [
            ("listen", self.listen.map(|listen| listen.to_string())),
            ("log.filter", self.log.clone()),
            ("log.format", format.map(|format| format.get_name().to_owned())),
        ];
        settings.load_with(flags.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

/// What a script reads: the key first, so that it is there once the host is.
fn announce(running: &Running) {
    let mut lines = Vec::new();
    if let Some(key) = &running.admin_key {
        output::note("this shelf is new; keep its first admin key, it is not shown again");
        lines.push(format!("admin key: {key}"));
    }
    lines.push(format!("listening: {}", url(running)));
    // The host serves whether or not anybody reads this.
    if let Err(error) = output::text(&lines.join("\n")) {
        tracing::warn!(%error, "the address could not be printed");
    }
}

/// The URL under which a program on this machine reaches the host.
pub(super) fn url(running: &Running) -> String {
    let scheme = if running.is_encrypted { "https" } else { "http" };
    let addr = running.addr;
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, addr.port()))
}

/// Completes at SIGINT or SIGTERM; a second one ends the process at once.
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping; a second signal ends the host at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(Exit::Failed as i32);
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_reached_at_this_machine() {
        let cases = [
            ("0.0.0.0:1", false, "http://127.0.0.1:1"),
            ("[::]:1", false, "http://[::1]:1"),
            ("10.0.0.7:8787", true, "https://10.0.0.7:8787"),
        ];
        for (addr, is_encrypted, expected) in cases {
            let running = Running { addr: addr.parse().unwrap(), is_encrypted, admin_key: None };
            assert_eq!(url(&running), expected);
        }
    }
}
