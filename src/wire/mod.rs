//! How a worker is talked to: encodings, the PB broker, and commands as types. Knows nothing of builds or configuration.

pub mod banana;
pub mod commands;
pub mod jelly;
pub mod pb;

pub use commands::{Arg, Command, CommandArg, CommandEnd, EnvArg, ShellArgs, Update};
