//! The ports of a running master: opened before anything depends on them, and exchanged without a gap when the configuration
//! changes.
//!
//! A new port is open before the old one is closed; whoever is connected through the old one stays. Only where both can't be
//! open at once (the same port on another interface) the old one is closed first, and opened again if the new one fails.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Listen, MasterConfig};
use crate::web::{self, Bound, Caller};
use crate::workers::pb::{self, PbServer};

/// A listener that was told to close is gone after a moment; so often that is looked for.
const LOOKS: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Who connects there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Workers,
    Web,
}

type Wanted = (Who, Listen);

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A port that listens and is not served yet.
struct Fresh {
    wanted: Wanted,
    socket: Socket,
    /// For the line that says where the master listens.
    address: String,
}

struct Open {
    wanted: Wanted,
    address: String,
    stop: CancellationToken,
}

/// Who answers on the ports.
#[derive(Clone)]
pub struct Servers {
    pub workers: PbServer,
    pub web: Router,
}

/// Ports that are bound and wait to be served.
#[derive(Default)]
pub struct Prepared {
    fresh: Vec<Fresh>,
    /// What was closed to make room.
    closed: Vec<Wanted>,
}

/// All ports of a master.
#[derive(Default)]
pub struct Listeners {
    folder: PathBuf,
    open: Vec<Open>,
    tasks: JoinSet<()>,
}

fn wanted(config: &MasterConfig) -> Vec<Wanted> {
    let workers = config.pb.iter().map(|l| (Who::Workers, l.clone()));
    workers.chain(config.www.iter().map(|l| (Who::Web, l.clone()))).collect()
}

impl Listeners {
    pub fn new(folder: PathBuf) -> Listeners {
        Listeners { folder, ..Listeners::default() }
    }

    /// Bind what a configuration has and is not open yet. After an error all is as before.
    pub async fn prepare(&mut self, config: &MasterConfig, servers: Option<&Servers>) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        let mut kept: Vec<bool> = vec![false; self.open.len()];
        let mut missing = Vec::new();
        for want in wanted(config) {
            match (0..kept.len()).find(|i| !kept[*i] && self.open[*i].wanted == want) {
                Some(at) => kept[at] = true,
                None => missing.push(want),
            }
        }
        for want in missing {
            let bound = match self.bind(&want) {
                Err(e) if in_use(&e) => match in_the_way(&self.open, &kept, &want) {
                    Some(at) => {
                        // Keeps the indices of those that are left right.
                        kept.remove(at);
                        let old = self.open.remove(at);
                        old.stop.cancel();
                        prepared.closed.push(old.wanted);
                        self.bind_when_free(&want).await
                    }
                    None => Err(e),
                },
                other => other,
            };
            match bound {
                Ok(fresh) => prepared.fresh.push(fresh),
                Err(e) => {
                    if let Some(servers) = servers {
                        self.give_up(prepared, servers).await;
                    }
                    return Err(e);
                }
            }
        }
        Ok(prepared)
    }

    /// What was prepared is not used after all.
    pub async fn give_up(&mut self, prepared: Prepared, servers: &Servers) {
        drop(prepared.fresh);
        for old in prepared.closed {
            match self.bind_when_free(&old).await {
                Ok(fresh) => self.serve(fresh, servers),
                Err(e) => tracing::error!("a port that was open can't be opened again: {e:#}"),
            }
        }
    }

    /// Serve what was prepared, and close what the configuration does not have any more.
    pub fn commit(&mut self, prepared: Prepared, config: &MasterConfig, servers: &Servers) {
        while self.tasks.try_join_next().is_some() {}
        let mut still = wanted(config);
        for fresh in &prepared.fresh {
            if let Some(at) = still.iter().position(|w| *w == fresh.wanted) {
                still.swap_remove(at);
            }
        }
        let (keep, close): (Vec<Open>, Vec<Open>) = std::mem::take(&mut self.open).into_iter().partition(|open| {
            let at = still.iter().position(|w| *w == open.wanted);
            at.map(|at| still.swap_remove(at)).is_some()
        });
        self.open = keep;
        for old in close {
            tracing::info!("closed: {}", old.address);
            old.stop.cancel();
            if let (_, Listen::Unix { path, .. }) = &old.wanted {
                let _ = std::fs::remove_file(self.folder.join(path));
            }
        }
        for fresh in prepared.fresh {
            self.serve(fresh, servers);
        }
    }

    /// Serve one more, which no configuration has.
    pub fn serve_control(&mut self, listener: UnixListener, servers: &Servers) {
        self.tasks.spawn(web::serve_unix(listener, servers.web.clone(), Caller::Socket, CancellationToken::new()));
    }

    fn serve(&mut self, fresh: Fresh, servers: &Servers) {
        let stop = CancellationToken::new();
        let (workers, web, until) = (servers.workers.clone(), servers.web.clone(), stop.clone());
        match (fresh.wanted.0, fresh.socket) {
            (Who::Workers, Socket::Tcp(l)) => self.tasks.spawn(async move { workers.serve_until(l, until).await }),
            (Who::Workers, Socket::Unix(l)) => self.tasks.spawn(async move { workers.serve_unix_until(l, until).await }),
            (Who::Web, Socket::Tcp(l)) => self.tasks.spawn(web::serve_tcp(l, web, until)),
            (Who::Web, Socket::Unix(l)) => self.tasks.spawn(web::serve_unix(l, web, Caller::WebSocket, until)),
        };
        self.open.push(Open { wanted: fresh.wanted, address: fresh.address, stop });
    }

    /// Where it listens, for people.
    pub fn addresses(&self) -> Vec<String> {
        self.open.iter().map(|o| o.address.clone()).collect()
    }

    /// Close everything, and every connection.
    pub async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }

    fn bind(&self, (who, listen): &Wanted) -> Result<Fresh> {
        let wanted = (*who, listen.clone());
        let (socket, address) = match who {
            Who::Workers => for_workers(listen, &self.folder)?,
            Who::Web => for_the_web(listen, &self.folder)?,
        };
        Ok(Fresh { wanted, socket, address })
    }

    async fn bind_when_free(&self, want: &Wanted) -> Result<Fresh> {
        for _ in 0..LOOKS {
            match self.bind(want) {
                Err(e) if in_use(&e) => tokio::time::sleep(LOOK_EVERY).await,
                other => return other,
            }
        }
        self.bind(want)
    }
}

