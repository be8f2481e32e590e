//! The host of `master.lua`: evaluation, `require`, errors, limits, callbacks. No type of mlua leaves this room.
//!
//! [`load`] evaluates a file on a thread of its own, a *generation*; its functions are called through [`Generation`] by number, with
//! plain data in and out. An abandoned call is cancelled, a loop is pre-empted, and the thread ends with the last `Arc<Generation>`.

pub mod annotations;
mod api;
mod backend;
pub mod callbacks;
mod clock;
mod convert;
mod data;
mod exposed;
mod failure;
mod generation;
mod hints;
mod host;
mod load;
mod members;
mod messages;
mod modules;
mod outside;
pub mod processes;
mod scan;
mod script;
mod steps;
mod surroundings;
mod tasks;
pub mod testing;
mod vm;
mod watch;

pub use api::full_host_name;
pub use backend::{BackendSelf, Method, StartAnswer};
pub use callbacks::{
    BuildInput, BuilderInput, BuildingInput, CanStart, Decided, Quarantine, QuarantineOrder, RenderInput, RequestInput, StepInput,
    WarningFound, WarningTold, WorkerInput,
};
pub use data::{Answer, DataSource, Keeping, KeptValues, SuperBackends};
pub use failure::LuaFailure;
pub use generation::Generation;
pub use host::ReadFile;
pub use load::{Checked, LoadOptions, Loaded, check, load, load_within};
pub use messages::{Body, Formatted, SaidWithout};
pub use outside::{Answers, OutsideWorld};
pub use script::{Script, Source as ScriptSource, run_script};
pub use steps::{Kept, Piece, Running, StepAnswer, StepHost, StepInstance, StepsPlace, Waiting, Work, WorkEnd, WorkEvent};
pub use surroundings::{Call, Surroundings};

#[cfg(test)]
mod tests;
