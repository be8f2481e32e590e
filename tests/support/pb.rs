//! A worker that does what a test tells it, right or wrong: a few lines of Perspective Broker of its own, so that it shares no
//! mistake with the master's. It blocks, with a time limit on every read.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use md5::{Digest, Md5};

const WORDS: &str = "None class dereference reference dictionary function instance list module persistent tuple unpersistable copy cache \
    cached remote local lcache version login password challenge logged_in not_logged_in cachemessage message answer error decref decache uncache";

/// A value on the wire.
#[derive(Clone, PartialEq, Debug)]
pub enum B {
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
    List(Vec<B>),
}

impl B {
    pub fn none() -> B {
        tagged("None", [])
    }

    fn list(&self) -> &[B] {
        if let B::List(items) = self { items } else { &[] }
    }

    fn is(&self, text: &str) -> bool {
        matches!(self, B::Bytes(bytes) if bytes == text.as_bytes())
    }

    fn int(&self) -> i64 {
        if let B::Int(n) = self { *n } else { panic!("{self:?} is no number") }
    }

    /// Text in either of its forms.
    fn text(&self) -> String {
        match self {
            B::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            B::List(items) if items.len() == 2 && items[0].is("unicode") => items[1].text(),
            other => panic!("{other:?} is no text"),
        }
    }
}

pub fn raw(bytes: impl AsRef<[u8]>) -> B {
    B::Bytes(bytes.as_ref().to_vec())
}

pub fn text(text: &str) -> B {
    tagged("unicode", [raw(text)])
}

pub fn tagged(tag: &str, items: impl IntoIterator<Item = B>) -> B {
    B::List(std::iter::once(raw(tag)).chain(items).collect())
}

