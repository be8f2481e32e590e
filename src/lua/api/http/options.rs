//! What a call of `http` asks for: Lua's arguments as a plain request, or a text that says which option is wrong. It sends nothing
//! and reads no file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mlua::{MultiValue, Table, Value};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::super::args::describe;
use super::super::json::encode;
use crate::base::{duration, suggest};

const KNOWN: &[&str] = &[
    "url",
    "method",
    "headers",
    "json",
    "form",
    "data",
    "body",
    "params",
    "files",
    "timeout",
    "connect_timeout",
    "auth",
    "bearer",
    "verify",
    "cert",
    "unix_socket",
    "proxy",
    "follow_redirects",
    "max_size",
    "check",
    "stream",
];
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// A day: what takes longer is not one request.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(86_400);
const DEFAULT_SIZE: usize = 16 << 20;
const DEFAULT_REDIRECTS: usize = 10;
const MOST_REDIRECTS: usize = 100;

/// One request, ready to be sent.
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Body,
    pub auth: Option<(String, String)>,
    pub timeout: Duration,
    /// None: as much as comes.
    pub max_size: Option<usize>,
    /// A status that is no success is an error.
    pub check: bool,
    /// The content is read piece by piece; the timeout is for its head and for each piece.
    pub stream: bool,
    pub via: Via,
}

/// What connections are made with; requests that agree in it share them.
#[derive(Clone, PartialEq)]
pub(super) struct Via {
    pub verify: Verify,
    /// Certificate and key, in one file or in two.
    pub cert: Vec<PathBuf>,
    pub unix_socket: Option<PathBuf>,
    pub proxy: Proxy,
    pub redirects: usize,
    pub connect_timeout: Option<Duration>,
}

#[derive(Clone, PartialEq)]
pub(super) enum Verify {
    System,
    Nothing,
    /// The system's roots and those of a file.
    With(PathBuf),
}

#[derive(Clone, PartialEq)]
pub(super) enum Proxy {
    /// As the environment says.
    System,
    None,
    Url(String),
}

pub(super) enum Body {
    None,
    Bytes(Vec<u8>),
    /// Names and values beside the files.
    Multipart(Vec<(String, String)>, Vec<Part>),
}

pub(super) struct Part {
    pub field: String,
    pub filename: String,
    pub content: Content,
    pub mime: Option<String>,
}

pub(super) enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Request {
    /// As messages name it: without user, password and the values of the query.
    pub fn shown(&self) -> String {
        format!("{} {}", self.method, shown_url(&self.url))
    }
}

pub(super) fn shown_url(url: &Url) -> String {
    let mut shown = url.clone();
    // Refused only for URLs that can't have any.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    let asks = shown.query().is_some();
    shown.set_query(None);
    if asks { format!("{shown}?…") } else { shown.to_string() }
}

