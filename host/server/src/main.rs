//! The program `wares`: the host, the operator's and the vendor's commands.

#![deny(missing_docs)]
#![deny(unsafe_code)]
#![expect(unreachable_pub, reason = "in a program, `pub` says: for its other modules")]

mod cli;
mod client;
mod config;
mod descriptors;
#[cfg(test)]
mod documents;
mod exit;
mod language;
mod observe;
mod output;
mod problem;
mod reading;
mod reload;
mod sandbox;
mod serve;
mod shell;
mod signer_file;
mod telemetry;
mod tls;
mod traces;
mod vendor;

use clap::Parser as _;
use cli::Cli;
use exit::Exit;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    client::use_ring();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            output::note(&language::explain(&error));
            Exit::of(&error).into()
        }
    }
}
