//! Hands one mail to a relay over SMTP, and says what became of it for each recipient. Never decides when to try again.
//!
//! SMTP has no way to learn, after a broken connection, whether the relay took a mail whose last line it got. Such a mail is
//! sent again with the same Message-ID, by which mail stores know it as the same; it is never taken for sent without the
//! relay's word.

use std::path::PathBuf;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::mime::Envelope;
use super::outbox::Outcome;
use crate::base::{Secret, revealed};

/// Of a file of certificates.
const LARGEST_PEM: u64 = 4 << 20;
/// A mail is written in pieces, each of which must get through in time.
const PIECE: usize = 64 << 10;
/// Of an answer that is shown.
const LONGEST_ANSWER: usize = 500;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SmtpSettings {
    pub relayhost: String,
    pub port: u16,
    pub security: Security,
    /// Certificates that are trusted in place of those of the system.
    pub ca_file: Option<PathBuf>,
    pub login: Option<Login>,
    pub limits: Limits,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Security {
    /// Plain; but a login travels encrypted where the relay offers STARTTLS.
    Plain,
    /// Without STARTTLS nothing is sent: `useTls`.
    StartTls,
    /// From the first byte: `useSmtps`.
    Tls,
}

/// Written out for a courier alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Login {
    #[serde(with = "revealed")]
    pub user: Secret,
    #[serde(with = "revealed")]
    pub password: Secret,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Until it is connected, TLS and the relay's greeting included.
    pub connect: Duration,
    /// For an answer, and for each piece of a mail.
    pub command: Duration,
    /// For the answer to a mail's end, while a relay looks for viruses.
    pub end: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connect: Duration::from_secs(30), command: Duration::from_secs(120), end: Duration::from_secs(600) }
    }
}

/// Sees the conversation; lines have no line ends, secrets are masked.
pub trait Transcript: Send {
    fn client(&mut self, line: &str);
    fn server(&mut self, line: &str);
    fn note(&mut self, text: &str);
}

/// Nobody listens.
pub struct Silent;

impl Transcript for Silent {
    fn client(&mut self, _: &str) {}
    fn server(&mut self, _: &str) {}
    fn note(&mut self, _: &str) {}
}

/// What is kept of a mail that some recipients have.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Progress {
    left: Vec<String>,
    /// Those who will not get it, and why.
    refused: Vec<String>,
}

/// A relay, and the connection to it while there is one.
pub struct Smtp {
    settings: SmtpSettings,
    line: Option<AsyncSmtpConnection>,
}

/// Why a command did not do what it should.
enum Trouble {
    /// The relay refuses this mail or recipient, now or for good.
    Later(String),
    Never(String),
    /// The conversation has ended.
    Over(String),
}

impl Smtp {
    pub fn new(settings: SmtpSettings) -> Smtp {
        Smtp { settings, line: None }
    }

    pub fn settings(&self) -> &SmtpSettings {
        &self.settings
    }

