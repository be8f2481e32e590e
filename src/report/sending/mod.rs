//! How a message arrives: a row of the outbox, the sender of its reporter, and the courier that brings it to a relay or a server.
//!
//! Never decides what a message says or who gets it.

pub mod courier;
pub mod mail;
pub mod mailer;
pub mod mime;
pub mod outbox;
pub mod own;
pub mod post;
pub mod push;
pub mod smtp;
