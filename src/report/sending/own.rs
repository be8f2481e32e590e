//! Sends through a reporter of the file's own: its `sendMessage` is called with what was queued. Never decides when to try again.

use std::sync::Arc;

use super::outbox::{Outcome, Sender};
use crate::config::FnRef;
use crate::lua::Generation;
use crate::model::OutboxItem;
use crate::workers::BoxFuture;

pub struct OwnSender {
    send_message: FnRef,
    generation: Arc<Generation>,
}

impl OwnSender {
    pub fn new(send_message: FnRef, generation: Arc<Generation>) -> OwnSender {
        OwnSender { send_message, generation }
    }
}

impl Sender for OwnSender {
    fn send<'a>(&'a mut self, _: &'a OutboxItem, payload: String, _: Option<String>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let reports: serde_json::Value = match serde_json::from_str(&payload) {
                // A name that belonged to a reporter of another kind.
                Ok(reports @ serde_json::Value::Array(_)) => reports,
                _ => return Outcome::Refused("what waits was made for a reporter of another class".into()),
            };
            match self.generation.send_message(&self.send_message, reports).await {
                Ok(()) => Outcome::Sent { remark: None },
                Err(failure) => Outcome::Later { error: failure.to_string(), progress: None },
            }
        })
    }

    fn rest(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
