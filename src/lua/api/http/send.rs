//! Sends one request and reads its answer within limits: time, size (after unpacking), redirects, headers. Says in one line what went
//! wrong. It knows nothing of Lua; dropping [`send`]'s future closes the connection.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Identity, redirect};

use super::options::{Body, Content, Part, Proxy, Request, Verify, Via, shown_url};
use crate::base::duration::human;

/// Sets of options whose connections are kept.
const MOST_CLIENTS: usize = 16;
/// A certificate file; more is something else.
const LARGEST_PEM: u64 = 4 << 20;
const IDLE: Duration = Duration::from_secs(60);
const MOST_IDLE_PER_HOST: usize = 8;

#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub reason: String,
    /// Where the redirects led, without secrets.
    pub url: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, Vec<u8>>,
    pub text: Vec<u8>,
}

/// The clients of one generation, oldest first, each with what it was made from.
#[derive(Default)]
pub(super) struct Clients(Mutex<Vec<(Key, Client)>>);

#[derive(Clone, PartialEq)]
struct Key {
    via: Via,
    /// The files' content, so that a new certificate is used at once.
    roots: Vec<u8>,
    identity: Vec<u8>,
    encrypted: bool,
}

pub(super) async fn send(clients: Arc<Clients>, request: Request) -> Result<Answer, String> {
    let shown = request.shown();
    let timeout = request.timeout;
    let limits = (request.via.redirects, request.via.connect_timeout);
    let sent = tokio::time::timeout(timeout, exchange(&clients, request)).await;
    match sent {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Failure::Text(text))) => Err(format!("{shown}: {text}")),
        Ok(Err(Failure::Http(e))) => Err(format!("{shown}: {}", explain(&e, limits))),
        Err(_) => Err(format!("{shown}: no complete answer within {}", human(timeout))),
    }
}

enum Failure {
    Text(String),
    Http(reqwest::Error),
}

impl From<reqwest::Error> for Failure {
    fn from(e: reqwest::Error) -> Failure {
        Failure::Http(e)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Text(text)
    }
}

async fn exchange(clients: &Clients, request: Request) -> Result<Answer, Failure> {
    let client = clients.get(&request).await?;
    let mut call = client.request(request.method, request.url).headers(request.headers);
    if let Some((user, password)) = request.auth {
        call = call.basic_auth(user, Some(password));
    }
    call = match request.body {
        Body::None => call,
        Body::Bytes(bytes) => call.body(bytes),
        Body::Multipart(fields, parts) => call.multipart(multipart(fields, parts).await?),
    };
    let mut response = call.send().await?;
    let limit = request.max_size;
    let too_large = || Failure::Text(format!("the answer is larger than {limit} bytes (max_size)"));
    // What comes packed is measured as it is unpacked.
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if text.len() + chunk.len() > limit {
            return Err(too_large());
        }
        text.extend_from_slice(&chunk);
    }
    let status = response.status();
    Ok(Answer {
        status: status.as_u16(),
        reason: status.canonical_reason().unwrap_or_default().to_owned(),
        url: shown_url(response.url()),
        headers: headers(response.headers()),
        text,
    })
}

/// A header that comes several times is one with its values joined.
fn headers(all: &HeaderMap) -> BTreeMap<String, Vec<u8>> {
    let mut headers: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, value) in all {
        let known = headers.entry(name.as_str().to_owned()).or_default();
        if !known.is_empty() {
            known.extend_from_slice(b", ");
        }
        known.extend_from_slice(value.as_bytes());
    }
    headers
}

async fn multipart(fields: Vec<(String, String)>, parts: Vec<Part>) -> Result<reqwest::multipart::Form, Failure> {
    let mut form = reqwest::multipart::Form::new();
    for (name, value) in fields {
        form = form.text(name, value);
    }
    for part in parts {
        let what = format!("files: {}", part.field);
        let mut sent = match part.content {
            Content::Bytes(bytes) => reqwest::multipart::Part::bytes(bytes),
            Content::File(path) => {
                let opened = reqwest::multipart::Part::file(&path).await;
                opened.map_err(|e| format!("{what}: {}: {e}", path.display()))?
            }
        };
        sent = sent.file_name(part.filename);
        if let Some(mime) = part.mime {
            sent = sent.mime_str(&mime).map_err(|_| format!("{what}: {mime:?} is no type"))?;
        }
        form = form.part(part.field, sent);
    }
    Ok(form)
}

impl Clients {
    async fn get(&self, request: &Request) -> Result<Client, Failure> {
        let via = request.via.clone();
        let roots = match &via.verify {
            Verify::With(file) => pem("verify", file).await?,
            Verify::System | Verify::Nothing => Vec::new(),
        };
        let mut identity = Vec::new();
        for file in &via.cert {
            identity.extend(pem("cert", file).await?);
            identity.push(b'\n');
        }
        let key = Key { via, roots, identity, encrypted: request.url.scheme() == "https" };
        if let Some(client) = self.known(&key) {
            return Ok(client);
        }
        let made = key.clone();
        // The system's roots are read from files.
        let client = tokio::task::spawn_blocking(move || build(&made)).await.map_err(|e| e.to_string())??;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_CLIENTS {
            all.remove(0);
        }
        all.push((key, client.clone()));
        Ok(client)
    }

