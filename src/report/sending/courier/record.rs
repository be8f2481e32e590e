//! What couriers brought and no master has stored yet: a file per reporter, which belongs to one courier at a time.
//!
//! It need not be forced to the disk: it is there for the death of processes. After the end of the whole machine a message may
//! go out twice with the same id.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::wire::Brought;

/// Each death of a master leaves one at most; those that no master asks for any more go, the oldest first.
const MOST: usize = 100;
/// No file that a courier wrote is larger.
const LARGEST_BYTES: u64 = 16 << 20;

pub struct Record {
    file: File,
    brought: Vec<Brought>,
}

/// For nobody else's eyes: refusals name recipients.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

impl Record {
    /// Waits until no other courier has it.
    pub fn open(folder: &Path, reporter: &str) -> io::Result<Record> {
        let name: String = Sha256::digest(reporter).iter().take(8).map(|b| format!("{b:02x}")).collect();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(folder.join(name))?;
        file.lock()?;
        let mut text = Vec::new();
        (&mut file).take(LARGEST_BYTES).read_to_end(&mut text)?;
        // A courier that was killed may have left the end of an older text behind its own; the end of the machine half a text, which is
        // as good as none.
        let brought = serde_json::Deserializer::from_slice(&text).into_iter().next().and_then(Result::ok).unwrap_or_default();
        Ok(Record { file, brought })
    }

    pub fn brought(&self) -> &[Brought] {
        &self.brought
    }

    pub fn add(&mut self, brought: Brought) -> io::Result<()> {
        self.brought.retain(|known| known.key != brought.key);
        self.brought.push(brought);
        let surplus = self.brought.len().saturating_sub(MOST);
        self.brought.drain(..surplus);
        self.write()
    }

    /// A master has stored these.
    pub fn remove(&mut self, keys: &[String]) -> io::Result<()> {
        self.brought.retain(|known| !keys.contains(&known.key));
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.brought)?;
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sending::outbox::Outcome;

    fn brought(key: &str) -> Brought {
        Brought { key: key.into(), outcome: Outcome::Sent { remark: None }, notes: Vec::new() }
    }

    fn keys(record: &Record) -> Vec<&str> {
        record.brought().iter().map(|b| b.key.as_str()).collect()
    }

    #[test]
    fn what_was_brought_is_known_to_the_next_until_it_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::open(folder.path(), "mail").unwrap();
        record.add(brought("a")).unwrap();
        record.add(brought("b")).unwrap();
        drop(record);
        assert_eq!(keys(&Record::open(folder.path(), "push").unwrap()), [""; 0], "each reporter has its own");
        let mut record = Record::open(folder.path(), "mail").unwrap();
        assert_eq!(keys(&record), ["a", "b"]);
        record.remove(&["a".into()]).unwrap();
        record.add(brought("c")).unwrap();
        drop(record);
        assert_eq!(keys(&Record::open(folder.path(), "mail").unwrap()), ["b", "c"]);
    }

    #[test]
    fn a_courier_that_was_killed_before_it_cut_its_text_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::open(folder.path(), "mail").unwrap();
        record.add(brought("a")).unwrap();
        record.file.write_all(b"}]\n[{\"key\":").unwrap();
        drop(record);
        assert_eq!(keys(&Record::open(folder.path(), "mail").unwrap()), ["a"]);
    }

    #[test]
    fn one_courier_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Record::open(folder.path(), "mail").unwrap();
        let path = folder.path().to_owned();
        let second = std::thread::spawn(move || Record::open(&path, "mail").unwrap().brought().len());
        std::thread::sleep(std::time::Duration::from_millis(50));
        first.add(brought("a")).unwrap();
        drop(first);
        assert_eq!(second.join().unwrap(), 1, "the second waits, and sees what the first wrote");
    }

    #[test]
    fn nonsense_is_nothing_and_nobody_asks_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::open(folder.path(), "mail").unwrap();
        for n in 0..MOST + 5 {
            record.add(brought(&n.to_string())).unwrap();
        }
        assert_eq!((record.brought().len(), record.brought()[0].key.as_str()), (MOST, "5"));
        drop(record);
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        std::fs::write(file, "[{\"key\": \"5\", \"outc").unwrap();
        assert!(Record::open(folder.path(), "mail").unwrap().brought().is_empty());
    }
}
