//! The numbered rules of the language, one file per topic; a test is named by its rule.

use super::*;

mod callbacks;
mod classes;
mod files;
mod http;
mod library;
mod processes;
mod tasks;
mod template;
