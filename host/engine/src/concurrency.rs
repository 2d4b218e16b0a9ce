//! Which of wasmtime's two configurations a component is compiled and run with.

use serde::{Deserialize, Serialize};
use wares_typed::Description;

/// Whether a component's functions can wait for each other.
///
/// Only components that need it run with tasks: calls of all others take less time without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concurrency {
    /// One function runs at a time, from its call to its return.
    None,
    /// Functions are tasks that wait, stream, and go on after they have returned: the asynchronous component model.
    Tasks,
}

/// One of something for each.
#[derive(Debug, Clone)]
pub(crate) struct Each<T> {
    pub(crate) none: T,
    pub(crate) tasks: T,
}

impl Concurrency {
    /// What this component needs.
    pub fn of(description: &Description) -> Self {
        match description.asynchronous || wares_capabilities::are_asynchronous(&description.imports) {
            true => Self::Tasks,
            false => Self::None,
        }
    }

    pub(crate) fn has_tasks(self) -> bool {
        self == Self::Tasks
    }
}

impl<T> Each<T> {
    pub(crate) fn try_new<E>(make: impl Fn(Concurrency) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self { none: make(Concurrency::None)?, tasks: make(Concurrency::Tasks)? })
    }

    pub(crate) fn get(&self, concurrency: Concurrency) -> &T {
        match concurrency {
            Concurrency::None => &self.none,
            Concurrency::Tasks => &self.tasks,
        }
    }
}
