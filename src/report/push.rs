//! Posts the reports of one `HttpStatusPush` as JSON, and says what became of each. Never decides when to try again.
//!
//! A report that was posted when the master died is posted again after its start, with the same `Idempotency-Key`.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Identity, StatusCode, redirect};
use sha2::{Digest, Sha256};

use super::mailer::Surroundings;
use super::outbox::{Outcome, Sender};
use crate::config::{HttpPushSpec, SecretPart, SecretText, Verify};
use crate::model::OutboxItem;
use crate::workers::BoxFuture;

const CONNECT: Duration = Duration::from_secs(30);
/// From the first byte to the end of the answer.
const WHOLE: Duration = Duration::from_secs(120);
/// Of an answer's text that is shown; the rest is not read.
const LONGEST_ANSWER: usize = 500;
const LARGEST_PEM: u64 = 4 << 20;

pub struct PushSender {
    spec: HttpPushSpec,
    around: Surroundings,
    ready: Option<Ready>,
}

/// Made when it is first needed, and anew after a failure: files and secrets may have changed.
struct Ready {
    client: Client,
    headers: HeaderMap,
    auth: Option<(String, String)>,
}

impl PushSender {
    pub fn new(spec: HttpPushSpec, around: Surroundings) -> PushSender {
        PushSender { spec, around, ready: None }
    }

    async fn try_once(&mut self, item: &OutboxItem, payload: String) -> Outcome {
        let ready = match &self.ready {
            Some(ready) => ready,
            None => match self.prepare().await {
                Ok(ready) => self.ready.insert(ready),
                Err(why) => return Outcome::Down(why),
            },
        };
        if self.spec.debug {
            tracing::info!(reporter = item.reporter, about = item.key, "posts {} bytes to {}", payload.len(), bare(&self.spec.server_url));
        }
        let mut request = ready.client.post(&self.spec.server_url).headers(ready.headers.clone());
        if let Some((user, password)) = &ready.auth {
            request = request.basic_auth(user, Some(password));
        }
        let key = key(&self.around.master_id, item);
        let answer = request.header(CONTENT_TYPE, "application/json").header("Idempotency-Key", key).body(payload).send().await;
        let outcome = match answer {
            Err(e) => Outcome::Down(format!("{}: {}", bare(&self.spec.server_url), explain(&e))),
            Ok(answer) => {
                let (status, text) = (answer.status(), beginning(answer).await);
                if self.spec.debug {
                    tracing::info!(reporter = item.reporter, about = item.key, "the server answers {status} {text}");
                }
                judge(status, &text)
            }
        };
        if matches!(outcome, Outcome::Down(_)) {
            self.ready = None;
        }
        outcome
    }

