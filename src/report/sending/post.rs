//! Posts one report to an HTTP server, and says what became of it. Never decides when to try again.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Identity, StatusCode, redirect};
use serde::{Deserialize, Serialize};

use super::outbox::Outcome;
use super::smtp::Login;
use crate::base::{Secret, revealed};

const CONNECT: Duration = Duration::from_secs(30);
/// From the first byte to the end of the answer.
const WHOLE: Duration = Duration::from_secs(120);
/// Of an answer's text that is shown; the rest is not read.
const LONGEST_ANSWER: usize = 500;

/// Where reports go, and what the server wants to see.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub url: String,
    pub headers: Vec<Header>,
    pub login: Option<Login>,
    pub trust: Trust,
    /// Certificate and key of the client, as PEM.
    pub identity: Option<Pem>,
    /// Requests and answers are noted.
    pub debug: bool,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub name: String,
    #[serde(with = "revealed")]
    pub value: Secret,
}

/// Which certificates of a server are good.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Trust {
    /// Those that the system knows.
    System,
    Any,
    /// These alone, as PEM; `file` is where they come from.
    Only {
        file: String,
        pem: String,
    },
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Pem {
    pub file: String,
    #[serde(with = "revealed")]
    pub pem: Secret,
}

/// Keeps its client from one report to the next, as long as the endpoint is the same and answers.
#[derive(Default)]
pub struct Poster {
    ready: Option<(Endpoint, Ready)>,
}

struct Ready {
    client: Client,
    headers: HeaderMap,
}

impl Poster {
    /// One try; `id` is the same for the same report.
    pub async fn post(&mut self, to: &Endpoint, id: &str, body: Vec<u8>, notes: &mut Vec<String>) -> Outcome {
        let ready = match self.ready.take().filter(|(made_for, _)| made_for == to) {
            Some((_, ready)) => ready,
            None => match prepare(to) {
                Ok(ready) => ready,
                Err(why) => return Outcome::Down(why),
            },
        };
        if to.debug {
            notes.push(format!("posts {} bytes to {}", body.len(), bare(&to.url)));
        }
        let mut request = ready.client.post(&to.url).headers(ready.headers.clone());
        if let Some(login) = &to.login {
            request = request.basic_auth(login.user.reveal(), Some(login.password.reveal()));
        }
        let answer = request.header(CONTENT_TYPE, "application/json").header("Idempotency-Key", id).body(body).send().await;
        let outcome = match answer {
            Err(e) => Outcome::Down(format!("{}: {}", bare(&to.url), explain(&e))),
            Ok(answer) => {
                let (status, text) = (answer.status(), beginning(answer).await);
                if to.debug {
                    notes.push(format!("the server answers {status} {text}"));
                }
                judge(status, &text)
            }
        };
        if !matches!(outcome, Outcome::Down(_)) {
            self.ready = Some((to.clone(), ready));
        }
        outcome
    }
}

fn prepare(to: &Endpoint) -> Result<Ready, String> {
    // Refused if there is one already, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A redirected POST would become a GET without the report.
    let mut builder = Client::builder()
        .user_agent(concat!("Buildmoon/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(WHOLE);
    match &to.trust {
        Trust::System => {}
        Trust::Any => builder = builder.tls_danger_accept_invalid_certs(true),
        Trust::Only { file, pem } => {
            let roots = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|e| format!("verify: {file}: {}", explain(&e)))?;
            if roots.is_empty() {
                return Err(format!("verify: {file} holds no certificate"));
            }
            builder = builder.tls_certs_only(roots);
        }
    }
    if let Some(Pem { file, pem }) = &to.identity {
        let identity = Identity::from_pem(pem.reveal().as_bytes());
        builder = builder.identity(identity.map_err(|e| format!("cert: {file}: {}", explain(&e)))?);
    }
    let client = builder.build().map_err(|e| format!("no HTTP client can be made: {}", explain(&e)))?;
    let mut headers = HeaderMap::new();
    for Header { name, value } in &to.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("headers: {name:?} is no name of a header"))?;
        let mut value = HeaderValue::from_str(value.reveal())
            .map_err(|_| format!("headers: the value of {name} holds a line break or another control character"))?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(Ready { client, headers })
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
