//! The numbered rules of the language, one file per topic; a test is named by its rule.

use super::*;

mod callbacks;
mod calling;
mod classes;
mod files;
mod http;
mod http_ways;
mod library;
mod mistakes;
mod objects;
mod processes;
mod sandbox;
mod secrets;
mod started;
mod steps;
mod tasks;
mod template;
mod values;
