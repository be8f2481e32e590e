//! The numbered rules of the language, a file for each topic; a test is named after the rule that it shows.

mod secrets;
