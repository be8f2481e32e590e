//! What happens on one PB connection, from the first byte to the last? The loop that reads, writes and minds the time.
//!
//! One task owns the connection. Each round it waits for one thing and handles it: room to write, a
//! request of the master, bytes, a slow reader that has caught up, or a deadline. It holds no buffer while nothing is
//! under way. Logging in is in `login`, commands are in `calls`.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, Sleep};

use super::Shared;
use super::calls::{Pending, Running};
use super::link::{Closed, Request, Requests};
use super::login::{Claim, Object};
use crate::wire::banana::{Decoder, Limits};
use crate::wire::jelly::{Failure, Value};
use crate::wire::pb::{Broker, Event, OPENING};
use crate::wire::{CommandEnd, Update};
use crate::workers::gate::Gate;
use crate::workers::link::{BoxFuture, CommandEvent, Link};

const LOGIN: Duration = Duration::from_secs(60);
/// A write that makes no headway for so long ends the connection.
const STALL: Duration = Duration::from_secs(60);
/// An idle worker is asked for a sign of life at least this often, or never.
const ASK: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(30);
/// With so much unsent, nothing is read: whoever does not take answers shall not ask.
const HIGH_WATER: usize = 1024 * 1024;
const STRANGERS_HIGH_WATER: usize = 16 * 1024;
const MAX_UNSENT: usize = 8 * 1024 * 1024;
const SMALLEST_READ: usize = 2048;
const LARGEST_READ: usize = 256 * 1024;

/// Why the session is over, and how loudly to say so.
pub(super) enum Ending {
    /// Nobody was there, or what is to be said has been said.
    Quiet(String),
    Loud(String),
}

pub(super) type Outcome<T> = Result<T, Ending>;

pub(super) fn loud<T>(why: impl Into<String>) -> Outcome<T> {
    Err(Ending::Loud(why.into()))
}

/// While this lives, the worker is attached; when it is dropped, in whatever way, the gate hears of it.
pub(super) struct Attached {
    pub gate: Arc<dyn Gate>,
    pub name: String,
    pub link: Arc<dyn Link>,
    pub closed: Closed,
    pub why: String,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.closed.send_replace(Some(self.why.as_str().into()));
        self.gate.detach(&self.name, &self.link, &self.why);
    }
}

/// Events that a reader has no room for. Nothing is read from the connection until it has.
pub(super) struct Stuck {
    key: u64,
    sender: mpsc::Sender<CommandEvent>,
    room: BoxFuture<'static, Option<mpsc::OwnedPermit<CommandEvent>>>,
    events: VecDeque<CommandEvent>,
}

enum Woken {
    Bytes,
    Closed(String),
    Request(Box<Request>),
    Room,
    Time,
}

pub(super) struct Session<S> {
    stream: S,
    pub shared: Arc<Shared>,
    pub peer: Arc<str>,
    decoder: Decoder,
    pub broker: Broker<Object, Pending>,
    read_size: usize,
    /// Bytes may be here that were not looked at, since too much was unsent or a reader was slow.
    leftover: bool,
    greeted: bool,
    flushed: bool,

    pub logins: u8,
    pub refused: bool,
    pub trusted: bool,
    pub claim: Option<Claim>,
    pub answer: Option<Result<Value, Failure>>,
    pub bot: i64,
    pub attached: Option<Attached>,
    pub requests: Option<Requests>,
    pub builders: Vec<(String, String)>,
    pub remotes: HashMap<String, i64>,
    /// Builder lists on their way.
    pub setting: usize,
    pub running: HashMap<u64, Running>,
    stuck: Option<Stuck>,

