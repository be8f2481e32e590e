//! The base folder: one master at a time, its pid, its control socket.

use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixListener;

use crate::web;

/// A base folder that this process has for itself. The lock goes with the process, so a stale pid file is no lock.
pub struct Folder {
    path: PathBuf,
    lock: Flock<std::fs::File>,
}

impl Folder {
    pub fn lock(path: &Path) -> Result<Folder> {
        let path = path.canonicalize().with_context(|| format!("cannot use {} as the base folder", path.display()))?;
        if !path.is_dir() {
            bail!("{} is no folder; `buildmoon create-master DIR` makes one", path.display());
        }
        let pid_file = path.join("buildmoon.pid");
        let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&pid_file);
        let file = file.with_context(|| format!("cannot write {}", pid_file.display()))?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, _)) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                bail!("a master runs in {} already (process {}); `buildmoon stop {0}` stops it", path.display(), pid.trim());
            }
        };
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .with_context(|| format!("cannot write {}", pid_file.display()))?;
        Ok(Folder { path, lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `host:folder`, as the API shows a master.
    pub fn master_name(&self) -> String {
        let host = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_else(|_| "localhost".into());
        format!("{host}:{}", self.path.display())
    }

    pub fn bind_control_socket(&self) -> Result<UnixListener> {
        let path = control_socket(&self.path);
        web::bind_unix(&path, 0o600).with_context(|| format!("cannot listen on {}", path.display()))
    }

    /// The pid file and the socket go; the lock goes with the process.
    pub fn release(&self) {
        let _ = std::fs::remove_file(control_socket(&self.path));
        let _ = std::fs::remove_file(self.path.join("buildmoon.pid"));
        tracing::debug!(fd = self.lock.as_raw_fd(), "base folder released");
    }
}

/// Where the master of a base folder is talked to by the program's own commands.
pub fn control_socket(folder: &Path) -> PathBuf {
    folder.join("buildmoon.sock")
}
