//! What was called, answered, handed out and given back on one connection? The master's side of the PB broker.
//!
//! It is a pure state machine: decoded values in, events out, and bytes to be sent in [`Broker::output`]. It never does
//! I/O and knows neither what the objects are nor what the calls do.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::banana::{Banana, put_bytes, put_int, put_list};
use super::jelly::{Failure, JellyError, Value};

/// What the server says first: the dialects `pb` and `none`, spelt out.
const DIALECTS: &[u8] = &[0x02, 0x80, 0x02, 0x82, b'p', b'b', 0x04, 0x82, b'n', b'o', b'n', b'e'];
/// What the client must say first: the dialect `pb`.
pub const OPENING: &[u8] = &[0x02, 0x82, b'p', b'b'];
const VERSION: i64 = 6;

/// Why the peer cannot be gone on with.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PbError {
    #[error("no PB dialect was chosen")]
    Dialect,
    #[error("PB version {0} instead of {VERSION}")]
    Version(i64),
    #[error("a PB message that is malformed")]
    Malformed,
    #[error("a PB message of the unknown kind '{0}'")]
    Kind(String),
}

/// The obligation to answer one call, exactly once; [`Broker::answer`] and [`Broker::refuse`] consume it. Nothing is
/// sent for a call that wants no answer.
#[must_use]
#[derive(PartialEq, Eq, Debug)]
pub struct Reply(Option<i64>);

/// Whose method is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Root,
    /// An object that was handed out, or an invention of the peer.
    Object(i64),
}

#[derive(PartialEq, Debug)]
pub struct Call {
    pub target: Target,
    pub method: Bytes,
    /// Positional arguments; workers give no others.
    pub args: Result<Vec<Value>, JellyError>,
    pub reply: Reply,
}

#[derive(PartialEq, Debug)]
pub enum Event<P> {
    Call(Call),
    /// What was waiting for it, and what came.
    Answer(P, Result<Value, Failure>),
    /// Nothing to do but perhaps to tell.
    Odd(&'static str),
}

/// Why a call is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    Unauthorized,
    NoSuchMethod(String),
    NoSuchObject,
    Trouble(String),
}

struct Entry<O> {
    object: O,
    count: u32,
    /// Stays when the peer gives back its last reference.
    lasting: bool,
}

#[derive(PartialEq)]
enum Phase {
    Dialect,
    Version,
    Open,
}

/// Objects of kind `O` handed out; calls under way, each with a `P` that waits for its answer.
pub struct Broker<O, P> {
    out: BytesMut,
    phase: Phase,
    objects: HashMap<i64, Entry<O>>,
    next_object: i64,
    waiting: HashMap<i64, P>,
    next_call: i64,
}

impl<O, P> Default for Broker<O, P> {
    fn default() -> Broker<O, P> {
        Broker::new()
    }
}

impl<O, P> Broker<O, P> {
    /// A connection that was just accepted; the first bytes to be sent are in the output at once.
    pub fn new() -> Broker<O, P> {
        Broker {
            out: BytesMut::from(DIALECTS),
            phase: Phase::Dialect,
            objects: HashMap::new(),
            next_object: 1,
            waiting: HashMap::new(),
            next_call: 1,
        }
    }

    /// Bytes to be sent; the sender takes them off the front.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// How many bytes wait to be sent.
    pub fn backlog(&self) -> usize {
        self.out.len()
    }