    fn known(&self, key: &Key) -> Option<Client> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(known, _)| known == key)?;
        // The one that is used is the youngest.
        let found = all.remove(at);
        let client = found.1.clone();
        all.push(found);
        Some(client)
    }
}

async fn pem(what: &str, file: &Path) -> Result<Vec<u8>, String> {
    let fail = |e: std::io::Error| format!("{what}: {}: {e}", file.display());
    let about = tokio::fs::metadata(file).await.map_err(fail)?;
    if !about.is_file() || about.len() > LARGEST_PEM {
        return Err(format!("{what}: {} is no file of certificates", file.display()));
    }
    tokio::fs::read(file).await.map_err(fail)
}

fn build(key: &Key) -> Result<Client, String> {
    // Refused if there is one already, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let via = &key.via;
    let start = || -> Result<reqwest::ClientBuilder, String> {
        let mut builder = Client::builder()
            .user_agent(concat!("Buildmoon/", env!("CARGO_PKG_VERSION")))
            .redirect(if via.redirects == 0 { redirect::Policy::none() } else { redirect::Policy::limited(via.redirects) })
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE_PER_HOST);
        if let Some(limit) = via.connect_timeout {
            builder = builder.connect_timeout(limit);
        }
        match &via.proxy {
            Proxy::System => {}
            Proxy::None => builder = builder.no_proxy(),
            Proxy::Url(url) => {
                let proxy = reqwest::Proxy::all(url).map_err(|e| format!("proxy: {}", innermost(&e)))?;
                builder = builder.no_proxy().proxy(proxy);
            }
        }
        if let Some(socket) = &via.unix_socket {
            builder = builder.unix_socket(socket.as_path());
        }
        if !key.identity.is_empty() {
            let identity = Identity::from_pem(&key.identity).map_err(|e| format!("cert: {}", innermost(&e)))?;
            builder = builder.identity(identity);
        }
        match &via.verify {
            Verify::System => {}
            Verify::Nothing => builder = builder.tls_danger_accept_invalid_certs(true),
            Verify::With(file) => {
                let roots =
                    Certificate::from_pem_bundle(&key.roots).map_err(|e| format!("verify: {}: {}", file.display(), innermost(&e)))?;
                if roots.is_empty() {
                    return Err(format!("verify: {} holds no certificate", file.display()));
                }
                builder = builder.tls_certs_merge(roots);
            }
        }
        Ok(builder)
    };
    match start()?.build() {
        Ok(client) => Ok(client),
        // A system without roots can still talk where nothing is encrypted.
        Err(_) if !key.encrypted && via.verify == Verify::System => start()?.tls_certs_only([]).build().map_err(|e| innermost(&e)),
        Err(e) => Err(innermost(&e)),
    }
}

/// What failed, in one line and without the URL.
fn explain(e: &reqwest::Error, (redirects, connect_timeout): (usize, Option<Duration>)) -> String {
    let cause = innermost(e);
    if e.is_redirect() {
        return format!("more than {redirects} redirects (follow_redirects): {cause}");
    }
    if let Some(tls) = find::<rustls::Error>(e) {
        return format!("TLS: {tls}");
    }
    if e.is_timeout() {
        return match connect_timeout {
            Some(limit) if e.is_connect() => format!("no connection within {} (connect_timeout)", human(limit)),
            _ => "no connection in time".into(),
        };
    }
    if let Some(io) = find::<std::io::Error>(e)
        && e.is_connect()
    {
        return match io.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
            _ if names(e).any(|text| text.contains("dns error")) => format!("the host's name was not found: {cause}"),
            _ => format!("no connection: {cause}"),
        };
    }
    if e.is_connect() {
        return format!("no connection: {cause}");
    }
    if e.is_decode() {
        return format!("the answer is broken: {cause}");
    }
    if e.is_builder() { cause } else { format!("the connection failed: {cause}") }
}

/// An error and its causes, outermost first.
fn chain<'a>(e: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(e);
    std::iter::from_fn(move || {
        let e = next?;
        next = e.source();
        Some(e)
    })
}

/// The causes' texts, outermost first.
fn names<'a>(e: &'a (dyn Error + 'static)) -> impl Iterator<Item = String> + 'a {
    chain(e).map(ToString::to_string)
}

/// The first cause of a kind; errors of I/O carry others within, and those again.
fn find<'a, T: Error + 'static>(e: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(e).find_map(|mut e| {
        loop {
            if let Some(found) = e.downcast_ref::<T>() {
                return Some(found);
            }
            e = e.downcast_ref::<std::io::Error>()?.get_ref()?;
        }
    })
}

fn innermost(e: &(dyn Error + 'static)) -> String {
    let text = names(e).last().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
