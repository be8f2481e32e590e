//! Where the web listens: makes the listening socket that a configuration names, and says plainly why it can't.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::config::Listen;

/// The longest path that the kernel takes for a socket, with its final zero.
const LONGEST_SOCKET_PATH: usize = 107;
/// Connections that may wait to be taken.
const BACKLOG: i32 = 1024;

pub enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Must run within a tokio runtime. Without an interface the port is for this machine only.
pub fn bind(listen: &Listen) -> Result<Bound> {
    match listen {
        Listen::Tcp { interface, port } => {
            let interface = interface.as_deref().unwrap_or("127.0.0.1");
            let bare = interface.trim_start_matches('[').trim_end_matches(']');
            bind_tcp(bare, *port).with_context(|| format!("can't listen on {interface}:{port}"))
        }
        Listen::Unix { path, mode } => {
            bind_unix(path, *mode).map(Bound::Unix).with_context(|| format!("can't listen on {}", path.display()))
        }
    }
}

fn bind_tcp(interface: &str, port: u16) -> Result<Bound> {
    let mut last = None;
    for address in (interface, port).to_socket_addrs()? {
        match listen_at(address) {
            Ok(listener) => return Ok(Bound::Tcp(listener)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| anyhow::anyhow!("the interface has no address"), Into::into))
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // a master that starts again finds connections of the last one still closing
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// A Unix socket to which those may connect whom the mode lets write, in place of one that nobody listens on any more.
pub fn bind_unix(path: &Path, mode: u32) -> Result<UnixListener> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    with_short_path(path, |short| socket.bind(&SockAddr::unix(short)?))?;
    // nobody can connect before `listen`, so there is no moment in which others may
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from_std(socket.into())?)
}

/// The same socket by a name that the kernel takes: longer ones go through the open folder.
pub fn with_short_path<T>(path: &Path, use_it: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    match (path.as_os_str().len() > LONGEST_SOCKET_PATH, path.parent(), path.file_name()) {
        (true, Some(folder), Some(name)) => {
            let folder = fs::File::open(folder)?;
            use_it(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
        }
        _ => use_it(path),
    }
}

/// A socket that nobody listens on is left over from a master that was killed.
fn remove_stale(path: &Path) -> Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !kind.is_socket() {
        bail!("there is a file of that name that is no socket");
    }
    match with_short_path(path, |short| std::os::unix::net::UnixStream::connect(short)) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another program listens there").into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(listen: &Listen) -> String {
        format!("{:#}", bind(listen).err().expect("it must not be bound"))
    }

    #[tokio::test]
    async fn a_port_in_use_is_said() {
        let Bound::Tcp(first) = bind(&Listen::Tcp { interface: None, port: 0 }).unwrap() else { panic!("TCP") };
        let address = first.local_addr().unwrap();
        assert!(address.ip().is_loopback());
        let said = why(&Listen::Tcp { interface: Some("localhost".into()), port: address.port() });
        assert!(said.contains("can't listen on localhost:") && said.contains("in use"), "{said}");
    }

    #[tokio::test]
    async fn a_socket_is_for_its_user_and_a_stale_one_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listen = Listen::Unix { path: path.clone(), mode: 0o600 };
        let first = bind(&listen).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(why(&listen).contains("another program listens there"));
        drop(first);
        assert!(path.exists());
        drop(bind(&listen).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(why(&listen).contains("no socket"));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
