//! What a master may be told. Plain data: no Lua, no I/O, no clock.
//!
//! `lua` evaluates the file and hands over [`Value`]s; [`assemble`] makes a [`MasterConfig`] of them or says every
//! mistake. A class's arguments are declared once, in the file of its kind; the declaration gives the parser, the
//! errors and the reference.

pub mod spec;
pub mod template;
pub mod value;

pub use spec::*;
pub use template::{Arg, Template};
pub use value::{FnRef, Mistake, Object, Place, Table, Value};
