//! `wares:secrets/store`: secrets that a component is granted, read when they are asked for.
//!
//! An own interface: WASI has none for secrets, and the one of wasmCloud, whose shape this follows, was a draft of one host
//! and has been given up there. The value is in the guest's hands only after it said so with `reveal`.

use crate::{CallContext, CallState, Capability, Interface, Services};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use wares_model::grants::Label;
use wasmtime::component::{HasData, Resource};
use zeroize::Zeroizing;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/wares-secrets/0.1.0",
        world: "wares:secrets/imports",
        imports: { default: async | trappable },
        with: { "wares:secrets/store.secret": super::Secret },
    });
}
use bindings::wares::secrets::store::{self as generated, Error};

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

/// CPU time in nanoseconds that a call is charged for reading a secret: about what the database's own threads take for it.
const SECRET_READ_CPU_NS: u64 = 50_000;

pub(crate) struct Secrets;

const INTERFACES: &[Interface] = &[Interface::new("wares:secrets/store", "0.1.0", |linker| {
    generated::add_to_linker::<CallState, HasState>(linker, |state| state)
})];

impl Capability for Secrets {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }
}

struct HasState;

impl HasData for HasState {
    type Data<'a> = &'a mut CallState;
}

/// A secret that a guest holds. It is wiped with the guest.
#[expect(unreachable_pub, reason = "the bindings export it again")]
pub struct Secret(Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

async fn read(context: &CallContext, services: &Services, name: &str) -> Result<Secret, Error> {
    let name = context.granted.secret(name).ok_or(Error::NotGranted)?;
    let reader = services.secrets.as_ref().ok_or(Error::NotSet)?;
    context.note_used(format_args!("secret {name}"));
    match reader.read(context, name).await {
        Ok(value) => value.map(Secret).ok_or(Error::NotSet),
        Err(error) => Err(Error::Unavailable(error.to_string())),
    }
}

impl generated::Host for CallState {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<Resource<Secret>, Error>> {
        // A guest's state cannot be shared between threads while this waits.
        let (context, services) = (Arc::clone(self.context()), Arc::clone(self.services()));
        self.cpu().charge(SECRET_READ_CPU_NS);
        Ok(match read(&context, &services, &name).await {
            Ok(secret) => Ok(self.table().push(secret)?),
            Err(error) => Err(error),
        })
    }
}

impl generated::HostSecret for CallState {
    async fn reveal(&mut self, secret: Resource<Secret>) -> wasmtime::Result<String> {
        Ok(self.table().get(&secret)?.0.to_string())
    }

    async fn reveal_bytes(&mut self, secret: Resource<Secret>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table().get(&secret)?.0.as_bytes().to_vec())
    }

    async fn drop(&mut self, secret: Resource<Secret>) -> wasmtime::Result<()> {
        self.table().delete(secret)?;
        Ok(())
    }
}
