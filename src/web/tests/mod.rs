//! The web over real connections: a fake master behind it, raw TCP before it.

mod calling;
mod data;
mod fake;
mod reading;
mod serving;

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use self::fake::Fake;
use super::serve::{Limits, serve_tcp_within};

/// A web on a port of its own; gone when dropped.
struct Web {
    port: u16,
    fake: Arc<Fake>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    fn has(&self, header: &str) -> bool {
        self.head.to_lowercase().contains(&header.to_lowercase())
    }
}

impl Web {
    async fn start() -> Web {
        Web::within(Limits::default()).await
    }

    async fn within(limits: Limits) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Arc::new(Fake::new());
        let task = tokio::spawn(serve_tcp_within(listener, super::router(fake.clone()), limits, Default::default()));
        Web { port, fake, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Sends these bytes and reads to the end.
    async fn send(&self, text: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut all = vec![];
        stream.read_to_end(&mut all).await.unwrap();
        split(&all)
    }

    async fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(&format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "Host: localhost\r\n", "").await
    }

    /// The rows of a good answer.
    async fn rows(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        let Value::Object(map) = answer.json() else { panic!("{path}") };
        map.into_iter().find(|(name, _)| name != "meta").unwrap().1.as_array().unwrap().clone()
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, "Host: localhost:8010\r\nContent-Type: application/json\r\n", body).await
    }

    async fn call(&self, path: &str, method: &str, params: &str) -> (u16, Value) {
        let answer = self.post(path, &format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{params}}}"#)).await;
        assert_eq!(answer.json()["id"], 7);
        (answer.status, answer.json())
    }
}

/// Status, head and body of an answer, its chunks joined.
fn split(all: &[u8]) -> Answer {
    let end = memchr::memmem::find(all, b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(all)));
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = all[end + 4..].to_vec();
    if head.to_lowercase().contains("transfer-encoding: chunked") {
        let (mut rest, mut whole) = (body.as_slice(), vec![]);
        while let Some(line) = memchr::memmem::find(rest, b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            whole.extend_from_slice(&rest[line + 2..line + 2 + size]);
            rest = &rest[line + 4 + size..];
        }
        body = whole;
    }
    Answer { status, head, body }
}
