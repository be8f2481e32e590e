//! Where the master listens: port numbers, and the endpoint texts of Twisted that older files have. Opens nothing.

use std::path::PathBuf;

use super::convert::{FromValue, Wrong};
use super::lua_type::LuaType;
use super::spec::Listen;
use super::value::Value;

/// Of a socket, unless its endpoint says otherwise.
const OWNER_ONLY: u32 = 0o600;

/// A port, or `"tcp:9989:interface=127.0.0.1"`, `"unix:/run/x.sock"`. A bare number has no interface yet.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Endpoint {
    Port(u16),
    Listen(Listen),
}

impl Endpoint {
    /// A bare port listens there; none: on every interface.
    pub fn or_on(self, interface: Option<&str>) -> Listen {
        match self {
            Endpoint::Port(port) => Listen::Tcp { interface: interface.map(str::to_owned), port },
            Endpoint::Listen(listen) => listen,
        }
    }
}

impl Listen {
    /// Can only one of both be open?
    pub(super) fn excludes(&self, other: &Listen) -> bool {
        let all = |interface: &Option<String>| interface.as_deref().is_none_or(|i| matches!(i, "0.0.0.0" | "::"));
        match (self, other) {
            (Listen::Tcp { interface: a, port: p }, Listen::Tcp { interface: b, port: q }) => {
                p == q && *p != 0 && (all(a) || all(b) || a == b)
            }
            (Listen::Unix { path: a, .. }, Listen::Unix { path: b, .. }) => a == b,
            _ => false,
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listen::Tcp { interface, port } => write!(f, "{}:{port}", interface.as_deref().unwrap_or("*")),
            Listen::Unix { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

impl FromValue for Endpoint {
    fn expected() -> String {
        "a port number or a text such as \"tcp:9989:interface=127.0.0.1\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("integer").or(LuaType::Name("string"))
    }

    fn plural() -> String {
        "port numbers".into()
    }

    fn from_value(value: &Value) -> Result<Endpoint, Wrong> {
        let wrong = || Wrong::must(Self::expected(), value);
        let Value::Text(text) = value else {
            let port = i64::from_value(value).map_err(|_| wrong())?;
            return port_of(port).map(Endpoint::Port).ok_or_else(|| Wrong::must("a port from 0 to 65535", value));
        };
        let text = text.trim();
        if let Ok(port) = text.parse::<i64>() {
            return port_of(port).map(Endpoint::Port).ok_or_else(|| Wrong::must("a port from 0 to 65535", value));
        }
        let mut parts = split(text).into_iter();
        let (_, kind) = parts.next().ok_or_else(wrong)?;
        let (mut positional, mut named) = (Vec::new(), Vec::new());
        for (name, part) in parts {
            match name {
                Some(name) => named.push((name, part)),
                None => positional.push(part),
            }
        }
        let mut positional = positional.into_iter();
        let mut take = |name: &str| named.iter().position(|(n, _)| n == name).map(|at| named.swap_remove(at).1);
        let listen = match kind.as_str() {
            "tcp" | "tcp6" => {
                let port = positional.next().or_else(|| take("port")).and_then(|p| p.parse::<i64>().ok()).and_then(port_of);
                let interface = take("interface").or_else(|| (kind == "tcp6").then(|| "::".into())).filter(|i| !i.is_empty());
                take("backlog");
                Listen::Tcp { interface, port: port.ok_or_else(wrong)? }
            }
            "unix" => {
                let path = positional.next().or_else(|| take("address")).filter(|p| !p.is_empty()).ok_or_else(wrong)?;
                let mode = take("mode").map_or(Ok(OWNER_ONLY), |mode| mode_of(&mode))?;
                ["backlog", "lockfile"].into_iter().for_each(|name| drop(take(name)));
                Listen::Unix { path: PathBuf::from(path), mode }
            }
            "ssl" => {
                return Err(Wrong::says("can't be an \"ssl:\" endpoint: it is not supported yet; put a proxy such as nginx before it"));
            }
            "systemd" | "le" | "lets" | "txacme" | "onion" | "haproxy" | "fd" => {
                return Err(Wrong::says(format!("can't be a \"{kind}:\" endpoint: it is not supported yet")));
            }
            _ => return Err(wrong()),
        };
        if let Some((name, _)) = named.first() {
            return Err(Wrong::says(format!("has an unknown option '{name}' in {text:?}")));
        }
        if positional.next().is_some() {
            return Err(wrong());
        }
        Ok(Endpoint::Listen(listen))
    }
}

fn mode_of(text: &str) -> Result<u32, Wrong> {
    let octal = Some(text).filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
    let mode = octal.and_then(|t| u32::from_str_radix(t, 8).ok()).filter(|mode| mode & !0o777 == 0 && mode & 0o600 == 0o600);
    mode.ok_or_else(|| Wrong::says(format!("has no mode of a file: {text:?}; write mode=660 to let the socket's group connect, too")))
}

fn port_of(port: i64) -> Option<u16> {
    u16::try_from(port).ok()
}

/// The parts between colons, with the names of those that have one; a backslash takes the next character as it is.
fn split(text: &str) -> Vec<(Option<String>, String)> {
    let mut parts = vec![(None, String::new())];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let Some(last) = parts.last_mut() else { break };
        match c {
            ':' => parts.push((None, String::new())),
            '=' if last.0.is_none() => last.0 = Some(std::mem::take(&mut last.1)),
            '\\' => last.1.extend(chars.next()),
            c => last.1.push(c),
        }
    }
    parts
}
