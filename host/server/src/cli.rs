//! The command line: what can be asked for, and what does it.

mod backup;
mod build;
mod call;
mod call_args;
mod calls;
mod check;
mod components;
mod config;
mod demo;
mod deploy;
mod gc;
mod grants;
mod graph;
mod history;
mod jobs;
mod keys;
mod lifecycle;
mod list;
mod logs;
mod mirror;
mod namespaces;
mod new;
mod providers;
mod publish;
mod push;
mod rollout;
mod schedules;
mod secret_file;
mod secrets;
mod serve;
mod shadow;
mod show;
mod submissions;
mod sure;
mod tenants;
mod test;
mod usage;

use crate::config::{Config, Sources};
use crate::exit::{self, Exit};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A shelf of WebAssembly components and the host that runs them
#[derive(Debug, Parser)]
#[command(name = "wares", version, after_help = exit::TABLE, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// For what still runs on other threads when a command has ended to be dropped. Work that cannot be stopped ends with the
/// process.
const STRAGGLERS_MAX: Duration = Duration::from_millis(500);

/// Flags that every command takes.
#[derive(Debug, Clone, clap::Args)]
struct Settings {
    /// Settings file [default: wares-host.toml, if it is there]
    #[arg(long, global = true, env = "WARES_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the host keeps everything, and `wares demo` its keys [default: wares-data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a host
    Serve(serve::Serve),
    /// Run a host with every component of a plugins folder built, published and deployed
    Demo(demo::Demo),
    /// Start a new component project
    New(new::New),
    /// Build a project, or several, to components
    Build(build::Build),
    /// Run a project's unit tests, then its manifest's examples in the sandbox
    Test(test::Test),
    /// Say what a host would say of a component
    Check(check::Check),
    /// Put a component on the shelf
    Publish(publish::Publish),
    /// Put a component into an OCI registry
    Push(push::Push),
    /// Copy what is new on another shelf
    Mirror(mirror::Mirror),
    /// List the components on the shelf
    List(list::List),
    /// Show a component: versions, functions, limits; what it asks for, is granted and used
    Show(show::Show),
    /// Call a function
    Call(call::Call),
    /// Show calls that the ledger holds
    #[command(subcommand)]
    Calls(calls::Calls),
    /// Show calls that are made later, end them, try them again
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Have calls made at set times for a tenant
    #[command(subcommand)]
    Schedules(schedules::Schedules),
    /// Show what calls wrote, or follow it
    Logs(logs::Logs),
    /// Choose the versions that take traffic
    Deploy(deploy::Deploy),
    /// Go back to an earlier deployment
    Rollback(deploy::Rollback),
    /// Show the deployments of a component, newest first
    History(history::History),
    /// Have a version take over step by step
    #[command(subcommand)]
    Rollout(rollout::Rollout),
    /// Show what came of calls that another version made again
    Shadow(shadow::Shadow),
    /// Tell callers to go on to another version
    Deprecate(lifecycle::Deprecate),
    /// Let nobody begin with a version; those who use it go on
    Yank(lifecycle::Yank),
    /// End a version: its calls are refused
    Stop(lifecycle::Stop),
    /// Set what components may use of the world
    #[command(subcommand)]
    Grants(grants::Grants),
    /// Set values over those of a component's manifest
    #[command(subcommand)]
    Config(config::Config),
    /// Set secrets of components
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// Choose who provides interfaces
    #[command(subcommand)]
    Providers(providers::Providers),
    /// Show which components use which
    Graph(graph::Graph),
    /// Remove files that nothing on the shelf refers to
    Gc(gc::Gc),
    /// Sum up what calls used
    Usage(usage::Usage),
    /// Make, list and revoke keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Add and list tenants, remove what is kept for one
    #[command(subcommand)]
    Tenants(tenants::Tenants),
    /// Set what is asked of who publishes, and the keys that sign
    #[command(subcommand)]
    Namespaces(namespaces::Namespaces),
    /// Judge versions that wait for review
    #[command(subcommand)]
    Submissions(submissions::Submissions),
    /// Save the whole shelf of a running host in one file
    Backup(backup::Backup),
    /// Make a data directory of such a file
    Restore(backup::Restore),
    /// Read components, or compile one; the host starts this by itself
    #[command(hide = true)]
    CompileWorker,
}

