//! What callers ask for: each work is one function of the benchmark's guests, with arguments to send.

use serde_json::{Value, json};

/// Readings in a body of about 10 KB.
const READINGS: usize = 110;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Two numbers to add.
    Add,
    /// A line of text to put in upper case.
    Upper,
    /// A list of records of about 10 KB to sort, in and out.
    Rank,
    /// So many rounds of arithmetic.
    Mix(u32),
}

impl Work {
    /// How tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Upper => "upper",
            Self::Rank => "10 KB list",
            Self::Mix(_) => "1 ms of CPU",
        }
    }

    /// The function in WIT.
    pub fn function(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Upper => "upper",
            Self::Rank => "rank",
            Self::Mix(_) => "mix",
        }
    }

    /// Its arguments.
    pub fn arguments(self) -> Value {
        match self {
            Self::Add => json!({"a": 40, "b": 2}),
            Self::Upper => json!({"text": "one district builds a component, every district reuses it"}),
            Self::Rank => json!({"readings": readings()}),
            Self::Mix(rounds) => json!({"rounds": rounds}),
        }
    }

    /// Whether an answer can be right.
    pub fn is_answered_by(self, answer: &str) -> bool {
        match self {
            Self::Add => answer.contains("42"),
            Self::Upper => answer.to_uppercase().contains("ONE DISTRICT BUILDS"),
            Self::Rank => answer.contains("taken-at") && answer.len() > 8_000,
            Self::Mix(_) => answer.trim().parse::<u64>().is_ok(),
        }
    }
}

fn readings() -> Vec<Value> {
    (0..READINGS)
        .map(|at| {
            json!({
                "station": format!("kitchen {at} of the north district"),
                "device": at,
                "celsius": 2.5 + (at * 37 % 100) as f64 / 16.0,
                "door-open": at % 7 == 0,
                "taken-at": 1_760_000_000_000_u64 + at as u64
            })
        })
        .collect()
}
