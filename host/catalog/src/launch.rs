//! Publishing a version with all traffic at once: both, or neither.
//!
//! All that could keep it from taking traffic is found out on a shelf as it would be, before anything is kept of it.

use crate::deploy::{SHARES_TOTAL, refused};
use crate::publish::{Examined, Preparation, Prepared, PublishError, Published};
use crate::rehearsal::is_rehearsal;
use crate::snapshot::{Live, Snapshot, VersionEntry};
use crate::{Catalog, DeployError, DeployRequest, LoadError, StandingError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use wares_engine::Lane;
use wares_model::{Namespace, Stickiness};
use wares_store::{NewRevision, StoreError, TrustRecord};
use wares_typed::Description;

impl Catalog {
    /// Takes a component onto the shelf and gives it all traffic. One that may not have it is not taken either. Of one that is
    /// there already only the traffic changes.
    pub async fn launch(
        &self,
        prepared: Preparation,
        actor: String,
        reason: Option<String>,
    ) -> Result<Published, PublishError> {
        let prepared = match prepared {
            Preparation::Keep(prepared) => *prepared,
            Preparation::Done(published) => return self.deploy_known(published, actor, reason).await,
        };
        let record = prepared.examined.record(prepared.wasm.len(), &prepared.publisher, prepared.vetted.signature())?;
        let trust = TrustRecord { signature: prepared.vetted.signature().copied(), submission: None };
        let entry = Arc::new(VersionEntry::new(record)?.with_trust(trust));
        let launched = self.launch_new(prepared, &entry, actor, reason).await;
        if is_rehearsal() || !launched.as_ref().is_ok_and(|published| published.created) {
            self.loaded.invalidate(&entry.serial()).await;
        }
        launched
    }

    async fn launch_new(
        &self,
        prepared: Prepared,
        entry: &Arc<VersionEntry>,
        actor: String,
        reason: Option<String>,
    ) -> Result<Published, PublishError> {
        let Prepared { examined, wasm, publisher, vetted, against } = prepared;
        if vetted.awaits_review() {
            let held =
                format!("{entry:?} awaits review: publish it without traffic, and deploy it when it is approved");
            return Err(DeployError::from(StandingError::Held(held)).into());
        }
        let revision = NewRevision::from(all_traffic(entry, actor.clone(), reason.clone()));
        let snapshot = self.shelf_with(entry);
        let usable = snapshot.usable(&examined.component, &examined.version)?;
        self.load_new(entry, Arc::clone(&examined.description), wasm.clone()).await?;
        self.check_composition(&snapshot, &revision, &[usable]).await.map_err(DeployError::from)?;

        // Nobody removes files meanwhile.
        let _publishing = self.publishing.read().await;
        if !is_rehearsal() {
            self.artifacts.put(&examined.digest, wasm).await?;
        }
        let lane = publisher.lane(Some(&examined.component));
        let (changing, against) = self.settle(&lane, &examined, against).await?;
        if let Some(published) = self.already_there(&examined)? {
            // Somebody else has just published the same bytes.
            drop(changing);
            return self.deploy_known(published, actor, reason).await;
        }
        let mut revision = NewRevision::from(all_traffic(entry, actor, reason));
        let running = self.shelf_with(entry).settle_revision(&mut revision)?;
        let warnings = examined.warnings();
        let new = self.for_store(entry.record.clone(), &examined, &publisher, vetted)?;
        let change = revision.rollout.clone();
        let deployment = match self.store().launch_version(new, revision).await {
            Ok(deployment) => deployment,
            Err(StoreError::VersionConflict { existing }) => {
                let Examined { component, version, .. } = examined;
                return Err(PublishError::Conflict { component, version, existing });
            }
            Err(error) => return Err(refused(error, None).into()),
        };
        self.take_over(&changing, running.as_deref(), &change, deployment, |next| next.put_version(Arc::clone(entry)));
        Ok(Published { version: Arc::clone(entry), created: true, against, warnings })
    }

    async fn deploy_known(
        &self,
        published: Published,
        actor: String,
        reason: Option<String>,
    ) -> Result<Published, PublishError> {
        let deployed = self.deploy(all_traffic(&published.version, actor, reason)).await;
        deployed.map_err(|error| PublishError::Undeployed(Box::new(error)))?;
        Ok(published)
    }

    /// The shelf as it is, and this version.
    fn shelf_with(&self, entry: &Arc<VersionEntry>) -> Snapshot {
        let mut snapshot = Snapshot::clone(&self.snapshot());
        snapshot.put_version(Arc::clone(entry));
        snapshot
    }

    /// Makes a version that is not stored yet ready to run, under its serial number.
    async fn load_new(
        &self,
        entry: &VersionEntry,
        description: Arc<Description>,
        wasm: Bytes,
    ) -> Result<(), DeployError> {
        let config = description.manifest.as_ref().map(|manifest| manifest.config.clone()).unwrap_or_default();
        let (lane, digest) = (Lane::Load(Namespace::of(&entry.record.component)), entry.record.digest);
        let wasm = async || Ok::<_, String>(wasm);
        let loaded = self.engine.load(lane, &digest, wasm, Arc::clone(&description), Arc::new(config)).await;
        let component = loaded.map_err(|error| DeployError::Load {
            version: entry.record.version.clone(),
            source: Arc::new(LoadError::Engine(error.to_string())),
        })?;
        self.loaded.insert(entry.serial(), Arc::new(Live { description, component })).await;
        Ok(())
    }
}

fn all_traffic(version: &VersionEntry, actor: String, reason: Option<String>) -> DeployRequest {
    let traffic = BTreeMap::from([(version.record.version.clone(), SHARES_TOTAL)]);
    let (component, stickiness) = (version.record.component.clone(), Stickiness::default());
    DeployRequest { component, traffic, stickiness, shadow: None, actor, reason, expected: None }
}
