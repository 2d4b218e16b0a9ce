//! The worker that reads and compiles as a program of its own, for what embeds the engine without the `wares` program, as its tests do.

fn main() -> std::process::ExitCode {
    wares_engine::worker_main()
}