    /// Takes one decoded value. An error ends the connection.
    pub fn receive(&mut self, value: Banana) -> Result<Option<Event<P>>, PbError> {
        if self.phase == Phase::Dialect {
            if !matches!(&value, Banana::Bytes(dialect) if &dialect[..] == b"pb") {
                return Err(PbError::Dialect);
            }
            self.phase = Phase::Version;
            put_list(&mut self.out, 2);
            put_bytes(&mut self.out, b"version");
            put_int(&mut self.out, VERSION);
            return Ok(None);
        }
        let Banana::List(items) = value else { return Err(PbError::Malformed) };
        let mut items = items.into_iter();
        let Some(Banana::Bytes(kind)) = items.next() else { return Err(PbError::Malformed) };
        if self.phase == Phase::Version {
            let (b"version", Some(Banana::Int(version))) = (&kind[..], items.next()) else { return Err(PbError::Malformed) };
            if version != VERSION {
                return Err(PbError::Version(version));
            }
            self.phase = Phase::Open;
            return Ok(None);
        }
        match &kind[..] {
            b"message" => message(items).map(|call| Some(Event::Call(call))),
            b"answer" | b"error" => {
                let (Some(Banana::Int(id)), Some(result)) = (items.next(), items.next()) else { return Err(PbError::Malformed) };
                let Some(waiting) = self.waiting.remove(&id) else { return Ok(Some(Event::Odd("an answer to nothing"))) };
                Ok(Some(Event::Answer(waiting, outcome(&kind, result))))
            }
            b"decref" => {
                let Some(Banana::Int(id)) = items.next() else { return Err(PbError::Malformed) };
                Ok(self.given_back(id))
            }
            b"didNotUnderstand" => Ok(Some(Event::Odd("the peer did not understand a message"))),
            b"decache" | b"uncache" => Ok(Some(Event::Odd("a message about caches"))),
            other => Err(PbError::Kind(String::from_utf8_lossy(&other[..other.len().min(40)]).into_owned())),
        }
    }

    fn given_back(&mut self, id: i64) -> Option<Event<P>> {
        // Objects are forgotten when their work is done, and given back by workers much later: not worth a word.
        let entry = self.objects.get_mut(&id)?;
        entry.count = entry.count.saturating_sub(1);
        if entry.count == 0 && !entry.lasting {
            self.objects.remove(&id);
        }
        None
    }

    /// Hands out a new object; its id is to be sent as [`Value::Remote`] exactly once.
    pub fn export(&mut self, object: O, lasting: bool) -> i64 {
        let id = self.next_object;
        self.next_object += 1;
        self.objects.insert(id, Entry { object, count: 1, lasting });
        id
    }

    pub fn object(&self, id: i64) -> Option<&O> {
        self.objects.get(&id).map(|entry| &entry.object)
    }

    /// Later calls to it find nothing.
    pub fn forget(&mut self, id: i64) -> Option<O> {
        self.objects.remove(&id).map(|entry| entry.object)
    }

    /// Calls a method of the peer's object `id`.
    pub fn call(&mut self, id: i64, method: &str, args: &[Value], kwargs: &[(&str, Value)], waiting: P) {
        let call = self.next_call;
        self.next_call += 1;
        self.waiting.insert(call, waiting);
        let out = &mut self.out;
        put_list(out, 7);
        put_bytes(out, b"message");
        put_int(out, call);
        put_int(out, id);
        put_bytes(out, method.as_bytes());
        put_int(out, 1);
        put_list(out, args.len() + 1);
        put_bytes(out, b"tuple");
        args.iter().for_each(|arg| arg.encode(out));
        put_list(out, kwargs.len() + 1);
        put_bytes(out, b"dictionary");
        for (key, value) in kwargs {
            put_list(out, 2);
            Value::text(key).encode(out);
            value.encode(out);
        }
    }

    pub fn answer(&mut self, reply: Reply, value: &Value) {
        if let Reply(Some(id)) = reply {
            put_list(&mut self.out, 3);
            put_bytes(&mut self.out, b"answer");
            put_int(&mut self.out, id);
            value.encode(&mut self.out);
        }
    }

    pub fn refuse(&mut self, reply: Reply, why: &Refusal) {
        if let Reply(Some(id)) = reply {
            put_list(&mut self.out, 3);
            put_bytes(&mut self.out, b"error");
            put_int(&mut self.out, id);
            why.to_value().encode(&mut self.out);
        }
    }

