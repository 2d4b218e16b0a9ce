//! The clock that interrupts guests: one thread of its own, so that no guest can delay it.

use std::io;
use std::thread;
use std::time::Duration;

/// How often the epoch moves on.
const TICK: Duration = Duration::from_micros(2_500);
/// A guest is interrupted at every so many ticks, counted from when it got its thread: so a short one never is, and none keeps
/// a thread longer than 5 ms.
pub(crate) const SLICE_TICKS: u64 = 2;

/// Starts the thread. It ends when the engine and everything made by it are dropped.
pub(crate) fn start(engine: &wasmtime::Engine) -> io::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new().name("wares-epoch".to_owned()).spawn(tick)?;
    Ok(())
}
