//! The numbered rules of the language, one topic per file; each test is named by the rule that it shows.

use super::*;

mod files;
mod library;
mod processes;
mod tasks;
