//! The values of a call's arguments, within what its tenant may hold.

use crate::budget::{Full, Held};
use crate::{CallError, Explanation, Prepared};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use wares_typed::{ReadError, Val};

/// Bytes of a body whose values are given all the memory at once that they may take.
const SMALL_BODY_BYTES_MAX: usize = 1 << 10;
/// Bytes of a body that is read within a moment.
const QUICK_BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of memory for the values of each byte of such a body, and for those of any body.
const SMALL_BODY_BYTES_PER_BYTE: usize = 64;
const VALUES_BYTES_MIN: usize = 8 << 10;
/// Times as much memory after an attempt for which there was none at once: attempts that fail cost little beside the last one.
const GROWTH: usize = 4;

/// Reads the arguments. What the values take is held with the request, and is a part of what the call uses.
pub(crate) async fn read(prepared: &Prepared, body: &[u8], held: &Held) -> Result<Vec<Val>, CallError> {
    let (description, function) = (&prepared.live.description, prepared.function()?);
    let mut room = room_at_first(body.len());
    loop {
        held.grow(room as u64).await.map_err(|full| CallError::full(prepared.call, full))?;
        let at_first = room;
        let mut more = |bytes: usize| {
            let grows = held.grow_now(bytes as u64);
            room += if grows { bytes } else { 0 };
            grows
        };
        let read = || wares_typed::read_arguments_within(description, function, body, at_first, &mut more);
        match beside_others(body.len(), read) {
            Ok((values, bytes)) => {
                held.shrink((room - bytes) as u64);
                prepared.meter.held_by_host(bytes as u64);
                return Ok(values);
            }
            Err(error) => {
                held.shrink(room as u64);
                match error {
                    ReadError::Memory => room = room.saturating_mul(GROWTH),
                    ReadError::Arguments(error) => return Err(CallError::bad_arguments(prepared.call, error)),
                }
            }
        }
    }
}

/// Does what takes long for a large body while others go on with this thread's work.
fn beside_others<T>(body_bytes: usize, work: impl FnOnce() -> T) -> T {
    let is_long = body_bytes > QUICK_BODY_BYTES_MAX;
    match is_long && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        true => block_in_place(work),
        false => work(),
    }
}

fn room_at_first(body_bytes: usize) -> usize {
    let per_byte = if body_bytes <= SMALL_BODY_BYTES_MAX { SMALL_BODY_BYTES_PER_BYTE } else { 2 };
    VALUES_BYTES_MIN.saturating_add(body_bytes.saturating_mul(per_byte))
}

impl CallError {
    pub(crate) fn full(call: wares_model::CallId, full: Full) -> Self {
        Self::new(call, Explanation::from(full))
    }
}
