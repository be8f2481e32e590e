//! What a secret is, and how it stays one: the providers of the configuration are asked in their order; a [`Mask`] puts
//! `<NAME>` in place of every value that is known.
//!
//! Values live in memory only, for as long as who asked needs them. Nothing here is cached for the whole master: a build
//! asks once for each name ([`BuildSecrets`]), the registry of workers keeps the passwords that it was given.
//!
//! The master's own log shows none of them ([`Veiled`]).
//!
//! What is masked in a build: each value that a build has asked for, and passwords of workers that are secrets and have at least
//! four characters. Of a value of several lines that is each line of at least four characters (all of them if none has),
//! since output is told by lines; also as it is written within quotes by a shell, by JSON or by Python. What a program
//! makes of a value otherwise (base64, a half of it) is not known. A password that `master.lua` itself holds is no secret
//! here: short words such as `pass` would be found everywhere in the output of every build.

mod build;
mod files;
mod mask;
mod programs;
mod source;
mod veil;

pub use build::BuildSecrets;
pub use files::check;
pub use mask::{Mask, Masker};
pub use source::{SecretSource, SecretTrouble, private_variables};
pub use veil::Veiled;
