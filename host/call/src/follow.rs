//! Those who follow what calls write, as the calls end.
//!
//! A call never waits for them: who does not keep up is cut off. With no followers nothing is done.

use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use wares_model::LedgerEntry;
use wares_model::limits::{FOLLOWED_CALLS_MAX, FOLLOWERS_MAX};

/// Those who follow. Clones are the same ones.
#[derive(Clone)]
pub struct Followers(Sender<Arc<LedgerEntry>>);

/// As many follow as may.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{FOLLOWERS_MAX} follow the logs of this host already; end one of them first")]
pub struct TooManyFollowers;

/// One who follows. Dropping it ends that.
pub struct Following(Receiver<Arc<LedgerEntry>>);

/// What comes next for one who follows.
pub enum Followed {
    /// A call that ended and wrote something.
    Call(Arc<LedgerEntry>),
    /// So many calls were missed, because this one does not keep up. Nothing comes after it.
    CutOff(u64),
}

impl Default for Followers {
    fn default() -> Self {
        Self(broadcast::channel(FOLLOWED_CALLS_MAX).0)
    }
}

impl Followers {
    /// Begins to follow.
    pub fn follow(&self) -> Result<Following, TooManyFollowers> {
        match self.0.receiver_count() < FOLLOWERS_MAX {
            true => Ok(Following(self.0.subscribe())),
            false => Err(TooManyFollowers),
        }
    }

    /// Tells of a call that ended.
    pub(crate) fn tell(&self, entry: &LedgerEntry) {
        if entry.logs.is_some() && self.0.receiver_count() > 0 {
            // Fails when the last one just went.
            let _ = self.0.send(Arc::new(entry.clone()));
        }
    }
}

impl Following {
    /// Waits for what comes next; nothing: the host ends.
    pub async fn next(&mut self) -> Option<Followed> {
        match self.0.recv().await {
            Ok(entry) => Some(Followed::Call(entry)),
            Err(RecvError::Lagged(missed)) => Some(Followed::CutOff(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
