//! Machines on demand: started when a build wants one, and never left running.
//!
//! [`lifecycle`] says what is to happen with the machine of one worker: a pure function of state, event and time. What it decides is
//! recorded first and done afterwards.

pub mod lifecycle;
mod rules;
#[cfg(test)]
mod simulation;

pub use lifecycle::{Action, Event, Failure, Launch, LaunchId, Lifecycle, Outcome, Policy, Quarantine, Row, Shutdown, State, Stop};
