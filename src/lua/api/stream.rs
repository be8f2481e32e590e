//! What comes piece by piece: an answer's body, a program's output. Read when it is asked for and not before, so that memory is bounded
//! however much comes; closed at the end of the call that opened it, or with its owner. It knows nothing of where pieces come from.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use mlua::{AnyUserData, Function, Lua, LuaString, UserData, UserDataMethods, UserDataRef, Value};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::super::host::Host;
use super::wait::on_main;

/// A longer line is none.
const LONGEST_LINE: usize = 1 << 20;
/// What `read("a")` gives at most.
const MOST_AT_ONCE: usize = 16 << 20;

pub(super) type NextPiece<'a> = Pin<Box<dyn Future<Output = Result<Option<Vec<u8>>, String>> + Send + 'a>>;

/// Where pieces come from. A future of it that is dropped has taken nothing.
pub(super) trait Source: Send {
    /// None at the end.
    fn next(&mut self) -> NextPiece<'_>;
}

/// What one reading asks for.
#[derive(Clone, Copy)]
enum Wanted {
    /// Whatever is there, at least a byte.
    Piece,
    Line,
    All,
}

impl Wanted {
    fn of(how: &Value) -> Result<Wanted, String> {
        match how {
            Value::Nil => Ok(Wanted::Piece),
            Value::String(text) if *text == "l" => Ok(Wanted::Line),
            Value::String(text) if *text == "a" => Ok(Wanted::All),
            _ => Err("takes \"l\" (a line), \"a\" (all that is left) or nothing (what is there)".into()),
        }
    }
}

struct Nothing;

impl Source for Nothing {
    fn next(&mut self) -> NextPiece<'_> {
        Box::pin(async { Ok(None) })
    }
}

struct Reader {
    source: Box<dyn Source>,
    /// What was read of a line, or of the whole, that is not complete.
    kept: Vec<u8>,
    /// Up to there no line ends.
    searched: usize,
    ended: bool,
}

impl Reader {
    /// What is wanted, none at the end. Dropping the future loses nothing.
    async fn get(&mut self, wanted: Wanted) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Wanted::Line = wanted
                && let Some(at) = self.kept[self.searched..].iter().position(|b| *b == b'\n')
            {
                let end = self.searched + at;
                let mut line: Vec<u8> = self.kept.drain(..=end).collect();
                self.searched = 0;
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            self.searched = self.kept.len();
            let ready = match wanted {
                Wanted::Piece => !self.kept.is_empty(),
                Wanted::Line | Wanted::All => false,
            };
            if self.ended || ready {
                self.searched = 0;
                let rest = std::mem::take(&mut self.kept);
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
            let (most, what) = match wanted {
                Wanted::All => (MOST_AT_ONCE, "what is left"),
                _ => (LONGEST_LINE, "a line"),
            };
            if self.kept.len() > most {
                return Err(format!("{what} is longer than {most} bytes"));
            }
            match self.source.next().await? {
                Some(piece) => self.kept.extend_from_slice(&piece),
                None => self.ended = true,
            }
        }
    }
}

/// What a stream and whoever may close it share.
pub(in super::super) struct Shared {
    reader: Mutex<Option<Reader>>,
    /// Cancelled when it is closed.
    closed: CancellationToken,
    main: Handle,
}

impl Shared {
    /// Whoever reads is told, and what it reads from is let go.
    pub fn close(self: &Arc<Self>) {
        self.closed.cancel();
        let shared = self.clone();
        self.main.spawn(async move { drop(shared.reader.lock().await.take()) });
    }

    async fn get(&self, wanted: Wanted) -> Result<Option<Vec<u8>>, String> {
        let mut held = self.reader.lock().await;
        let Some(reader) = held.as_mut() else { return Err("is closed: a stream ends with the call that opened it".into()) };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err("was closed meanwhile".into()),
            got = reader.get(wanted) => got,
        }
    }
}

/// What Lua holds.
pub(super) struct Stream {
    shared: Arc<Shared>,
    host: Rc<Host>,
    /// As messages name it.
    what: Rc<str>,
}

impl Stream {
    pub fn new(host: &Rc<Host>, what: &str, source: Box<dyn Source>) -> Stream {
        let reader = Reader { source, kept: Vec::new(), searched: 0, ended: false };
        let shared = Arc::new(Shared { reader: Mutex::new(Some(reader)), closed: CancellationToken::new(), main: host.main.clone() });
        Stream { shared, host: host.clone(), what: what.into() }
    }

    /// Functions that wait can only be made before the file is evaluated; those of an object are made with the first of its kind.
    pub fn prepare(lua: &Lua, host: &Rc<Host>) -> mlua::Result<()> {
        lua.create_userdata(Stream::new(host, "", Box::new(Nothing))).map(drop)
    }

