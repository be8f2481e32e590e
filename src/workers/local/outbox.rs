//! What is on its way to the master. While something waits here nothing more is read from the command, so a slow reader
//! slows the command down; timers and signals go on meanwhile.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::wire::{CommandEnd, Update};
use crate::workers::CommandEvent;

pub struct Outbox {
    events: mpsc::Sender<CommandEvent>,
    waiting: VecDeque<Update>,
}

impl Outbox {
    pub fn new(events: mpsc::Sender<CommandEvent>) -> Outbox {
        Outbox { events, waiting: VecDeque::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn push(&mut self, update: Update) {
        self.waiting.push_back(update);
    }

    pub fn header(&mut self, text: impl Into<String>) {
        self.push(Update::Header(text.into().into()));
    }

    /// Pass one update on, as soon as there is room for it. May be abandoned and called again.
    pub async fn pump(&mut self) {
        match self.events.reserve().await {
            Ok(room) => {
                if let Some(update) = self.waiting.pop_front() {
                    room.send(CommandEvent::Update(update));
                }
            }
            // Nobody listens any more.
            Err(_) => self.waiting.clear(),
        }
    }

    /// Pass everything on, and the end.
    pub async fn end(mut self, end: CommandEnd) {
        while !self.is_empty() {
            self.pump().await;
        }
        let _ = self.events.send(CommandEvent::End(end)).await;
    }

    /// The line is gone: tell so if there is room; a closed channel tells the same.
    pub fn lost(self, why: String) {
        let _ = self.events.try_send(CommandEvent::End(CommandEnd::Lost(why)));
    }
}
