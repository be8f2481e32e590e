//! What people and other services are told of builds and workers: which events make a message, what it says, and that it arrives.
//!
//! Facts of an event become a message by pure functions; the message is a row of the outbox before it is sent; the outbox sends.

pub mod facts;
pub mod mail;
pub mod missing;
pub mod notice;
