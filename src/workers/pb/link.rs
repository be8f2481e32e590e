//! What can be asked of a worker that is attached over PB? The handle that the rest of the master holds.
//!
//! It only passes requests to the session's task and never touches the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::wire::{Command, CommandEnd};
use crate::workers::link::{BoxFuture, CommandEvent, Link, RunningCommand};

/// Updates that may wait for a slow reader before the worker is slowed down.
const UPDATES: usize = 16;

pub(super) enum Request {
    SetBuilders { builders: Vec<(String, String)>, done: oneshot::Sender<Result<(), String>> },
    Start { key: u64, builder: String, command: Command, events: mpsc::Sender<CommandEvent> },
    Interrupt { key: u64, why: String },
    Ping { done: oneshot::Sender<()> },
    Shutdown { done: oneshot::Sender<()> },
    Disconnect { why: String },
}

/// Boxed, since the queue of every idle session has room for many of them.
pub(super) type Requests = mpsc::UnboundedReceiver<Box<Request>>;
/// Empty while the line is up, then the reason why it is not.
pub(super) type Closed = watch::Sender<Option<Arc<str>>>;

pub struct PbLink {
    requests: mpsc::UnboundedSender<Box<Request>>,
    closed: watch::Receiver<Option<Arc<str>>>,
    next_key: AtomicU64,
}

impl PbLink {
    pub(super) fn new() -> (PbLink, Requests, Closed) {
        let (requests, taken) = mpsc::unbounded_channel();
        let (closed, watched) = watch::channel(None);
        (PbLink { requests, closed: watched, next_key: AtomicU64::new(0) }, taken, closed)
    }

    fn send(&self, request: Request) {
        // A session that is gone drops the request, and with it whoever waits for an answer hears of it.
        let _ = self.requests.send(Box::new(request));
    }

    fn why_closed(&self) -> String {
        self.closed.borrow().as_deref().unwrap_or("the connection is closed").to_owned()
    }
}

impl Link for PbLink {
    fn set_builders(&self, builders: Vec<(String, String)>) -> BoxFuture<'_, Result<(), String>> {
        let (done, answer) = oneshot::channel();
        self.send(Request::SetBuilders { builders, done });
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(self.why_closed())) })
    }

    fn start(&self, builder: &str, command: Command) -> RunningCommand {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let (events, receiver) = mpsc::channel(UPDATES);
        let request = Request::Start { key, builder: builder.to_owned(), command, events: events.clone() };
        if self.requests.send(Box::new(request)).is_err() {
            let _ = events.try_send(CommandEvent::End(CommandEnd::Lost(self.why_closed())));
        }
        let requests = self.requests.clone();
        let interrupt = move |why: &str| {
            let _ = requests.send(Box::new(Request::Interrupt { key, why: why.to_owned() }));
        };
        RunningCommand::new(receiver, Arc::new(interrupt))
    }

    fn ping(&self, deadline: Duration) -> BoxFuture<'_, Result<(), String>> {
        let (done, answer) = oneshot::channel();
        self.send(Request::Ping { done });
        Box::pin(async move {
            match tokio::time::timeout(deadline, answer).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(self.why_closed()),
                Err(_) => Err(format!("no answer within {}", crate::base::duration::human(deadline))),
            }
        })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        let (done, answer) = oneshot::channel();
        self.send(Request::Shutdown { done });
        Box::pin(async move {
            let _ = answer.await;
        })
    }

    fn disconnect(&self, why: &str) {
        self.send(Request::Disconnect { why: why.to_owned() });
    }

    fn closed(&self) -> BoxFuture<'_, String> {
        Box::pin(wait_closed(self.closed.clone()))
    }
}

async fn wait_closed(mut closed: watch::Receiver<Option<Arc<str>>>) -> String {
    match closed.wait_for(Option::is_some).await {
        Ok(why) => why.as_deref().unwrap_or_default().to_owned(),
        Err(_) => "the session ended".to_owned(),
    }
}
