//! Interfaces of other components: imports that the shelf satisfies, call by call.
//!
//! Which component provides an interface, and whether it may be called, is decided at every call by whoever runs calls: it gives
//! each call a [`Shelf`]. Here an import is only linked to it. Values are copied from one sandbox to the other, so that what
//! belongs to one sandbox (resources, streams, futures) cannot cross, and an interface with such types is refused.

use crate::{CallContext, CallState, ImportError, RefusedImport, WiringError};
use async_trait::async_trait;
use std::sync::Arc;
use wares_model::InterfaceName;
use wares_model::limits::COMPONENT_CALL_REASON_BYTES_MAX;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{Component, Linker, LinkerInstance, Val};

/// Lets a running call call other components.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// Makes a call to whoever provides the interface, to its end. Dropping the future cancels it.
    async fn call(&self, call: ShelfCall<'_>) -> Result<Option<Val>, ShelfFailure>;
}

/// What a component calls of another one.
pub struct ShelfCall<'a> {
    /// The call that makes it.
    pub caller: &'a CallContext,
    /// The interface, as the caller imports it.
    pub interface: &'a InterfaceName,
    /// Its function.
    pub function: &'a str,
    /// The function's type, as the caller imports it.
    pub ty: &'a ComponentFunc,
    /// The arguments, of that type.
    pub arguments: &'a [Val],
}

/// Why another component did not answer; it ends the caller, whose import has no words for it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{reason}")]
pub struct ShelfFailure {
    /// What ran out for the caller too, if that was it.
    pub spent: Option<Spent>,
    /// What was called, and why it failed.
    pub reason: String,
}

/// What a call and the calls that it makes have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// CPU time.
    Cpu,
    /// Wall time.
    Wall,
}

impl ShelfFailure {
    /// A call of this function that failed for this reason.
    pub fn new(interface: &InterfaceName, function: &str, spent: Option<Spent>, why: &str) -> Self {
        let mut reason = format!("calling {interface}#{function}: {why}");
        reason.truncate(reason.floor_char_boundary(COMPONENT_CALL_REASON_BYTES_MAX));
        Self { spent, reason }
    }
}

/// An interface that a component imports and another one provides.
pub struct ShelfImport {
    /// The interface.
    pub interface: Arc<InterfaceName>,
    /// Its functions that are imported.
    pub functions: Vec<(Arc<str>, ComponentFunc)>,
}

/// Links what a component imports of others.
pub fn link_shelf(linker: &mut Linker<CallState>, component: &Component) -> Result<Vec<ShelfImport>, WiringError> {
    let engine = component.engine();
    let mut imports = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        let Some(interface) = InterfaceName::of_shelf(name) else { continue };
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            return Err(refused(name, "it is imported as something else than an interface".to_owned()));
        };
        let mut linked = linker.instance(name).map_err(WiringError::Link)?;
        let interface = Arc::new(interface);
        let functions = functions(&instance, engine).map_err(|why| refused(name, why))?;
        for (function, _) in &functions {
            link(&mut linked, &interface, function).map_err(WiringError::Link)?;
        }
        // Types alone need nobody who provides them.
        if !functions.is_empty() {
            imports.push(ShelfImport { interface, functions });
        }
    }
    Ok(imports)
}

fn refused(import: &str, why: String) -> WiringError {
    let advice = format!("{why}: no component on the shelf can provide that");
    ImportError { refused: vec![RefusedImport { import: import.to_owned(), advice }] }.into()
}

/// The functions of an imported interface, if every one of them can be called from one sandbox to another.
fn functions(
    instance: &ComponentInstance,
    engine: &wasmtime::Engine,
) -> Result<Vec<(Arc<str>, ComponentFunc)>, String> {
    let mut functions = Vec::new();
    for (name, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(ty) => {
                if ty.async_() {
                    return Err(format!("its function {name} is asynchronous"));
                }
                let types = ty.params().map(|(_, ty)| ty).chain(ty.results());
                if let Some(what) = types.into_iter().find_map(|ty| stays(&ty)) {
                    return Err(format!("its function {name} passes {what}, which does not leave its sandbox"));
                }
                functions.push((name.into(), ty));
            }
            // A type that is given a name.
            ComponentItem::Type(_) => {}
            ComponentItem::Resource(_) => {
                return Err(format!("it has a resource, {name}, which does not leave its sandbox"));
            }
            _ => return Err(format!("{name} in it is neither a function nor a type")),
        }
    }
    Ok(functions)
}

/// What of a type does not leave its sandbox. Types nest no deeper than wasmtime allows, which is 100.
fn stays(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Own(_) | Type::Borrow(_) => Some("a resource"),
        Type::Future(_) => Some("a future"),
        Type::Stream(_) => Some("a stream"),
        Type::ErrorContext => Some("an error context"),
        Type::List(list) => stays(&list.ty()),
        Type::FixedLengthList(list) => stays(&list.ty()),
        Type::Map(map) => stays(&map.key()).or_else(|| stays(&map.value())),
        Type::Record(record) => record.fields().find_map(|field| stays(&field.ty)),
        Type::Tuple(tuple) => tuple.types().find_map(|ty| stays(&ty)),
        Type::Variant(variant) => variant.cases().find_map(|case| case.ty.as_ref().and_then(stays)),
        Type::Option(option) => stays(&option.ty()),
        Type::Result(result) => result.ok().iter().chain(result.err().iter()).find_map(stays),
        Type::Bool | Type::Char | Type::String | Type::Enum(_) | Type::Flags(_) => None,
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::S8 | Type::S16 | Type::S32 | Type::S64 => None,
        Type::Float32 | Type::Float64 => None,
    }
}

fn link(
    linked: &mut LinkerInstance<'_, CallState>,
    interface: &Arc<InterfaceName>,
    function: &Arc<str>,
) -> wasmtime::Result<()> {
    let (interface, name) = (Arc::clone(interface), Arc::clone(function));
    linked.func_new_async(function, move |store, ty, arguments, results| {
        let (interface, name) = (Arc::clone(&interface), Arc::clone(&name));
        let caller = Arc::clone(store.data().context());
        Box::new(async move {
            let failed = |why| ShelfFailure::new(&interface, &name, None, why);
            let shelf = caller.shelf().ok_or_else(|| {
                failed(
                    "another component on a shelf provides that, and here is none: publish both, and call the component there",
                )
            });
            let call = ShelfCall { caller: &caller, interface: &interface, function: &name, ty: &ty, arguments };
            let answer = shelf.map_err(wasmtime::Error::new)?.call(call).await.map_err(wasmtime::Error::new)?;
            match (answer, results) {
                (Some(value), [result]) => *result = value,
                (None, []) => {}
                _ => return Err(wasmtime::Error::new(failed("the answer is of another type"))),
            }
            Ok(())
        })
    })
}

/// Whether two functions have the same type, names of parameters included.
pub fn is_same_type(one: &ComponentFunc, other: &ComponentFunc) -> bool {
    one.async_() == other.async_() && one.params().eq(other.params()) && one.results().eq(other.results())
}
