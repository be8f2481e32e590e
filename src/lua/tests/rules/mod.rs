//! The numbered rules of the language, one file per topic; a test is named by its rule.

use super::*;

mod http;
mod library;
mod template;
