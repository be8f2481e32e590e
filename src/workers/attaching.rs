//! Workers come and go: the registry as servers of protocols know it, and how an attached worker is told of its builders.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::entry::{Attached, Builders, Entry};
use super::gate::Gate;
use super::link::Link;
use super::registry::{Registry, WorkerEvent};
use crate::base::Secret;
use crate::model::WorkerInfo;

impl Registry {
    /// Tell an attached worker which builders it has, if it knows others.
    pub(super) fn tell_builders(&self, name: &Arc<str>, entry: &mut Entry) {
        let mut list = entry.wanted();
        let Some(attached) = entry.attached.as_mut().filter(|a| !a.telling) else { return };
        if attached.knows == list {
            // The old one goes.
            attached.knows = list;
            return;
        }
        attached.telling = true;
        let (registry, name, link) = (self.me.clone(), name.clone(), attached.link.clone());
        tokio::spawn(async move {
            loop {
                let answer = link.set_builders(Builders::clone(&list)).await;
                let Some(registry) = registry.upgrade() else { return };
                match registry.told(&name, &link, list, answer) {
                    Some(next) => list = next,
                    None => return,
                }
            }
        });
    }

    /// What came of telling it; the next list, if it has changed meanwhile.
    fn told(&self, name: &Arc<str>, link: &Arc<dyn Link>, list: Arc<Builders>, answer: Result<(), String>) -> Option<Arc<Builders>> {
        {
            let mut entries = self.entries();
            let entry = entries.get_mut(name)?;
            let wanted = entry.wanted();
            let attached = entry.attached.as_mut().filter(|a| Arc::ptr_eq(&a.link, link))?;
            attached.refused = answer.err();
            if wanted != list {
                if attached.refused.is_none() {
                    attached.knows = list;
                }
                return Some(wanted);
            }
            attached.telling = false;
            match &attached.refused {
                Some(why) => tracing::error!(worker = %name, "the worker does not take its builders: {why}"),
                None => attached.knows = list,
            }
        }
        self.tell(WorkerEvent::Changed(name.clone()));
        None
    }

    /// Attached workers that do not know all of their builders yet, with those that they know; and why, if they refused.
    pub fn unsettled(&self) -> HashMap<String, (Arc<Builders>, Option<String>)> {
        let entries = self.entries();
        let unsettled = entries.iter().filter_map(|(name, e)| Some((name, e.attached.as_ref().filter(|a| !a.settled())?)));
        unsettled.map(|(name, a)| (name.to_string(), (a.knows.clone(), a.refused.clone()))).collect()
    }
}

impl Registry {
    /// The master could not attach its local worker and tries it again: why.
    pub fn attach_failed(&self, name: &str, why: &str) {
        if let Some(entry) = self.entries().get_mut(name) {
            entry.attach_error = Some(why.to_owned());
        }
    }
}

impl Gate for Registry {
    fn password(&self, name: &str) -> Result<Option<Secret>, String> {
        match self.configured_password(name)? {
            None if self.is_latent(name) => Ok(self.warden.get().and_then(|warden| warden.password(name))),
            password => Ok(password),
        }
    }

    fn keepalive_interval(&self, name: &str) -> Option<Duration> {
        self.entries().get(name).and_then(|e| e.spec.keepalive_interval)
    }

    fn attached(&self, name: &str) -> Option<Arc<dyn Link>> {
        self.link(name)
    }

    fn builders(&self, name: &str) -> Builders {
        self.entries().get(name).map(|e| Builders::clone(&e.wanted())).unwrap_or_default()
    }

    fn attach(&self, name: &str, peer: &str, info: WorkerInfo, link: Arc<dyn Link>) -> Result<(), String> {
        let now = self.clock.now();
        if self.is_latent(name) {
            self.warden.get().map_or_else(|| Err("latent workers are not ready yet".to_owned()), |warden| warden.admits(name))?;
        }
        let (key, id, info) = {
            let mut entries = self.entries();
            let (key, entry) = match entries.get_key_value(name) {
                Some((key, _)) => (key.clone(), entries.get_mut(name)),
                None => return Err(format!("worker {name} is not configured any more")),
            };
            let Some(entry) = entry.filter(|e| !e.removed) else { return Err(format!("worker {name} is not configured any more")) };
            if entry.attached.is_some() {
                return Err(format!("worker {name} is attached already"));
            }
            let changed = *entry.info != info;
            entry.info = Arc::new(info);
            entry.last_seen = Some(now);
            entry.last_peer = Some(peer.to_owned());
            entry.stopping = false;
            entry.attach_error = None;
            let replaced = self.replaced.load(Ordering::Relaxed);
            entry.attached = Some(Attached {
                link,
                peer: peer.to_owned(),
                since: now,
                spec: entry.spec.clone(),
                knows: if replaced { Arc::default() } else { entry.wanted() },
                telling: false,
                refused: None,
            });
            let told = (key, entry.id, changed.then(|| entry.info.clone()));
            self.tell_builders(&told.0, entry);
            // Under the lock: it comes and goes in the order in which it is told.
            self.tell(WorkerEvent::Attached(told.0.clone()));
            told
        };
        match info {
            Some(info) => drop(self.store.worker_attached(id, &info, now)),
            None => drop(self.store.worker_seen(id, now)),
        }
        self.presence.notify_one();
        tracing::info!(worker = &*key, peer, "worker attached");
        Ok(())
    }

    fn detach(&self, name: &str, link: &Arc<dyn Link>, why: &str) {
        let now = self.clock.now();
        let (id, peer) = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(name) else { return };
            let Some(attached) = entry.attached.take_if(|attached| Arc::ptr_eq(&attached.link, link)) else { return };
            // What it was asked to do is done.
            entry.stopping = false;
            entry.last_seen = Some(now);
            self.tell(WorkerEvent::Detached(name.into()));
            (entry.id, attached.peer)
        };
        drop(self.store.worker_seen(id, now));
        self.presence.notify_one();
        tracing::info!(worker = name, peer, why, "worker detached");
    }

    fn shutdown_requested(&self, name: &str) {
        self.stop_gracefully(name, "its administrator");
    }

    fn seen(&self, name: &str) {
        let now = self.clock.now();
        if let Some(entry) = self.entries().get_mut(name) {
            entry.last_seen = Some(now);
        }
    }
}
