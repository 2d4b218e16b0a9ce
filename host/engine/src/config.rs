//! How wasmtime is configured: once for what compiles, once more for what runs; both without tasks and with them.
//!
//! Whatever decides about native code stands in [`compiling`], which the worker process and the host share: native code
//! made by the one loads into the other, as a compatibility hash over all of it proves at every load.

use crate::concurrency::Concurrency;
use std::num::NonZeroUsize;
use wares_model::Limits;
use wares_model::limits::{BACKTRACE_FRAMES_MAX, CORE_INSTANCES_MAX, GUEST_STACK_BYTES_MAX, MEMORIES_MAX, TABLES_MAX};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy, WasmBacktraceDetails};

/// Stack in bytes that a host function finds left below a guest that used up its own.
const HOST_STACK_BYTES: u64 = 1536 << 10;
/// Address space reserved for one linear memory: all that 32 bits can address, so that code needs no bounds checks.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
/// Unmapped address space after one linear memory.
const MEMORY_GUARD_BYTES: u64 = 32 << 20;
/// Address space for all linear memories: half of what x86-64 gives a process.
const ADDRESS_SPACE_BYTES_MAX: u64 = 1 << 46;
/// Instances at once for which there is address space.
pub(crate) const CALLS_MAX: u64 =
    ADDRESS_SPACE_BYTES_MAX / (MEMORIES_MAX * (MEMORY_RESERVATION_BYTES + MEMORY_GUARD_BYTES));
/// Bytes of one memory.
pub(crate) const MEMORY_BYTES_MAX: u64 = MEMORY_RESERVATION_BYTES;
/// Elements of one table.
pub(crate) const TABLE_ELEMENTS_MAX: u64 = Limits::CEILING.table_elements_max;
/// Bytes of a used memory that stay with its slot, wiped, for the next call.
const MEMORY_KEPT_BYTES: usize = 512 << 10;
/// Bytes of a used table that stay with its slot.
const TABLE_KEPT_BYTES: usize = 8 << 10;

/// Everything that decides about native code.
pub(crate) fn compiling(concurrency: Concurrency) -> Config {
    let features = match concurrency {
        Concurrency::None => wares_typed::wasm_features(),
        Concurrency::Tasks => wares_typed::asynchronous_wasm_features(),
    };
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        .max_wasm_stack(bytes(GUEST_STACK_BYTES_MAX))
        .async_stack_size(bytes(GUEST_STACK_BYTES_MAX + HOST_STACK_BYTES))
        // Compiled code writes a stack slot before it reads it.
        .async_stack_zeroing(false)
        .memory_init_cow(true)
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .concurrency_support(concurrency.has_tasks())
        .shared_memory(false)
        // Code that is not compiled in has no bugs to reach.
        .wasm_features(features.complement(), false)
        .wasm_features(features, true)
        // Backtraces carry names, which need neither unwind tables nor offsets.
        .native_unwind_info(false)
        .generate_address_map(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    config
}

/// The same for what runs.
///
/// Without tasks there is a pool that holds whatever `instances_max` instances can need, those that run and those that are
/// kept. A call with tasks may need several stacks, at most [`RESOURCES_MAX`]: a pool of them could run out for others, so
/// that these calls get theirs, and their memories, from the system.
///
/// [`RESOURCES_MAX`]: wares_model::limits::RESOURCES_MAX
pub(crate) fn running(concurrency: Concurrency, instances_max: u32, memory_bytes_max: u64) -> Config {
    let mut config = compiling(concurrency);
    config.allocation_strategy(match concurrency {
        Concurrency::None => InstanceAllocationStrategy::from(pool(instances_max, memory_bytes_max)),
        Concurrency::Tasks => InstanceAllocationStrategy::OnDemand,
    });
    config
}

fn pool(instances_max: u32, memory_bytes_max: u64) -> PoolingAllocationConfig {
    let each = |most: u64| instances_max.saturating_mul(count(most));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(each(CORE_INSTANCES_MAX))
        .total_memories(each(MEMORIES_MAX))
        .total_tables(each(TABLES_MAX))
        // A store keeps the stack of its last call.
        .total_stacks(instances_max)
        .max_core_instances_per_component(count(CORE_INSTANCES_MAX))
        .max_memories_per_component(count(MEMORIES_MAX))
        .max_tables_per_component(count(TABLES_MAX))
        .max_memories_per_module(count(MEMORIES_MAX))
        .max_tables_per_module(count(TABLES_MAX))
        .max_memory_size(bytes(memory_bytes_max))
        .table_elements(bytes(TABLE_ELEMENTS_MAX))
        .max_unused_warm_slots(instances_max)
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(TABLE_KEPT_BYTES)
        // Only pages that were written are wiped, where the kernel can tell which.
        .pagemap_scan(Enabled::Auto);
    pool
}

fn bytes(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