fn dictionary(pairs: impl IntoIterator<Item = (&'static str, B)>) -> B {
    tagged("dictionary", pairs.into_iter().map(|(k, v)| B::List(vec![text(k), v])))
}

pub fn encode(value: &B, out: &mut Vec<u8>) {
    let mut head = |mut n: u64, kind: u8| {
        loop {
            out.push((n & 0x7f) as u8);
            n >>= 7;
            if n == 0 {
                break;
            }
        }
        out.push(kind);
    };
    match value {
        B::Int(n) if *n < 0 => head(n.unsigned_abs(), 0x83),
        B::Int(n) => head(n.unsigned_abs(), 0x81),
        B::Float(f) => {
            out.push(0x84);
            out.extend(f.to_be_bytes());
        }
        B::Bytes(bytes) => {
            head(bytes.len() as u64, 0x82);
            out.extend(bytes);
        }
        B::List(items) => {
            head(items.len() as u64, 0x80);
            items.iter().for_each(|item| encode(item, out));
        }
    }
}

/// A command that the master started: the object that takes its updates, and its arguments.
#[derive(Debug)]
pub struct Started {
    pub request: i64,
    pub object: i64,
    pub name: String,
    pub args: B,
}

#[derive(Debug)]
pub enum Call {
    Start(Started),
    Interrupt,
    /// Answered already.
    Other(String),
    /// An answer or an error for a call of ours: its number, and whether it went well.
    Answer(i64, bool, B),
}

pub struct Scripted {
    stream: io::BufReader<TcpStream>,
    calls: i64,
    builders: i64,
    /// False: it takes what comes and answers nothing.
    pub answers: bool,
}

impl Scripted {
    /// Connected, greeted, not logged in.
    pub fn connect(port: u16) -> io::Result<Scripted> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        let mut worker = Scripted { stream: io::BufReader::new(stream), calls: 0, builders: 0, answers: true };
        let dialects = worker.read()?;
        assert!(dialects.list().iter().any(|d| d.is("pb")), "{dialects:?}");
        worker.write(&raw("pb"))?;
        worker.write(&B::List(vec![raw("version"), B::Int(6)]))?;
        Ok(worker)
    }

    /// Logged in, as far as the master has answered: it has the builders.
    pub fn attach(port: u16, name: &str, password: &str) -> Scripted {
        let mut worker = Scripted::connect(port).expect("a connection");
        let number = worker.login(name, password).expect("a login");
        let mut done = false;
        while !(done && worker.builders > 0) {
            if let Call::Answer(n, well, value) = worker.next().expect("the master's next message") {
                assert!(n == number && well, "the login of {name} was refused: {value:?}");
                done = true;
            }
        }
        worker
    }

    /// Sends name and response; the number of the call whose answer tells.
    pub fn login(&mut self, name: &str, password: &str) -> io::Result<i64> {
        let number = self.call(raw("root"), "login", [raw(name)])?;
        let answer = loop {
            match self.next()? {
                Call::Answer(n, true, value) if n == number => break value,
                Call::Answer(n, false, value) if n == number => return Err(io::Error::other(format!("refused: {value:?}"))),
                _ => {}
            }
        };
        let [_, B::Bytes(challenge), challenger] = answer.list() else { panic!("no challenge: {answer:?}") };
        let digest = Md5::new().chain_update(Md5::digest(password)).chain_update(challenge).finalize();
        self.call(B::Int(challenger.list()[1].int()), "respond", [raw(digest), tagged("remote", [B::Int(1)])])
    }

    /// Calls a method of the master.
    pub fn call(&mut self, object: B, method: &str, args: impl IntoIterator<Item = B>) -> io::Result<i64> {
        self.calls += 1;
        let (args, none) = (tagged("tuple", args), tagged("dictionary", []));
        self.write(&B::List(vec![raw("message"), B::Int(self.calls), object, raw(method), B::Int(1), args, none]))?;
        Ok(self.calls)
    }

    pub fn answer(&mut self, request: i64, value: B) -> io::Result<()> {
        self.write(&B::List(vec![raw("answer"), B::Int(request), value]))
    }

    /// Serves the master until it starts a command; that is answered too.
    pub fn next_command(&mut self) -> Started {
        loop {
            if let Call::Start(started) = self.next().expect("the master's next message") {
                self.answer(started.request, B::none()).expect("an answer");
                return started;
            }
        }
    }

    pub fn update(&mut self, command: &Started, key: &'static str, value: B) -> io::Result<i64> {
        let update = B::List(vec![raw("list"), dictionary([(key, value)]), B::Int(0)]);
        self.call(B::Int(command.object), "update", [tagged("list", [update])])
    }

    /// The exit code and the end.
    pub fn finish(&mut self, command: &Started, rc: i64) -> io::Result<()> {
        self.update(command, "rc", B::Int(rc))?;
        self.call(B::Int(command.object), "complete", [B::none()])?;
        Ok(())
    }

    /// Serves the master in the background until the connection ends, or forever: the thread ends with the connection.
    pub fn serve_on(mut self) {
        std::thread::spawn(move || {
            while let Ok(call) = self.next() {
                if let Call::Start(command) = call {
                    let _ = self.answer(command.request, B::none()).and_then(|()| self.finish(&command, 0));
                }
            }
        });
    }

    /// One message of the master; what is no command is answered.
    pub fn next(&mut self) -> io::Result<Call> {
        loop {
            let message = self.read()?;
            let items = message.list();
            match items.first() {
                Some(kind) if kind.is("answer") || kind.is("error") => {
                    return Ok(Call::Answer(items[1].int(), kind.is("answer"), items[2].clone()));
                }
                Some(kind) if kind.is("message") => return self.serve(&items[1..]),
                _ => {}
            }
        }
    }

    fn serve(&mut self, items: &[B]) -> io::Result<Call> {
        let [request, _object, method, _wanted, args, _named] = items else { panic!("no call: {items:?}") };
        let (request, args, method) = (request.int(), &args.list()[1..], method.text());
        let value = match method.as_str() {
            "startCommand" => {
                let object = args[0].list()[1].int();
                return Ok(Call::Start(Started { request, object, name: args[2].text(), args: args[3].clone() }));
            }
            "getWorkerInfo" => dictionary([
                ("system", text("posix")),
                ("version", text("0.0-scripted")),
                ("basedir", text("/nowhere")),
                ("environ", dictionary([])),
                ("worker_commands", dictionary([("shell", text("3.3"))])),
            ]),
            "setBuilderList" => {
                let wanted = &args[0].list()[1..];
                self.builders = wanted.len() as i64;
                let remote = |n: usize| tagged("remote", [B::Int(n as i64 + 2)]);
                tagged("dictionary", wanted.iter().enumerate().map(|(n, b)| B::List(vec![b.list()[1].clone(), remote(n)])))
            }
            _ => B::none(),
        };
        if self.answers {
            self.answer(request, value)?;
        }
        Ok(if method == "interruptCommand" { Call::Interrupt } else { Call::Other(method) })
    }

    pub fn write(&mut self, value: &B) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(value, &mut bytes);
        self.stream.get_mut().write_all(&bytes)
    }

    fn read(&mut self) -> io::Result<B> {
        let byte = |s: &mut io::BufReader<TcpStream>| {
            let mut one = [0];
            s.read_exact(&mut one).map(|()| one[0])
        };
        let (mut number, mut shift) = (0_u64, 0);
        let kind = loop {
            match byte(&mut self.stream)? {
                digit if digit < 0x80 => {
                    number |= u64::from(digit) << shift;
                    shift += 7;
                }
                kind => break kind,
            }
        };
        Ok(match kind {
            0x80 => B::List((0..number).map(|_| self.read()).collect::<io::Result<_>>()?),
            0x81 | 0x85 => B::Int(number as i64),
            0x83 | 0x86 => B::Int(-(number as i64)),
            0x82 => {
                let mut bytes = vec![0; number as usize];
                self.stream.read_exact(&mut bytes)?;
                B::Bytes(bytes)
            }
            0x84 => {
                let mut bytes = [0; 8];
                self.stream.read_exact(&mut bytes)?;
                B::Float(f64::from_be_bytes(bytes))
            }
            0x87 => raw(WORDS.split_whitespace().nth(number as usize - 1).expect("a word")),
            other => panic!("type byte {other:#x}"),
        })
    }
}
