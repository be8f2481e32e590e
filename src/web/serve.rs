//! How connections are taken and kept from holding the master: not too many, not for ever, not slower than they must.
//!
//! A connection has time to say a request and to take its answer. If there are too many, the one that has been idle
//! longest makes room for the new one, so a crowd of silent clients locks nobody out. Dropping the future that serves
//! closes all of its connections; told to stop listening, it lets them end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::backend::Caller;

/// The head of a request; what is longer is refused.
const MAX_HEAD: usize = 64 << 10;
/// After an error of `accept` (no more file descriptors, say) this long passes until the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a client may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub connections: usize,
    /// From the end of one answer, or the start of the connection, to the end of the next head.
    pub head: Duration,
    /// In which it takes nothing of an answer.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections: 1024, head: Duration::from_secs(60), stall: Duration::from_secs(60) }
    }
}

/// Listens until `stop`, then serves those who are connected to their end. Dropping it closes all.
pub async fn serve_tcp(listener: TcpListener, router: Router, stop: CancellationToken) {
    serve_tcp_within(listener, router, Limits::default(), stop).await;
}

/// The same for a Unix socket; what those who may connect to it count as.
pub async fn serve_unix(listener: UnixListener, router: Router, caller: Caller, stop: CancellationToken) {
    let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(stream, _)| (stream, caller));
    let guests = serve(accept, router, Limits::default(), &stop).await;
    drop(listener);
    finish(guests).await;
}

pub(super) async fn serve_tcp_within(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let accept = |cx: &mut Context<'_>| {
        listener.poll_accept(cx).map_ok(|(stream, peer)| {
            // answers are small and written at once: waiting for more to send only delays them
            _ = stream.set_nodelay(true);
            (stream, Caller::Tcp(peer))
        })
    };
    let guests = serve(accept, router, limits, &stop).await;
    drop(listener);
    finish(guests).await;
}

async fn finish(mut guests: JoinSet<()>) {
    while guests.join_next().await.is_some() {}
}

/// Takes connections until `stop`; those that are still there then.
async fn serve<S>(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(S, Caller)>>,
    router: Router,
    limits: Limits,
    stop: &CancellationToken,
) -> JoinSet<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let guests = Arc::new(Guests::default());
    let mut tasks = JoinSet::new();
    let mut failing = false;
    loop {
        while tasks.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stop.cancelled() => return tasks,
            accepted = poll_fn(&mut accept) => accepted,
        };
        match accepted {
            Ok((stream, caller)) => {
                failing = false;
                let seat = tokio::select! {
                    () = stop.cancelled() => return tasks,
                    seat = guests.seat(limits.connections) => seat,
                };
                tasks.spawn(attend(stream, caller, router.clone(), seat, limits));
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!("a connection to the web can't be taken: {error}; it is tried again");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, from its first request to its end.
async fn attend<S>(stream: S, caller: Caller, router: Router, seat: Seat, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let guest = seat.guest.clone();
    let guests = seat.guests.clone();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let busy = Busy::new(guests.clone(), guest.clone());
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(caller);
        let answer = router.call(request);
        async move {
            let answer = match answer.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            Ok::<_, Infallible>(answer.map(|body| Answer { body, _busy: busy }))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(MAX_HEAD);
    let patient = Patient { stream, stall: limits.stall, waiting: None };
    let mut connection = pin!(http.serve_connection(TokioIo::new(patient), service));
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %caller, "a connection to the web breaks off: {error}");
                }
                return;
            }
            () = seat.guest.leave.notified() => {
                tracing::debug!(peer = %caller, "an idle connection to the web makes room for another");
                if seat.guest.idle_since.load(Ordering::Relaxed) > 0 {
                    return;
                }
                // a request came in the same moment: it is answered first
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Who is connected.
#[derive(Default)]
struct Guests {
    /// Counts how often a connection became idle: the lower its number, the longer it is.
    turns: AtomicU64,
    ids: AtomicU64,
    seated: Mutex<HashMap<u64, Arc<Guest>>>,
    freed: Notify,
}

#[derive(Default)]
struct Guest {
    /// The turn at which it became idle; 0 while it is answered.
    idle_since: AtomicU64,
    leave: Notify,
}

impl Guests {
    fn seated(&self) -> MutexGuard<'_, HashMap<u64, Arc<Guest>>> {
        // what is locked stays whole if a thread panics
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A place for one more, when there is one.
    async fn seat(self: &Arc<Self>, most: usize) -> Seat {
        loop {
            {
                let mut seated = self.seated();
                if seated.len() >= most {
                    let idle =
                        seated.iter().map(|(id, guest)| (guest.idle_since.load(Ordering::Relaxed), *id)).filter(|(since, _)| *since > 0);
                    if let Some((_, id)) = idle.min()
                        && let Some(guest) = seated.remove(&id)
                    {
                        guest.leave.notify_one();
                    }
                }
                if seated.len() < most {
                    let guest = Arc::new(Guest { idle_since: AtomicU64::new(self.turn()), leave: Notify::new() });
                    let id = self.ids.fetch_add(1, Ordering::Relaxed);
                    seated.insert(id, guest.clone());
                    return Seat { guests: self.clone(), guest, id };
                }
            }
            self.freed.notified().await;
        }
    }
}

/// A place in the table; free again when it is dropped.
struct Seat {
    guests: Arc<Guests>,
    guest: Arc<Guest>,
    id: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guests.seated().remove(&self.id);
        self.guests.freed.notify_one();
    }
}

/// While it lives its guest is answered.
struct Busy {
    guests: Arc<Guests>,
    guest: Arc<Guest>,
}

impl Busy {
    fn new(guests: Arc<Guests>, guest: Arc<Guest>) -> Busy {
        guest.idle_since.store(0, Ordering::Relaxed);
        Busy { guests, guest }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.guest.idle_since.store(self.guests.turn(), Ordering::Relaxed);
        self.guests.freed.notify_one();
    }
}

/// The body of an answer; its guest is busy until it is sent.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that breaks off when the other side takes nothing for too long.
struct Patient<S> {
    stream: S,
    stall: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S: Unpin> Patient<S> {
    fn watch<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.waiting = None;
            return progress;
        }
        let stall = self.stall;
        ready!(self.waiting.get_or_insert_with(|| Box::pin(sleep(stall))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, progress)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, progress)
    }
}
