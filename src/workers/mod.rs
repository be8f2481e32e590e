//! Who is attached: the registry of workers, their sessions, and the local worker.

mod attaching;
mod entry;
pub mod gate;
pub mod link;
pub mod local;
mod passwords;
pub mod pb;
pub mod registry;

pub use gate::Gate;
pub use link::{BoxFuture, CommandEvent, Link, RunningCommand};
pub use local::LocalLink;
