//! How many connections a transfer uses.
//!
//! Owns the models of lines, by seed, that the choice of the number is judged by. Must not know sockets
//! or clocks. Invariant: a scenario is a function of its seed.

#[cfg(test)]
mod tests;
