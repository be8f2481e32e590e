//! From a request to its result: schedulers, the queue, distribution, the run of a build, its steps.
//!
//! Pure: [`collapse`], [`distribute`], [`force`], [`lines`], [`rules`], [`why`]. [`engine`] drives them; [`run`] is one build.

mod carry;
mod choices;
pub mod collapse;
mod decide;
pub mod distribute;
pub mod engine;
pub mod force;
mod inputs;
pub mod lines;
mod log;
mod queue;
pub mod render;
pub mod rules;
pub mod run;
mod steps;
mod submit;
pub mod why;
mod wishes;

pub use engine::{Active, Engine};
pub use submit::{Refusal, Submitted};
