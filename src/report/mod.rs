//! What people and other services are told of builds and workers: which events make a message, what it says, and that it arrives.
//!
//! Facts of an event become a message by pure functions, which stand here; `sending` brings it where it belongs.

pub mod about;
pub mod clean;
pub mod compose;
mod context;
pub mod driver;
pub mod facts;
pub mod filters;
pub mod format;
pub mod missing;
pub mod modes;
pub mod notice;
pub mod payload;
pub mod recipients;
pub mod sending;
mod tails;
pub mod telling;
mod view;

pub use about::{About, Setting};
pub use compose::Composed;
pub use tails::read as read_logs;
