//! What people and other services are told of builds and workers: which events make a message, what it says, and that it arrives.
//!
//! Facts of an event become a message by pure functions; the message is a row of the outbox before it is sent;
//! a courier brings it.

pub mod about;
pub mod clean;
pub mod compose;
mod context;
pub mod courier;
pub mod driver;
pub mod facts;
pub mod filters;
pub mod format;
pub mod mail;
pub mod mailer;
pub mod mime;
pub mod missing;
pub mod modes;
pub mod notice;
pub mod outbox;
pub mod own;
pub mod payload;
pub mod post;
pub mod push;
pub mod recipients;
pub mod smtp;
mod tails;
pub mod telling;
mod view;

pub use about::{About, Setting};
pub use compose::Composed;
pub use tails::read as read_logs;
