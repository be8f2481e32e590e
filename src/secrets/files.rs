//! Secrets in files. A file that others than its owner may read holds no secret: it is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroize;

use super::source::{Answer, LARGEST};
use crate::base::Secret;
use crate::config::{MasterConfig, Mistake, SecretProviderKind};

/// Files of one folder that are looked at when the master starts.
const LOOKED_AT: usize = 10_000;

/// What is wrong with the folders of `SecretInAFile`, before any secret is asked for: none there, or a file in it that
/// others may read. `folder` is the configuration's.
pub fn check(config: &MasterConfig, folder: &Path) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for provider in &config.secrets_providers {
        let SecretProviderKind::File { dirname, suffixes, .. } = &provider.kind else { continue };
        let mut tell = |text| mistakes.push(Mistake { place: provider.place.clone(), subject: provider.class.clone(), text });
        let dirname = folder.join(dirname);
        let entries = match fs::read_dir(&dirname) {
            Ok(entries) => entries,
            Err(e) => {
                tell(format!("'dirname' {}: {e}", dirname.display()));
                continue;
            }
        };
        for entry in entries.flatten().take(LOOKED_AT) {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if suffixes.iter().any(|s| name.ends_with(s))
                && let Ok(about) = fs::metadata(entry.path())
                && about.is_file()
                && let Err(why) = private(&entry.path(), about.mode())
            {
                tell(why);
            }
        }
    }
    mistakes
}

fn private(path: &Path, mode: u32) -> Result<(), String> {
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(format!("{} may be read by others than its owner (mode {:o}): chmod 600 it", path.display(), mode & 0o777)),
    }
}

pub(super) async fn ask(dirname: &Path, suffixes: &[String], strip: bool, name: &str) -> Answer {
    if name.contains('/') || name == "." || name == ".." {
        return Ok(Err("a file's name can't be so".into()));
    }
    let paths: Vec<PathBuf> = suffixes.iter().map(|suffix| dirname.join(format!("{name}{suffix}"))).collect();
    let read = tokio::task::spawn_blocking(move || first_of(&paths, strip));
    read.await.map_err(|_| "reading it failed".to_owned())?
}

fn first_of(paths: &[PathBuf], strip: bool) -> Answer {
    for path in paths {
        // A pipe would be waited for; what it is is asked of what was opened.
        let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(format!("{}: {e}", path.display())),
        };
        return read(path, file, strip).map(Ok);
    }
    let shown: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    Ok(Err(format!("{} is not there", shown.join(" or "))))
}

fn read(path: &Path, file: File, strip: bool) -> Result<Secret, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    private(path, about.mode())?;
    let mut content = Vec::new();
    file.take(LARGEST as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    text(content, strip).map_err(|why| format!("{}: {why}", path.display()))
}

/// The secret that some bytes are.
pub(super) fn text(bytes: Vec<u8>, strip: bool) -> Result<Secret, String> {
    if bytes.len() > LARGEST {
        return Err(format!("it is larger than {} KiB", LARGEST >> 10));
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        e.into_bytes().zeroize();
        "it is not UTF-8".to_owned()
    })?;
    let secret = Secret::new(if strip { text.trim() } else { &text });
    text.zeroize();
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn put(folder: &Path, name: &str, text: &[u8], mode: u32) {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn files_are_read_by_suffix_and_refused_if_others_may() {
        let dir = tempfile::tempdir().unwrap();
        let d = dir.path();
        put(d, "one", b" value \n", 0o600);
        put(d, "two.txt", b"second", 0o400);
        put(d, "open", b"seen", 0o640);
        put(d, "odd", b"\xff\xfe", 0o600);
        put(d, "huge", &vec![b'x'; LARGEST + 1], 0o600);
        fs::create_dir(d.join("folder")).unwrap();
        nix::unistd::mkfifo(&d.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let suffixes = ["".to_owned(), ".txt".to_owned()];
        let get = async |name: &str, strip| ask(d, &suffixes, strip, name).await;
        assert_eq!(get("one", true).await.unwrap().unwrap().reveal(), "value");
        assert_eq!(get("one", false).await.unwrap().unwrap().reveal(), " value \n");
        assert_eq!(get("two", true).await.unwrap().unwrap().reveal(), "second");
        let open = get("open", true).await.unwrap_err();
        assert!(open.ends_with("/open may be read by others than its owner (mode 640): chmod 600 it"), "{open}");
        assert!(get("odd", true).await.unwrap_err().ends_with("it is not UTF-8"));
        assert!(get("huge", true).await.unwrap_err().ends_with("it is larger than 64 KiB"));
        assert!(get("folder", true).await.unwrap_err().ends_with("is no file"));
        assert!(get("pipe", true).await.unwrap_err().ends_with("is no file"));
        assert!(get("none", true).await.unwrap().unwrap_err().ends_with("is not there"));
        for name in ["../one", "a/b", "..", "."] {
            assert_eq!(get(name, true).await.unwrap().unwrap_err(), "a file's name can't be so", "{name}");
        }
    }
}
