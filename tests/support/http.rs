//! A small HTTP client: one request per connection, JSON in and out. It never follows, retries or caches anything.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("no JSON ({e}) with status {}: {:?}", self.status, String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Http {
    pub port: u16,
}

impl Http {
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>, more: &[(&str, &str)]) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !more.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: 127.0.0.1:{}\r\n", self.port);
        }
        if !body.is_empty() {
            head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        for (name, value) in more {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let _ = stream.shutdown(Shutdown::Both);
        parse(&bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{:?} is no HTTP answer", String::from_utf8_lossy(&bytes))))
    }

    /// GET below `/api/v2/`, any status.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", &format!("/api/v2/{path}"), None, &[]).unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    /// GET below `/api/v2/`, the rows of the resource that the path ends in or says.
    pub fn rows(&self, path: &str, resource: &str) -> Vec<Value> {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {}", String::from_utf8_lossy(&answer.body));
        let json = answer.json();
        json[resource].as_array().unwrap_or_else(|| panic!("GET {path}: no list '{resource}' in {json}")).clone()
    }

    /// GET below `/api/v2/` where one row is due.
    pub fn row(&self, path: &str, resource: &str) -> Value {
        let rows = self.rows(path, resource);
        assert_eq!(rows.len(), 1, "GET {path}: {rows:?}");
        rows[0].clone()
    }

    /// A control call; the result, or status and error object.
    pub fn control(&self, path: &str, method: &str, params: Value) -> Result<Value, (u16, Value)> {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.request("POST", &format!("/api/v2/{path}"), Some(&call), &[]).unwrap_or_else(|e| panic!("POST {path}: {e}"));
        let mut json = answer.json();
        if answer.status == 200 { Ok(json["result"].take()) } else { Err((answer.status, json["error"].take())) }
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> =
        lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned())).collect();
    let body = &bytes[end + 4..];
    let answer = Answer { status, headers, body: Vec::new() };
    let body = match answer.header("transfer-encoding") {
        Some(coding) if coding.eq_ignore_ascii_case("chunked") => unchunk(body)?,
        _ => match answer.header("content-length").and_then(|n| n.parse::<usize>().ok()) {
            Some(length) => body.get(..length)?.to_vec(),
            None => body.to_vec(),
        },
    };
    Some(Answer { body, ..answer })
}

/// None if the end is missing: a body cut off in the middle is no answer.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
