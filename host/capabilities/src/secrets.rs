//! `wares:secrets/store`: secrets that a component is granted, read when they are asked for.

use crate::CallContext;
use async_trait::async_trait;
use wares_model::grants::Label;
use zeroize::Zeroizing;

/// Where the host reads secrets from.
#[async_trait]
pub trait SecretReader: Send + Sync {
    /// The secret of this name as the call's component has it for the call's tenant; nothing: none is set. Whether the call
    /// may have it is the caller's to check.
    async fn read(&self, context: &CallContext, name: &Label) -> Result<Option<Zeroizing<String>>, SecretError>;
}

/// Why a secret cannot be read. It says nothing of any secret's value.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// The host does not have the key that the secret is sealed with.
    #[error("the host has no key to open the secret with: its operator must give it the key back")]
    Locked,
    /// What is stored was not sealed as this secret of this component and tenant.
    #[error("the stored secret is damaged or was moved: its operator must set it again")]
    Damaged,
    /// The store failed; the host's log says how.
    #[error("the secrets cannot be read now")]
    Unavailable,
}