    async fn prepare(&self) -> Result<Ready, String> {
        // Refused if there is one already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A redirected POST would become a GET without the report.
        let mut builder = Client::builder()
            .user_agent(concat!("Buildmoon/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(WHOLE);
        match &self.spec.verify {
            Verify::System => {}
            Verify::Off => builder = builder.tls_danger_accept_invalid_certs(true),
            Verify::File(file) => {
                let pem = self.pem("verify", file).await?;
                let roots = Certificate::from_pem_bundle(&pem).map_err(|e| format!("verify: {file}: {}", explain(&e)))?;
                if roots.is_empty() {
                    return Err(format!("verify: {file} holds no certificate"));
                }
                builder = builder.tls_certs_only(roots);
            }
        }
        if let Some((certificate, key)) = &self.spec.cert {
            let mut pem = self.pem("cert", certificate).await?;
            if let Some(key) = key {
                pem.push(b'\n');
                pem.extend(self.pem("cert", key).await?);
            }
            builder = builder.identity(Identity::from_pem(&pem).map_err(|e| format!("cert: {certificate}: {}", explain(&e)))?);
        }
        let client = builder.build().map_err(|e| format!("no HTTP client can be made: {}", explain(&e)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.spec.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("headers: {name:?} is no name of a header"))?;
            let mut value = HeaderValue::from_str(&self.text(value).await?)
                .map_err(|_| format!("headers: the value of {name} holds a line break or another control character"))?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        let auth = match &self.spec.auth {
            Some((user, password)) => {
                let (user, password) = (self.around.reveal(user).await?, self.around.reveal(password).await?);
                Some((user.reveal().to_owned(), password.reveal().to_owned()))
            }
            None => None,
        };
        Ok(Ready { client, headers, auth })
    }

    async fn text(&self, text: &SecretText) -> Result<String, String> {
        let mut whole = String::new();
        for part in &text.0 {
            match part {
                SecretPart::Text(text) => whole.push_str(text),
                SecretPart::Secret(name) => whole.push_str(self.around.secrets.get(name).await.map_err(|e| e.to_string())?.reveal()),
            }
        }
        Ok(whole)
    }

    async fn pem(&self, what: &str, file: &str) -> Result<Vec<u8>, String> {
        let path = self.around.folder.join(file);
        let fail = |e: std::io::Error| format!("{what}: {}: {e}", path.display());
        let about = tokio::fs::metadata(&path).await.map_err(fail)?;
        if !about.is_file() || about.len() > LARGEST_PEM {
            return Err(format!("{what}: {} is no file of certificates", path.display()));
        }
        tokio::fs::read(&path).await.map_err(fail)
    }
}

impl Sender for PushSender {
    fn send<'a>(&'a mut self, item: &'a OutboxItem, payload: String, _progress: Option<String>) -> BoxFuture<'a, Outcome> {
        Box::pin(self.try_once(item, payload))
    }

    fn rest(&mut self) -> BoxFuture<'_, ()> {
        // The client closes idle connections by itself.
        Box::pin(std::future::ready(()))
    }
}

/// What an answer means.
fn judge(status: StatusCode, text: &str) -> Outcome {
    let said = match text.is_empty() {
        true => status.to_string(),
        false => format!("{status}: {text}"),
    };
    match status.as_u16() {
        200..=299 => Outcome::Sent { remark: None },
        // It is said of this report: another may pass.
        408 | 425 => Outcome::Later { error: format!("the server answers {said}"), progress: None },
        429 | 500..=599 => Outcome::Down(format!("the server answers {said}")),
        300..=399 => Outcome::Refused(format!("the server answers {said}: a report is not posted to another address, give that one")),
        _ => Outcome::Refused(format!("the server answers {said}")),
    }
}

/// The same for the same report, however often it is posted.
fn key(master_id: &str, item: &OutboxItem) -> String {
    let mut hash = Sha256::new();
    for part in [master_id, &item.reporter, &item.key] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// What an answer begins with, on one line.
async fn beginning(mut answer: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST_ANSWER {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk[..chunk.len().min(LONGEST_ANSWER)]),
            _ => break,
        }
    }
    bytes.truncate(LONGEST_ANSWER);
    let text = String::from_utf8_lossy(&bytes);
    text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// An address without what may be secret in it.
fn bare(address: &str) -> String {
    match url::Url::parse(address) {
        Ok(mut url) => {
            // Refused by addresses that have no host, which are none of HTTP.
            let _ = (url.set_username(""), url.set_password(None));
            url.set_query(None);
            url.to_string()
        }
        Err(_) => "serverUrl".into(),
    }
}

/// The last causes: the first ones repeat the address.
fn explain(e: &reqwest::Error) -> String {
    if e.is_timeout() {
        return "no answer in time".into();
    }
    let mut text = None;
    let mut next = std::error::Error::source(e);
    while let Some(cause) = next {
        text = Some(cause.to_string());
        next = cause.source();
    }
    text.unwrap_or_else(|| "the request failed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let kind = |status: u16| match judge(StatusCode::from_u16(status).unwrap(), "") {
            Outcome::Sent { .. } => "sent",
            Outcome::Later { .. } => "later",
            Outcome::Down(_) => "down",
            Outcome::Refused(_) => "refused",
        };
        for (status, expected) in [
            (200, "sent"),
            (204, "sent"),
            (301, "refused"),
            (400, "refused"),
            (401, "refused"),
            (404, "refused"),
            (408, "later"),
            (425, "later"),
            (429, "down"),
            (500, "down"),
            (503, "down"),
        ] {
            assert_eq!(kind(status), expected, "{status}");
        }
        assert_eq!(
            judge(StatusCode::BAD_REQUEST, "no such field"),
            Outcome::Refused("the server answers 400 Bad Request: no such field".into())
        );
    }

    #[test]
    fn addresses_are_shown_without_secrets() {
        assert_eq!(bare("https://u:p@example.org/hook?token=abc"), "https://example.org/hook");
        assert_eq!(bare("nonsense"), "serverUrl");
    }
}
