//! Ends an instance of which it is not known which of several backends made it: the one that lists it does. Since handles of two
//! backends may look alike, a handle alone is never enough where somebody could be asked, but for backends that say that they end by
//! the handle whatever their settings are: these try it one after the other. Starts nothing.

use std::sync::Arc;

use serde_json::Value as Json;

use super::backend::{Backend, Instance, Start, Started};
use super::lifecycle::Failure;
use crate::model::{LaunchId, LaunchRecord};
use crate::workers::link::BoxFuture;

/// Who ends a launch of which no worker is left, of the backends of its class; none: nobody can.
pub fn who_ends(record: &LaunchRecord, backends: &[Arc<dyn Backend>]) -> Option<Arc<dyn Backend>> {
    let knows = |b: &Arc<dyn Backend>| b.class() == record.backend && record.handle.as_ref().is_none_or(|handle| b.knows(handle));
    let alike: Vec<Arc<dyn Backend>> = backends.iter().filter(|b| knows(b)).cloned().collect();
    let same = alike.iter().find(|b| b.settings() == record.settings);
    // Without a handle it is where it was to be started, or, if that is not known, wherever one of them looks.
    let place = record.place.as_deref().filter(|_| record.handle.is_none());
    let there = || place.and_then(|place| alike.iter().find(|b| b.place().as_deref() == Some(place)));
    let afar = || place.and_then(|place| alike.iter().find_map(|b| b.at(place)));
    let serves: Vec<_> = alike.iter().filter(|b| record.handle.is_some() && b.serves(&record.settings)).cloned().collect();
    let found = same.or_else(there).cloned().or_else(afar).or_else(|| Among::new(serves).by_handle());
    found.or_else(|| (!alike.is_empty()).then(|| Arc::new(Among::new(alike)) as _))
}

/// Backends of one class, one of each group.
pub struct Among {
    backends: Vec<Arc<dyn Backend>>,
    by_handle: bool,
}

impl Among {
    pub fn new(backends: impl IntoIterator<Item = Arc<dyn Backend>>) -> Among {
        let mut groups: Vec<Arc<dyn Backend>> = Vec::new();
        for backend in backends {
            if groups.iter().all(|known| known.group() != backend.group()) {
                groups.push(backend);
            }
        }
        Among { backends: groups, by_handle: false }
    }

    /// Each of them ends it by its handle, if it can; none: nobody does.
    fn by_handle(self) -> Option<Arc<dyn Backend>> {
        match self.backends.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            _ => Some(Arc::new(Among { by_handle: true, ..self })),
        }
    }
}

/// The first that ends it does; keys or regions of the others may be wrong for it.
async fn stop_in_turn(backends: &[Arc<dyn Backend>], launch: LaunchId, handle: Json, fast: bool) -> Result<(), String> {
    let mut refusals = Vec::new();
    for backend in backends {
        match backend.stop(launch.clone(), handle.clone(), fast).await {
            Ok(()) => return Ok(()),
            Err(why) => refusals.push(why),
        }
    }
    refusals.dedup();
    Err(refusals.join("; "))
}

impl Backend for Among {
    fn class(&self) -> &str {
        self.backends.first().map_or("", |backend| backend.class())
    }

    fn group(&self) -> String {
        let groups: Vec<String> = self.backends.iter().map(|backend| backend.group()).collect();
        format!("one of: {}", groups.join(", "))
    }

    fn settings(&self) -> String {
        String::new()
    }

    fn can_check(&self) -> bool {
        false
    }

    fn can_list(&self) -> bool {
        self.backends.iter().all(|backend| backend.can_list())
    }

    fn lists(&self, handle: &Json, settings: &str) -> bool {
        self.can_list() && (!self.by_handle || self.backends.iter().any(|backend| backend.lists(handle, settings)))
    }

