//! One worker as the registry keeps it: what is configured, who is attached, what it runs, and what follows from these. No lock, no I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::link::Link;
use super::registry::Availability;
use crate::base::{Timestamp, WorkerId};
use crate::config::{WorkerKind, WorkerSpec};
use crate::model::WorkerInfo;
use crate::model::query::Row;

/// Builder name and folder on the worker, by name.
pub type Builders = Vec<(String, String)>;

pub(super) struct Entry {
    pub spec: Arc<WorkerSpec>,
    pub id: WorkerId,
    pub builders: Arc<Builders>,
    /// Not in the configuration any more; it is kept while it runs builds.
    pub removed: bool,
    pub attached: Option<Attached>,
    pub info: Arc<WorkerInfo>,
    pub last_seen: Option<Timestamp>,
    /// Where it came from the last time, since this master began.
    pub last_peer: Option<String>,
    pub configured_at: Timestamp,
    /// Why this master could not attach it, which it does with local ones.
    pub attach_error: Option<String>,
    /// Builders that it runs builds of, each in the folder that it began in.
    pub busy: Builders,
    pub paused: bool,
    pub pause_reason: Option<String>,
    pub stopping: bool,
    pub quarantined_until: Option<Timestamp>,
    pub quarantine_delay: Duration,
}

pub(super) struct Attached {
    pub link: Arc<dyn Link>,
    pub peer: String,
    pub since: Timestamp,
    /// What it was when it attached.
    pub spec: Arc<WorkerSpec>,
    /// The builders that its process knows.
    pub knows: Arc<Builders>,
    /// It is being told of others.
    pub telling: bool,
    /// Why it did not take them.
    pub refused: Option<String>,
}

impl Attached {
    /// Does it know exactly the builders that it is to know?
    pub fn settled(&self) -> bool {
        !self.telling && self.refused.is_none()
    }

    pub fn knows(&self, builder: &str, folder: &str) -> bool {
        self.settled() || self.knows.iter().any(|(name, known)| name == builder && known == folder)
    }
}

impl Entry {
    pub fn running(&self) -> u32 {
        self.busy.len() as u32
    }

    /// Why the connection may not go on for ever.
    pub fn leaves(&self) -> Option<&'static str> {
        let attached = self.attached.as_ref()?;
        if self.removed {
            Some("it is not in the configuration any more")
        } else if attached.spec.password != self.spec.password {
            Some("its password changed")
        } else if std::mem::discriminant(&attached.spec.kind) != std::mem::discriminant(&self.spec.kind) {
            Some("its class changed")
        } else if matches!(self.spec.kind, WorkerKind::Local { .. }) && attached.spec.kind != self.spec.kind {
            Some("its folder changed")
        } else {
            None
        }
    }

    /// What its process is to know: a worker kills what runs in a builder that is taken from it, and a build stays in its folder.
    pub fn wanted(&self) -> Arc<Builders> {
        // Nearly always. A thousand workers with a thousand builders each share their lists then.
        if self.busy.iter().all(|held| self.builders.binary_search(held).is_ok()) {
            return self.builders.clone();
        }
        let mut list = Builders::clone(&self.builders);
        for (builder, folder) in &self.busy {
            match list.iter_mut().find(|(name, _)| name == builder) {
                Some((_, configured)) => configured.clone_from(folder),
                None => list.push((builder.clone(), folder.clone())),
            }
        }
        list.sort();
        Arc::new(list)
    }

    /// The line that is to be cut, if nothing holds it any more.
    pub fn done_with(&self) -> Option<(Arc<dyn Link>, &'static str)> {
        let why = self.leaves().filter(|_| self.busy.is_empty())?;
        Some((self.attached.as_ref()?.link.clone(), why))
    }

    pub fn availability(&self, now: Timestamp) -> Availability {
        if self.removed {
            return Availability::NotConfigured;
        }
        let latent = matches!(self.spec.kind, WorkerKind::Latent(_));
        // A latent worker that is paused or rests is not to be started either.
        if self.attached.is_none() && latent {
            if self.paused {
                return Availability::Paused { reason: self.pause_reason.clone() };
            }
            if let Some(until) = self.quarantined_until.filter(|until| *until > now) {
                return Availability::Quarantined { until };
            }
        }
        if self.attached.is_none() {
            return Availability::NotAttached { last_seen: self.last_seen, error: self.attach_error.clone() };
        }
        if self.paused {
            return Availability::Paused { reason: self.pause_reason.clone() };
        }
        if self.stopping {
            return Availability::Stopping;
        }
        if let Some(why) = self.leaves() {
            return Availability::Leaving { why };
        }
        if let Some(until) = self.quarantined_until.filter(|until| *until > now) {
            return Availability::Quarantined { until };
        }
        let running = self.running();
        match self.spec.max_builds.map(|max| max.saturating_sub(running)) {
            Some(0) => Availability::Full { running },
            more => Availability::Free { more, running },
        }
    }
}

