//! What the system lets a process have of files: every open connection and every loaded version takes a descriptor, and a file may
//! have a largest size.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Descriptors for all that is no connection: the database, artifacts and native code, files of components, compilations.
const RESERVE: u64 = 1_024;

/// Takes as many as the system lets this process have, and warns if it may need more. A file that may not grow any more fails what
/// is written to it, like a full disk, instead of ending the process.
pub fn prepare(config: &Config) {
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "a file that may not grow any more would end this process");
    }
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let needed = needed(config);
    if let Some(allowed) = allowed.filter(|allowed| *allowed < needed) {
        tracing::warn!(
            allowed,
            needed,
            "this process may open fewer files than its connections and versions need: raise the system's limit (LimitNOFILE, \
             ulimit -n), or lower http.connections-max, outbound.connections-max or calls.loaded-versions-max"
        );
    }
}

/// As many as may be open at once.
fn needed(config: &Config) -> u64 {
    let connections = config.http.connections_max.saturating_add(config.outbound.connections_max);
    let files = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(config.calls.loaded_versions_max);
    files.saturating_add(RESERVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_both_ways_and_versions_are_counted_and_something_is_left_for_files() {
        let mut config = Config::default();
        (config.http.connections_max, config.outbound.connections_max) = (10, 20);
        config.calls.loaded_versions_max = 5;
        assert_eq!(needed(&config), 35 + RESERVE);
        config.http.connections_max = usize::MAX;
        assert_eq!(needed(&config), u64::MAX);
    }
}
