//! The numbered rules of the language, a file per topic.

mod callbacks;
mod classes;
