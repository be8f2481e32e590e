//! Small things that every room needs and that know no other room.

pub mod address;
pub mod clock;
pub mod duration;
pub mod ids;
pub mod jinja;
pub mod secret;
pub mod suggest;

pub use address::MailAddress;
pub use clock::{Clock, SystemClock, Timestamp};
pub use ids::*;
pub use secret::{Secret, revealed};
