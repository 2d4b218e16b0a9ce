//! The clock that interrupts guests: one thread of its own, so that no guest can delay it.

use std::io;
use std::thread;
use std::time::Duration;

/// How often guests are interrupted: the longest that one keeps an executor's thread.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(5);

/// Starts the thread. It ends when the engine and everything made by it are dropped.
pub(crate) fn start(engine: &wasmtime::Engine) -> io::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(EPOCH_TICK);
        }
    };
    thread::Builder::new().name("wares-epoch".to_owned()).spawn(tick)?;
    Ok(())
}
