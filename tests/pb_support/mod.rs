//! Both ends of a PB session for tests: a gate that remembers what it was told, and a worker made of single messages.
#![allow(dead_code)] // each test file is a program of its own and uses a part

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buildmoon::base::Secret;
use buildmoon::model::WorkerInfo;
use buildmoon::wire::banana::{Banana, Decoder, Limits};
use buildmoon::wire::jelly::Value;
use buildmoon::workers::pb::PbServer;
use buildmoon::workers::{Gate, Link};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

#[derive(Default)]
pub struct TestGate {
    pub keepalive: Option<Duration>,
    /// Every worker is taken for a new one.
    pub forgetful: bool,
    pub builders: Vec<(String, String)>,
    pub links: Mutex<HashMap<String, Arc<dyn Link>>>,
    pub infos: Mutex<Vec<WorkerInfo>>,
    pub log: Mutex<Vec<String>>,
}

impl TestGate {
    pub fn new() -> TestGate {
        TestGate { builders: vec![("demo".into(), "demo".into())], ..TestGate::default() }
    }

    fn note(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn link(&self, name: &str) -> Option<Arc<dyn Link>> {
        self.links.lock().unwrap().get(name).cloned()
    }
}

impl Gate for TestGate {
    fn password(&self, name: &str) -> Result<Option<Secret>, String> {
        Ok(name.starts_with("worker").then(|| Secret::new("secret-pw")))
    }

    fn keepalive_interval(&self, _: &str) -> Option<Duration> {
        self.keepalive
    }

    fn attached(&self, name: &str) -> Option<Arc<dyn Link>> {
        if self.forgetful { None } else { self.link(name) }
    }

    fn builders(&self, _: &str) -> Vec<(String, String)> {
        self.builders.clone()
    }

    fn attach(&self, name: &str, _: &str, info: WorkerInfo, link: Arc<dyn Link>) -> Result<(), String> {
        self.infos.lock().unwrap().push(info);
        self.links.lock().unwrap().insert(name.to_owned(), link);
        self.note(format!("attach {name}"));
        Ok(())
    }

    fn detach(&self, name: &str, link: &Arc<dyn Link>, why: &str) {
        let mut links = self.links.lock().unwrap();
        if links.get(name).is_some_and(|present| Arc::ptr_eq(present, link)) {
            links.remove(name);
        }
        self.note(format!("detach {name}: {why}"));
    }

    fn shutdown_requested(&self, name: &str) {
        self.note(format!("shutdown {name}"));
    }

    fn seen(&self, name: &str) {
        self.note(format!("seen {name}"));
    }
}

pub fn word(text: &str) -> Banana {
    Banana::Bytes(Bytes::copy_from_slice(text.as_bytes()))
}

/// What a jellied value looks like on the line.
pub fn jelly(value: &Value) -> Banana {
    let mut decoder = Decoder::new(Limits::WORKER);
    value.encode(decoder.buffer());
    decoder.decode().unwrap().unwrap()
}

pub fn items(banana: Banana) -> Vec<Banana> {
    match banana {
        Banana::List(items) => items,
        other => panic!("no list: {other:?}"),
    }
}

pub fn is(banana: &Banana, text: &str) -> bool {
    matches!(banana, Banana::Bytes(bytes) if &bytes[..] == text.as_bytes())
}

pub fn int(banana: &Banana) -> i64 {
    match banana {
        Banana::Int(value) => *value,
        other => panic!("no integer: {other:?}"),
    }
}

/// A call that the master made.
#[derive(Debug)]
pub struct Called {
    pub id: i64,
    pub object: i64,
    pub method: String,
    pub args: Vec<Value>,
}

/// The worker's end of a connection.
pub struct Peer {
    pub stream: DuplexStream,
    pub decoder: Decoder,
    next_call: i64,
}

impl Peer {
    /// A connection to a server for `gate`, with room for `room` bytes in each direction.
    pub fn connect(gate: &Arc<TestGate>, room: usize) -> Peer {
        Peer::connect_to(&PbServer::new(gate.clone()), room)
    }

    pub fn connect_to(server: &PbServer, room: usize) -> Peer {
        let (stream, theirs) = tokio::io::duplex(room);
        tokio::spawn(server.session(theirs, "10.0.0.1:4711"));
        Peer { stream, decoder: Decoder::new(Limits::WORKER), next_call: 0 }
    }

