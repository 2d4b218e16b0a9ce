//! What a host orders of its workers, and what they answer.
//!
//! An order is one line of JSON and then the bytes that it counts. A worker that reads answers with one line of JSON on its
//! standard output, and awaits the next order. One that compiles writes native code there and ends. A worker that fails says
//! why with one line of JSON on its standard error, and ends.

use crate::concurrency::Concurrency;
use serde::{Deserialize, Serialize};
use wares_model::limits::DESCRIPTION_BYTES_MAX;
use wares_typed::{Changes, CompareError, DescribeError, Description};

/// Bytes of the line that an order begins with.
pub(crate) const ORDER_LINE_BYTES_MAX: u64 = 1 << 10;
/// Bytes of an answer: a description and the names around it.
pub(crate) const ANSWER_BYTES_MAX: usize = DESCRIPTION_BYTES_MAX + (64 << 10);

/// The line that an order begins with.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Order {
    pub(crate) work: Work,
    /// Bytes that follow.
    pub(crate) bytes: u64,
}

/// What is to be done with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// Read the component into its description.
    Describe,
    /// Compare two WIT texts; the earlier one has so many bytes.
    Compare {
        /// Where the later one begins.
        earlier_bytes: u64,
    },
    /// Make native code of the component for this configuration.
    Compile(Concurrency),
}

/// What a worker that reads answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Described(Box<Description>),
    Refused(DescribeError),
    Compared(Changes),
    Incomparable(CompareError),
}

/// What a worker that fails says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Complaint {
    /// The component is at fault.
    Invalid(String),
    /// Too much memory or too much native code.
    TooBig,
    /// A library panicked.
    Panicked(String),
    /// The host is at fault.
    Host(String),
}
