//! Machines at Amazon EC2: what is asked of it and how its answers are read.

mod afar;
mod answers;
pub mod api;
pub mod backend;
pub mod choices;
pub mod credentials;
mod describe;
pub mod handle;
pub mod image;
pub mod keyless;
mod preflight;
pub mod query;
pub mod region;
#[cfg(feature = "ec2")]
pub mod sdk;
pub mod settings;
mod sigv4;
