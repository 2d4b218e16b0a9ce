//! What a version's number promises to those who call its line, and whether its types keep it.

use crate::publish::Examined;
use crate::snapshot::VersionEntry;
use crate::{Catalog, PublishError};
use std::sync::Arc;
use tokio::sync::MutexGuard;
use wares_engine::{Lane, ReadError};
use wares_model::Version;
use wares_model::line::{self, Step};
use wares_typed::Changes;

/// A version and what a later one changes for its callers.
#[derive(Debug, Clone)]
pub struct Against {
    /// The version.
    pub version: Version,
    /// What changes.
    pub changes: Changes,
}

impl Catalog {
    /// Checks that the number is above those on its line. A version that is there already is none of its concern.
    pub(crate) fn check_number(&self, examined: &Examined) -> Result<(), PublishError> {
        let snapshot = self.snapshot();
        let Some(component) = snapshot.component(&examined.component) else { return Ok(()) };
        if component.versions.contains_key(&examined.version) {
            return Ok(());
        }
        let checked = line::check_number(&examined.version, component.versions.keys());
        checked
            .map_err(|number| PublishError::Number { component: examined.component.clone(), number: Box::new(number) })
    }

    /// Compares the version with the one whose callers it promises to serve. What takes something from them is refused.
    pub(crate) async fn compare_with_predecessor(
        &self,
        lane: &Lane,
        examined: &Examined,
    ) -> Result<Option<Against>, PublishError> {
        let Some(earlier) = self.predecessor(examined) else { return Ok(None) };
        let wit = self.description(&examined.component, &earlier).await?.wit().to_owned();
        let compared = self.engine.reader().compare(lane, &wit, examined.description.wit()).await;
        let (component, version) = (examined.component.clone(), examined.version.clone());
        let next = self.next_line(examined, &earlier);
        match compared {
            Ok(changes) if changes.step() == Step::Major => {
                let against = Box::new(Against { version: earlier, changes });
                Err(PublishError::Incompatible { component, version, against, next })
            }
            Ok(changes) => Ok(Some(Against { version: earlier, changes })),
            Err(error @ (ReadError::Host(_) | ReadError::Overloaded(_))) => Err(error.into()),
            Err(error) => {
                let (earlier, error) = (Box::new(earlier), Box::new(error));
                Err(PublishError::Incomparable { component, version, earlier, error, next })
            }
        }
    }

    /// Waits for other changes to end, and sees to it that what was found out of the version's line still holds then.
    pub(crate) async fn settle(
        &self,
        lane: &Lane,
        examined: &Examined,
        mut against: Option<Against>,
    ) -> Result<(MutexGuard<'_, ()>, Option<Against>), PublishError> {
        loop {
            let changing = self.change().await;
            self.check_number(examined)?;
            if self.predecessor(examined).as_ref() == against.as_ref().map(|against| &against.version) {
                return Ok((changing, against));
            }
            // Another version came onto the line, or one was yanked.
            drop(changing);
            against = self.compare_with_predecessor(lane, examined).await?;
        }
    }

    /// The first number after `earlier` that promises nothing to its callers and is free.
    fn next_line(&self, examined: &Examined, earlier: &Version) -> Version {
        let snapshot = self.snapshot();
        let published = snapshot.component(&examined.component).into_iter();
        line::next_free(earlier, Step::Major, published.flat_map(|component| component.versions.keys()))
    }

    /// The version whose callers this one promises to serve. A version that was yanked or rejected promises nothing.
    fn predecessor(&self, examined: &Examined) -> Option<Version> {
        let snapshot = self.snapshot();
        let component = Arc::clone(snapshot.component(&examined.component)?);
        let promises = |entry: &&Arc<VersionEntry>| entry.record.yanked_at.is_none() && !entry.is_rejected();
        let usable = component.versions.values().filter(promises);
        line::predecessor(&examined.version, usable.map(|entry| &entry.record.version)).cloned()
    }
}
