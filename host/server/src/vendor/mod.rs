//! The vendor's commands: a new project, its build, its tests. Everything here blocks; nothing here needs a host.

pub(crate) mod build;
mod c;
mod command;
mod debian;
mod javascript;
pub(crate) mod new;
mod project;
mod python;
mod rust;
mod section;
mod stubs;
pub(crate) mod test;
mod toolchain;
mod tools;
mod world;

/// Is told, in a line, what happens now.
pub(crate) type Progress<'a> = &'a dyn Fn(&str);
