//! What people are told of besides builds and workers: machines that can't be stopped, and files that are not loaded.

use sha2::{Digest, Sha256};

use super::Master;
use super::reload::Record;
use crate::latent::driver::Leak;
use crate::report::About;
use crate::report::notice::{LeakNotice, ReloadNotice};
use crate::store::StoreError;

impl Master {
    /// Each machine once, also over restarts. The error is why nobody was told yet.
    pub(super) async fn tell_leak(&self, leak: Leak) -> Result<(), String> {
        let people = self.at_work().loaded.config.notify_on_leak.clone();
        tracing::error!(worker = leak.record.worker, notify_on_leak = people.join(", "), "{leak}");
        if people.is_empty() {
            return Ok(());
        }
        let (reason, stop_wanted_at) = leak.record.stop.clone().unwrap_or_default();
        let notice = LeakNotice {
            worker: leak.record.worker,
            backend: leak.record.backend,
            launch: leak.record.id.to_string(),
            handle: leak.record.handle.map(|handle| handle.to_string()),
            started_at: leak.record.created_at,
            stop_wanted_at,
            reason,
            failure: leak.error.unwrap_or_else(|| "no answer".into()),
            now: self.clock.now(),
        };
        let key = format!("machine of launch {} can't be stopped", notice.launch);
        self.tell_people(&About::Leak(&notice), &people, &key, "notify_on_leak").await.map_err(|e| e.to_string())
    }

    /// The same mistakes once, however often that file is tried, until another one is at work.
    pub(super) async fn tell_failed_reload(&self, record: &Record) {
        let at_work = self.at_work();
        let people = &at_work.loaded.config.notify_on_reload_failure;
        if record.ok() || people.is_empty() {
            return;
        }
        let digest = record.mistakes.iter().fold(Sha256::new(), |digest, mistake| digest.chain_update(mistake).chain_update([0]));
        let digest: String = digest.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        let key = format!("reload refused with {digest}, at work since {}", at_work.since.0);
        let notice = ReloadNotice { at: record.at, mistakes: record.mistakes.clone() };
        if let Err(e) = self.tell_people(&About::ReloadFailed(&notice), people, &key, "notify_on_reload_failure").await {
            tracing::error!("nobody could be told that the file is not loaded: {e}");
        }
    }

    async fn tell_people(&self, about: &About<'_>, people: &[String], key: &str, argument: &str) -> Result<(), StoreError> {
        if !self.reports.tell_people(about, people, key).await? {
            tracing::warn!(
                "nobody is told, in spite of {argument}: there is no address of mail, or no MailNotifier but one with a sendMessage"
            );
        }
        Ok(())
    }
}
