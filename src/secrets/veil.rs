//! Hides every secret that a provider gave in the log of the process. The log is one for all that runs in the process, and so is this.
//!
//! A value is known once a provider gave it: what Lua code logs of a value that it made itself is not.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use super::Mask;
use crate::base::Secret;

/// Shorter values would be found everywhere.
const SHORTEST: usize = 4;
/// Bytes of all values; the oldest are forgotten first.
const MOST: usize = 1 << 20;

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

#[derive(Default)]
struct Known {
    values: VecDeque<(String, Secret)>,
    mask: Arc<Mask>,
}

/// From now on the log shows its name in its place.
pub(super) fn know(name: &str, secret: &Secret) {
    let value = secret.reveal();
    let known = |all: &Known| all.values.iter().any(|(_, other)| other.reveal() == value);
    if value.trim().len() < SHORTEST || known(&KNOWN.read().unwrap_or_else(PoisonError::into_inner)) {
        return;
    }
    let mut all = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if known(&all) {
        return;
    }
    all.values.push_back((name.to_owned(), secret.clone()));
    while all.values.iter().map(|(_, secret)| secret.reveal().len()).sum::<usize>() > MOST {
        all.values.pop_front();
    }
    all.mask = Arc::new(Mask::new(all.values.iter().cloned().collect()));
}

fn mask() -> Arc<Mask> {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).mask.clone()
}

/// Writes what it is given without the secrets; each piece is a whole entry of the log.
pub struct Veiled<W>(pub W);

impl<W: Write> Write for Veiled<W> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let mask = mask();
        if mask.is_empty() {
            return self.0.write(entry);
        }
        self.0.write_all(mask.text(&String::from_utf8_lossy(entry)).as_bytes())?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_written() {
        know("of-the-veil", &Secret::new("veiled-value-é"));
        know("too-short", &Secret::new("abc"));
        let mut out = Vec::new();
        let entry = "abc, then 'veiled-value-é'\n".as_bytes();
        assert_eq!(Veiled(&mut out).write(entry).unwrap(), entry.len());
        assert_eq!(String::from_utf8(out).unwrap(), "abc, then '<of-the-veil>'\n");
    }
}
