//! Who is attached: the registry of workers, their sessions, and the local worker.

pub mod gate;
pub mod link;
pub mod local;
pub mod pb;
mod pb_calls;
mod pb_link;
mod pb_login;
mod pb_session;
pub mod registry;

pub use gate::Gate;
pub use link::{CommandEvent, Link, RunningCommand};
pub use local::LocalLink;
