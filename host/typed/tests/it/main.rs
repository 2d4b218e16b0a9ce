//! Components from bytes to description, and what follows from it.

#![expect(clippy::disallowed_methods, reason = "what is tested is what the worker does")]

#[cfg(test)]
mod arguments;
#[cfg(test)]
mod component;
#[cfg(test)]
mod describe;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod hostile;