    /// One try. `progress` is what an earlier one left.
    pub async fn send(&mut self, envelope: &Envelope, content: &[u8], progress: Option<&str>, shown: &mut dyn Transcript) -> Outcome {
        let mut progress: Progress = progress.and_then(|p| serde_json::from_str(p).ok()).unwrap_or_default();
        let all = envelope.recipients.iter();
        let left: Vec<Address> = match progress.left.is_empty() {
            true => all.cloned().collect(),
            false => all.filter(|a| progress.left.contains(&a.to_string())).cloned().collect(),
        };
        let mut fresh = false;
        let accepted = loop {
            if self.line.is_none() {
                fresh = true;
                match self.connect(shown).await {
                    Ok(line) => self.line = Some(line),
                    Err(why) => return Outcome::Down(why),
                }
            }
            match self.introduce(envelope, content, shown).await {
                Ok(()) => {}
                // The relay has hung up in the meantime, as it may.
                Err(Trouble::Over(_)) if !fresh => continue,
                Err(Trouble::Over(why)) => return Outcome::Down(why),
                Err(Trouble::Later(why)) => return Outcome::Later { error: why, progress: None },
                Err(Trouble::Never(why)) => return Outcome::Refused(why),
            }
            match self.recipients(&left, &mut progress, shown).await {
                Ok(accepted) => break accepted,
                Err(why) => return Outcome::Down(why),
            }
        };
        if accepted.is_empty() {
            let _ = self.command(Rset, "RSET", self.settings.limits.command, shown).await;
            return match progress.left.is_empty() {
                true => Outcome::Refused(progress.refused.join("; ")),
                // What is known of the others must not be asked again; else all is as before.
                false if progress.refused.is_empty() => Outcome::Later { error: still(&progress), progress: None },
                false => Outcome::Later { error: still(&progress), progress: written(&progress) },
            };
        }
        match self.content(content, shown).await {
            Ok(()) if progress.left.is_empty() => {
                Outcome::Sent { remark: (!progress.refused.is_empty()).then(|| progress.refused.join("; ")) }
            }
            Ok(()) => Outcome::Later { error: still(&progress), progress: written(&progress) },
            Err(Trouble::Over(why)) => Outcome::Down(why),
            // Nobody has it. Those who were refused are asked for again, which harms nobody.
            Err(Trouble::Later(error)) => Outcome::Later { error, progress: None },
            Err(Trouble::Never(why)) => Outcome::Refused(why),
        }
    }

    /// Says goodbye, if there is a connection.
    pub async fn close(&mut self, shown: &mut dyn Transcript) {
        if self.line.is_some() {
            let _ = self.command(Quit, "QUIT", self.settings.limits.connect, shown).await;
            self.line = None;
        }
    }

    async fn connect(&self, shown: &mut dyn Transcript) -> Result<AsyncSmtpConnection, String> {
        let host = &self.settings.relayhost;
        let place = format!("{host}:{}", self.settings.port);
        let limit = self.settings.limits.connect;
        shown.note(&format!("connecting to {place}"));
        match tokio::time::timeout(limit, self.open(shown)).await {
            Ok(done) => done.map_err(|e| format!("{place}: {e}")),
            Err(_) => Err(format!("{place}: no connection and greeting within {} s", limit.as_secs())),
        }
    }

    async fn open(&self, shown: &mut dyn Transcript) -> Result<AsyncSmtpConnection, String> {
        let SmtpSettings { relayhost, port, security, login, .. } = &self.settings;
        let hello = ClientId::default();
        let at_once = match security {
            Security::Tls => Some(self.tls().await?),
            _ => None,
        };
        if at_once.is_some() {
            shown.note("TLS from the first byte");
        }
        let place = (relayhost.as_str(), *port);
        let mut line = match at_once {
            Some(tls) => AsyncSmtpConnection::connect_tokio1(place, None, &hello, Some(tls), None).await,
            None => {
                let stream = TcpStream::connect(place).await.map_err(|e| e.to_string())?;
                // The end of a mail travels by itself, and would wait for an answer to what it ends.
                stream.set_nodelay(true).map_err(|e| e.to_string())?;
                AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await
            }
        }
        .map_err(explain)?;
        shown.note("connected");
        let wanted = match security {
            Security::StartTls => true,
            Security::Plain => login.is_some() && line.can_starttls(),
            Security::Tls => false,
        };
        if wanted {
            if !line.can_starttls() {
                let _ = line.quit().await;
                return Err("useTls is set, and the relay offers no STARTTLS".into());
            }
            shown.client("STARTTLS");
            line.starttls(self.tls().await?, &hello).await.map_err(explain)?;
            shown.note("encrypted, the certificate is good");
        }
        // The library keeps the greeting and the answer to EHLO to itself.
        let (name, offers) = (line.server_info().name(), line.server_info().to_string());
        shown.note(&format!("the relay calls itself {name}: {}", one_line(&offers)));
        if let Some(login) = login {
            self.log_in(&mut line, login, shown).await?;
        }
        Ok(line)
    }

