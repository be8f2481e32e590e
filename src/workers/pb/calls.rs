//! What do calls from either side of a PB session mean? Commands and builders: the master's requests become calls to the worker,
//! and the worker's calls become events of running commands.
//!
//! It never waits; a command's end is told once, whatever the worker says after it.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::link::Request;
use super::login::{MAX_BUILDERS, Object};
use super::session::{Outcome, Session, loud};
use crate::wire::banana::MAX_STRING;
use crate::wire::jelly::{Failure, Value, updates};
use crate::wire::pb::{Call, Refusal, Target};
use crate::wire::{Command, CommandEnd};
use crate::workers::link::CommandEvent;

/// A command of more bytes is not sent, so that one can never fill the queue to a worker.
const MAX_COMMAND: usize = 4 * 1024 * 1024;

/// What waits for an answer of the worker.
pub(super) enum Pending {
    /// The call that attaching waits for.
    Attach,
    /// A call whose answer changes nothing.
    Nothing,
    Keepalive,
    Done(oneshot::Sender<()>),
    Builders(Vec<(String, String)>, oneshot::Sender<Result<(), String>>),
    Started(u64),
}

pub(super) struct Running {
    pub events: mpsc::Sender<CommandEvent>,
    builder: String,
    /// The command object that the worker calls.
    object: i64,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// A request of the master.
    pub fn serve(&mut self, request: Request) -> Outcome<()> {
        match request {
            Request::SetBuilders { builders, done } => {
                if builders == self.builders && self.setting == 0 {
                    let _ = done.send(Ok(()));
                } else if let Err(why) = check_builders(&builders) {
                    let _ = done.send(Err(why));
                } else {
                    self.setting += 1;
                    let list = builder_list(&builders);
                    self.broker.call(self.bot, "setBuilderList", &[list], &[], Pending::Builders(builders, done));
                }
            }
            Request::Start { key, builder, command, events } => {
                if let Err(why) = self.start(key, builder, command, events.clone()) {
                    self.emit(key, &events, CommandEvent::End(CommandEnd::Refused(why)));
                }
            }
            Request::Interrupt { key, why } => {
                if let Some(remote) = self.running.get(&key).and_then(|running| self.remotes.get(&running.builder)) {
                    let why = &why[..why.floor_char_boundary(4096)];
                    let args = [Value::text(&key.to_string()), Value::text(why)];
                    self.broker.call(*remote, "interruptCommand", &args, &[], Pending::Nothing);
                }
            }
            Request::Ping { done } => self.print("ping", Pending::Done(done)),
            Request::Shutdown { done } => self.broker.call(self.bot, "shutdown", &[], &[], Pending::Done(done)),
            Request::Disconnect { why } => return loud(why),
        }
        Ok(())
    }

    fn start(&mut self, key: u64, builder: String, command: Command, events: mpsc::Sender<CommandEvent>) -> Result<(), String> {
        let remote = *self.remotes.get(&builder).ok_or_else(|| format!("the worker has no builder '{builder}'"))?;
        if self.running.values().any(|running| running.builder == builder) {
            return Err(format!("a command is still running in builder '{builder}'"));
        }
        let args = command.to_jelly()?;
        let size = weight(&args);
        if size > MAX_COMMAND {
            return Err(format!("the command '{}' has {size} bytes of arguments; at most {MAX_COMMAND} are sent", command.name));
        }
        // Known before the call is sent: a quick command is over before the call is answered.
        let object = self.broker.export(Object::Command(key), true);
        self.running.insert(key, Running { events, builder, object });
        let args = [Value::Remote(object), Value::text(&key.to_string()), Value::text(&command.name), args];
        self.broker.call(remote, "startCommand", &args, &[], Pending::Started(key));
        Ok(())
    }

    pub fn send_builders(&mut self, builders: &[(String, String)], pending: Pending) -> Result<(), String> {
        check_builders(builders)?;
        self.broker.call(self.bot, "setBuilderList", &[builder_list(builders)], &[], pending);
        Ok(())
    }

    /// The worker's answer to a builder list: its objects for them.
    pub fn take_builders(&mut self, builders: Vec<(String, String)>, answer: Value) -> Result<(), String> {
        let mut remotes = HashMap::with_capacity(builders.len());
        if let Value::Dict(pairs) = &answer {
            remotes.extend(pairs.iter().filter_map(|(name, remote)| match remote {
                Value::Remote(id) => Some((name.to_text(), *id)),
                _ => None,
            }));
        }
        if let Some((missing, _)) = builders.iter().find(|(name, _)| !remotes.contains_key(name)) {
            self.broker.give_back_all(&answer);
            return Err(format!("the worker's answer lacks the builder '{missing}'"));
        }
        for (_, old) in std::mem::replace(&mut self.remotes, remotes) {
            self.broker.give_back(old);
        }
        self.builders = builders;
        // The worker kills and silences what runs in a builder that it drops.
        let gone: Vec<u64> =
            self.running.iter().filter(|(_, running)| !self.remotes.contains_key(&running.builder)).map(|(key, _)| *key).collect();
        for key in gone {
            self.end(key, CommandEnd::Lost("its builder was taken from the worker".to_owned()));
        }
        Ok(())
    }

