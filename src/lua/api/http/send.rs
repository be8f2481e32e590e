//! Sends one request and reads its answer within limits: time, size (after unpacking), redirects, headers. Says in one line what went
//! wrong. It knows nothing of Lua; dropping [`send`]'s future, or what is left of an answer, closes the connection.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Identity, Response, redirect};

use super::super::stream::{NextPiece, Source};
use super::options::{Body, Content, Part, Proxy, Request, Verify, Via, shown_url};
use crate::base::duration::human;

/// Sets of options whose connections are kept.
const MOST_CLIENTS: usize = 16;
/// A certificate file; more is something else.
const LARGEST_PEM: u64 = 4 << 20;
const IDLE: Duration = Duration::from_secs(60);
const MOST_IDLE_PER_HOST: usize = 8;
const SHOWN_OF_REFUSAL: usize = 4096;

pub(super) struct Answer {
    pub status: u16,
    pub reason: String,
    /// Where the redirects led, without secrets.
    pub url: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, Vec<u8>>,
    /// The content, or the beginning of it where a stream was asked for and is refused.
    pub text: Vec<u8>,
    /// The content where a stream was asked for.
    pub rest: Option<Box<dyn Source>>,
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
    let told = Told { shown: request.shown(), limits: (request.via.redirects, request.via.connect_timeout), timeout: request.timeout };
    let sent = tokio::time::timeout(request.timeout, exchange(&clients, request, &told)).await;
    match sent {
        Ok(sent) => sent.map_err(|failure| told.failure(failure)),
        Err(_) => Err(format!("{}: no complete answer within {}", told.shown, human(told.timeout))),
    }
}

/// What messages say of a request.
#[derive(Clone)]
struct Told {
    shown: String,
    limits: (usize, Option<Duration>),
    timeout: Duration,
}

impl Told {
    fn failure(&self, failure: Failure) -> String {
        match failure {
            Failure::Text(text) => format!("{}: {text}", self.shown),
            Failure::Http(e) => format!("{}: {}", self.shown, explain(&e, self.limits)),
        }
    }
}

/// The content of an answer that is read piece by piece.
pub(super) struct Rest {
    response: Response,
    /// Of what is still to come.
    left: Option<usize>,
    max_size: Option<usize>,
    told: Told,
}

impl Rest {
    async fn piece(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(piece) = self.response.chunk().await? else { return Ok(None) };
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(piece.len()).ok_or_else(|| too_large(self.max_size))?;
        }
        Ok(Some(piece.into()))
    }
}

impl Source for Rest {
    fn next(&mut self) -> NextPiece<'_> {
        let told = self.told.clone();
        Box::pin(async move {
            match tokio::time::timeout(told.timeout, self.piece()).await {
                Ok(piece) => piece.map_err(|failure| told.failure(failure)),
                Err(_) => Err(format!("{}: nothing more came within {} (timeout)", told.shown, human(told.timeout))),
            }
        })
    }
}

fn too_large(limit: Option<usize>) -> Failure {
    Failure::Text(format!("the answer is larger than {} bytes (max_size)", limit.unwrap_or_default()))
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

async fn exchange(clients: &Clients, request: Request, told: &Told) -> Result<Answer, Failure> {
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
    let response = call.send().await?;
    let limit = request.max_size;
    // What comes packed is measured as it is unpacked.
    if response.content_length().zip(limit).is_some_and(|(length, limit)| length > limit as u64) {
        return Err(too_large(limit));
    }
    let status = response.status();
    let mut answer = Answer {
        status: status.as_u16(),
        reason: status.canonical_reason().unwrap_or_default().to_owned(),
        url: shown_url(response.url()),
        headers: headers(response.headers()),
        text: Vec::new(),
        rest: None,
    };
    let mut rest = Rest { response, left: limit, max_size: limit, told: told.clone() };
    if request.stream && !(request.check && !status.is_success()) {
        answer.rest = Some(Box::new(rest));
        return Ok(answer);
    }
    while let Some(piece) = rest.piece().await? {
        answer.text.extend_from_slice(&piece);
        // Of a refusal that was to be a stream no more is shown than its beginning.
        if request.stream && answer.text.len() >= SHOWN_OF_REFUSAL {
            break;
        }
    }
    Ok(answer)
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
