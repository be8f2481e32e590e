//! Sends the mails of one `MailNotifier`: payload to mail to bytes to what its courier brings to the relay. Never decides who gets them or when to try again.

use std::path::PathBuf;
use std::sync::Arc;

use super::courier::{Courier, Parcel, Target};
use super::mail::Mail;
use super::mime::{self, Mark};
use super::outbox::{Outcome, Sender};
use super::smtp::{Limits, Login, Security, SmtpSettings};
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
    courier: Courier,
    /// While the relay answers. Secrets are asked for anew when it did not, so that a changed one needs no reload.
    settings: Option<SmtpSettings>,
}

impl MailSender {
    pub fn new(spec: MailSpec, around: Surroundings, limits: Limits, courier: Courier) -> MailSender {
        MailSender { spec, around, limits, courier, settings: None }
    }

    async fn try_once(&mut self, item: &OutboxItem, payload: String, progress: Option<String>) -> Outcome {
        let mark = Mark::of(&self.around.master_id, item);
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
        let settings = match &self.settings {
            Some(settings) => settings,
            None => match settings(&self.spec, &self.around, self.limits).await {
                Ok(settings) => self.settings.insert(settings),
                Err(why) => return Outcome::Down(why),
            },
        };
        let target = Target::Relay { settings: settings.clone(), envelope: prepared.envelope };
        match self
            .courier
            .bring(Parcel { id: &mark.id(), attempt: item.attempts, target: &target, content: &prepared.bytes, progress })
            .await
        {
            Outcome::Sent { remark } => {
                prepared.remarks.extend(remark);
                Outcome::Sent { remark: (!prepared.remarks.is_empty()).then(|| prepared.remarks.join("; ")) }
            }
            Outcome::Down(why) => {
                self.settings = None;
                Outcome::Down(why)
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
        Box::pin(async {
            self.settings = None;
            self.courier.rest().await;
        })
    }
}

/// How its relay is reached.
pub async fn settings(spec: &MailSpec, around: &Surroundings, limits: Limits) -> Result<SmtpSettings, String> {
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
