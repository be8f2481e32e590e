//! Machines on demand: started when a build wants one, and never left running.
//!
//! [`lifecycle`] says what is to happen with the machine of one worker: a pure function of state, event and time. What it decides is
//! recorded first and done afterwards.

pub mod among;
pub mod backend;
pub mod conformance;
mod console;
pub mod driver;
pub mod ec2;
pub mod extended;
pub mod lifecycle;
pub mod preflight;
mod rules;
pub mod scripted;
#[cfg(test)]
mod simulation;
mod surroundings;

pub use lifecycle::{Action, Event, Failure, Launch, Lifecycle, Outcome, Policy, Row, Shutdown, State, Stop, Timing};
