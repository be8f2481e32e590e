//! Where do PB workers connect, and what of those that cannot? The listener, its sessions, and complaints that do not flood
//! the log.
//!
//! It accepts at once and never waits for a peer; each connection has one task of its own, and all of them end with the server.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod calls;
mod link;
mod login;
mod session;

use self::session::Session;
use crate::workers::gate::Gate;

const BACKLOG: i32 = 4096;
/// Before the next try when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server for workers that speak PB. Clones share everything.
#[derive(Clone)]
pub struct PbServer {
    shared: Arc<Shared>,
}

/// What all sessions of a server know.
pub(super) struct Shared {
    pub gate: Arc<dyn Gate>,
    pub complaints: Complaints,
    /// Instead of random ones, for recordings.
    pub challenge: Option<[u8; 16]>,
}

impl PbServer {
    pub fn new(gate: Arc<dyn Gate>) -> PbServer {
        PbServer { shared: Arc::new(Shared { gate, complaints: Complaints::default(), challenge: None }) }
    }

    /// With one challenge for all, so that a recorded response fits it. For tests alone: it makes passwords guessable.
    #[doc(hidden)]
    pub fn with_fixed_challenge(gate: Arc<dyn Gate>, challenge: [u8; 16]) -> PbServer {
        PbServer { shared: Arc::new(Shared { gate, complaints: Complaints::default(), challenge: Some(challenge) }) }
    }

    /// Serves until it is dropped, which closes every connection.
    pub async fn serve(&self, listener: TcpListener) {
        self.serve_until(listener, CancellationToken::new()).await
    }

    /// Listens until `stop`; then it serves those who are connected to their end.
    pub async fn serve_until(&self, listener: TcpListener, stop: CancellationToken) {
        let accept = || async {
            let (stream, peer) = listener.accept().await?;
            if let Err(trouble) = prepare(&stream) {
                tracing::debug!(%peer, %trouble, "socket options");
            }
            // IPv4 as such, though it comes through an IPv6 socket.
            Ok((stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string()))
        };
        let sessions = self.accept_all(accept, &stop).await;
        drop(listener);
        finish(sessions).await;
    }

    /// The same on a Unix socket.
    pub async fn serve_unix_until(&self, listener: UnixListener, stop: CancellationToken) {
        let accept = || async {
            let (stream, _) = listener.accept().await?;
            Ok((stream, "unix".to_owned()))
        };
        let sessions = self.accept_all(accept, &stop).await;
        drop(listener);
        finish(sessions).await;
    }

    /// Takes connections until `stop`; those that are still there then.
    async fn accept_all<S, F>(&self, accept: impl Fn() -> F, stop: &CancellationToken) -> JoinSet<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<(S, String)>>,
    {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return sessions,
                accepted = accept() => match accepted {
                    Ok((stream, peer)) => drop(sessions.spawn(self.session(stream, &peer))),
                    Err(trouble) => {
                        self.shared.complaints.complain("", "", &format!("cannot accept connections: {trouble}"));
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = sessions.join_next() => {}
            }
        }
    }

    /// One connection, from its first byte to its last.
    pub fn session<S>(&self, stream: S, peer: &str) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Session::new(stream, peer.into(), self.shared.clone()).run()
    }
}

async fn finish(mut sessions: JoinSet<()>) {
    while sessions.join_next().await.is_some() {}
}

/// Serves workers on `listener` until the future is dropped.
pub async fn serve(listener: TcpListener, gate: Arc<dyn Gate>) {
    PbServer::new(gate).serve(listener).await
}

/// A listening socket. Without an interface it listens on all of them, IPv6 and IPv4.
pub fn bind_tcp(interface: Option<&str>, port: u16) -> io::Result<TcpListener> {
    let Some(interface) = interface.filter(|interface| !interface.is_empty()) else {
        return bind(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port).or_else(|trouble| match trouble.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(trouble),
            // A host without IPv6.
            _ => bind(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        });
    };
    let bare = interface.trim_start_matches('[').trim_end_matches(']');
    let address = match bare {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        "*" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        _ => bare.parse(),
    };
    let address =
        address.map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("'{interface}' is no IP address to listen on")))?;
    bind(address, port)
}

fn bind(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 }, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.bind(&SocketAddr::new(address, port).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// So that the kernel notices a peer that vanished, and small messages leave at once.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(60)))?;
    Ok(())
}

/// Warnings about peers, each at most once a minute for a name from an address; the next one says how many were left out.
#[derive(Default)]
pub(super) struct Complaints {
    recent: Mutex<HashMap<(String, String), (Instant, u32)>>,
}

impl Complaints {
    const PAUSE: Duration = Duration::from_secs(60);
    const MAX: usize = 1024;

    pub fn complain(&self, name: &str, peer: &str, why: &str) {
        if let Some(left_out) = self.due(name, peer, Instant::now()) {
            let worker = shown(name);
            match (name, left_out) {
                ("", 0) => tracing::warn!(peer, "{why}"),
                ("", _) => tracing::warn!(peer, left_out, "{why}"),
                (_, 0) => tracing::warn!(peer, worker, "{why}"),
                _ => tracing::warn!(peer, worker, left_out, "{why}"),
            }
        }
    }

    /// How many were left out since the last one, if it is time for one.
    fn due(&self, name: &str, peer: &str, now: Instant) -> Option<u32> {
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let mut key = (shown(name), host.to_owned());
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= Self::MAX && !recent.contains_key(&key) {
            recent.retain(|_, (last, _)| now.duration_since(*last) < Self::PAUSE);
            if recent.len() >= Self::MAX {
                // A crowd of them: they share one line a minute.
                key = Default::default();
            }
        }
        match recent.get_mut(&key) {
            Some((last, left_out)) if now.duration_since(*last) < Self::PAUSE => {
                *left_out += 1;
                None
            }
            Some(entry) => {
                let left_out = entry.1;
                *entry = (now, 0);
                Some(left_out)
            }
            None => {
                recent.insert(key, (now, 0));
                Some(0)
            }
        }
    }
}

/// A stranger's text, fit for one line of a log.
fn shown(name: &str) -> String {
    name.chars().take(60).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_counted_not_repeated() {
        let complaints = Complaints::default();
        let now = Instant::now();
        assert_eq!(complaints.due("w", "10.0.0.1:5", now), Some(0));
        assert_eq!(complaints.due("w", "10.0.0.1:6", now), None);
        assert_eq!(complaints.due("w", "10.0.0.2:6", now), Some(0));
        assert_eq!(complaints.due("w", "10.0.0.1:7", now + Duration::from_secs(61)), Some(1));
        for n in 0..5000 {
            complaints.due(&format!("stranger {n}"), "10.0.0.3:1", now);
        }
        assert!(complaints.recent.lock().unwrap().len() <= Complaints::MAX + 1);
    }

    #[tokio::test]
    async fn binds_where_it_is_told() {
        let all = bind_tcp(None, 0).unwrap();
        assert!(all.local_addr().unwrap().ip().is_unspecified());
        let local = bind_tcp(Some("127.0.0.1"), 0).unwrap();
        assert_eq!(local.local_addr().unwrap().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(bind_tcp(Some("eth0"), 0).unwrap_err().to_string(), "'eth0' is no IP address to listen on");
        let taken = all.local_addr().unwrap().port();
        assert_eq!(bind_tcp(None, taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