/// The open port that is not wanted any more and has the same number or path.
fn in_the_way(open: &[Open], kept: &[bool], (_, want): &Wanted) -> Option<usize> {
    let same = |o: &Open| match (&o.wanted.1, want) {
        (Listen::Tcp { port: a, .. }, Listen::Tcp { port: b, .. }) => a == b,
        (Listen::Unix { path: a, .. }, Listen::Unix { path: b, .. }) => a == b,
        _ => false,
    };
    (0..open.len()).find(|i| !kept[*i] && same(&open[*i]))
}

fn in_use(e: &anyhow::Error) -> bool {
    e.root_cause().downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::AddrInUse)
}

fn for_workers(listen: &Listen, folder: &Path) -> Result<(Socket, String)> {
    let failed = || format!("cannot listen for workers on {listen}");
    Ok(match listen {
        Listen::Tcp { interface, port } => {
            let listener = pb::bind_tcp(interface.as_deref(), *port).with_context(failed)?;
            let address = format!("workers on {}", listener.local_addr().with_context(failed)?);
            (Socket::Tcp(listener), address)
        }
        Listen::Unix { path, mode } => {
            let path = folder.join(path);
            (Socket::Unix(web::bind_unix(&path, *mode).with_context(failed)?), format!("workers on {}", path.display()))
        }
    })
}

fn for_the_web(listen: &Listen, folder: &Path) -> Result<(Socket, String)> {
    let listen = match listen {
        Listen::Unix { path, mode } => Listen::Unix { path: folder.join(path), mode: *mode },
        tcp => tcp.clone(),
    };
    Ok(match web::bind(&listen).context("the web port (c.www)")? {
        Bound::Tcp(listener) => {
            let address = format!("web on http://{}/", listener.local_addr().context("the web port (c.www)")?);
            (Socket::Tcp(listener), address)
        }
        Bound::Unix(listener) => (Socket::Unix(listener), format!("web on {}", listen)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_in_the_place_of_a_socket_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = PathBuf::from("workers.sock");
        std::fs::write(folder.path().join(&path), "mine").unwrap();
        let listen = Listen::Unix { path: path.clone(), mode: 0o600 };
        for refused in [for_workers(&listen, folder.path()).err(), for_the_web(&listen, folder.path()).err()] {
            let told = format!("{:#}", refused.expect("it must not be bound"));
            assert!(told.contains("no socket"), "{told}");
        }
        assert_eq!(std::fs::read(folder.path().join(path)).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn a_socket_may_have_a_long_path() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        for make in [for_workers, for_the_web] {
            let listen = Listen::Unix { path: "a.sock".into(), mode: 0o600 };
            let first = make(&listen, &deep).unwrap();
            let again = make(&listen, &deep).err().map(|e| format!("{e:#}"));
            assert!(again.is_some_and(|told| told.contains("another program listens there")));
            drop(first);
            // What is left of it is no obstacle.
            drop(make(&listen, &deep).unwrap());
        }
    }
}
