//! Webhooks: an application's own address, which is told of the end of its jobs in messages that only this shelf can have signed
//! (by the specification of Standard Webhooks).
//!
//! What they are signed with is sealed as components' secrets are, and stands among them under `wares:webhooks`.

use crate::{Catalog, SecretsError};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use std::time::Duration;
use wares_engine::Outbound;
use wares_model::grants::Label;
use wares_model::limits::{WEBHOOK_SECONDS_MAX, WEBHOOK_URL_BYTES_MAX, WEBHOOKS_MAX};
use wares_model::{ComponentName, Digest, TenantId, Timestamp, WebhookTarget, hex};
use wares_store::{StoreError, WebhookDelivery, WebhookRecord};
use zeroize::Zeroizing;

/// Whose secrets those of webhooks are.
const SECRETS_OF: &str = "wares:webhooks";
/// Before a secret, as the specification has it.
const SECRET_PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 32;
/// The status of an address that wants to hear no more.
const GONE: u16 = 410;

/// Why a webhook is not set.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There is no such tenant, or the secret cannot be sealed.
    #[error(transparent)]
    Secret(#[from] SecretsError),
    /// Nothing can be sent there.
    #[error("the webhook's URL: {0}")]
    Url(String),
    /// There are too many.
    #[error("tenant {0} has {WEBHOOKS_MAX} webhooks; remove one first")]
    TooMany(TenantId),
    /// No random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a webhook was not told.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// It wants to hear no more.
    #[error("it answered {GONE}")]
    Gone,
    /// It may be told later.
    #[error("{0}")]
    Failed(String),
}

impl Catalog {
    /// Sets where an application is told of the end of its jobs. The answer is what messages are signed with from now on, which
    /// is shown this once.
    pub async fn set_webhook(
        &self,
        tenant: TenantId,
        application: String,
        target: WebhookTarget,
        actor: String,
    ) -> Result<(WebhookRecord, String), WebhookError> {
        if target.url.len() > WEBHOOK_URL_BYTES_MAX {
            return Err(WebhookError::Url(format!("it has more than {WEBHOOK_URL_BYTES_MAX} bytes")));
        }
        Outbound::check_url(&target.url).map_err(WebhookError::Url)?;
        let known = self.store().webhooks(&tenant).await?;
        if known.len() >= WEBHOOKS_MAX && known.iter().all(|one| one.record.application != application) {
            return Err(WebhookError::TooMany(tenant));
        }
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|error| WebhookError::Random(error.to_string()))?;
        let secret = format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(bytes.as_slice()));
        let (component, name) = secret_of(&application)?;
        self.set_secret(component, name, Some(tenant.clone()), &secret, &actor).await?;
        let record = WebhookRecord { tenant, application, target, set_at: Timestamp::now(), actor };
        self.store().put_webhook(record.clone()).await?;
        Ok((record, secret))
    }

    /// Removes a webhook with what it was to be told and its secret. Returns whether there was one.
    pub async fn remove_webhook(&self, tenant: &TenantId, application: &str) -> Result<bool, WebhookError> {
        let (component, name) = secret_of(application)?;
        self.store().remove_secret(&component, &name, Some(tenant)).await?;
        Ok(self.store().remove_webhook(tenant, application).await?)
    }

    /// Tells a webhook of the end of a job.
    pub async fn deliver(&self, delivery: &WebhookDelivery) -> Result<(), Undelivered> {
        let WebhookRecord { tenant, application, target, .. } = &delivery.webhook;
        let failed = |error: &dyn std::fmt::Display| Undelivered::Failed(error.to_string());
        let outbound = self.engine.services().outbound.as_deref();
        let outbound = outbound.ok_or_else(|| failed(&"this host sends no requests"))?;
        let (component, name) = secret_of(application).map_err(|error| failed(&error))?;
        let secret = self.vault().secret_for(&component, &name, tenant).await.map_err(|error| failed(&error))?;
        let (id, body) = (message_id(&delivery.id), message(delivery));
        let at = (Timestamp::now().as_micros() / 1_000_000).to_string();
        let signature = sign(&secret, &id, &at, &body).ok_or_else(|| failed(&"its secret is none"))?;
        let headers = [("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)];
        let within = Duration::from_secs(WEBHOOK_SECONDS_MAX);
        match outbound.post_json(tenant, target, &headers, Bytes::from(body), within).await {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) if status.as_u16() == GONE => Err(Undelivered::Gone),
            Ok(status) => Err(Undelivered::Failed(format!("it answered {status}"))),
            Err(reason) => Err(Undelivered::Failed(reason)),
        }
    }
}

/// Where the secret of an application's webhook stands.
fn secret_of(application: &str) -> Result<(ComponentName, Label), StoreError> {
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(error.to_string());
    let component = SECRETS_OF.parse::<ComponentName>().map_err(|error| corrupt(&error))?;
    // Applications have names that secrets have not.
    let name: String = Digest::of(application.as_bytes()).hex().chars().take(32).collect();
    Ok((component, name.parse::<Label>().map_err(|error| corrupt(&error))?))
}

fn message_id(id: &[u8; 16]) -> String {
    format!("msg_{}", hex::encode(id))
}

/// What is told: which job, and how it ended; the rest is asked for with the application's key.
fn message(delivery: &WebhookDelivery) -> String {
    let WebhookDelivery { webhook, job, state, ended_at, .. } = delivery;
    json!({
        "type": format!("job.{state}"),
        "timestamp": ended_at,
        "data": {
            "id": job,
            "state": state,
            "tenant": webhook.tenant,
            "application": webhook.application,
            "path": format!("/v1/jobs/{job}"),
        },
    })
    .to_string()
}

/// The signature of a message: version 1 of the specification.
fn sign(secret: &str, id: &str, at: &str, body: &str) -> Option<String> {
    let key = Zeroizing::new(BASE64_STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()?);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_the_specification_shows() {
        // The example of https://github.com/standard-webhooks/standard-webhooks, as its libraries test it.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert_eq!(sign("another", "a", "1", "{}"), None);
    }
}