impl Cli {
    /// Does what was asked.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Self { settings, command } = self;
        match command {
            // The worker runs under tight bounds: nothing of the rest is started for it.
            Command::CompileWorker => Ok(wares_engine::worker_main()),
            Command::New(new) => new.run().map(ExitCode::from),
            Command::Build(build) => build.run().map(ExitCode::from),
            other => {
                let runtime = tokio::runtime::Runtime::new().context("the asynchronous runtime")?;
                let ended = runtime.block_on(other.run(&settings)).map(ExitCode::from);
                runtime.shutdown_timeout(STRAGGLERS_MAX);
                ended
            }
        }
    }
}

impl Command {
    async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        match self {
            Self::Serve(command) => command.run(settings).await,
            Self::Demo(command) => command.run(settings).await,
            Self::New(command) => command.run(),
            Self::Build(command) => command.run(),
            Self::Test(command) => command.run(settings).await,
            Self::Check(command) => command.run(settings).await,
            Self::Publish(command) => command.run(settings).await,
            Self::Push(command) => command.run(settings).await,
            Self::Mirror(command) => command.run(settings).await,
            Self::List(command) => command.run(settings).await,
            Self::Show(command) => command.run(settings).await,
            Self::Call(command) => command.run(settings).await,
            Self::Calls(command) => command.run(settings).await,
            Self::Jobs(command) => command.run(settings).await,
            Self::Schedules(command) => command.run(settings).await,
            Self::Logs(command) => command.run(settings).await,
            Self::Deploy(command) => command.run(settings).await,
            Self::Rollback(command) => command.run(settings).await,
            Self::History(command) => command.run(settings).await,
            Self::Rollout(command) => command.run(settings).await,
            Self::Shadow(command) => command.run(settings).await,
            Self::Deprecate(command) => command.run(settings).await,
            Self::Yank(command) => command.run(settings).await,
            Self::Stop(command) => command.run(settings).await,
            Self::Grants(command) => command.run(settings).await,
            Self::Config(command) => command.run(settings).await,
            Self::Secrets(command) => command.run(settings).await,
            Self::Providers(command) => command.run(settings).await,
            Self::Graph(command) => command.run(settings).await,
            Self::Gc(command) => command.run(settings).await,
            Self::Usage(command) => command.run(settings).await,
            Self::Keys(command) => command.run(settings).await,
            Self::Tenants(command) => command.run(settings).await,
            Self::Namespaces(command) => command.run(settings).await,
            Self::Submissions(command) => command.run(settings).await,
            Self::Backup(command) => command.run(settings).await,
            Self::Restore(command) => command.run(settings).await,
            Self::CompileWorker => Ok(Exit::Usage),
        }
    }
}

impl Settings {
    /// The configuration in force.
    fn load(&self) -> anyhow::Result<Config> {
        self.load_with(Vec::new())
    }

    /// The same under further flags.
    fn load_with(&self, mut flags: Vec<(&'static str, String)>) -> anyhow::Result<Config> {
        if let Some(data_dir) = &self.data_dir {
            let text = data_dir.to_str().context("--data-dir: the path is not UTF-8")?;
            flags.push(("data-dir", text.to_owned()));
        }
        // Variables that are not UTF-8 are none of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let variables = std::env::vars_os().filter_map(text).collect();
        Ok(Sources { file: self.config.clone(), variables, flags }.load()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_is_as_reviewed() {
        let help = Cli::command().term_width(100).render_help().to_string();
        insta::assert_snapshot!(help);
    }
}
