//! `wasi:sockets`, of WASI 0.2 and 0.3: there for those who import it, and no socket can be opened.
//!
//! The standard libraries of most languages import sockets whether a program uses them or not. What would make a socket or ask
//! for an address is refused with the interface's own `access-denied`, and the call's log says so. All other functions need a
//! socket, which nobody has: they are wasmtime's, whose own policy allows no socket either (`wasi.rs`).

use crate::{CallState, Capability, Interface, wasi3};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets as p2;
use wasmtime_wasi::p3::bindings::sockets as p3;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

pub(crate) struct Sockets;

impl Capability for Sockets {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }
}

type State = CallState;
type Store<'a> = StoreContextMut<'a, State>;
/// What a function answers; the inner error is the guest's.
type Answer<T, E> = wasmtime::Result<(Result<T, E>,)>;

const VERSION: &str = "0.2.12";
const INTERFACES: &[Interface] = &[
    Interface::new("wasi:sockets/network", VERSION, |linker| {
        p2::network::add_to_linker::<State, WasiSockets>(linker, &p2::network::LinkOptions::default(), State::sockets)
    }),
    Interface::new("wasi:sockets/instance-network", VERSION, |linker| {
        p2::instance_network::add_to_linker::<State, WasiSockets>(linker, State::sockets)
    }),
    Interface::new("wasi:sockets/tcp", VERSION, |linker| {
        p2::tcp::add_to_linker::<State, WasiSockets>(linker, State::sockets)
    }),
    Interface::new("wasi:sockets/udp", VERSION, |linker| {
        p2::udp::add_to_linker::<State, WasiSockets>(linker, State::sockets)
    }),
    Interface::new("wasi:sockets/tcp-create-socket", VERSION, link_tcp_create),
    Interface::new("wasi:sockets/udp-create-socket", VERSION, link_udp_create),
    Interface::new("wasi:sockets/ip-name-lookup", VERSION, link_lookup),
    Interface::new("wasi:sockets/types", wasi3::VERSION, link_types_p3),
    Interface::new("wasi:sockets/ip-name-lookup", wasi3::VERSION, link_lookup_p3),
];

fn deny<T, E>(state: &State, what: &str, error: E) -> Answer<T, E> {
    let component = &state.context().component;
    state.log().say(format_args!(
        "[sockets] {what} was denied: no component gets sockets; requests by wasi:http are granted with `wares grants add \
         {component} --http 'https://HOST'`"
    ));
    Ok((Err(error),))
}

fn link_tcp_create(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use p2::network::{ErrorCode, IpAddressFamily};
    linker.instance(&format!("wasi:sockets/tcp-create-socket@{VERSION}"))?.func_wrap(
        "create-tcp-socket",
        |store: Store<'_>, (_,): (IpAddressFamily,)| -> Answer<Resource<p2::tcp::TcpSocket>, ErrorCode> {
            deny(store.data(), "a TCP socket", ErrorCode::AccessDenied)
        },
    )
}

fn link_udp_create(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use p2::network::{ErrorCode, IpAddressFamily};
    linker.instance(&format!("wasi:sockets/udp-create-socket@{VERSION}"))?.func_wrap(
        "create-udp-socket",
        |store: Store<'_>, (_,): (IpAddressFamily,)| -> Answer<Resource<p2::udp::UdpSocket>, ErrorCode> {
            deny(store.data(), "a UDP socket", ErrorCode::AccessDenied)
        },
    )
}

fn link_lookup(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use p2::ip_name_lookup::{self, ResolveAddressStream};
    use p2::network::{ErrorCode, Network};
    ip_name_lookup::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    linker.allow_shadowing(true);
    linker.instance(&format!("wasi:sockets/ip-name-lookup@{VERSION}"))?.func_wrap(
        "resolve-addresses",
        |store: Store<'_>, (_, _): (Resource<Network>, String)| -> Answer<Resource<ResolveAddressStream>, ErrorCode> {
            deny(store.data(), "the address of a name", ErrorCode::AccessDenied)
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn link_types_p3(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use p3::types::{self, ErrorCode, IpAddressFamily, TcpSocket, UdpSocket};
    types::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    linker.allow_shadowing(true);
    let mut types = linker.instance(&format!("wasi:sockets/types@{}", wasi3::VERSION))?;
    types.func_wrap(
        "[static]tcp-socket.create",
        |store: Store<'_>, (_,): (IpAddressFamily,)| -> Answer<Resource<TcpSocket>, ErrorCode> {
            deny(store.data(), "a TCP socket", ErrorCode::AccessDenied)
        },
    )?;
    types.func_wrap(
        "[static]udp-socket.create",
        |store: Store<'_>, (_,): (IpAddressFamily,)| -> Answer<Resource<UdpSocket>, ErrorCode> {
            deny(store.data(), "a UDP socket", ErrorCode::AccessDenied)
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn link_lookup_p3(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use p3::ip_name_lookup::{ErrorCode, IpAddress};
    linker.instance(&format!("wasi:sockets/ip-name-lookup@{}", wasi3::VERSION))?.func_wrap_concurrent(
        "resolve-addresses",
        |accessor, (_,): (String,)| {
            let answer: Answer<Vec<IpAddress>, ErrorCode> =
                accessor.with(|mut access| deny(access.data_mut(), "the address of a name", ErrorCode::AccessDenied));
            Box::pin(std::future::ready(answer))
        },
    )
}
