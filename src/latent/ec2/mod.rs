//! Machines at Amazon EC2: what is asked of it and how its answers are read.

pub mod credentials;
pub mod image;