impl Entry {
    /// Begin a quarantine; the next one is twice as long.
    pub fn rest(&mut self, now: Timestamp) -> Duration {
        let delay = self.quarantine_delay;
        self.quarantined_until = Some(now.plus(delay));
        self.quarantine_delay = delay.saturating_mul(2).min(self.spec.quarantine_max_timeout.max(delay));
        delay
    }

    pub fn row(&self, name: &str, master: i64, builder_ids: &HashMap<String, i64>, now: Timestamp) -> Row {
        let mut row = Row::new();
        let connected: Vec<Json> = self.attached.iter().map(|_| json!({ "masterid": master })).collect();
        let configured: Vec<Json> = self
            .builders
            .iter()
            .filter_map(|(builder, _)| builder_ids.get(builder))
            .map(|id| json!({ "builderid": id, "masterid": master }))
            .collect();
        row.insert("workerid".into(), self.id.0.into());
        row.insert("name".into(), name.into());
        row.insert("connected_to".into(), connected.into());
        row.insert("configured_on".into(), configured.into());
        row.insert("workerinfo".into(), self.info_row());
        row.insert("paused".into(), self.paused.into());
        row.insert("pause_reason".into(), self.pause_reason.clone().into());
        row.insert("graceful".into(), self.stopping.into());
        row.insert("quarantined_until".into(), self.quarantined_until.filter(|u| *u > now).map(Timestamp::seconds).into());
        row.insert("last_seen".into(), self.last_seen.map(Timestamp::seconds).into());
        row.insert("attached_at".into(), self.attached.as_ref().map(|a| a.since.seconds()).into());
        row.insert("peer".into(), self.attached.as_ref().map(|a| a.peer.clone()).into());
        row.insert("attach_error".into(), self.attach_error.clone().into());
        row.insert("running_builds".into(), self.running().into());
        row.insert("leaving".into(), self.leaves().into());
        row
    }

    /// What the worker said of itself, without its environment, which may hold secrets.
    pub fn info_row(&self) -> Json {
        let mut row = Row::new();
        for (file, text) in &self.info.files {
            row.insert(file.clone(), text.trim_end_matches('\n').into());
        }
        if !self.info.version.is_empty() {
            row.insert("version".into(), self.info.version.clone().into());
            row.insert("system".into(), self.info.system.clone().into());
            row.insert("basedir".into(), self.info.basedir.clone().into());
            row.insert("numcpus".into(), self.info.numcpus.into());
        }
        row.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(builder: &str, folder: &str) -> (String, String) {
        (builder.into(), folder.into())
    }

    #[test]
    fn a_build_keeps_its_builder_and_its_folder() {
        let spec = WorkerSpec {
            name: "w".into(),
            password: None,
            kind: WorkerKind::Remote,
            max_builds: Some(2),
            properties: Default::default(),
            default_properties: Default::default(),
            keepalive_interval: None,
            notify_on_missing: Vec::new(),
            notify_on_return: false,
            owners: Vec::new(),
            missing_timeout: None,
            machine_name: None,
            quarantine_initial_timeout: Duration::ZERO,
            quarantine_max_timeout: Duration::ZERO,
            place: Default::default(),
        };
        let mut entry = Entry {
            spec: Arc::new(spec),
            id: WorkerId(1),
            builders: Arc::new(vec![pair("b", "new"), pair("c", "c")]),
            removed: false,
            attached: None,
            info: Arc::default(),
            last_seen: None,
            last_peer: None,
            configured_at: Timestamp(0),
            attach_error: None,
            busy: vec![pair("b", "old"), pair("a", "a")],
            paused: false,
            pause_reason: None,
            stopping: false,
            quarantined_until: None,
            quarantine_delay: Duration::ZERO,
        };
        assert_eq!(*entry.wanted(), [pair("a", "a"), pair("b", "old"), pair("c", "c")]);
        entry.busy.clear();
        assert_eq!(*entry.wanted(), [pair("b", "new"), pair("c", "c")]);
        assert_eq!(entry.availability(Timestamp(0)), Availability::NotAttached { last_seen: None, error: None });
        entry.removed = true;
        assert_eq!(entry.availability(Timestamp(0)), Availability::NotConfigured);
    }
}
