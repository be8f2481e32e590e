//! Buildmoon, a build master: the map of the house.
//!
//! Each module below is a room. **A room uses only the rooms above it in this list**; `tests/architecture.rs`
//! reads the paths that begin with `crate::` and fails on one that points down (the empty lines between the rooms keep
//! their order when the file is formatted). `mlua` is known in `lua` alone, SQL in
//! `store` alone.
//!
//! Decisions are pure functions of plain data (no clock, no I/O, no Lua, no SQL); drivers beside them act.

/// Ids, time, secrets, did-you-mean: owes nothing to anyone.
pub mod base;

/// The things themselves as plain data: workers, builds, requests, properties, results, events, API queries.
pub mod model;

/// What a master may be told: declarations of classes and arguments, checks across them.
pub mod config;

/// The host of `master.lua`: evaluation, callbacks, errors, limits. The only room that knows mlua.
pub mod lua;

/// Providers of secrets, and the mask that keeps their values out of what is shown.
pub mod secrets;

/// What survives a crash: database and logs. The only room that knows SQL.
pub mod store;

/// How a worker is talked to: banana, jelly, pb, and the commands as types.
pub mod wire;

/// Who is attached: registry, sessions, keepalive, the local worker.
pub mod workers;

/// Machines on demand: when one is started and stopped.
pub mod latent;

/// Requests, distribution, schedulers, steps, rendering; the run of one build.
pub mod builds;

/// What people and other services are told: messages, the outbox, mail.
pub mod report;

/// REST and control over HTTP.
pub mod web;

/// Puts the rooms together: start, recovery, shutdown.
pub mod master;

/// One file per command.
pub mod cli;