/// The arguments of `http.NAME`.
pub(super) fn read(folder: &Path, name: &str, args: &MultiValue) -> Result<Request, String> {
    let mut positional: Vec<&Value> = args.iter().collect();
    let mut options = None;
    if let Some(Value::Table(table)) = positional.last() {
        options = Some(table);
        positional.pop();
    }
    let mut texts = positional.into_iter().map(|value| string("the URL", value)).collect::<Result<Vec<String>, String>>()?;
    if let Some(table) = options {
        check_names(table, &mut texts)?;
    }
    let option = |key: &str| -> Result<Value, String> {
        let Some(table) = options else { return Ok(Value::Nil) };
        table.raw_get(key).map_err(|e| e.to_string())
    };
    let given = |key: &str| -> Result<Option<Value>, String> { option(key).map(|v| Some(v).filter(|v| !v.is_nil() && !v.is_null())) };
    let text = |key: &str| -> Result<Option<String>, String> { given(key)?.map(|value| string(key, &value)).transpose() };
    let path = |key: &str, value: &Value| -> Result<PathBuf, String> { Ok(folder.join(string(key, value)?)) };

    let mut texts = texts.into_iter();
    let method = if name == "request" {
        let first = if texts.len() > 1 { texts.next() } else { None };
        text("method")?.or(first).ok_or("needs a method, as in { method = \"GET\", url = … }")?
    } else if given("method")?.is_some() {
        return Err(format!("takes no method: use http.request, or leave it out ({})", name.to_uppercase()));
    } else {
        name.to_owned()
    };
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).map_err(|_| format!("method: {method:?} is none"))?;
    let url = texts.next();
    if texts.next().is_some() || (url.is_some() && given("url")?.is_some()) {
        return Err("takes one URL".into());
    }
    let mut url = parse_url(&url.or(text("url")?).ok_or("needs a URL")?)?;
    if let Some(params) = given("params")? {
        let pairs = pairs("params", &params)?;
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
    }

    let mut headers = HeaderMap::new();
    if let Some(value) = given("headers")? {
        for (name, value) in pairs("headers", &value)? {
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("headers: {name:?} is no name of a header"))?;
            let value = HeaderValue::from_str(&value).or_else(|_| HeaderValue::from_bytes(value.as_bytes()));
            headers
                .append(key, value.map_err(|_| format!("headers: the value of {name:?} holds a line end or another control character"))?);
        }
    }
    let body = body(folder, &given, &mut headers)?;

    let mut auth = None;
    if let Some(value) = given("auth")? {
        let Value::Table(table) = &value else { return Err("auth: needs { user, password }".into()) };
        let part = |i: i64, name: &str| -> Result<String, String> {
            let value = table.raw_get::<Value>(i).map_err(|e| e.to_string())?;
            let value = if value.is_nil() { table.raw_get::<Value>(name).map_err(|e| e.to_string())? } else { value };
            if value.is_nil() { Err("auth: needs { user, password }".into()) } else { string("auth", &value) }
        };
        auth = Some((part(1, "user")?, part(2, "password")?));
    }
    if let Some(token) = text("bearer")? {
        if auth.is_some() {
            return Err("auth and bearer exclude each other".into());
        }
        let value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "bearer: the token holds a control character")?;
        headers.insert(reqwest::header::AUTHORIZATION, value);
    }

    let verify = match given("verify")? {
        None | Some(Value::Boolean(true)) => Verify::System,
        Some(Value::Boolean(false)) => Verify::Nothing,
        Some(value @ Value::String(_)) => Verify::With(path("verify", &value)?),
        Some(_) => return Err("verify: needs true, false or the name of a file with certificates".into()),
    };
    let cert = match given("cert")? {
        None => Vec::new(),
        Some(Value::Table(table)) => {
            let part = |i: i64, name: &str| -> Result<Option<PathBuf>, String> {
                let value = table.raw_get::<Value>(name).map_err(|e| e.to_string())?;
                let value = if value.is_nil() { table.raw_get::<Value>(i).map_err(|e| e.to_string())? } else { value };
                if value.is_nil() { Ok(None) } else { path("cert", &value).map(Some) }
            };
            let first = part(1, "cert")?.ok_or("cert: needs { cert = FILE, key = FILE }")?;
            std::iter::once(first).chain(part(2, "key")?).collect()
        }
        Some(value) => vec![path("cert", &value)?],
    };
    let proxy = match option("proxy")? {
        Value::Nil => Proxy::System,
        Value::Boolean(false) => Proxy::None,
        value if value.is_null() => Proxy::None,
        value => Proxy::Url(string("proxy", &value)?),
    };
    let redirects = match given("follow_redirects")? {
        None | Some(Value::Boolean(true)) => DEFAULT_REDIRECTS,
        Some(Value::Boolean(false)) => 0,
        Some(Value::Integer(n)) if (0..=MOST_REDIRECTS as i64).contains(&n) => n as usize,
        Some(_) => return Err(format!("follow_redirects: needs true, false or a number up to {MOST_REDIRECTS}")),
    };
    let flag = |key: &str| match given(key)? {
        None => Ok(false),
        Some(Value::Boolean(said)) => Ok(said),
        Some(_) => Err(format!("{key}: needs true or false")),
    };
    let (check, stream) = (flag("check")?, flag("stream")?);
    let max_size = match given("max_size")? {
        None if stream => None,
        None => Some(DEFAULT_SIZE),
        Some(Value::Integer(n)) if n >= 0 => Some(n as usize),
        Some(_) => return Err("max_size: needs a number of bytes".into()),
    };
    let unix_socket = given("unix_socket")?.map(|value| path("unix_socket", &value)).transpose()?;
    let timeout = given("timeout")?.map(|value| seconds("timeout", &value)).transpose()?.unwrap_or(DEFAULT_TIMEOUT);
    let connect_timeout = given("connect_timeout")?.map(|value| seconds("connect_timeout", &value)).transpose()?;
    let via = Via { verify, cert, unix_socket, proxy, redirects, connect_timeout };
    Ok(Request { method, url, headers, body, auth, timeout, max_size, check, stream, via })
}

