//! The threads that talk to the database: one writes, two read.
//!
//! The writer commits what is queued in one transaction. When one piece of work fails, the transaction is taken back
//! and each piece runs again in a transaction of its own, so that a failure hurts only its owner. Work is therefore
//! `Fn`: it may run twice. Never knows a table.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::StoreError;
use super::sql::{Result, Sql};

/// The most pieces of work in one transaction, so that the first of them is not kept waiting by the last.
const BATCH: usize = 512;
/// Errors nobody waits for are logged this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);

pub(super) type After = Box<dyn FnOnce(&Result<()>) + Send>;

/// A piece of work for a thread of the database.
trait Job: Send {
    fn run(&mut self, sql: &mut dyn Sql) -> Result<()>;
    /// What became of it; after the commit.
    fn done(self: Box<Self>, outcome: Result<()>);
}

enum Message {
    Job(Box<dyn Job>),
    Stop(oneshot::Sender<()>),
}

pub(super) struct Engine {
    writes: Sender<Message>,
    reads: Sender<Message>,
    readers: usize,
    complaints: Arc<Complaints>,
}

impl Engine {
    pub fn start(writer: Box<dyn Sql>, readers: Vec<Box<dyn Sql>>) -> Result<Engine> {
        let (writes, queue) = channel();
        spawn("store-write", move || write_loop(writer, &queue))?;
        let (reads, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let count = readers.len();
        for reader in readers {
            let queue = queue.clone();
            spawn("store-read", move || read_loop(reader, &queue))?;
        }
        Ok(Engine { writes, reads, readers: count, complaints: Arc::default() })
    }

    /// Writes, and answers when it is committed.
    pub async fn write<T, F>(&self, what: impl Display + Send + 'static, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
    {
        call(&self.writes, what, work).await
    }

    pub async fn read<T, F>(&self, what: impl Display + Send + 'static, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
    {
        call(&self.reads, what, work).await
    }

    /// Queues a write. What is queued later is committed with it or after it.
    pub fn queue<F>(&self, what: impl Display + Send + 'static, work: F, after: Option<After>) -> Ticket
    where
        F: Fn(&mut dyn Sql) -> Result<()> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let complaints = self.complaints.clone();
        let job = Call {
            what,
            work,
            answer: None,
            reply: move |outcome: Result<()>| {
                if let Some(after) = after {
                    after(&outcome);
                }
                if let Err(Err(error)) = reply.send(outcome) {
                    complaints.log(&error);
                }
            },
        };
        // When the store is closed the work is dropped, and with it the other end of the ticket. `after` does not run
        // then: whoever queues may hold what it locks.
        let _ = self.writes.send(Message::Job(Box::new(job)));
        Ticket { answer, complaints: self.complaints.clone(), taken: false }
    }

    /// Commits what is queued and ends the threads. Work that comes later is refused.
    pub async fn stop(&self) {
        let threads = std::iter::once(&self.writes).chain(std::iter::repeat_n(&self.reads, self.readers));
        let mut stopped = Vec::new();
        for thread in threads {
            let (told, done) = oneshot::channel();
            if thread.send(Message::Stop(told)).is_ok() {
                stopped.push(done);
            }
        }
        for done in stopped {
            // An error means that the thread is gone already.
            let _ = done.await;
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = thread::Builder::new().name(name.into()).stack_size(512 * 1024).spawn(body);
    spawned.map(drop).map_err(|e| StoreError::database(e).during(format_args!("starting thread {name}")))
}

async fn call<T, F>(thread: &Sender<Message>, what: impl Display + Send + 'static, work: F) -> Result<T>
where
    T: Send + 'static,
    F: Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    // Whoever asked may have gone; then nobody wants the answer.
    let job = Call { what, work, answer: None, reply: move |outcome: Result<T>| drop(reply.send(outcome)) };
    thread.send(Message::Job(Box::new(job))).map_err(|_| StoreError::Closed)?;
    answer.await.unwrap_or(Err(StoreError::Closed))
}

struct Call<W, F, T, R> {
    what: W,
    work: F,
    answer: Option<T>,
    reply: R,
}

impl<W, F, T, R> Job for Call<W, F, T, R>
where
    W: Display + Send,
    F: Fn(&mut dyn Sql) -> Result<T> + Send,
    T: Send,
    R: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, sql: &mut dyn Sql) -> Result<()> {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(sql)));
        self.answer = Some(outcome.unwrap_or_else(|_| Err(StoreError::database("a defect of this program stopped the work")))?);
        Ok(())
    }

    fn done(self: Box<Self>, outcome: Result<()>) {
        let Call { what, answer, reply, .. } = *self;
        let answer = outcome.and_then(|()| answer.ok_or(StoreError::Closed)).map_err(|e| e.during(what));
        reply(answer);
    }
}

fn write_loop(mut sql: Box<dyn Sql>, queue: &Receiver<Message>) {
    let mut stop = None;
    while stop.is_none()
        && let Ok(message) = queue.recv()
    {
        let mut batch = Vec::new();
        let mut next = Some(message);
        while let Some(message) = next.take() {
            match message {
                Message::Job(job) => batch.push(job),
                Message::Stop(told) => stop = Some(told),
            }
            if stop.is_none() && batch.len() < BATCH {
                next = queue.try_recv().ok();
            }
        }
        run_batch(&mut *sql, batch);
    }
    drop(sql);
    if let Some(told) = stop {
        let _ = told.send(());
    }
}

fn run_batch(sql: &mut dyn Sql, mut batch: Vec<Box<dyn Job>>) {
    if batch.is_empty() {
        return;
    }
    let together = in_transaction(sql, |sql| batch.iter_mut().try_for_each(|job| job.run(sql)));
    match together {
        Ok(()) => batch.into_iter().for_each(|job| job.done(Ok(()))),
        Err(error) if batch.len() == 1 => batch.into_iter().for_each(|job| job.done(Err(error.clone()))),
        Err(_) => {
            for mut job in batch {
                let outcome = in_transaction(sql, |sql| job.run(sql));
                job.done(outcome);
            }
        }
    }
}

fn in_transaction(sql: &mut dyn Sql, work: impl FnOnce(&mut dyn Sql) -> Result<()>) -> Result<()> {
    sql.begin()?;
    let outcome = work(sql).and_then(|()| sql.commit());
    if outcome.is_err() {
        sql.rollback();
    }
    outcome
}

fn read_loop(mut sql: Box<dyn Sql>, queue: &Mutex<Receiver<Message>>) {
    loop {
        let message = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match message {
            Ok(Message::Job(mut job)) => {
                let outcome = job.run(&mut *sql);
                job.done(outcome);
            }
            Ok(Message::Stop(told)) => {
                drop(sql);
                let _ = told.send(());
                return;
            }
            Err(_) => return,
        }
    }
}

/// A write that is queued in order. Await it to know that it is committed; or drop it, then a failure is logged.
#[must_use = "await it, or drop it in so many words"]
pub struct Ticket {
    answer: oneshot::Receiver<Result<()>>,
    complaints: Arc<Complaints>,
    taken: bool,
}

impl Future for Ticket {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.answer).poll(context));
        self.taken = true;
        Poll::Ready(answer.unwrap_or(Err(StoreError::Closed)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The failure may be there already although nobody looked.
        if !self.taken
            && let Ok(Err(error)) = self.answer.try_recv()
        {
            self.complaints.log(&error);
        }
    }
}

/// Failures that nobody waits for, a few of them.
#[derive(Default)]
struct Complaints {
    last: Mutex<Option<Instant>>,
    kept_back: AtomicU64,
}

impl Complaints {
    fn log(&self, error: &StoreError) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < COMPLAIN_EVERY) {
            self.kept_back.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *last = Some(Instant::now());
        let more = self.kept_back.swap(0, Ordering::Relaxed);
        tracing::error!(%error, not_shown = more, "a write to the store failed");
    }
}
