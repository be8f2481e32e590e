//! The numbered rules of the language, one topic per file; each test is named by the rule that it shows.

mod files;
mod processes;
mod tasks;

use super::*;
