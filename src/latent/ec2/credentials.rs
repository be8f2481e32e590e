//! The file of AWS keys: its first line is the identifier, its second the secret. Reads one file; what it says reaches nobody else.

use std::path::{Path, PathBuf};

use crate::base::Secret;

/// Longer files are something else.
const LONGEST: u64 = 64 << 10;

#[derive(Clone, Debug)]
pub struct Keys {
    pub identifier: Secret,
    pub secret: Secret,
}

/// What is wrong with the file; never what it says.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{}: {why}", .path.display())]
    Unreadable { path: PathBuf, why: std::io::Error },
    #[error("{}: it is no file", .path.display())]
    NoFile { path: PathBuf },
    #[error("{}: it is too long to be a file of keys", .path.display())]
    TooLong { path: PathBuf },
    #[error("{}:{line}: {why}", .path.display())]
    Line { path: PathBuf, line: u32, why: &'static str },
}

/// The keys, and a warning if others may read the file.
pub fn read(path: &Path) -> Result<(Keys, Option<String>), KeysError> {
    let unreadable = |why| KeysError::Unreadable { path: path.to_owned(), why };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    // A pipe would be waited for, a device read for ever.
    if !metadata.is_file() {
        return Err(KeysError::NoFile { path: path.to_owned() });
    }
    if metadata.len() > LONGEST {
        return Err(KeysError::TooLong { path: path.to_owned() });
    }
    let content = zeroize::Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    let keys = parse(&content).map_err(|(line, why)| KeysError::Line { path: path.to_owned(), line, why })?;
    Ok((keys, exposed(path, &metadata)))
}

fn exposed(path: &Path, metadata: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    (mode & 0o077 != 0)
        .then(|| format!("{} holds a secret key and others may read it (mode {mode:04o}): chmod 600 {}", path.display(), path.display()))
}

/// The line that is wrong counts from 1.
fn parse(content: &[u8]) -> Result<Keys, (u32, &'static str)> {
    let text = std::str::from_utf8(content).map_err(|_| (1, "it is no text"))?;
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim);
    let mut line = |number: u32, missing: &'static str, empty: &'static str| match lines.next() {
        None => Err((number, missing)),
        Some("") => Err((number, empty)),
        Some(key) if key.contains(char::is_whitespace) => Err((number, "a key has no blanks in it")),
        Some(key) => Ok(Secret::new(key.to_owned())),
    };
    let identifier =
        line(1, "the file is empty: its first line must be the access key id", "the first line must be the access key id, and is empty")?;
    let secret = line(2, "the second line must be the secret key, and is missing", "the second line must be the secret key, and is empty")?;
    Ok(Keys { identifier, secret })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aws_id");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn two_lines_with_any_line_end_and_blanks() {
        for content in ["AKIA\nsecret\n", "AKIA\r\nsecret\r\n", "  AKIA\t\n secret  ", "\u{feff}AKIA\nsecret\nmore\n"] {
            let (_folder, path) = written(content, 0o600);
            let (keys, warning) = read(&path).unwrap();
            assert_eq!((keys.identifier.reveal(), keys.secret.reveal(), warning), ("AKIA", "secret", None), "{content:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_path_and_line_and_without_a_key() {
        for (content, expected) in [
            ("", "aws_id:1: the file is empty: its first line must be the access key id"),
            ("\nsecret\n", "aws_id:1: the first line must be the access key id, and is empty"),
            ("AKIA", "aws_id:2: the second line must be the secret key, and is missing"),
            ("AKIA\n \n", "aws_id:2: the second line must be the secret key, and is empty"),
            ("[default]\naws_secret = hunter2\n", "aws_id:2: a key has no blanks in it"),
        ] {
            let (_folder, path) = written(content, 0o600);
            let error = read(&path).unwrap_err();
            assert!(error.to_string().ends_with(expected), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(read(Path::new("/nonexistent/aws_id")).unwrap_err().to_string().starts_with("/nonexistent/aws_id: "));
    }

    #[test]
    fn what_is_no_file_of_keys_is_not_read_through() {
        for (path, expected) in [("/dev/zero", "/dev/zero: it is no file"), ("/dev", "/dev: it is no file")] {
            assert_eq!(read(Path::new(path)).unwrap_err().to_string(), expected);
        }
        let (_folder, path) = written(&"x".repeat(70_000), 0o600);
        assert!(read(&path).unwrap_err().to_string().ends_with("it is too long to be a file of keys"));
    }

    #[test]
    fn others_who_may_read_it_are_warned_of() {
        let (_folder, path) = written("AKIA\nsecret\n", 0o640);
        let (keys, warning) = read(&path).unwrap();
        assert!(warning.is_some_and(|w| w.contains("mode 0640") && w.contains("chmod 600")));
        assert!(!format!("{keys:?}").contains("secret\""), "{keys:?}");
    }
}