    pub fn answered(&mut self, pending: Pending, result: Result<Value, Failure>) -> Outcome<()> {
        match pending {
            Pending::Attach => {
                self.answer = Some(result);
                return Ok(());
            }
            Pending::Builders(builders, done) => {
                self.setting = self.setting.saturating_sub(1);
                let taken = result.map_err(|failure| failure.to_string()).and_then(|value| self.take_builders(builders, value));
                let _ = done.send(taken);
                return Ok(());
            }
            Pending::Started(key) => {
                if let Err(failure) = &result {
                    self.end(key, CommandEnd::Refused(failure.story()));
                }
            }
            Pending::Keepalive => {
                self.asked = None;
                if let Some(attached) = &self.attached {
                    attached.gate.seen(&attached.name);
                }
            }
            Pending::Done(done) => {
                let _ = done.send(());
            }
            Pending::Nothing => {}
        }
        if let Ok(value) = &result {
            self.broker.give_back_all(value);
        }
        Ok(())
    }

    /// A call of the worker.
    pub fn called(&mut self, call: Call) -> Outcome<()> {
        let id = match call.target {
            Target::Root => return self.root_called(call),
            Target::Object(id) => id,
        };
        let key = match self.broker.object(id) {
            Some(Object::Challenger { .. }) => return self.challenged(id, call),
            Some(Object::Avatar) => {
                self.avatar_called(call);
                return Ok(());
            }
            Some(Object::Command(key)) => Some(*key),
            None if !self.trusted => {
                self.broker.refuse(call.reply, &Refusal::NoSuchObject);
                return Ok(());
            }
            None => None,
        };
        self.command_called(key, id, call);
        Ok(())
    }

    /// A call to a command object, or to one that is no more: workers keep calling for a while, and must get an answer.
    fn command_called(&mut self, key: Option<u64>, id: i64, call: Call) {
        if key.is_none() {
            let method = call.method.escape_ascii();
            tracing::debug!(peer = &*self.peer, object = id, %method, "a call to an object that is no more");
        }
        let answer = match &call.method[..] {
            b"update" => Value::Int(0),
            b"complete" | b"write" | b"close" | b"utime" | b"unpack" => Value::None,
            b"read" => Value::Bytes(Bytes::new()),
            other => {
                let method = String::from_utf8_lossy(&other[..other.len().min(100)]).into_owned();
                let refusal = if key.is_some() { Refusal::NoSuchMethod(method) } else { Refusal::NoSuchObject };
                self.broker.refuse(call.reply, &refusal);
                return;
            }
        };
        self.broker.answer(call.reply, &answer);
        let argument = call.args.map(|args| args.into_iter().next().unwrap_or(Value::None));
        if let Ok(value) = &argument {
            self.broker.give_back_all(value);
        }
        let Some(key) = key else { return };
        match (&call.method[..], argument) {
            (b"update", Ok(value)) => {
                if let Some(running) = self.running.get(&key) {
                    let events = running.events.clone();
                    self.emit_updates(key, &events, updates(value));
                }
            }
            (b"update", Err(trouble)) => tracing::warn!(peer = &*self.peer, %trouble, "an update that cannot be read"),
            (b"complete", Ok(Value::None)) => self.end(key, CommandEnd::Complete),
            (b"complete", Ok(failure)) => self.end(key, CommandEnd::Failed(Failure::from_value(&failure).story())),
            (b"complete", Err(trouble)) => self.end(key, CommandEnd::Failed(format!("the worker's failure cannot be read: {trouble}"))),
            _ => {}
        }
    }

    /// The command is over; its object is forgotten.
    fn end(&mut self, key: u64, end: CommandEnd) {
        if let Some(running) = self.running.remove(&key) {
            self.broker.forget(running.object);
            self.emit(key, &running.events, CommandEvent::End(end));
        }
    }
}

fn check_builders(builders: &[(String, String)]) -> Result<(), String> {
    if builders.len() > MAX_BUILDERS {
        return Err(format!("{} builders; a worker takes at most {MAX_BUILDERS}", builders.len()));
    }
    match builders.iter().find(|(name, folder)| name.len().max(folder.len()) > MAX_STRING) {
        Some(_) => Err(format!("the name or folder of a builder is longer than {MAX_STRING} bytes")),
        None => Ok(()),
    }
}

fn builder_list(builders: &[(String, String)]) -> Value {
    let pair = |(name, folder): &(String, String)| Value::Tuple(vec![Value::text(name), Value::text(folder)]);
    Value::List(builders.iter().map(pair).collect())
}

/// About how many bytes a value takes on the line.
fn weight(value: &Value) -> usize {
    match value {
        Value::Text(bytes) | Value::Bytes(bytes) => bytes.len() + 16,
        Value::List(items) | Value::Tuple(items) => 8 + items.iter().map(weight).sum::<usize>(),
        Value::Dict(pairs) => 8 + pairs.iter().map(|(key, value)| 2 + weight(key) + weight(value)).sum::<usize>(),
        _ => 12,
    }
}
