//! Numbered rules of the language, one file per topic.

mod steps;
