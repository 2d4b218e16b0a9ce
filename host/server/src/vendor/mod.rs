//! The vendor's commands: a new project, its build, its tests. Everything here blocks; nothing here needs a host.

pub(crate) mod build;
mod command;
mod debian;
pub(crate) mod new;
mod section;
pub(crate) mod test;
pub(crate) mod toolchain;

/// Is told, in a line, what happens now.
pub(crate) type Progress<'a> = &'a dyn Fn(&str);
