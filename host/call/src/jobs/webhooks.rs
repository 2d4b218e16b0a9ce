//! Tells webhooks of the end of jobs, as long as it takes within a few days. One at a time for each webhook: a slow one holds up
//! nobody else, and none is sent to twice at once.

use super::Inner;
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use wares_catalog::webhooks::Undelivered;
use wares_model::limits::WEBHOOKS_SENDING_MAX;
use wares_model::{TenantId, Timestamp};
use wares_store::{StoreError, WebhookDelivery};

/// Seconds after each attempt until the next one, as the specification of Standard Webhooks recommends; then it is given up.
const AGAIN_SECONDS: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// The longest sleep: the clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The pause after the store has failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are kept of why a webhook was not told.
const PROBLEM_BYTES_MAX: usize = 512;

/// Whose webhook it is.
type Owner = (TenantId, String);

/// Works until the queue is closed. What is being sent then is sent again at the next start.
pub(super) async fn run(inner: &Arc<Inner>) {
    let (mut sending, mut busy) = (JoinSet::new(), HashSet::new());
    while !inner.closing.is_cancelled() {
        // Made first, so that no end comes unseen between the look and the wait.
        let mut ended = pin!(inner.ended.notified());
        ended.as_mut().enable();
        let sleep = begin_due(inner, &mut sending, &mut busy).await.unwrap_or_else(|error| {
            tracing::error!(%error, "webhooks cannot be looked up");
            STORE_PAUSE
        });
        tokio::select! {
            () = inner.closing.cancelled() => {}
            () = ended => {}
            Some(sent) = sending.join_next() => match sent {
                Ok(owner) => drop(busy.remove(&owner)),
                // Whose it was is not known any more: all are looked at again.
                Err(_) if sending.is_empty() => busy.clear(),
                Err(_) => {}
            },
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Begins what is due and fits, and says how long nothing more will be due.
async fn begin_due(
    inner: &Arc<Inner>,
    sending: &mut JoinSet<Owner>,
    busy: &mut HashSet<Owner>,
) -> Result<Duration, StoreError> {
    let now = Timestamp::now();
    // Those that are being sent to are among them.
    for delivery in inner.store().due_deliveries(now, 2 * WEBHOOKS_SENDING_MAX as u32).await? {
        let owner = (delivery.webhook.tenant.clone(), delivery.webhook.application.clone());
        if sending.len() < WEBHOOKS_SENDING_MAX && busy.insert(owner.clone()) {
            let inner = Arc::clone(inner);
            sending.spawn(async move {
                inner.tell(&delivery).await;
                owner
            });
        }
    }
    // What is due and found no place is begun when another one has ended.
    let next = inner.store().next_delivery_at(now).await?;
    Ok(next.map_or(SLEEP_MAX, |next| next.since(Timestamp::now()).min(SLEEP_MAX)))
}

impl Inner {
    /// Tells a webhook, and notes what came of it.
    async fn tell(&self, delivery: &WebhookDelivery) {
        let told = self.calls.catalog.deliver(delivery).await;
        let (tenant, application, job) = (&delivery.webhook.tenant, &delivery.webhook.application, delivery.job);
        let noted = match told {
            Ok(()) => self.store().end_delivery(delivery.id).await,
            Err(why) => match again(&why, delivery.attempts) {
                None => {
                    tracing::warn!(%tenant, application, %job, error = %why, "a webhook is not told of a job's end any more");
                    self.store().end_delivery(delivery.id).await
                }
                Some(pause) => {
                    tracing::info!(%tenant, application, %job, error = %why, "a webhook was not told and is tried again");
                    let mut problem = why.to_string();
                    problem.truncate(problem.floor_char_boundary(PROBLEM_BYTES_MAX));
                    self.store().defer_delivery(delivery.id, Timestamp::now().plus(pause), &problem).await
                }
            },
        };
        if let Err(error) = noted {
            // It is told once more: receivers know it by its id.
            tracing::error!(%error, "what came of a webhook could not be written");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

/// How long until a webhook is tried again that was tried so often before.
fn again(why: &Undelivered, attempts: u32) -> Option<Duration> {
    match why {
        Undelivered::Gone => None,
        Undelivered::Failed(_) => {
            let seconds = usize::try_from(attempts).ok().and_then(|attempts| AGAIN_SECONDS.get(attempts));
            seconds.copied().map(Duration::from_secs)
        }
    }
}
