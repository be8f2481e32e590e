//! The rules of the language, by their numbers: each test is named after the rule that it shows.

use super::*;

mod calling;
mod library;
mod mistakes;
mod objects;
mod sandbox;
mod values;
