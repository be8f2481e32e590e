//! What a master may be told. Plain data: no Lua, no I/O, no clock.
//!
//! `lua` evaluates the file and hands over [`Value`]s; [`assemble`] makes a [`MasterConfig`] of them or says every
//! mistake. A class's arguments are declared once, in the file of its kind; the declaration gives the parser, the
//! errors and the reference.

pub mod annotations;
mod arguments;
pub mod assemble;
mod backends;
mod builders;
pub mod class;
mod commands;
pub mod convert;
pub mod diff;
mod ec2;
pub mod examples;
mod formatters;
mod generators;

mod instance;
mod interpolate;
mod latent;
mod listen;
pub mod lua_type;
mod methods;
pub mod named;
mod names;
mod openstack;
mod parameters;
mod processes;
#[cfg(test)]
mod properties_of_classes;
pub mod reference;
mod renderables;
mod reporters;
pub mod reports;
mod root;
mod schedulers;
mod scripts;
mod secrets;
mod sequences;
mod shipped;
pub mod spec;
mod steps;
pub mod template;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod user_data;
pub mod value;
pub mod warnings;
mod without_effect;
mod workers;

pub use arguments::given_arguments;
pub use assemble::{SaidAt, assemble, step as understood_step};
pub use backends::LuaBackendSpec;
pub use convert::{FromValue, Wrong};
pub use ec2::{BlockDevice, Ec2Credentials, Ec2Spec, Ec2Spot};
pub use formatters::{BodyType, FormatterKind, FormatterSpec, TemplateTexts, WantedLogs, Wants};
pub use latent::{BackendSpec, LatentSpec, Pool};
pub use reports::*;
pub use root::root_keys;
pub use scripts::{RemoteCommand, RemoteShell};
pub use secrets::check_secret_name;
pub use sequences::{MaybeCommand, sequence_commands};
pub use spec::*;
pub use template::{Arg, Template};
pub use value::{FnRef, Mistake, Object, OwnClass, Place, Table, Value};
pub use warnings::{Suppression, WarningSpec};
