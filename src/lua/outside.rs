//! Whether the world outside of Lua answers: who tests a backend makes it refuse, or hang, for all calls of a configuration at once.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    Real,
    Refused,
    Never,
}

/// Shared by the states of a configuration and whoever tests it.
#[derive(Debug, Default)]
pub struct OutsideWorld {
    answers: AtomicU8,
    asked: AtomicU64,
}

impl OutsideWorld {
    pub fn set(&self, answers: Answers) {
        self.answers.store(answers as u8, Ordering::SeqCst);
    }

    /// How many requests were made and programs started, answered or not.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn ask(&self) -> Answers {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.answers.load(Ordering::SeqCst) {
            0 => Answers::Real,
            1 => Answers::Refused,
            _ => Answers::Never,
        }
    }
}
