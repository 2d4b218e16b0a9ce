//! File descriptors: every open connection takes one, and the system gives a process only so many.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for all that is no connection: the database, artifacts and native code, files of components, compilations.
const RESERVE: u64 = 1_024;

/// Takes as many as the system lets this process have, and warns if connections alone may need more.
pub fn prepare(config: &Config) {
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
            "this process may open fewer files than its connections need: raise the system's limit (LimitNOFILE, ulimit -n), \
             or lower http.connections-max or outbound.connections-max"
        );
    }
}

/// As many as may be open at once.
fn needed(config: &Config) -> u64 {
    let connections = config.http.connections_max.saturating_add(config.outbound.connections_max);
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(RESERVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_both_ways_are_counted_and_something_is_left_for_files() {
        let mut config = Config::default();
        (config.http.connections_max, config.outbound.connections_max) = (10, 20);
        assert_eq!(needed(&config), 30 + RESERVE);
        config.http.connections_max = usize::MAX;
        assert_eq!(needed(&config), u64::MAX);
    }
}
