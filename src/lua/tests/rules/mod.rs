//! One file per topic of the language's rules.

use super::*;

mod library;
