//! One file per topic of the language's rules.

use super::*;

mod callbacks;
mod classes;
mod library;