    /// Gives one reference to the peer's object `id` back; once for each time it was received, never more.
    pub fn give_back(&mut self, id: i64) {
        put_list(&mut self.out, 2);
        put_bytes(&mut self.out, b"decref");
        put_int(&mut self.out, id);
    }

    /// Gives back every object of the peer in a value that is done with.
    pub fn give_back_all(&mut self, value: &Value) {
        value.each_remote(&mut |id| self.give_back(id));
    }
}

fn message(mut items: std::vec::IntoIter<Banana>) -> Result<Call, PbError> {
    let mut next = || items.next().ok_or(PbError::Malformed);
    let Banana::Int(id) = next()? else { return Err(PbError::Malformed) };
    let target = match next()? {
        Banana::Int(object) => Target::Object(object),
        Banana::Bytes(name) if &name[..] == b"root" => Target::Root,
        // Ids of handed out objects are positive, so it finds nothing.
        Banana::Bytes(_) => Target::Object(-1),
        _ => return Err(PbError::Malformed),
    };
    let Banana::Bytes(method) = next()? else { return Err(PbError::Malformed) };
    let Banana::Int(wants_answer) = next()? else { return Err(PbError::Malformed) };
    let args = match Value::from_banana(next()?) {
        Ok(Value::Tuple(args)) => Ok(args),
        Ok(_) => return Err(PbError::Malformed),
        Err(trouble) => Err(trouble),
    };
    Ok(Call { target, method, args, reply: Reply((wants_answer != 0).then_some(id)) })
}

fn outcome(kind: &[u8], result: Banana) -> Result<Value, Failure> {
    let value = Value::from_banana(result).map_err(|trouble| Failure::new("unreadable", trouble.to_string()))?;
    if kind == b"answer" { Ok(value) } else { Err(Failure::from_value(&value)) }
}

