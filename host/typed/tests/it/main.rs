//! Components from bytes to description, and what follows from it.

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
