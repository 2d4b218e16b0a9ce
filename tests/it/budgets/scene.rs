//! A host whose callers take and give in bulk, one of them an attacker.

use crate::watch::{Bounds, Neighbour, Watch};
use anyhow::{Context as _, Result};
use serde_json::json;
use std::time::Duration;
use wares_it::guests;
use wares_it::host::Host;
use wares_it::wait;

/// Longest wait for what the host does by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// In which others are answered. The attacker's own work, hundreds of connections at once, has the same processors.
const ANSWER_MAX: Duration = Duration::from_millis(250);

/// A host with a component that takes and gives in bulk, its attacker, and somebody else.
pub(super) struct Scene {
    pub(super) host: Host,
    /// The attacker's key.
    pub(super) key: String,
    neighbour: Neighbour,
    _data: tempfile::TempDir,
}

impl Scene {
    pub(super) async fn new(settings: &[(&str, &str)]) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let host = Host::start_in(data.path(), None, &[], settings).await?;
        host.publish_and_deploy(guests::text("bulk")?, "test:bulk", "1.0.0").await?;
        let (key, neighbour) = (host.tenant("attacker").await?, Neighbour::new(&host).await?);
        let scene = Self { host, key, neighbour, _data: data };
        scene.is_normal().await?;
        Ok(scene)
    }

    /// The head of a request with the attacker's key, without its last line.
    pub(super) fn head(&self, line: &str) -> String {
        head_of(&self.key, line)
    }

    /// Both have their calls answered, large ones too.
    pub(super) async fn is_normal(&self) -> Result<()> {
        for key in [&self.key, self.neighbour.key()] {
            for (function, arguments, length) in [
                ("take", json!({"bytes": vec![7; 100_000]}), "100000".len()),
                ("give", json!({"length": 1_000_000}), 1_000_002),
            ] {
                let answer = self.host.call(&format!("test/bulk/{function}"), key, &arguments).await?;
                let answer = answer.error_for_status()?.bytes().await?;
                assert_eq!(answer.len(), length, "{function}");
            }
        }
        Ok(())
    }

    /// The same, as soon as the host has let go of what it was given; and then it holds nothing any more.
    pub(super) async fn until_normal(&self) -> Result<()> {
        let normal = wait::until("the host is as before", async || Ok(self.is_normal().await));
        tokio::time::timeout(PATIENCE, normal).await.context("the host does not recover")??;
        let nothing = self.host.until_metric("wares_requests_held_bytes", |held| held == 0.0);
        tokio::time::timeout(PATIENCE, nothing).await.context("the host still holds something")?
    }

    /// Begins to watch what others feel.
    pub(super) async fn watch(&self) -> Result<Watch> {
        Watch::begin(&self.host, &self.neighbour).await
    }
}

/// The head of a request with a key, without its last line.
pub(super) fn head_of(key: &str, line: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: shelf\r\nauthorization: Bearer {key}\r\n")
}

/// What others may feel while the host's memory grows by so much.
pub(super) const fn bounds(growth_bytes: u64) -> Bounds {
    Bounds { growth_bytes, health: ANSWER_MAX, neighbour: ANSWER_MAX }
}
