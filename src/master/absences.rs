//! Watches over workers that are away, and has people told: once when one is missing, once when it is back. When that is, is
//! decided in [`missing`](crate::report::missing).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Master;
use crate::base::Timestamp;
use crate::config::{ReporterSpec, WorkerKind, WorkerSpec};
use crate::model::Absence;
use crate::report::driver::{absence_tellers, reporters};
use crate::report::facts::build_url;
use crate::report::missing::{Seen, Tell, look};
use crate::report::notice::{Notice, RunningBuild, WorkerNotice};
use crate::store::{Store, StoreError};
use crate::workers::registry::Presence;

/// A thousand workers that come at once are looked at once.
const GATHER: Duration = Duration::from_millis(200);
/// Also without a reason it is looked so often: clocks jump.
const SELDOM: Duration = Duration::from_secs(600);
/// After a failure to keep or to tell.
const AGAIN: Duration = Duration::from_secs(10);

/// Who is away, as it is kept.
pub struct Absences {
    kept: tokio::sync::Mutex<HashMap<String, Absence>>,
}

impl Absences {
    pub async fn read(store: &Store) -> Result<Absences, StoreError> {
        let kept = store.absences().await?.into_iter().map(|absence| (absence.worker.clone(), absence)).collect();
        Ok(Absences { kept: tokio::sync::Mutex::new(kept) })
    }
}

/// Until the master ends.
pub async fn watch(master: Weak<Master>) {
    loop {
        let Some(strong) = master.upgrade() else { return };
        let pause = strong.look_for_absences().await;
        let registry = strong.registry.clone();
        drop(strong);
        let _ = tokio::time::timeout(pause.min(SELDOM), registry.presence_changed()).await;
        tokio::time::sleep(GATHER).await;
    }
}

impl Master {
    fn reporters(&self) -> Vec<Arc<ReporterSpec>> {
        // The name of this machine is in what they send only.
        reporters(&self.at_work().loaded.config, "localhost")
    }

    /// How long nothing can come of another look, if nobody comes or goes.
    async fn look_for_absences(&self) -> Duration {
        let mut kept = self.absences.kept.lock().await;
        let reporters = self.reporters();
        let presences = self.registry.presences();
        let configured: HashSet<&str> = presences.iter().map(|p| p.spec.name.as_str()).collect();
        let gone: Vec<String> = kept.keys().filter(|name| !configured.contains(name.as_str())).cloned().collect();
        for name in gone {
            self.forget(&mut kept, &name).await;
        }
        let mut pause = SELDOM;
        for presence in &presences {
            match self.look_for(presence, &reporters, &mut kept).await {
                Ok(None) => {}
                Ok(Some(next)) => pause = pause.min(next.since(self.clock.now())),
                Err(why) => {
                    tracing::error!(worker = presence.spec.name, "it could not be told that the worker is missing or back: {why}");
                    pause = pause.min(AGAIN);
                }
            }
        }
        pause
    }

    async fn look_for(
        &self,
        presence: &Presence,
        reporters: &[Arc<ReporterSpec>],
        kept: &mut HashMap<String, Absence>,
    ) -> Result<Option<Timestamp>, String> {
        let (name, now) = (&presence.spec.name, self.clock.now());
        let waited_for = !presence.attached && presence.spec.kind == WorkerKind::Remote && !told_of(reporters, &presence.spec).is_empty();
        let seen = Seen {
            worker: name.clone(),
            attached: presence.attached,
            last_seen: presence.last_seen,
            peer: presence.peer.clone(),
            timeout: presence.spec.missing_timeout.filter(|_| waited_for),
            waited_for_since: presence.configured_at,
        };
        let looked = look(kept.get(name), &seen, now);
        for tell in &looked.tell {
            self.tell(tell, presence, reporters, None).await?;
        }
        match looked.keep {
            Some(absence) => self.keep(kept, absence).await?,
            None => self.forget(kept, name).await,
        }
        Ok(looked.next)
    }

    async fn keep(&self, kept: &mut HashMap<String, Absence>, absence: Absence) -> Result<(), String> {
        // What has not been told is known from the worker's own row.
        if absence.told_at.is_some() && kept.get(&absence.worker) != Some(&absence) {
            self.store.put_absence(&absence).await.map_err(|e| e.to_string())?;
        }
        kept.insert(absence.worker.clone(), absence);
        Ok(())
    }

