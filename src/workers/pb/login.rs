//! Who is it, and may it attach? The login on a PB connection, and what is settled before the worker is taken.
//!
//! A name that is not known looks like a wrong password. A worker hears `UnauthorizedLogin`, success, or nothing and a closed
//! connection: any other error would end its process.

use std::sync::Arc;
use std::time::Duration;

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::calls::Pending;
use super::link::PbLink;
use super::session::{Attached, Outcome, Session, loud};
use crate::base::Secret;
use crate::model::WorkerInfo;
use crate::wire::jelly::{Failure, Value};
use crate::wire::pb::{Call, Refusal, Reply};
use crate::workers::link::Link;

/// Challenges that one connection may ask for.
const MAX_LOGINS: u8 = 4;
/// For what lies between the password and the builds. Making folders and deleting leftovers can take a worker long.
const ATTACH: Duration = Duration::from_secs(300);
/// For the old connection to say that it lives when a second one comes with its name.
const OLD_ANSWERS: Duration = Duration::from_secs(5);
/// The table of a stock worker holds no more objects.
pub(super) const MAX_BUILDERS: usize = 1024;

/// The master's objects that a worker can call.
pub(super) enum Object {
    Challenger {
        name: String,
        challenge: [u8; 16],
    },
    Avatar,
    /// By its key.
    Command(u64),
}

/// A worker that has shown its password: what it is called, its bot, and the call that waits for an avatar.
pub(super) struct Claim {
    name: String,
    /// The one that it proved, which may have changed by the time it attaches.
    password: Option<Secret>,
    bot: i64,
    reply: Reply,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// A call to the root object.
    pub fn root_called(&mut self, call: Call) -> Outcome<()> {
        let name = match (&call.method[..], &call.args) {
            (b"login", Ok(args)) => args.first().and_then(Value::as_bytes).map(|name| String::from_utf8_lossy(name).into_owned()),
            _ => None,
        };
        let Some(name) = name else {
            self.broker.refuse(call.reply, &Refusal::Unauthorized);
            return Ok(());
        };
        self.logins += 1;
        if self.logins > MAX_LOGINS {
            return loud("too many logins on one connection");
        }
        let challenge = match self.shared.challenge {
            Some(fixed) => fixed,
            None => {
                let mut fresh = [0; 16];
                if let Err(trouble) = getrandom::fill(&mut fresh) {
                    return loud(format!("no random bytes for a challenge: {trouble}"));
                }
                fresh
            }
        };
        let challenger = self.broker.export(Object::Challenger { name, challenge }, false);
        let answer = Value::Tuple(vec![Value::Bytes(challenge.to_vec().into()), Value::Remote(challenger)]);
        self.broker.answer(call.reply, &answer);
        Ok(())
    }

    /// A call to a challenger.
    pub fn challenged(&mut self, id: i64, call: Call) -> Outcome<()> {
        let args = call.args.unwrap_or_default();
        let Some(Object::Challenger { name, challenge }) = self.broker.forget(id) else { return Ok(()) };
        let (b"respond", [response, Value::Remote(bot)]) = (&call.method[..], &args[..]) else {
            args.iter().for_each(|arg| self.broker.give_back_all(arg));
            self.broker.refuse(call.reply, &Refusal::Unauthorized);
            return Ok(());
        };
        let bot = *bot;
        let password = match self.shared.gate.password(&name) {
            Ok(password) => password,
            // A refusal would end the worker's process; a closed connection lets it try again.
            Err(why) => return loud(format!("worker '{name}' can't log in: {why}")),
        };
        let right = response.as_bytes().is_some_and(|r| password.as_ref().is_some_and(|p| proves(r, p, &challenge)));
        if self.claim.is_some() || self.refused || self.trusted || !right {
            let why = if password.is_some() { "wrong password" } else { "unknown name" };
            self.shared.complaints.complain(&name, &self.peer, &format!("login refused: {why}"));
            self.refused = true;
            self.broker.refuse(call.reply, &Refusal::Unauthorized);
            self.broker.give_back(bot);
            return Ok(());
        }
        self.trust();
        self.claim = Some(Claim { name, password, bot, reply: call.reply });
        Ok(())
    }

    /// Takes the worker: afterwards the gate has its link.
    pub async fn attach(&mut self, claim: Claim) -> Outcome<()> {
        let Claim { name, password, bot, reply } = claim;
        self.bot = bot;
        self.deadline = Some((Instant::now() + ATTACH, "not attached within 5 min"));
        self.settle_duplicate(&name).await?;
        self.print("attached", Pending::Attach);
        // An error is an answer too: there is somebody.
        let _ = self.result().await?;
        self.broker.call(bot, "getWorkerInfo", &[], &[], Pending::Attach);
        let info = match self.result().await? {
            Ok(info) => worker_info(&info),
            Err(failure) => return loud(format!("worker '{name}' does not tell about itself: {failure}")),
        };
        let builders = self.shared.gate.builders(&name);
        if let Err(why) = self.send_builders(&builders, Pending::Attach) {
            return loud(format!("worker '{name}': {why}"));
        }
        let taken = self.result().await?.map_err(|failure| failure.to_string());
        if let Err(why) = taken.and_then(|value| self.take_builders(builders, value)) {
            return loud(format!("worker '{name}' does not take its builders: {why}"));
        }
        if self.shared.gate.password(&name).is_ok_and(|now| now != password) {
            return loud(format!("worker '{name}' logged in with a password that was changed meanwhile"));
        }
        let (link, requests, closed) = PbLink::new();
        let link: Arc<dyn Link> = Arc::new(link);
        let gate = self.shared.gate.clone();
        tracing::info!(worker = name, peer = &*self.peer, version = info.version, "worker attaches");
        if let Err(why) = gate.attach(&name, &self.peer, info, link.clone()) {
            return loud(format!("worker '{name}' is turned away: {why}"));
        }
        self.attached = Some(Attached { gate, name, link, closed, why: "the session was dropped".to_owned() });
        self.requests = Some(requests);
        let avatar = self.broker.export(Object::Avatar, true);
        self.broker.answer(reply, &Value::Remote(avatar));
        self.deadline = None;
        Ok(())
    }