    timer: Pin<Box<Sleep>>,
    /// The login, then the attaching, must be over by then.
    pub deadline: Option<(Instant, &'static str)>,
    stalled: Option<Instant>,
    heard: Instant,
    pub asked: Option<Instant>,
    look: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub fn new(stream: S, peer: Arc<str>, shared: Arc<Shared>) -> Session<S> {
        let now = Instant::now();
        Session {
            stream,
            shared,
            peer,
            decoder: Decoder::new(Limits::STRANGER),
            broker: Broker::new(),
            read_size: SMALLEST_READ,
            leftover: false,
            greeted: false,
            flushed: true,
            logins: 0,
            refused: false,
            trusted: false,
            claim: None,
            answer: None,
            bot: 0,
            attached: None,
            requests: None,
            builders: Vec::new(),
            remotes: HashMap::new(),
            setting: 0,
            running: HashMap::new(),
            stuck: None,
            timer: Box::pin(tokio::time::sleep_until(now + LOGIN)),
            deadline: Some((now + LOGIN, "no login within 60 s")),
            stalled: None,
            heard: now,
            asked: None,
            look: now + ASK,
        }
    }

    /// Until the connection is gone.
    pub async fn run(mut self) {
        let ending = match self.live().await {
            Ok(never) => match never {},
            Err(ending) => ending,
        };
        let (why, quiet) = match ending {
            Ending::Quiet(why) => (why, true),
            Ending::Loud(why) => (why, false),
        };
        let peer = &self.peer;
        match &mut self.attached {
            // Who keeps the workers tells of it.
            Some(attached) => attached.why.clone_from(&why),
            None if quiet => tracing::debug!(peer = &**peer, why, "connection closed"),
            None => self.shared.complaints.complain("", peer, &format!("connection closed: {why}")),
        }
        self.lose_commands(&why);
    }

    async fn live(&mut self) -> Outcome<Infallible> {
        while self.claim.is_none() {
            self.round().await?;
        }
        if let Some(claim) = self.claim.take() {
            self.attach(claim).await?;
        }
        self.heard = Instant::now();
        self.look = self.heard + self.ask_interval().unwrap_or(ASK);
        loop {
            self.round().await?;
        }
    }

    /// The password was right.
    pub fn trust(&mut self) {
        self.trusted = true;
        self.decoder.set_limits(Limits::WORKER);
    }

    /// Waits for one thing and handles it.
    pub async fn round(&mut self) -> Outcome<()> {
        if self.broker.backlog() > MAX_UNSENT {
            return loud(format!("{} bytes are unsent since the worker does not read", self.broker.backlog()));
        }
        match poll_fn(|cx| self.poll(cx)).await {
            Woken::Bytes => {
                self.heard = Instant::now();
                self.understand()
            }
            Woken::Room => self.understand(),
            Woken::Closed(why) => {
                let silent = !self.greeted && self.decoder.buffer().is_empty();
                Err(if silent || self.refused { Ending::Quiet(why) } else { Ending::Loud(why) })
            }
            Woken::Request(request) => self.serve(*request),
            Woken::Time => self.on_time(),
        }
    }

    fn high_water(&self) -> usize {
        if self.trusted { HIGH_WATER } else { STRANGERS_HIGH_WATER }
    }

    fn understand(&mut self) -> Outcome<()> {
        self.leftover = false;
        if !self.greeted && !self.greet()? {
            return Ok(());
        }
        loop {
            if self.stuck.is_some() || self.broker.backlog() > self.high_water() {
                self.leftover = true;
                return Ok(());
            }
            let value = match self.decoder.decode() {
                Ok(Some(value)) => value,
                Ok(None) => return Ok(()),
                Err(trouble) => return loud(format!("not to be understood: {trouble}")),
            };
            match self.broker.receive(value) {
                Ok(Some(Event::Call(call))) => self.called(call)?,
                Ok(Some(Event::Answer(pending, result))) => self.answered(pending, result)?,
                Ok(Some(Event::Odd(what))) => tracing::debug!(peer = &*self.peer, what, "an odd PB message"),
                Ok(None) => {}
                Err(trouble) => return loud(trouble.to_string()),
            }
        }
    }

    /// The very first bytes tell a worker from all else.
    fn greet(&mut self) -> Outcome<bool> {
        let seen = &self.decoder.buffer()[..];
        let compared = seen.len().min(OPENING.len());
        if seen[..compared] != OPENING[..compared] {
            return loud(format!("not a worker: {}", what_is(seen)));
        }
        self.greeted = compared == OPENING.len();
        Ok(self.greeted)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        if let Poll::Ready(Err(trouble)) = self.poll_write(cx) {
            return Poll::Ready(Woken::Closed(format!("cannot send: {trouble}")));
        }
        if let Some(requests) = &mut self.requests
            && let Poll::Ready(Some(request)) = requests.poll_recv(cx)
        {
            return Poll::Ready(Woken::Request(request));
        }
        if self.stuck.is_some() {
            if self.poll_room(cx).is_ready() {
                return Poll::Ready(Woken::Room);
            }
        } else if self.broker.backlog() <= self.high_water() {
            if self.leftover {
                return Poll::Ready(Woken::Room);
            }
            if let Poll::Ready(woken) = self.poll_read(cx) {
                return Poll::Ready(woken);
            }
        }
        let next = self.next_time();
        if next < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(next);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Woken::Time)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while self.broker.backlog() > 0 {
            let output = self.broker.output();
            match Pin::new(&mut self.stream).poll_write(cx, output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => {
                    output.advance(sent);
                    self.stalled = None;
                    self.flushed = false;
                }
                Poll::Ready(Err(trouble)) => return Poll::Ready(Err(trouble)),
                Poll::Pending => {
                    self.stalled.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            }
        }
        if !self.flushed {
            *self.broker.output() = BytesMut::new();
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        let room = self.read_size.max(self.decoder.missing().min(LARGEST_READ));
        let largest = if self.trusted { LARGEST_READ } else { SMALLEST_READ };
        let buffer = self.decoder.buffer();
        if buffer.capacity() - buffer.len() < SMALLEST_READ.min(room) {
            buffer.reserve(room);
        }
        let offered = buffer.capacity() - buffer.len();
        match tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, buffer) {
            Poll::Ready(Ok(0)) => Poll::Ready(Woken::Closed("the worker closed the connection".to_owned())),
            Poll::Ready(Ok(count)) => {
                // Grows while the peer fills what it is offered, shrinks when it does not.
                self.read_size = match count {
                    _ if count == offered => (self.read_size * 4).min(largest),
                    _ if count * 4 < self.read_size => (self.read_size / 2).max(SMALLEST_READ),
                    _ => self.read_size,
                };
                Poll::Ready(Woken::Bytes)
            }
            Poll::Ready(Err(trouble)) => Poll::Ready(Woken::Closed(format!("cannot receive: {trouble}"))),
            Poll::Pending => {
                self.decoder.release();
                Poll::Pending
            }
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(stuck) = &mut self.stuck {
            let permit = ready!(stuck.room.as_mut().poll(cx));
            let next = stuck.events.pop_front();
            match (permit, next) {
                (Some(permit), Some(event)) => {
                    permit.send(event);
                    if stuck.events.is_empty() {
                        self.stuck = None;
                    } else {
                        stuck.room = room_in(stuck.sender.clone());
                    }
                }
                // The reader is gone: so are its events.
                _ => self.stuck = None,
            }
        }
        Poll::Ready(())
    }

    /// Passes an event of a command on. A reader without room stops the reading from the worker.
    pub fn emit(&mut self, key: u64, sender: &mpsc::Sender<CommandEvent>, event: CommandEvent) {
        if let Some(stuck) = &mut self.stuck
            && stuck.key == key
        {
            stuck.events.push_back(event);
            return;
        }
        let Err(TrySendError::Full(event)) = sender.try_send(event) else { return };
        if self.stuck.is_none() {
            let room = room_in(sender.clone());
            self.stuck = Some(Stuck { key, sender: sender.clone(), room, events: VecDeque::from([event]) });
        } else {
            send_later(sender.clone(), VecDeque::from([event]));
        }
    }

    pub fn emit_updates(&mut self, key: u64, sender: &mpsc::Sender<CommandEvent>, updates: Vec<Update>) {
        for update in updates {
            self.emit(key, sender, CommandEvent::Update(update));
        }
    }

    /// The connection is gone, and with it every running command.
    fn lose_commands(&mut self, why: &str) {
        for (key, running) in std::mem::take(&mut self.running) {
            self.emit(key, &running.events, CommandEvent::End(CommandEnd::Lost(why.to_owned())));
        }
        if let Some(stuck) = self.stuck.take() {
            send_later(stuck.sender, stuck.events);
        }
    }

    fn ask_interval(&self) -> Option<Duration> {
        let attached = self.attached.as_ref()?;
        let interval = attached.gate.keepalive_interval(&attached.name)?;
        Some(interval.clamp(Duration::from_secs(1), ASK))
    }

    fn next_time(&self) -> Instant {
        let mut next = self.look;
        if let Some((deadline, _)) = self.deadline {
            next = next.min(deadline);
        }
        if let Some(stalled) = self.stalled {
            next = next.min(stalled + STALL);
        }
        next
    }

    fn on_time(&mut self) -> Outcome<()> {
        let now = Instant::now();
        if let Some((deadline, why)) = self.deadline
            && now >= deadline
        {
            return if self.refused { Err(Ending::Quiet(why.to_owned())) } else { loud(why) };
        }
        if self.stalled.is_some_and(|since| now >= since + STALL) {
            return loud("the worker has not read anything for 60 s");
        }
        if now < self.look {
            return Ok(());
        }
        let Some(interval) = self.ask_interval() else {
            self.look = now + ASK;
            return Ok(());
        };
        if self.stuck.is_some() || self.leftover {
            // It cannot be heard while nothing is read.
            self.heard = now;
        }
        if let Some(asked) = self.asked {
            let limit = asked.max(self.heard) + ANSWER;
            if now >= limit {
                return loud("no answer to keepalive");
            }
            self.look = limit;
        } else if now >= self.heard + interval {
            self.print("keepalive", Pending::Keepalive);
            self.asked = Some(now);
            self.look = now + ANSWER;
        } else {
            self.look = self.heard + interval;
        }
        Ok(())
    }

    /// A line for the worker's log, and a sign of life from it.
    pub fn print(&mut self, message: &str, pending: Pending) {
        self.broker.call(self.bot, "print", &[], &[("message", Value::text(message))], pending);
    }
}

fn room_in(sender: mpsc::Sender<CommandEvent>) -> BoxFuture<'static, Option<mpsc::OwnedPermit<CommandEvent>>> {
    Box::pin(async move { sender.reserve_owned().await.ok() })
}

/// For events that must still arrive though the session cannot wait for their reader.
fn send_later(sender: mpsc::Sender<CommandEvent>, events: VecDeque<CommandEvent>) {
    tokio::spawn(async move {
        for event in events {
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
}

/// What a stranger seems to speak.
fn what_is(seen: &[u8]) -> String {
    let methods: [&[u8]; 6] = [b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"CONN"];
    if methods.iter().any(|method| seen.starts_with(method)) {
        "an HTTP request".to_owned()
    } else if seen.starts_with(&[0x16, 0x03]) {
        "a TLS hello; workers that use TLS need a TLS port".to_owned()
    } else if seen.starts_with(b"SSH-") {
        "an SSH greeting".to_owned()
    } else {
        format!("bytes that begin with \"{}\"", seen[..seen.len().min(24)].escape_ascii())
    }
}
