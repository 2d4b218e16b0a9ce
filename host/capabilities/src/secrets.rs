//! `wares:secrets/store`: secrets that a component is granted, read when they are asked for.
//!
//! An own interface: WASI has none for secrets, and the one of wasmCloud, whose shape this follows, was a draft of one host
//! and has been given up there. The value is in the guest's hands only after it said so with `reveal`.

use crate::refusal::Refusal;
use crate::{CallContext, CallLog, CallState, Capability, Interface, Services};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use wares_model::grants::{Label, ParseLabelError};
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

/// Bytes of a name in a message.
const SHOWN_BYTES_MAX: usize = 80;

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

/// Says in the call's log why it may not read a secret.
fn refuse(context: &CallContext, log: &CallLog, name: &str) -> Error {
    let granted = &context.granted;
    let refusal = |name: Label| Refusal {
        component: &context.component,
        is_asked: granted.asked().is_none_or(|asked| asked.secrets.contains(&name)),
        is_granted: granted.grants().secrets.contains(&name),
        ask: format!("secrets = [\"{name}\"]"),
        flags: format!("--secret {name}"),
    };
    let why = name.parse().map_or_else(|error: ParseLabelError| error.to_string(), |name| refusal(name).advice());
    let shown = name.get(..name.floor_char_boundary(SHOWN_BYTES_MAX)).unwrap_or_default();
    log.say(format_args!("[secrets] secret {shown:?} cannot be read: {why}"));
    Error::NotGranted
}

async fn read(context: &CallContext, services: &Services, log: &CallLog, name: &str) -> Result<Secret, Error> {
    let name = context.granted.secret(name).ok_or_else(|| refuse(context, log, name))?;
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
        let (context, services, log) = (Arc::clone(self.context()), Arc::clone(self.services()), self.log().clone());
        self.cpu().charge(SECRET_READ_CPU_NS);
        Ok(match read(&context, &services, &log, &name).await {
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