/// Items of the table are positional; names must be known.
fn check_names(table: &Table, texts: &mut Vec<String>) -> Result<(), String> {
    let mut items = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|e| e.to_string())?;
        match &key {
            Value::Integer(i @ 1..=2) => items.push((*i, string("the URL", &value)?)),
            Value::String(name) => {
                let name = name.to_string_lossy();
                if !KNOWN.contains(&name.as_str()) {
                    return Err(format!("unknown option '{name}'{}", suggest::hint(&name, KNOWN.iter().copied())));
                }
            }
            _ => return Err("options have names".into()),
        }
    }
    items.sort();
    texts.extend(items.into_iter().map(|(_, text)| text));
    Ok(())
}

fn parse_url(text: &str) -> Result<Url, String> {
    // The parser would leave them out in silence.
    if text.chars().any(char::is_control) {
        return Err("the URL holds a line end or another control character".into());
    }
    let url = Url::parse(text).map_err(|e| match text.split_once("://") {
        // Whatever it is, its user and query may be secrets.
        Some((scheme, _)) => format!("the URL ({scheme}://…) is none: {e}"),
        None => format!("the URL is none: {e}; it begins with http:// or https://"),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the URL begins with http:// or https://, not {}:", url.scheme()));
    }
    Ok(url)
}

fn body(folder: &Path, given: &impl Fn(&str) -> Result<Option<Value>, String>, headers: &mut HeaderMap) -> Result<Body, String> {
    let mut said = Vec::new();
    for name in ["json", "form", "data", "body"] {
        if let Some(value) = given(name)? {
            said.push((name, value));
        }
    }
    let files = given("files")?;
    if said.len() > 1 {
        return Err(format!("{} and {} exclude each other", said[0].0, said[1].0));
    }
    let said = said.pop();
    let mut typed = |mime: &'static str| {
        headers.entry(reqwest::header::CONTENT_TYPE).or_insert(HeaderValue::from_static(mime));
    };
    if let Some(files) = files {
        let fields = match &said {
            None => Vec::new(),
            Some(("form" | "data", value @ Value::Table(_))) => pairs("form", value)?,
            Some((name, _)) => return Err(format!("files and {name} exclude each other: beside files, form is a table of fields")),
        };
        return Ok(Body::Multipart(fields, parts(folder, &files)?));
    }
    Ok(match said {
        None => Body::None,
        Some(("json", value)) => {
            let json = encode(&value).and_then(|json| serde_json::to_vec(&json).map_err(|e| e.to_string()));
            typed("application/json");
            Body::Bytes(json.map_err(|e| format!("json: {e}"))?)
        }
        Some((name @ ("form" | "data"), value @ Value::Table(_))) => {
            typed("application/x-www-form-urlencoded");
            let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs(name, &value)?).finish();
            Body::Bytes(form.into_bytes())
        }
        Some((_, Value::String(text))) => Body::Bytes(text.as_bytes().to_vec()),
        Some((name, value)) => return Err(format!("{name}: needs text, got {}", describe(&value))),
    })
}

