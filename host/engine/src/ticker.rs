//! The clock that interrupts guests: one thread of its own, so that no guest can delay it.

use crate::concurrency::Each;
use std::io;
use std::thread;
use std::time::Duration;
use wasmtime::EngineWeak;

/// How often the epoch moves on.
const TICK: Duration = Duration::from_micros(2_500);
/// A guest is interrupted at every so many ticks, counted from when it got its thread: so a short one never is, and none keeps
/// a thread longer than 5 ms.
pub(crate) const SLICE_TICKS: u64 = 2;

/// Starts the thread. It ends when both engines and everything made by them are dropped.
pub(crate) fn start(engines: &Each<wasmtime::Engine>) -> io::Result<()> {
    let engines = [engines.none.weak(), engines.tasks.weak()];
    let tick = move || {
        loop {
            let mut used = false;
            for engine in engines.iter().filter_map(EngineWeak::upgrade) {
                engine.increment_epoch();
                used = true;
            }
            if !used {
                return;
            }
            thread::sleep(TICK);
        }
    };
    thread::Builder::new().name("wares-epoch".to_owned()).spawn(tick)?;
    Ok(())
}
