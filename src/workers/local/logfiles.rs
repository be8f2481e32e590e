//! What appears in the files that a command is asked to watch.
//!
//! A file that was there before the command started is looked at only once it changes. Anything but a regular file is ignored.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the files are looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// What one look may bring, over all files.
const BUDGET: usize = 256 << 10;

struct Watched {
    path: PathBuf,
    follow: bool,
    before: Option<(u64, u64, i64, i64)>,
    file: Option<File>,
}

pub struct LogFiles {
    files: Vec<Watched>,
}

/// What one look brought: texts with the number of their file.
pub struct News {
    pub texts: Vec<(usize, Vec<u8>)>,
    /// There is more to be read at once.
    pub more: bool,
}

impl LogFiles {
    /// Remember how the files look before the command starts.
    pub fn new(files: &[(String, String, bool)], workdir: &Path) -> LogFiles {
        let watched = |(_, filename, follow): &(String, String, bool)| {
            let path = workdir.join(filename);
            let before = std::fs::metadata(&path).ok().map(|m| face(&m));
            Watched { path, follow: *follow, before, file: None }
        };
        LogFiles { files: files.iter().map(watched).collect() }
    }

    pub fn look(&mut self) -> News {
        let mut news = News { texts: Vec::new(), more: false };
        let mut left = BUDGET;
        for (number, watched) in self.files.iter_mut().enumerate() {
            if watched.file.is_none() {
                watched.file = watched.open();
            }
            let Some(file) = &mut watched.file else { continue };
            let mut text = Vec::new();
            // An error of reading ends this look; the next one tries again.
            let read = file.take(left as u64).read_to_end(&mut text).unwrap_or(text.len());
            left -= read.min(left);
            if !text.is_empty() {
                news.texts.push((number, text));
            }
            if left == 0 {
                news.more = true;
                break;
            }
        }
        news
    }
}

impl Watched {
    fn open(&self) -> Option<File> {
        let now = std::fs::metadata(&self.path).ok()?;
        if !now.is_file() || self.before == Some(face(&now)) {
            return None;
        }
        // Not to be stopped by a pipe that takes the file's place in this moment.
        let mut file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&self.path).ok()?;
        if let (true, Some((_, size, ..))) = (self.follow, self.before) {
            file.seek(SeekFrom::Start(size)).ok()?;
        }
        Some(file)
    }
}

fn face(m: &Metadata) -> (u64, u64, i64, i64) {
    (m.ino(), m.size(), m.mtime(), m.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_read() {
        let dir = tempfile::tempdir().expect("folder");
        let path = |name: &str| dir.path().join(name);
        for name in ["still", "whole", "tail"] {
            std::fs::write(path(name), "old\n").expect(name);
        }
        std::fs::create_dir(path("folder")).expect("folder");
        let files = [("still", false), ("whole", false), ("tail", true), ("later", true), ("folder", false)]
            .map(|(name, follow)| (name.to_owned(), name.to_owned(), follow));
        let mut logs = LogFiles::new(&files, dir.path());
        assert!(logs.look().texts.is_empty());
        std::fs::write(path("whole"), "old\nnew\n").expect("whole");
        std::fs::write(path("tail"), "old\nnew\n").expect("tail");
        std::fs::write(path("later"), "first\n").expect("later");
        let expected = vec![(1, b"old\nnew\n".to_vec()), (2, b"new\n".to_vec()), (3, b"first\n".to_vec())];
        assert_eq!(logs.look().texts, expected);
        assert!(logs.look().texts.is_empty());
    }

    #[test]
    fn a_huge_file_comes_in_portions() {
        let dir = tempfile::tempdir().expect("folder");
        let mut logs = LogFiles::new(&[("a".into(), "a".into(), false)], dir.path());
        std::fs::write(dir.path().join("a"), vec![b'x'; BUDGET + 10]).expect("file");
        let first = logs.look();
        assert_eq!((first.texts[0].1.len(), first.more), (BUDGET, true));
        let second = logs.look();
        assert_eq!((second.texts[0].1.len(), second.more), (10, false));
    }
}
