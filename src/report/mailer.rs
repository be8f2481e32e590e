//! Sends the mails of one `MailNotifier`: payload to mail to bytes to relay. Never decides who gets them or when to try again.

use std::path::PathBuf;
use std::sync::Arc;

use super::mail::Mail;
use super::mime::{self, Mark, Prepared};
use super::outbox::{Outcome, Sender};
use super::smtp::{Limits, Login, Security, Silent, Smtp, SmtpSettings, Transcript};
use crate::base::Secret;
use crate::config::{MailSpec, Password};
use crate::model::OutboxItem;
use crate::secrets::SecretSource;
use crate::workers::BoxFuture;

/// Of a mail that is written to the log.
const LONGEST_DUMP: usize = 64 << 10;

/// What sending needs of the master.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Of this master, among all: what its messages are known by.
    pub master_id: Arc<str>,
    /// What paths of the configuration are relative to.
    pub folder: PathBuf,
    pub secrets: SecretSource,
}

impl Surroundings {
    /// A password of the configuration.
    pub async fn reveal(&self, password: &Password) -> Result<Secret, String> {
        match password {
            Password::Plain(secret) => Ok(secret.clone()),
            Password::Named(name) => self.secrets.get(name).await.map_err(|e| e.to_string()),
        }
    }
}

pub struct MailSender {
    spec: MailSpec,
    around: Surroundings,
    limits: Limits,
    relay: Option<Smtp>,
}

impl MailSender {
    pub fn new(spec: MailSpec, around: Surroundings, limits: Limits) -> MailSender {
        MailSender { spec, around, limits, relay: None }
    }

    /// One try, shown as it goes.
    pub async fn deliver(&mut self, mail: &Prepared, progress: Option<&str>, shown: &mut dyn Transcript) -> Outcome {
        let relay = match &mut self.relay {
            Some(relay) => relay,
            // Secrets are asked for when a relay is dialled anew, so that a changed one needs no reload.
            None => match settings(&self.spec, &self.around, self.limits).await {
                Ok(settings) => self.relay.insert(Smtp::new(settings)),
                Err(why) => return Outcome::Down(why),
            },
        };
        let outcome = relay.send(mail, progress, shown).await;
        if matches!(outcome, Outcome::Down(_)) {
            self.relay = None;
        }
        outcome
    }

    /// Ends the connection, if there is one.
    pub async fn close(&mut self, shown: &mut dyn Transcript) {
        if let Some(mut relay) = self.relay.take() {
            relay.close(shown).await;
        }
    }

    async fn try_once(&mut self, item: &OutboxItem, payload: String, progress: Option<String>) -> Outcome {
        let mark = Mark { master_id: &self.around.master_id, reporter: &item.reporter, key: &item.key, created_at: item.created_at };
        let prepared = Mail::of_payload(&payload).and_then(|mail| mime::prepare(&mail, mark));
        drop(payload);
        let mut prepared = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return Outcome::Refused(why),
        };
        if self.spec.dump_mails_to_log && item.attempts == 0 {
            let text = String::from_utf8_lossy(&prepared.bytes[..prepared.bytes.len().min(LONGEST_DUMP)]);
            tracing::info!(reporter = item.reporter, about = item.key, "mail (dumpMailsToLog):\n{text}");
        }
        match self.deliver(&prepared, progress.as_deref(), &mut Silent).await {
            Outcome::Sent { remark } => {
                prepared.remarks.extend(remark);
                Outcome::Sent { remark: (!prepared.remarks.is_empty()).then(|| prepared.remarks.join("; ")) }
            }
            other => other,
        }
    }
}

impl Sender for MailSender {
    fn send<'a>(&'a mut self, item: &'a OutboxItem, payload: String, progress: Option<String>) -> BoxFuture<'a, Outcome> {
        Box::pin(self.try_once(item, payload, progress))
    }

    fn rest(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.close(&mut Silent).await })
    }
}

async fn settings(spec: &MailSpec, around: &Surroundings, limits: Limits) -> Result<SmtpSettings, String> {
    let login = match &spec.login {
        Some((user, password)) => Some(Login { user: around.reveal(user).await?, password: around.reveal(password).await? }),
        None => None,
    };
    Ok(SmtpSettings {
        relayhost: spec.relayhost.clone(),
        port: spec.smtp_port,
        security: match (spec.use_smtps, spec.use_tls) {
            (true, _) => Security::Tls,
            (false, true) => Security::StartTls,
            (false, false) => Security::Plain,
        },
        ca_file: spec.ca_file.as_ref().map(|file| around.folder.join(file)),
        login,
        limits,
    })
}
