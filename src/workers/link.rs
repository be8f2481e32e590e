//! The line to an attached worker, whatever is behind it: a PB connection or the local worker.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::wire::{Command, CommandEnd, Update};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What comes of a running command, in order; `End` is last and comes exactly once.
#[derive(Debug)]
pub enum CommandEvent {
    Update(Update),
    End(CommandEnd),
}

/// A command under way. If the channel closes without an end, the worker is lost.
pub struct RunningCommand {
    /// Bounded: a slow reader slows the worker down instead of filling memory.
    pub events: mpsc::Receiver<CommandEvent>,
    interrupt: Arc<dyn Fn(&str) + Send + Sync>,
}

impl RunningCommand {
    pub fn new(events: mpsc::Receiver<CommandEvent>, interrupt: Arc<dyn Fn(&str) + Send + Sync>) -> RunningCommand {
        RunningCommand { events, interrupt }
    }

    /// Ask the worker to stop it; the events go on to their end.
    pub fn interrupt(&self, why: &str) {
        (self.interrupt)(why);
    }

    /// The same, to be kept elsewhere.
    pub fn interrupter(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        self.interrupt.clone()
    }
}

/// An attached worker.
pub trait Link: Send + Sync + 'static {
    /// The builders that may run there, with their folders on the worker. Answers when the worker has taken the list.
    fn set_builders(&self, builders: Vec<(String, String)>) -> BoxFuture<'_, Result<(), String>>;

    /// Start a command in a builder's folder. One command per builder at a time.
    fn start(&self, builder: &str, command: Command) -> RunningCommand;

    /// Ask for a sign of life.
    fn ping(&self, deadline: Duration) -> BoxFuture<'_, Result<(), String>>;

    /// Ask the worker's process to end.
    fn shutdown(&self) -> BoxFuture<'_, ()>;

    /// Cut the line, for a reason that goes to the log.
    fn disconnect(&self, why: &str);

    /// Resolves once the line is gone, with the reason.
    fn closed(&self) -> BoxFuture<'_, String>;
}