impl Refusal {
    /// The failure that makes stock workers do the right thing: they go by the list of parents.
    fn to_value(&self) -> Value {
        let (value, parents): (&str, &[&str]) = match self {
            Refusal::Unauthorized => {
                ("", &["twisted.cred.error.UnauthorizedLogin", "twisted.cred.error.LoginFailed", "twisted.cred.error.Unauthorized"])
            }
            Refusal::NoSuchMethod(name) => {
                (&format!("No such method: remote_{name}"), &["twisted.spread.flavors.NoSuchMethod", "builtins.AttributeError"])
            }
            Refusal::NoSuchObject => ("Invalid Object ID", &["twisted.spread.pb.Error"]),
            Refusal::Trouble(why) => (why, &["builtins.RuntimeError"]),
        };
        let bases = ["builtins.Exception", "builtins.BaseException", "builtins.object"];
        let text = Value::text;
        let state = [
            ("type", Value::Bytes(Bytes::copy_from_slice(parents[0].as_bytes()))),
            ("value", text(value)),
            ("traceback", text("Traceback unavailable\n")),
            ("parents", Value::List(parents.iter().chain(&bases).map(|name| text(name)).collect())),
            ("frames", Value::List(Vec::new())),
            ("stack", Value::List(Vec::new())),
            ("tb", Value::None),
            ("count", Value::Int(0)),
            ("captureVars", Value::Bool(false)),
        ];
        let state = state.into_iter().map(|(key, value)| (text(key), value)).collect();
        Value::Copied("twisted.spread.pb.CopyableFailure".to_owned(), Box::new(Value::Dict(state)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::banana::{Decoder, Limits};
    use super::*;

    type TestBroker = Broker<&'static str, &'static str>;

    fn word(text: &str) -> Banana {
        Banana::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn list<const N: usize>(items: [Banana; N]) -> Banana {
        Banana::List(items.into())
    }

    fn opened() -> TestBroker {
        let mut broker = TestBroker::new();
        assert_eq!(&broker.output()[..], DIALECTS);
        broker.output().clear();
        assert_eq!(broker.receive(word("pb")), Ok(None));
        assert_eq!(&broker.output()[..], [0x02, 0x80, 0x13, 0x87, 0x06, 0x81]);
        broker.output().clear();
        assert_eq!(broker.receive(list([word("version"), Banana::Int(6)])), Ok(None));
        broker
    }

    fn sent(broker: &mut TestBroker) -> Vec<Banana> {
        let mut decoder = Decoder::new(Limits::WORKER);
        decoder.buffer().unsplit(broker.output().split());
        std::iter::from_fn(|| decoder.decode().unwrap()).collect()
    }

    #[test]
    fn wrong_openings_are_refused() {
        assert_eq!(TestBroker::new().receive(word("none")), Err(PbError::Dialect));
        let mut broker = TestBroker::new();
        assert_eq!(broker.receive(word("pb")), Ok(None));
        assert_eq!(broker.receive(list([word("version"), Banana::Int(5)])), Err(PbError::Version(5)));
        assert_eq!(opened().receive(list([word("nonsense")])), Err(PbError::Kind("nonsense".into())));
        assert_eq!(opened().receive(Banana::Int(1)), Err(PbError::Malformed));
    }

    #[test]
    fn an_answer_reaches_its_call_once() {
        let mut broker = opened();
        broker.call(7, "print", &[], &[("message", Value::text("hello"))], "a");
        broker.call(7, "getWorkerInfo", &[], &[], "b");
        let none = || list([word("None")]);
        let answer = |id| list([word("answer"), Banana::Int(id), none()]);
        assert_eq!(broker.receive(answer(2)), Ok(Some(Event::Answer("b", Ok(Value::None)))));
        assert_eq!(broker.receive(answer(2)), Ok(Some(Event::Odd("an answer to nothing"))));
        let bad = list([word("answer"), Banana::Int(1), list([word("strange")])]);
        assert!(matches!(broker.receive(bad), Ok(Some(Event::Answer("a", Err(_))))));
    }

    #[test]
    fn a_call_that_wants_no_answer_gets_none() {
        let mut broker = opened();
        for (wants, answers) in [(0, 0), (1, 1)] {
            let args = list([word("tuple")]);
            let kwargs = list([word("dictionary")]);
            let call = list([word("message"), Banana::Int(3), word("root"), word("login"), Banana::Int(wants), args, kwargs]);
            let Ok(Some(Event::Call(call))) = broker.receive(call) else { panic!() };
            assert_eq!((call.target, &call.method[..]), (Target::Root, &b"login"[..]));
            broker.refuse(call.reply, &Refusal::Unauthorized);
            assert_eq!(sent(&mut broker).len(), answers);
        }
    }

    #[test]
    fn objects_go_when_given_back_unless_they_last() {
        let mut broker = opened();
        let (short, lasting) = (broker.export("short", false), broker.export("lasting", true));
        assert_eq!((short, lasting), (1, 2));
        for id in [short, lasting, lasting, 99] {
            assert_eq!(broker.receive(list([word("decref"), Banana::Int(id)])), Ok(None));
        }
        assert_eq!((broker.object(short), broker.object(lasting)), (None, Some(&"lasting")));
        assert_eq!(broker.forget(lasting), Some("lasting"));
        assert_eq!(broker.export("next", false), 3);
    }

    #[test]
    fn the_failure_of_a_login_is_what_workers_look_for() {
        let mut broker = opened();
        broker.refuse(Reply(Some(2)), &Refusal::Unauthorized);
        let [Banana::List(error)] = &sent(&mut broker)[..] else { panic!() };
        let Value::Copied(class, state) = Value::from_banana(error[2].clone()).unwrap() else { panic!() };
        assert_eq!(class, "twisted.spread.pb.CopyableFailure");
        assert_eq!(state.get("type").unwrap().to_text(), "twisted.cred.error.UnauthorizedLogin");
        let Some(Value::List(parents)) = state.get("parents") else { panic!() };
        assert_eq!(parents[1].to_text(), "twisted.cred.error.LoginFailed");
    }
}