    /// The next value from the master; none if it closed the connection.
    pub async fn receive(&mut self) -> Option<Banana> {
        loop {
            if let Some(value) = self.decoder.decode().unwrap() {
                return Some(value);
            }
            if self.stream.read_buf(self.decoder.buffer()).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// To a connection that is closed nothing is sent; `receive` tells.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn send<const N: usize>(&mut self, message: [Banana; N]) {
        let mut bytes = BytesMut::new();
        Banana::List(message.into()).encode(&mut bytes);
        self.send_bytes(&bytes).await;
    }

    pub fn message(&mut self, object: Banana, method: &str, args: Vec<Value>) -> Vec<u8> {
        self.next_call += 1;
        let args = jelly(&Value::Tuple(args));
        let kwargs = jelly(&Value::Dict(vec![]));
        let call = Banana::Int(self.next_call);
        let mut bytes = BytesMut::new();
        Banana::List(vec![word("message"), call, object, word(method), Banana::Int(1), args, kwargs]).encode(&mut bytes);
        bytes.to_vec()
    }

    pub async fn call(&mut self, object: i64, method: &str, args: Vec<Value>) -> i64 {
        let bytes = self.message(Banana::Int(object), method, args);
        self.send_bytes(&bytes).await;
        self.next_call
    }

    pub async fn update(&mut self, object: i64, key: &str, value: Value) -> i64 {
        let dict = Value::Dict(vec![(Value::text(key), value)]);
        self.call(object, "update", vec![Value::List(vec![Value::List(vec![dict, Value::Int(0)])])]).await
    }

    pub async fn answer(&mut self, id: i64, value: &Value) {
        self.send([word("answer"), Banana::Int(id), jelly(value)]).await;
    }

    /// The next call of the master; other messages are passed over.
    pub async fn called(&mut self) -> Option<Called> {
        loop {
            let message = items(self.receive().await?);
            if is(&message[0], "message") {
                let method = String::from_utf8(match &message[3] {
                    Banana::Bytes(method) => method.to_vec(),
                    other => panic!("{other:?}"),
                });
                let args = Value::from_banana(message[5].clone()).unwrap().into_items().unwrap();
                return Some(Called { id: int(&message[1]), object: int(&message[2]), method: method.unwrap(), args });
            }
        }
    }

    /// The master's answer or error to call `id`: its first word and its value.
    pub async fn answered(&mut self, id: i64) -> Option<(bool, Value)> {
        loop {
            let message = items(self.receive().await?);
            if (is(&message[0], "answer") || is(&message[0], "error")) && int(&message[1]) == id {
                return Some((is(&message[0], "answer"), Value::from_banana(message[2].clone()).unwrap()));
            }
        }
    }

    /// Logs in up to the answer of `respond`, which has the returned id.
    pub async fn log_in(&mut self, name: &str, password: &str) -> i64 {
        use md5::{Digest, Md5};
        assert_eq!(items(self.receive().await.unwrap()).len(), 2);
        let login = self.message(word("root"), "login", vec![Value::Bytes(Bytes::copy_from_slice(name.as_bytes()))]);
        self.send_bytes(&[&[0x02, 0x82, b'p', b'b', 0x02, 0x80, 0x13, 0x87, 0x06, 0x81], &login[..]].concat()).await;
        let (good, challenge) = self.answered(1).await.unwrap();
        assert!(good);
        let [Value::Bytes(challenge), Value::Remote(challenger)] = &challenge.into_items().unwrap()[..] else { panic!() };
        let response = Md5::new().chain_update(Md5::digest(password)).chain_update(challenge).finalize();
        let respond = self.call(*challenger, "respond", vec![Value::Bytes(response.to_vec().into()), Value::Remote(1)]).await;
        self.send([word("decref"), Banana::Int(*challenger)]).await;
        respond
    }

    /// Answers `setBuilderList` with objects 2, 3, ...
    pub async fn take_builders(&mut self, call: Called) {
        let list = call.args.into_iter().next().unwrap().into_items().unwrap();
        let names = list.into_iter().map(|pair| pair.into_items().unwrap().remove(0));
        let remotes = names.enumerate().map(|(n, name)| (name, Value::Remote(n as i64 + 2))).collect();
        self.answer(call.id, &Value::Dict(remotes)).await;
    }

    /// Goes through all of the attaching.
    pub async fn attach(&mut self, name: &str) {
        let respond = self.log_in(name, "secret-pw").await;
        for expected in ["print", "getWorkerInfo", "setBuilderList"] {
            let call = self.called().await.unwrap();
            assert_eq!(call.method, expected);
            match expected {
                "setBuilderList" => self.take_builders(call).await,
                "getWorkerInfo" => self.answer(call.id, &Value::Dict(vec![(Value::text("version"), Value::text("4.3.0"))])).await,
                _ => self.answer(call.id, &Value::None).await,
            }
        }
        let (good, avatar) = self.answered(respond).await.unwrap();
        assert!(good && matches!(avatar, Value::Remote(_)), "{avatar:?}");
    }
}

/// Lets everything run that can, and timers in virtual time.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