    fn start(&self, _: Start) -> BoxFuture<'static, Result<Started, Failure>> {
        Box::pin(async { Err(Failure::Configuration("the worker's settings are others now".into())) })
    }

    fn stop(&self, launch: LaunchId, handle: Json, fast: bool) -> BoxFuture<'static, Result<(), String>> {
        let (backends, by_handle) = (self.backends.clone(), self.by_handle);
        Box::pin(async move {
            if by_handle {
                return stop_in_turn(&backends, launch, handle, fast).await;
            }
            let blind = backends.iter().filter(|backend| !backend.can_list()).count();
            if let ([only], 1) = (&backends[..], blind) {
                return only.stop(launch, handle, fast).await;
            }
            for backend in backends.iter().filter(|backend| backend.can_list()) {
                let there = backend.list().await.map_err(|why| format!("whose it is can't be found out: {why}"))?;
                if let Some(instance) = there.into_iter().find(|instance| instance.launch == launch) {
                    return backend.stop(launch, instance.handle, fast).await;
                }
            }
            if blind > 0 {
                return Err("no configured worker of its class lists it, and some can't list their instances: end it by hand".into());
            }
            tracing::warn!(%launch, %handle, "it was started with other settings and is not listed with those of now: it counts as gone");
            Ok(())
        })
    }

    fn check(&self, _: LaunchId, _: Json) -> BoxFuture<'static, Result<Result<(), String>, String>> {
        Box::pin(async { Ok(Ok(())) })
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<Instance>, String>> {
        let backends = self.backends.clone();
        Box::pin(async move {
            let mut all = Vec::new();
            for backend in backends {
                all.extend(backend.list().await?);
            }
            Ok(all)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Site {
        name: &'static str,
        lists: Option<Vec<&'static str>>,
        stopped: Arc<Mutex<Vec<String>>>,
    }

    impl Backend for Site {
        fn class(&self) -> &str {
            "Site"
        }
        fn group(&self) -> String {
            self.name.into()
        }
        fn settings(&self) -> String {
            self.name.into()
        }
        fn place(&self) -> Option<String> {
            Some(self.name.into())
        }
        fn at(&self, place: &str) -> Option<Arc<dyn Backend>> {
            let afar = || Site { name: "afar", lists: Some(Vec::new()), stopped: self.stopped.clone() };
            (place == "left").then(|| Arc::new(afar()) as Arc<dyn Backend>)
        }
        fn can_check(&self) -> bool {
            false
        }
        fn can_list(&self) -> bool {
            self.lists.is_some()
        }
        fn start(&self, _: Start) -> BoxFuture<'static, Result<Started, Failure>> {
            unreachable!()
        }
        fn stop(&self, _: LaunchId, handle: Json, _: bool) -> BoxFuture<'static, Result<(), String>> {
            if handle == "foreign" && self.name == "a" {
                return Box::pin(async { Err("its keys are wrong for it".to_owned()) });
            }
            self.stopped.lock().unwrap().push(format!("{} {handle}", self.name));
            Box::pin(async { Ok(()) })
        }
        fn check(&self, _: LaunchId, _: Json) -> BoxFuture<'static, Result<Result<(), String>, String>> {
            unreachable!()
        }
        fn list(&self) -> BoxFuture<'static, Result<Vec<Instance>, String>> {
            let of = |id: &&str| Instance { launch: LaunchId((*id).into()), handle: format!("{}-{id}", self.name).into() };
            let list = self.lists.as_ref().ok_or("it can't").map(|l| l.iter().map(of).collect());
            Box::pin(async move { list.map_err(str::to_owned) })
        }
    }

    async fn stop(sites: &[(&'static str, Option<Vec<&'static str>>)], launch: &str) -> (Result<(), String>, Vec<String>) {
        let stopped = Arc::new(Mutex::new(Vec::new()));
        let backends =
            sites.iter().map(|(name, lists)| Arc::new(Site { name, lists: lists.clone(), stopped: stopped.clone() }) as Arc<dyn Backend>);
        let ended = Among::new(backends).stop(LaunchId(launch.into()), Json::from(7), false).await;
        let stopped = stopped.lock().unwrap().clone();
        (ended, stopped)
    }

    #[tokio::test]
    async fn what_has_no_handle_is_looked_for_everywhere() {
        let stopped = Arc::new(Mutex::new(Vec::new()));
        let site = |name, lists: &[&'static str]| {
            Arc::new(Site { name, lists: Some(lists.to_vec()), stopped: stopped.clone() }) as Arc<dyn Backend>
        };
        let sites = [site("a", &[]), site("b", &["x"])];
        let record = |settings: &str, handle: Option<Json>| LaunchRecord {
            handle,
            ..LaunchRecord::new(LaunchId("x".into()), "gone", "Site", settings.into(), crate::base::Timestamp(0))
        };
        let who = |settings: &str, handle: Option<Json>| who_ends(&record(settings, handle), &sites).expect("somebody").group();
        assert_eq!(who("b", None), "b");
        assert_eq!(who("before", None), "one of: a, b");
        assert_eq!(who("before", Some(7.into())), "one of: a, b", "any of them serves");
        let at = |place: &str| who_ends(&LaunchRecord { place: Some(place.into()), ..record("before", None) }, &sites).expect("somebody");
        assert_eq!(["b", "left", "nowhere"].map(|place| at(place).group()), ["b", "afar", "one of: a, b"]);
        assert!(who_ends(&LaunchRecord { backend: "Other".into(), ..record("b", None) }, &sites).is_none());
    }

    #[tokio::test]
    async fn who_can_end_it_by_its_handle_does() {
        let stopped = Arc::new(Mutex::new(Vec::new()));
        let site = |name| Arc::new(Site { name, lists: Some(vec![]), stopped: stopped.clone() }) as Arc<dyn Backend>;
        let record = LaunchRecord {
            handle: Some("foreign".into()),
            ..LaunchRecord::new(LaunchId("x".into()), "gone", "Site", "before".into(), crate::base::Timestamp(0))
        };
        for (sites, told) in
            [(vec![site("a"), site("b")], Ok(())), (vec![site("a"), site("a")], Err("its keys are wrong for it".to_owned()))]
        {
            let ends = who_ends(&record, &sites).expect("somebody");
            assert_eq!(ends.stop(record.id.clone(), Json::from("foreign"), false).await, told);
        }
        assert_eq!(*stopped.lock().unwrap(), ["b \"foreign\""]);
    }

    #[tokio::test]
    async fn who_lists_it_stops_it() {
        let two = [("a", Some(vec!["x"])), ("a", Some(vec!["x"])), ("b", Some(vec!["y", "z"]))];
        assert_eq!(stop(&two, "z").await, (Ok(()), vec!["b \"b-z\"".to_owned()]));
        assert_eq!(stop(&two, "none").await, (Ok(()), vec![]), "it is gone");
        assert_eq!(stop(&[("a", None)], "x").await, (Ok(()), vec!["a 7".to_owned()]), "nobody could be asked");
        let (ended, stopped) = stop(&[("a", None), ("b", Some(vec![]))], "x").await;
        assert!(ended.is_err_and(|why| why.contains("end it by hand")) && stopped.is_empty());
    }
}
