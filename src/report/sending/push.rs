//! Sends the reports of one `HttpStatusPush`: what the configuration says, with its secrets and files, to what is posted. Never
//! decides what a report says or when to try again.

use super::courier::{Courier, Parcel, Target};
use super::mailer::Surroundings;
use super::mime::Mark;
use super::outbox::{Outcome, Sender};
use super::post::{Endpoint, Header, Pem, Trust};
use super::smtp::Login;
use crate::base::Secret;
use crate::config::{HttpPushSpec, SecretPart, SecretText, Verify};
use crate::model::OutboxItem;
use crate::workers::BoxFuture;

const LARGEST_PEM: u64 = 4 << 20;

pub struct PushSender {
    spec: HttpPushSpec,
    around: Surroundings,
    courier: Courier,
    /// Made when it is first needed, and anew after a failure: files and secrets may have changed.
    target: Option<Target>,
}

impl PushSender {
    pub fn new(spec: HttpPushSpec, around: Surroundings, courier: Courier) -> PushSender {
        PushSender { spec, around, courier, target: None }
    }

    async fn try_once(&mut self, item: &OutboxItem, payload: String) -> Outcome {
        let target = match &self.target {
            Some(target) => target,
            None => match self.endpoint().await {
                Ok(endpoint) => self.target.insert(Target::Endpoint(endpoint)),
                Err(why) => return Outcome::Down(why),
            },
        };
        let id = Mark::of(&self.around.master_id, item).id();
        let outcome =
            self.courier.bring(Parcel { id: &id, attempt: item.attempts, target, content: payload.as_bytes(), progress: None }).await;
        if matches!(outcome, Outcome::Down(_)) {
            self.target = None;
        }
        outcome
    }

    async fn endpoint(&self) -> Result<Endpoint, String> {
        let spec = &self.spec;
        let trust = match &spec.verify {
            Verify::System => Trust::System,
            Verify::Off => Trust::Any,
            Verify::File(file) => Trust::Only { file: file.clone(), pem: self.pem("verify", file).await? },
        };
        let identity = match &spec.cert {
            Some((file, key)) => {
                let mut pem = self.pem("cert", file).await?;
                if let Some(key) = key {
                    pem.push('\n');
                    pem.push_str(&self.pem("cert", key).await?);
                }
                Some(Pem { file: file.clone(), pem: Secret::new(pem) })
            }
            None => None,
        };
        let mut headers = Vec::new();
        for (name, value) in &spec.headers {
            headers.push(Header { name: name.clone(), value: self.text(value).await? });
        }
        let login = match &spec.auth {
            Some((user, password)) => Some(Login { user: self.around.reveal(user).await?, password: self.around.reveal(password).await? }),
            None => None,
        };
        Ok(Endpoint { url: spec.server_url.clone(), headers, login, trust, identity, debug: spec.debug })
    }

    async fn text(&self, text: &SecretText) -> Result<Secret, String> {
        let mut whole = String::new();
        for part in &text.0 {
            match part {
                SecretPart::Text(text) => whole.push_str(text),
                SecretPart::Secret(name) => whole.push_str(self.around.secrets.get(name).await.map_err(|e| e.to_string())?.reveal()),
            }
        }
        Ok(Secret::new(whole))
    }

    async fn pem(&self, what: &str, file: &str) -> Result<String, String> {
        let path = self.around.folder.join(file);
        let fail = |e: std::io::Error| format!("{what}: {}: {e}", path.display());
        let no_pem = || format!("{what}: {} is no file of certificates", path.display());
        let about = tokio::fs::metadata(&path).await.map_err(fail)?;
        if !about.is_file() || about.len() > LARGEST_PEM {
            return Err(no_pem());
        }
        String::from_utf8(tokio::fs::read(&path).await.map_err(fail)?).map_err(|_| no_pem())
    }
}

impl Sender for PushSender {
    fn send<'a>(&'a mut self, item: &'a OutboxItem, payload: String, _progress: Option<String>) -> BoxFuture<'a, Outcome> {
        Box::pin(self.try_once(item, payload))
    }

    fn rest(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.courier.rest())
    }
}
