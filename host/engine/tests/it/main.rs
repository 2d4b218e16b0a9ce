//! The engine from outside: hostile guests, the native cache, the compile worker. Everything is real, every limit reached.

#[cfg(test)]
mod capabilities;
#[cfg(test)]
mod compile;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod native;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod read;
#[cfg(test)]
mod reuse;
#[cfg(test)]
mod turns;
