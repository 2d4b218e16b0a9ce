//! WASI 0.2 as far as every guest has it: cli, clocks, random and io.
//!
//! Standard input is closed, output goes to the call's log, there are no arguments and no environment, unless a program is run
//! (`program.rs`). Preview 1 is not here.

use crate::{CallLog, CallState, Capability, Interface, OverLimit, Program};
use wares_model::limits::RANDOM_BYTES_MAX;
use wares_model::log::LogStream;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, io, random};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

pub(crate) struct Wasi;

impl Capability for Wasi {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }
}

type State = CallState;

const fn of(name: &'static str, link: fn(&mut Linker<State>) -> wasmtime::Result<()>) -> Interface {
    Interface::new(name, "0.2.12", link)
}

const INTERFACES: &[Interface] = &[
    of("wasi:io/error", |l| io::error::add_to_linker::<State, HasTable>(l, State::table)),
    of("wasi:io/poll", |l| io::poll::add_to_linker::<State, HasTable>(l, State::table)),
    of("wasi:io/streams", |l| io::streams::add_to_linker::<State, HasTable>(l, State::table)),
    of("wasi:clocks/wall-clock", |l| clocks::wall_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)),
    of("wasi:clocks/monotonic-clock", |l| {
        clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)
    }),
    of("wasi:random/random", |l| random::random::add_to_linker::<State, HasRandom>(l, |_| Random)),
    of("wasi:random/insecure", |l| random::insecure::add_to_linker::<State, HasRandom>(l, |_| Random)),
    of("wasi:random/insecure-seed", |l| random::insecure_seed::add_to_linker::<State, HasSeed>(l, State::seed)),
    of("wasi:cli/environment", |l| cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)),
    of("wasi:cli/exit", |l| cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)),
    of("wasi:cli/stdin", |l| cli::stdin::add_to_linker::<State, WasiCli>(l, State::cli)),
    of("wasi:cli/stdout", |l| cli::stdout::add_to_linker::<State, WasiCli>(l, State::cli)),
    of("wasi:cli/stderr", |l| cli::stderr::add_to_linker::<State, WasiCli>(l, State::cli)),
    of("wasi:cli/terminal-input", |l| cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)),
    of("wasi:cli/terminal-output", |l| cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)),
    of("wasi:cli/terminal-stdin", |l| cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)),
    of("wasi:cli/terminal-stdout", |l| cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)),
    of("wasi:cli/terminal-stderr", |l| cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)),
];

/// What WASI holds for one call.
pub(crate) fn context(log: &CallLog, program: Option<&Program>) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    match program {
        Some(program) => program.context(&mut builder, log),
        None => builder.stdout(log.stream(LogStream::Stdout)).stderr(log.stream(LogStream::Stderr)).build(),
    }
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

pub(crate) struct HasRandom;

impl HasData for HasRandom {
    type Data<'a> = Random;
}

/// What seeds hash maps: drawn when it is first asked for, and the same from then on, as long as the instance lives.
#[derive(Default)]
pub(crate) struct Seed(Option<(u64, u64)>);

impl Seed {
    pub(crate) fn get(&mut self) -> wasmtime::Result<(u64, u64)> {
        let drawn = match self.0 {
            Some(drawn) => drawn,
            None => (getrandom::u64()?, getrandom::u64()?),
        };
        self.0 = Some(drawn);
        Ok(drawn)
    }
}

pub(crate) struct HasSeed;

impl HasData for HasSeed {
    type Data<'a> = &'a mut Seed;
}

/// Random data from the operating system, bounded per request. "Insecure" data is as good: seeding generators for every
/// call would cost more.
pub(crate) struct Random;

impl Random {
    pub(crate) fn bytes(len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM_BYTES_MAX {
            let detail = format!("asked for {len} random bytes at once; one request may ask for {RANDOM_BYTES_MAX}");
            return Err(wasmtime::Error::new(OverLimit(detail)));
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        getrandom::fill(&mut bytes)?;
        Ok(bytes)
    }
}

impl random::random::Host for Random {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        Self::bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(getrandom::u64()?)
    }
}

impl random::insecure::Host for Random {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        Self::bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(getrandom::u64()?)
    }
}

impl random::insecure_seed::Host for Seed {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        self.get()
    }
}
