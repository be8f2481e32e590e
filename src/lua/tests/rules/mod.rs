//! Numbered rules of the language, one file per topic.

use super::*;

mod http;
mod template;
