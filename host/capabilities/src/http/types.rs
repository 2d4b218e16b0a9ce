//! `wasi:http/types`, with bounds on texts that wasmtime would keep for a guest at any length, with every handle.

use crate::CallState;
use wares_model::grants::METHOD_BYTES_MAX;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::{WasiHttp, WasiHttpView as _, p2, p3};

/// Bytes of the authority of a request: a host's name, a port, and room for what is refused later, with a reason.
const AUTHORITY_BYTES_MAX: usize = 512;

/// What a setter of a request answers; the inner error is the guest's.
type Set = wasmtime::Result<(Result<(), ()>,)>;

/// Defines the interface of WASI 0.2.
pub(crate) fn link_p2(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    use p2::bindings::http::types::{self, HostOutgoingRequest as _, LinkOptions, Method, OutgoingRequest};
    types::add_to_linker::<CallState, WasiHttp>(linker, &LinkOptions::default(), CallState::http)?;
    linker.allow_shadowing(true);
    let mut interface = linker.instance("wasi:http/types@0.2.12")?;
    interface.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, CallState>, (request, method): (Resource<OutgoingRequest>, Method)| -> Set {
            match &method {
                Method::Other(name) if name.len() > METHOD_BYTES_MAX => Ok((Err(()),)),
                _ => Ok((store.data_mut().http().set_method(request, method)?,)),
            }
        },
    )?;
    interface.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, CallState>,
         (request, authority): (Resource<OutgoingRequest>, Option<String>)|
         -> Set {
            match is_short(authority.as_deref()) {
                false => Ok((Err(()),)),
                true => Ok((store.data_mut().http().set_authority(request, authority)?,)),
            }
        },
    )?;
    interface.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: StoreContextMut<'_, CallState>,
         (request, path): (Resource<OutgoingRequest>, Option<String>)|
         -> Set {
            match path.as_deref().is_none_or(|path| store.data_mut().keep_text(path)) {
                false => Ok((Err(()),)),
                true => Ok((store.data_mut().http().set_path_with_query(request, path)?,)),
            }
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Defines the interface of WASI 0.3.
pub(crate) fn link_p3(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    use p3::bindings::http::types::{self, HostRequest as _, Method, Request};
    types::add_to_linker::<CallState, WasiHttp>(linker, CallState::http)?;
    linker.allow_shadowing(true);
    let mut interface = linker.instance("wasi:http/types@0.3.0")?;
    interface.func_wrap(
        "[method]request.set-method",
        |mut store: StoreContextMut<'_, CallState>, (request, method): (Resource<Request>, Method)| -> Set {
            match &method {
                Method::Other(name) if name.len() > METHOD_BYTES_MAX => Ok((Err(()),)),
                _ => Ok((store.data_mut().http().set_method(request, method)?,)),
            }
        },
    )?;
    interface.func_wrap(
        "[method]request.set-authority",
        |mut store: StoreContextMut<'_, CallState>, (request, authority): (Resource<Request>, Option<String>)| -> Set {
            match is_short(authority.as_deref()) {
                false => Ok((Err(()),)),
                true => Ok((store.data_mut().http().set_authority(request, authority)?,)),
            }
        },
    )?;
    interface.func_wrap(
        "[method]request.set-path-with-query",
        |mut store: StoreContextMut<'_, CallState>, (request, path): (Resource<Request>, Option<String>)| -> Set {
            match path.as_deref().is_none_or(|path| store.data_mut().keep_text(path)) {
                false => Ok((Err(()),)),
                true => Ok((store.data_mut().http().set_path_with_query(request, path)?,)),
            }
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn is_short(authority: Option<&str>) -> bool {
    authority.is_none_or(|text| text.len() <= AUTHORITY_BYTES_MAX)
}
