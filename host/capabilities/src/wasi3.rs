//! WASI 0.3: the same as [`crate::wasi`] gives, for components whose functions wait for each other.
//!
//! wasmtime calls its part of this experimental: what is wrong with it alone is set right in a new version, not in a patch
//! of this one.

use crate::wasi::{HasRandom, HasSeed, Random, Seed};
use crate::{CallState, Capability, Interface};
use wares_model::limits::RANDOM_BYTES_MAX;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p3::bindings::{cli, clocks, filesystem, random};

/// The version that is implemented.
pub(crate) const VERSION: &str = "0.3.0";

pub(crate) struct Wasi3;

impl Capability for Wasi3 {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }
}

type State = CallState;

const fn of(name: &'static str, link: fn(&mut Linker<State>) -> wasmtime::Result<()>) -> Interface {
    Interface::new(name, VERSION, link)
}

const INTERFACES: &[Interface] = &[
    of("wasi:clocks/types", |l| clocks::types::add_to_linker::<State, WasiClocks>(l, State::clocks)),
    of("wasi:clocks/system-clock", |l| clocks::system_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)),
    of("wasi:clocks/monotonic-clock", |l| {
        clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)
    }),
    of("wasi:random/random", |l| random::random::add_to_linker::<State, HasRandom>(l, |_| Random)),
    of("wasi:random/insecure", |l| random::insecure::add_to_linker::<State, HasRandom>(l, |_| Random)),
    of("wasi:random/insecure-seed", |l| random::insecure_seed::add_to_linker::<State, HasSeed>(l, State::seed)),
    // Types alone: nothing to define.
    of("wasi:cli/types", |_| Ok(())),
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
    of("wasi:filesystem/types", |l| filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)),
    of("wasi:filesystem/preopens", |l| {
        filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)
    }),
    of("wasi:http/types", crate::http::types::link_p3),
];

impl random::random::Host for Random {
    /// As 0.3 has it, at most so many: a guest that wants more asks again.
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        Self::bytes(len.min(RANDOM_BYTES_MAX))
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(getrandom::u64()?)
    }
}

impl random::insecure::Host for Random {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        Self::bytes(len.min(RANDOM_BYTES_MAX))
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(getrandom::u64()?)
    }
}

impl random::insecure_seed::Host for Seed {
    fn get_insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        self.get()
    }
}