/// `{ FIELD = content | { filename, content, type } | { path = FILE, name =, type = } }`
fn parts(folder: &Path, files: &Value) -> Result<Vec<Part>, String> {
    let Value::Table(files) = files else { return Err("files: needs a table of fields".into()) };
    let mut parts = Vec::new();
    for pair in files.pairs::<Value, Value>() {
        let (field, value) = pair.map_err(|e| e.to_string())?;
        let Value::String(field) = field else { return Err("files: needs the fields' names".into()) };
        let field = field.to_string_lossy();
        let what = format!("files: {field}");
        let part = match value {
            Value::String(content) => {
                Part { filename: field.clone(), field, content: Content::Bytes(content.as_bytes().to_vec()), mime: None }
            }
            Value::Table(about) => {
                let member = |i: i64, name: &str| -> Result<Option<Value>, String> {
                    let named = about.raw_get::<Value>(name).map_err(|e| e.to_string())?;
                    let value = if named.is_nil() { about.raw_get::<Value>(i).map_err(|e| e.to_string())? } else { named };
                    Ok(Some(value).filter(|v| !v.is_nil() && !v.is_null()))
                };
                let filename = member(1, "name")?.map(|v| string(&what, &v)).transpose()?;
                let mime = member(3, "type")?.map(|v| string(&what, &v)).transpose()?;
                let path = about.raw_get::<Value>("path").map_err(|e| e.to_string())?;
                if path.is_nil() {
                    let Some(Value::String(content)) = member(2, "content")? else {
                        return Err(format!("{what}: needs its content or the path of a file"));
                    };
                    let filename = filename.unwrap_or_else(|| field.clone());
                    Part { field, filename, content: Content::Bytes(content.as_bytes().to_vec()), mime }
                } else {
                    let path = folder.join(string(&what, &path)?);
                    let last = path.file_name().map(|n| n.to_string_lossy().into_owned());
                    let filename = filename.or(last).unwrap_or_else(|| field.clone());
                    Part { field, filename, content: Content::File(path), mime }
                }
            }
            other => return Err(format!("{what}: needs text or a table, got {}", describe(&other))),
        };
        parts.push(part);
    }
    parts.sort_by(|a, b| a.field.cmp(&b.field));
    Ok(parts)
}

/// Names and values, in the order of the names; a list gives its name several times.
fn pairs(what: &str, value: &Value) -> Result<Vec<(String, String)>, String> {
    let Value::Table(table) = value else { return Err(format!("{what}: needs a table of names and values, got {}", describe(value))) };
    let mut pairs = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair.map_err(|e| e.to_string())?;
        let Value::String(name) = name else { return Err(format!("{what}: needs names, as in {{ name = value }}")) };
        let name = name.to_string_lossy();
        match value {
            Value::Table(list) => {
                for item in list.sequence_values::<Value>() {
                    pairs.push((name.clone(), scalar(what, &name, &item.map_err(|e| e.to_string())?)?));
                }
            }
            value if value.is_null() => {}
            value => {
                let value = scalar(what, &name, &value)?;
                pairs.push((name, value));
            }
        }
    }
    // Stable: a list keeps its order.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(pairs)
}

fn scalar(what: &str, name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::Boolean(b) => Ok(b.to_string()),
        value => string(&format!("{what}: {name}"), value),
    }
}

fn string(what: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => text.to_str().map(|t| t.to_string()).map_err(|_| format!("{what}: is not UTF-8")),
        Value::Integer(i) => Ok(i.to_string()),
        Value::Number(x) => Ok(x.to_string()),
        other => Err(format!("{what}: needs text, got {}", describe(other))),
    }
}

fn seconds(what: &str, value: &Value) -> Result<Duration, String> {
    let given = match value {
        Value::Integer(i) => duration::from_seconds(*i as f64),
        Value::Number(x) => duration::from_seconds(*x),
        _ => None,
    };
    given
        .filter(|d| !d.is_zero() && *d <= LONGEST_TIMEOUT)
        .ok_or_else(|| format!("{what}: needs a number of seconds above 0, at most {}", LONGEST_TIMEOUT.as_secs()))
}
