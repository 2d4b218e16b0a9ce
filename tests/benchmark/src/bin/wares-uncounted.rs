//! What of Wares runs calls, without what guards and counts them, with the allocator of the real program: a contender of the
//! benchmark.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    wares_bench::uncounted::run().await
}
