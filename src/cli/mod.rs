//! The command line: argv in, one plain command value out.

pub mod command;
pub mod environment;

pub use command::*;
pub use environment::Environment;