    async fn log_in(&self, line: &mut AsyncSmtpConnection, login: &Login, shown: &mut dyn Transcript) -> Result<(), String> {
        let known = [Mechanism::Plain, Mechanism::Login];
        let Some(mechanism) = line.server_info().get_auth_mechanism(&known) else {
            let _ = line.quit().await;
            return Err("smtpUser is set, and the relay offers no login with PLAIN or LOGIN".into());
        };
        shown.client(&format!("AUTH {mechanism} ***"));
        let credentials = Credentials::new(login.user.reveal().to_owned(), login.password.reveal().to_owned());
        match line.auth(&[mechanism], &credentials).await {
            Ok(answer) => {
                show(&answer, shown);
                Ok(())
            }
            Err(e) => {
                let why = explain(e);
                shown.server(&why);
                line.abort().await;
                Err(format!("the relay refuses the login: {why}"))
            }
        }
    }

    async fn tls(&self) -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(self.settings.relayhost.clone());
        if let Some(file) = &self.settings.ca_file {
            let fail = |e: std::io::Error| format!("file of certificates {}: {e}", file.display());
            let about = tokio::fs::metadata(file).await.map_err(fail)?;
            let bad = || format!("{} is no file of certificates", file.display());
            if !about.is_file() || about.len() > LARGEST_PEM {
                return Err(bad());
            }
            let pem = tokio::fs::read(file).await.map_err(fail)?;
            if memchr::memmem::find(&pem, b"-----BEGIN CERTIFICATE-----").is_none() {
                return Err(bad());
            }
            builder = builder
                .certificate_store(CertificateStore::None)
                .add_root_certificate(Certificate::from_pem(&pem).map_err(|e| format!("{}: {e}", bad()))?);
        }
        builder.build().map_err(|e| format!("TLS can't be used: {}", explain(e)))
    }

    /// From whom.
    async fn introduce(&mut self, envelope: &Envelope, content: &[u8], shown: &mut dyn Transcript) -> Result<(), Trouble> {
        let Some(line) = &self.line else { return Err(Trouble::Over("there is no connection".into())) };
        let mut parameters = Vec::new();
        let beyond_ascii = |a: &Address| !AsRef::<str>::as_ref(a).is_ascii();
        if beyond_ascii(&envelope.from) || envelope.recipients.iter().any(beyond_ascii) {
            if !line.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Trouble::Never(
                    "an address has letters beyond ASCII before its @, and the relay does not take them (SMTPUTF8)".into(),
                ));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !content.is_ascii() {
            if !line.server_info().supports_feature(Extension::EightBitMime) {
                return Err(Trouble::Never("the mail holds bytes beyond ASCII, and the relay does not take them (8BITMIME)".into()));
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let command = MailFrom::new(Some(envelope.from.clone()), parameters);
        let text = command.to_string();
        self.command(command, text.trim_end(), self.settings.limits.command, shown).await
    }

    /// Names them; the accepted ones. Who is refused or put off is noted in `progress`.
    async fn recipients(&mut self, left: &[Address], progress: &mut Progress, shown: &mut dyn Transcript) -> Result<Vec<Address>, String> {
        let mut accepted = Vec::new();
        progress.left.clear();
        for address in left {
            let command = Rcpt::new(address.clone(), Vec::new());
            let text = command.to_string();
            match self.command(command, text.trim_end(), self.settings.limits.command, shown).await {
                Ok(()) => accepted.push(address.clone()),
                Err(Trouble::Later(_)) => progress.left.push(address.to_string()),
                Err(Trouble::Never(why)) => progress.refused.push(format!("{address}: {why}")),
                Err(Trouble::Over(why)) => return Err(why),
            }
        }
        Ok(accepted)
    }

    async fn content(&mut self, bytes: &[u8], shown: &mut dyn Transcript) -> Result<(), Trouble> {
        let limits = self.settings.limits;
        self.command(Data, "DATA", limits.command, shown).await?;
        shown.client(&format!("({} bytes of mail)", bytes.len()));
        let Some(line) = &mut self.line else { return Err(Trouble::Over("there is no connection".into())) };
        // Slow lines get their time by the size of the mail.
        let pieces = u32::try_from(bytes.len() / PIECE + 1).unwrap_or(u32::MAX);
        let limit = limits.command.saturating_mul(pieces).saturating_add(limits.end);
        let done = tokio::time::timeout(limit, line.message_iter(bytes.chunks(PIECE))).await;
        self.answer(done, limit, shown)
    }

    async fn command(
        &mut self,
        command: impl std::fmt::Display,
        text: &str,
        limit: Duration,
        shown: &mut dyn Transcript,
    ) -> Result<(), Trouble> {
        let Some(line) = &mut self.line else { return Err(Trouble::Over("there is no connection".into())) };
        shown.client(text);
        let done = tokio::time::timeout(limit, line.command(command)).await;
        self.answer(done, limit, shown)
    }

    /// A connection that is no longer of use is dropped.
    fn answer(
        &mut self,
        done: Result<Result<Response, lettre::transport::smtp::Error>, tokio::time::error::Elapsed>,
        limit: Duration,
        shown: &mut dyn Transcript,
    ) -> Result<(), Trouble> {
        let trouble = match done {
            Ok(Ok(answer)) => {
                show(&answer, shown);
                return Ok(());
            }
            Ok(Err(e)) => {
                let severity = e.status().map(|code| (code.severity, u16::from(code)));
                let text = explain(e);
                match severity {
                    // The relay closes the connection with it.
                    Some((_, 421)) => Trouble::Over(text),
                    // A login or encryption is wanted: no mail will do until somebody sees to it.
                    Some((_, 530 | 534 | 535 | 538)) => Trouble::Over(text),
                    Some((Severity::TransientNegativeCompletion, _)) => Trouble::Later(text),
                    Some((Severity::PermanentNegativeCompletion, _)) => Trouble::Never(text),
                    _ => Trouble::Over(text),
                }
            }
            Err(_) => Trouble::Over(format!("the relay did not answer within {} s", limit.as_secs())),
        };
        match &trouble {
            Trouble::Over(why) => {
                self.line = None;
                shown.note(why);
                Err(Trouble::Over(format!("{}:{}: {why}", self.settings.relayhost, self.settings.port)))
            }
            Trouble::Later(text) | Trouble::Never(text) => {
                shown.server(text);
                Err(trouble)
            }
        }
    }
}

fn written(progress: &Progress) -> Option<String> {
    serde_json::to_string(progress).ok()
}

fn still(progress: &Progress) -> String {
    let mut text = format!("not yet taken for {}", progress.left.join(", "));
    if !progress.refused.is_empty() {
        text = format!("{text}; refused: {}", progress.refused.join("; "));
    }
    text
}

fn show(answer: &Response, shown: &mut dyn Transcript) {
    let code = answer.code();
    for line in answer.message() {
        shown.server(&one_line(&format!("{code} {line}")));
    }
}

/// An error of the library in one line; what the relay says begins with its code.
fn explain(e: lettre::transport::smtp::Error) -> String {
    let mut causes = Vec::new();
    let mut next = std::error::Error::source(&e);
    while let Some(cause) = next {
        let text = cause.to_string();
        if !causes.iter().any(|known: &String| known.contains(&text)) {
            causes.push(text);
        }
        next = cause.source();
    }
    let text = match (e.status(), causes.is_empty()) {
        (Some(code), _) => format!("{code} {}", causes.join(": ")),
        (None, true) => e.to_string(),
        (None, false) => causes.join(": "),
    };
    one_line(&text)
}

/// What a relay says is not trusted to be short or fit for a terminal.
fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_ANSWER).collect();
    text.trim().to_owned()
}
