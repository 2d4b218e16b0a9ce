//! Waits that keep no core busy, and that end: what can be awaited is awaited, what cannot is looked at with growing pauses.

use anyhow::{Result, anyhow};
use std::fmt::Display;
use std::time::Duration;

/// The longest wait for what must come. It is reached only by what never comes, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The first pause between two looks, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(25));

/// Awaits what must come; `otherwise` says what is wrong when it does not.
pub async fn patiently<T>(otherwise: &str, coming: impl Future<Output = T>) -> Result<T> {
    let came = tokio::time::timeout(PATIENCE, coming).await;
    came.map_err(|_| anyhow!("{otherwise}, {PATIENCE:?} long"))
}

/// Looks again and again until `what` is found. As long as it is not, a look returns what it has seen instead.
pub async fn until<T, S: Display>(what: &str, mut look: impl AsyncFnMut() -> Result<Result<T, S>>) -> Result<T> {
    let mut seen = None;
    let looking = async {
        let mut pause = PAUSES.0;
        loop {
            match look().await? {
                Ok(found) => return Ok(found),
                Err(instead) => seen = Some(instead),
            }
            tokio::time::sleep(pause).await;
            pause = PAUSES.1.min(pause * 2);
        }
    };
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(found) => found,
        Err(_) => {
            let seen = seen.map_or_else(|| "nothing".to_owned(), |seen| seen.to_string());
            Err(anyhow!("{what}: not within {PATIENCE:?}, last seen: {seen}"))
        }
    }
}

/// Looks again and again until it is so.
pub async fn holds(what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    until(what, async || Ok(is_so().then_some(()).ok_or("that it is not so"))).await
}
