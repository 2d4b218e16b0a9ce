//! The functions that the benchmark calls.

use exports::bench::text::text::{Guest, Reading};

wares_sdk::component!(Component);

struct Component;

impl Guest for Component {
    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    fn upper(text: String) -> String {
        text.to_uppercase()
    }

    fn rank(mut readings: Vec<Reading>) -> Vec<Reading> {
        readings.sort_by(|a, b| b.celsius.total_cmp(&a.celsius));
        readings
    }

    fn mix(rounds: u32) -> u64 {
        (0..rounds).fold(0x9E37_79B9_7F4A_7C15, |state: u64, round| {
            let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            state ^ u64::from(round)
        })
    }
}
