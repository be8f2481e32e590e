//! What people and other services are told of builds and workers: which events make a message, what it says, and that it arrives.
//!
//! Facts of an event become a message by pure functions; the message is a row of the outbox before it is sent; the outbox sends.

pub mod about;
pub mod clean;
pub mod compose;
mod context;
pub mod facts;
pub mod format;
pub mod mail;
pub mod mailer;
pub mod mime;
pub mod missing;
pub mod notice;
pub mod outbox;
pub mod push;
pub mod smtp;
mod tails;
mod view;

pub use about::{About, Setting};
pub use compose::Composed;
pub use tails::read as read_logs;