    /// It ends with the call that is carried out now.
    pub fn of_this_call(self) -> Stream {
        if let Some(scope) = self.host.scope() {
            scope.closes(Arc::downgrade(&self.shared));
        }
        self
    }

    async fn read(&self, lua: Lua, wanted: Wanted) -> mlua::Result<Option<LuaString>> {
        let shared = self.shared.clone();
        let got = on_main(lua.clone(), self.host.clone(), &self.what, async move { shared.get(wanted).await }).await?;
        got.map(|bytes| lua.create_string(bytes)).transpose()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl UserData for Stream {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_async_method("read", |lua, this: UserDataRef<Stream>, how: Value| async move {
            let wanted = Wanted::of(&how).map_err(|e| mlua::Error::runtime(format!("{}: read {e}", this.what)))?;
            this.read(lua, wanted).await
        });
        methods.add_function("lines", |lua, this: AnyUserData| -> mlua::Result<Function> {
            this.borrow::<Stream>()?;
            let next = lua.load("local stream = ... return function() return stream:read(\"l\") end");
            next.set_name("=[builtin stream]").call(this)
        });
        methods.add_method("close", |_, this, ()| {
            this.shared.close();
            Ok(())
        });
    }
}

/// The streams of one call.
#[derive(Default)]
pub(in super::super) struct Opened(Vec<Weak<Shared>>);

impl Opened {
    pub fn push(&mut self, stream: Weak<Shared>) {
        // Those that are gone are forgotten, seldom enough to cost nothing.
        if self.0.len().is_power_of_two() {
            self.0.retain(|known| known.strong_count() > 0);
        }
        self.0.push(stream);
    }

    pub fn close(&mut self) {
        for stream in std::mem::take(&mut self.0) {
            if let Some(stream) = stream.upgrade() {
                stream.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Given(Vec<&'static [u8]>);

    impl Source for Given {
        fn next(&mut self) -> NextPiece<'_> {
            let piece = if self.0.is_empty() { None } else { Some(self.0.remove(0).to_vec()) };
            Box::pin(async move { Ok(piece) })
        }
    }

    fn reader(pieces: &[&'static [u8]]) -> Reader {
        Reader { source: Box::new(Given(pieces.to_vec())), kept: Vec::new(), searched: 0, ended: false }
    }

    async fn all(mut reader: Reader, wanted: Wanted) -> Vec<String> {
        let mut got = Vec::new();
        while let Some(bytes) = reader.get(wanted).await.unwrap() {
            got.push(String::from_utf8(bytes).unwrap());
        }
        got
    }

    #[tokio::test]
    async fn lines_are_whole_however_the_pieces_come() {
        let pieces: &[&[u8]] = &[b"a", b"b\nc\r", b"\n", b"\n\nd\ne", b""];
        assert_eq!(all(reader(pieces), Wanted::Line).await, ["ab", "c", "", "", "d", "e"]);
        assert_eq!(all(reader(pieces), Wanted::Piece).await, ["a", "b\nc\r", "\n", "\n\nd\ne"]);
        assert_eq!(all(reader(pieces), Wanted::All).await, ["ab\nc\r\n\n\nd\ne"]);
        let mut mixed = reader(&[b"one\ntwo", b" and\nrest"]);
        assert_eq!(mixed.get(Wanted::Line).await.unwrap().unwrap(), b"one");
        assert_eq!(mixed.get(Wanted::Piece).await.unwrap().unwrap(), b"two");
        assert_eq!(mixed.get(Wanted::Line).await.unwrap().unwrap(), b" and");
        assert_eq!(mixed.get(Wanted::All).await.unwrap().unwrap(), b"rest");
        assert_eq!(mixed.get(Wanted::Line).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_never_ends_is_no_line() {
        static MUCH: [u8; 65536] = [b'x'; 65536];
        let told = reader(&[&MUCH[..]; 400]).get(Wanted::Line).await.unwrap_err();
        assert_eq!(told, "a line is longer than 1048576 bytes");
        let told = reader(&[&MUCH[..]; 400]).get(Wanted::All).await.unwrap_err();
        assert_eq!(told, "what is left is longer than 16777216 bytes");
    }

    struct Never;

    impl Source for Never {
        fn next(&mut self) -> NextPiece<'_> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn who_reads_when_it_is_closed_does_not_wait() {
        let reader = Reader { source: Box::new(Never), kept: Vec::new(), searched: 0, ended: false };
        let shared = Arc::new(Shared { reader: Mutex::new(Some(reader)), closed: CancellationToken::new(), main: Handle::current() });
        shared.close();
        // What lets the source go runs after this.
        let told = tokio::time::timeout(std::time::Duration::from_secs(5), shared.get(Wanted::Line)).await;
        assert!(told.expect("it waits for ever").unwrap_err().contains("closed"));
    }
}
