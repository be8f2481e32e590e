//! Who is attached: the registry of workers, their sessions, and the local worker.

pub mod link;

pub use link::{CommandEvent, Link, RunningCommand};