    async fn forget(&self, kept: &mut HashMap<String, Absence>, worker: &str) {
        let told = kept.remove(worker).is_some_and(|absence| absence.told_at.is_some());
        if told && let Err(e) = self.store.forget_absence(worker).await {
            tracing::warn!(worker, "a loss that is over is kept as one that is not: {e}");
        }
    }

    /// The machine of a latent worker runs, and its worker did not attach in time: told once, until it attaches again.
    pub(super) async fn machine_is_missing(&self, worker: &str, why: &str) {
        let mut kept = self.absences.kept.lock().await;
        // It may have attached while others were told of.
        let presence = self.registry.presences().into_iter().find(|p| p.spec.name == worker && !p.attached);
        let Some(presence) = presence else { return };
        let reporters = self.reporters();
        if told_of(&reporters, &presence.spec).is_empty() || kept.get(worker).is_some_and(|absence| absence.told_at.is_some()) {
            return;
        }
        let now = self.clock.now();
        let absence = Absence {
            worker: worker.to_owned(),
            since: presence.last_seen.unwrap_or(presence.configured_at).min(now),
            last_seen: presence.last_seen,
            peer: presence.peer.clone(),
            told_at: Some(now),
        };
        let told = self.tell(&Tell::Missing(absence.clone()), &presence, &reporters, Some(why.to_owned())).await;
        if let Err(why) = match told {
            Ok(()) => self.keep(&mut kept, absence).await,
            Err(why) => Err(why),
        } {
            tracing::error!(worker, "it could not be told that the worker is missing: {why}");
        }
    }

    async fn tell(&self, tell: &Tell, presence: &Presence, reporters: &[Arc<ReporterSpec>], why: Option<String>) -> Result<(), String> {
        let (absence, returned) = match tell {
            Tell::Missing(absence) => (absence, false),
            Tell::Returned(absence) => (absence, true),
        };
        let spec = &presence.spec;
        let told = told_of(reporters, spec);
        if told.is_empty() || (returned && !spec.notify_on_return) {
            return Ok(());
        }
        // The same loss has the same key, whatever happens in between.
        let key = format!("worker {} {} {}", spec.name, if returned { "returned after" } else { "missing since" }, absence.since.0);
        let text = |name: &str| presence.info.files.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let notice = WorkerNotice {
            absence: absence.clone(),
            now: self.clock.now(),
            admin: text("admin"),
            host: text("host"),
            version: Some(presence.info.version.clone()).filter(|version| !version.is_empty()),
            building: self.was_building(presence, absence).await,
            why,
            notify: spec.notify_on_missing.clone(),
            url: format!("{}#/workers/{}", self.at_work().loaded.config.buildbot_url, presence.id),
        };
        tracing::warn!(worker = spec.name, told = told.join(", "), "the worker is {}", if returned { "back" } else { "missing" });
        let notice = if returned { Notice::WorkerReturned(notice) } else { Notice::WorkerMissing(notice) };
        self.reports.tell_of_worker(&notice, &key).await.map(drop).map_err(|e| e.to_string())
    }

    async fn was_building(&self, presence: &Presence, absence: &Absence) -> Vec<RunningBuild> {
        let Some(at) = absence.last_seen else { return Vec::new() };
        let base = &self.at_work().loaded.config.buildbot_url;
        match self.store.builds_at(presence.id, at).await {
            Ok(builds) => {
                builds.into_iter().map(|(builder, id, number)| RunningBuild { builder, number, url: build_url(base, id, number) }).collect()
            }
            Err(e) => {
                tracing::warn!(worker = absence.worker, "what it was building is not known: {e}");
                Vec::new()
            }
        }
    }
}

/// Who would be told: names of people, or of the reporters that tell a service.
fn told_of(reporters: &[Arc<ReporterSpec>], worker: &WorkerSpec) -> Vec<String> {
    let tellers = absence_tellers(reporters, &worker.name, &worker.notify_on_missing, &worker.owners);
    let named = tellers.into_iter().flat_map(|(reporter, to)| match to.is_empty() {
        true => vec![reporter.name.clone()],
        false => to.to.iter().map(ToString::to_string).collect(),
    });
    named.collect()
}