    /// Of two connections with one name the older stays if it lives; the newer is closed, and its worker tries again.
    async fn settle_duplicate(&mut self, name: &str) -> Outcome<()> {
        let Some(old) = self.shared.gate.attached(name) else { return Ok(()) };
        let answer = {
            let mut ping = old.ping(OLD_ANSWERS);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut ping => break answer,
                    round = self.round() => round?,
                }
            }
        };
        let Err(why) = answer else {
            return loud(format!("worker '{name}' is attached already, and that connection answers"));
        };
        tracing::info!(worker = name, peer = &*self.peer, why, "the worker's old connection is dead, a new one takes its place");
        old.disconnect("a new connection took the place of this one, which no longer answers");
        let _ = tokio::time::timeout(OLD_ANSWERS, old.closed()).await;
        Ok(())
    }

    /// Waits for the answer of the call made for attaching.
    async fn result(&mut self) -> Outcome<Result<Value, Failure>> {
        loop {
            if let Some(result) = self.answer.take() {
                return Ok(result);
            }
            self.round().await?;
        }
    }

    /// A call to the avatar.
    pub fn avatar_called(&mut self, call: Call) {
        let name = self.attached.as_ref().map(|attached| attached.name.as_str()).unwrap_or_default();
        match &call.method[..] {
            b"keepalive" => self.shared.gate.seen(name),
            b"shutdown" => {
                tracing::info!(worker = name, "the worker asks to be shut down");
                self.shared.gate.shutdown_requested(name);
            }
            other => {
                let method = String::from_utf8_lossy(&other[..other.len().min(100)]).into_owned();
                self.broker.refuse(call.reply, &Refusal::NoSuchMethod(method));
                return;
            }
        }
        self.broker.answer(call.reply, &Value::None);
    }
}

/// MD5(MD5(password) + challenge), compared without telling by its time how much of it is right.
fn proves(response: &[u8], password: &Secret, challenge: &[u8; 16]) -> bool {
    let inner = Md5::digest(password.reveal().as_bytes());
    let expected = Md5::new().chain_update(inner).chain_update(challenge).finalize();
    expected.as_slice().ct_eq(response).into()
}

/// What `getWorkerInfo` answered. Anything may be missing.
fn worker_info(answer: &Value) -> WorkerInfo {
    let mut info = WorkerInfo::default();
    let Value::Dict(pairs) = answer else { return info };
    let texts = |value: &Value| match value {
        Value::Dict(pairs) => pairs.iter().map(|(key, value)| (key.to_text(), value.to_text())).collect(),
        _ => Default::default(),
    };
    for (key, value) in pairs {
        match key.to_text().as_str() {
            "environ" => info.environ = texts(value),
            "worker_commands" => info.commands = texts(value),
            "system" => info.system = value.to_text(),
            "basedir" => info.basedir = value.to_text(),
            "version" => info.version = value.to_text(),
            "numcpus" => info.numcpus = value.as_int(),
            "delete_leftover_dirs" => info.delete_leftover_dirs = *value == Value::Bool(true),
            file if value.as_bytes().is_some() => {
                info.files.insert(file.to_owned(), value.to_text());
            }
            _ => {}
        }
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_response_proves_the_recorded_password() {
        let challenge = 0x69d8_3336_3771_a521_9f95_f1d1_cb69_0c48_u128.to_be_bytes();
        let response = 0xb3c7_ca92_b260_49a5_0b24_3219_6e65_ebcd_u128.to_be_bytes();
        assert!(proves(&response, &Secret::new("secret-pw"), &challenge));
        assert!(!proves(&response, &Secret::new("secret-pW"), &challenge));
        assert!(!proves(&response[..15], &Secret::new("secret-pw"), &challenge));
    }

    #[test]
    fn worker_info_takes_raw_strings_and_misses_nothing() {
        let raw = |text: &'static str| Value::Bytes(text.as_bytes().into());
        let info = worker_info(&Value::Dict(vec![
            (raw("admin"), Value::text("me\n")),
            (Value::text("numcpus"), Value::Int(4)),
            (raw("worker_commands"), Value::Dict(vec![(raw("shell"), raw("3.1"))])),
            (raw("odd"), Value::Int(1)),
        ]));
        assert_eq!((info.files["admin"].as_str(), info.numcpus, info.commands["shell"].as_str()), ("me\n", Some(4), "3.1"));
        assert_eq!(info.files.len(), 1);
        assert_eq!(worker_info(&Value::None), WorkerInfo::default());
    }
}
