//! Does a backend keep what the engine relies on? Starts and stops real instances, some of them under a network that is away or hangs, and
//! says of each promise whether it holds. Judges only what can be seen from outside; stops whatever it started.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json};

use super::backend::{Backend, Instance, Start, Started, WantedBuild};
use super::lifecycle::Failure;
use crate::base::Secret;
use crate::model::LaunchId;
use crate::workers::link::BoxFuture;

/// How the world answers the calls of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum World {
    Real,
    /// Every request is refused, no program can be started.
    Away,
    /// Nothing ever answers.
    Hangs,
}

/// Who makes the backend that is tested, and the world around it.
pub trait Bench: Send + Sync {
    /// The backend as a master that was just started has it.
    fn fresh(&self) -> BoxFuture<'_, Result<Arc<dyn Backend>, String>>;

    /// The same of another master.
    fn stranger(&self) -> BoxFuture<'_, Result<Arc<dyn Backend>, String>>;

    fn set_world(&self, world: World);

    /// How often a backend asked the world so far, as far as that can be seen.
    fn asked(&self) -> u64;
}

#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    Holds,
    /// What came instead.
    Broken(String),
    /// Why it could not be tried.
    Untried(String),
}

/// A promise, and whether it holds.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// A word for scripts.
    pub name: &'static str,
    pub promise: &'static str,
    pub verdict: Verdict,
    pub took: Duration,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub worker: Arc<str>,
    pub properties: Map<String, Json>,
    /// For each call.
    pub limit: Duration,
    /// How long a call is left hanging.
    pub hang: Duration,
}

/// Name and promise of everything that is looked at, in its order.
const PROMISES: [(&str, &str); 15] = [
    ("start", "start_instance starts an instance"),
    ("list", "list_instances lists it once, with a handle"),
    ("check", "check_instance says that it is well"),
    ("double_start", "a second start_instance with the same launch id starts nothing more"),
    ("own_only", "list_instances lists nothing of another master"),
    ("restart", "after a restart, in a fresh Lua state, the handle is enough to look after it"),
    ("stop", "stop_instance stops it and returns when it is gone"),
    ("stop_again", "stop_instance of what is gone does no harm"),
    ("lost_handle", "an instance whose handle was lost in a crash is found by its launch id, and stopped"),
    ("interrupted_start", "a start that is cut off leaves at most one instance, which a second start finds"),
    ("start_fails", "start_instance fails when nobody answers"),
    ("list_fails", "list_instances fails when nobody answers, instead of listing less"),
    ("stop_fails", "stop_instance fails when nobody answers, instead of saying that it is gone"),
    ("hanging_stop", "a stop that hangs can be cut off and called again"),
    ("fast_stop", "a fast stop ends the instance, too"),
];
const LEFTOVERS: (&str, &str) = ("leftovers", "nothing is left running");

/// Why nothing but the start was tried.
pub const NOTHING_STARTED: &str = "no instance could be started";
/// Between looks at a list that is to become empty.
const PAUSE: Duration = Duration::from_millis(200);

/// What was started and is not known to be gone.
#[derive(Default)]
pub struct Open(Mutex<Vec<(LaunchId, Json)>>);

impl Open {
    fn add(&self, launch: &LaunchId, handle: Json) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _)| known != launch);
        all.push((launch.clone(), handle));
    }

    fn gone(&self, launch: &LaunchId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != launch);
    }

    fn all(&self) -> Vec<(LaunchId, Json)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Tried = Result<(), Verdict>;

fn broken<T>(why: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Broken(why.into()))
}

fn untried<T>(why: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Untried(why.into()))
}

fn failed(failure: Failure) -> String {
    match failure {
        Failure::Configuration(why) => format!("the configuration is wrong: {why}"),
        Failure::Capacity(why) => format!("there is no room: {why}"),
        Failure::Retry(why, _) => format!("it is to be tried again: {why}"),
        Failure::Unknown(why) => why,
    }
}

/// One run of the kit.
pub struct Kit<'a> {
    bench: &'a dyn Bench,
    settings: Settings,
    open: &'a Open,
    /// As a master has it that was not restarted since.
    backend: Arc<dyn Backend>,
    /// What the first instance is called, and what was given for it.
    first: Option<(LaunchId, Json)>,
    /// How long a start takes.
    start_took: Duration,
}

/// Try everything. Each finding is told as it is made; the error says why nothing can be tried.
pub async fn run(bench: &dyn Bench, settings: Settings, open: &Open, mut told: impl FnMut(&Finding)) -> Result<Vec<Finding>, String> {
    bench.set_world(World::Real);
    let backend = bench.fresh().await?;
    let mut kit = Kit { bench, settings, open, backend, first: None, start_took: Duration::ZERO };
    let mut findings = Vec::new();
    for (number, (name, promise)) in PROMISES.into_iter().enumerate() {
        let began = Instant::now();
        let tried = if number > 0 && kit.first.is_none() { untried(NOTHING_STARTED) } else { kit.try_one(name).await };
        bench.set_world(World::Real);
        let finding = Finding { name, promise, verdict: tried.err().unwrap_or(Verdict::Holds), took: began.elapsed() };
        told(&finding);
        findings.push(finding);
    }
    let began = Instant::now();
    let left = clean(bench, open, kit.settings.limit).await;
    let verdict = if left.is_empty() { Verdict::Holds } else { Verdict::Broken(left.join("; ")) };
    let finding = Finding { name: LEFTOVERS.0, promise: LEFTOVERS.1, verdict, took: began.elapsed() };
    told(&finding);
    findings.push(finding);
    Ok(findings)
}

/// Stop whatever was started. What was found, and what became of it.
pub async fn clean(bench: &dyn Bench, open: &Open, limit: Duration) -> Vec<String> {
    bench.set_world(World::Real);
    let backend = match bench.fresh().await {
        Ok(backend) => backend,
        Err(why) => return vec![why],
    };
    let mut told = Vec::new();
    let mut found = open.all();
    if backend.can_list() {
        match within(limit, "list_instances", backend.list()).await {
            Ok(Ok(list)) => {
                // Nothing came of a start without an answer if it is not listed.
                found.retain(|(_, handle)| !handle.is_null());
                for Instance { launch, handle } in list {
                    found.retain(|(known, _)| *known != launch);
                    told.push(format!("launch {launch} was still listed (handle {handle})"));
                    found.push((launch, handle));
                }
            }
            Ok(Err(why)) | Err(why) => told.push(format!("it can't be seen what is left: {why}")),
        }
    }
    for (launch, handle) in found {
        match within(limit, "stop_instance", backend.stop(launch.clone(), handle.clone(), false)).await {
            Ok(Ok(())) => open.gone(&launch),
            Ok(Err(why)) | Err(why) => told.push(format!("launch {launch} can't be stopped (handle {handle}): {why}")),
        }
    }
    told
}

async fn within<T>(limit: Duration, what: &str, call: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(limit, call).await.map_err(|_| format!("{what} did not return within {}", crate::base::duration::human(limit)))
}

impl Kit<'_> {
    async fn try_one(&mut self, name: &str) -> Tried {
        match name {
            "start" => self.start().await,
            "list" => self.list().await,
            "check" => self.check().await,
            "double_start" => self.double_start().await,
            "own_only" => self.own_only().await,
            "restart" => self.restart().await,
            "stop" => self.stop().await,
            "stop_again" => self.stop_again().await,
            "lost_handle" => self.lost_handle().await,
            "interrupted_start" => self.interrupted_start().await,
            "start_fails" => self.start_fails().await,
            "list_fails" => self.list_fails().await,
            "stop_fails" => self.stop_fails().await,
            "hanging_stop" => self.hanging_stop().await,
            _ => self.fast_stop().await,
        }
    }

    fn new_launch(&self) -> LaunchId {
        LaunchId(format!("{:032x}", fastrand::u128(..)).into())
    }

    async fn begin(&self, launch: &LaunchId) -> Result<Result<Started, Failure>, Verdict> {
        self.open.add(launch, Json::Null);
        let start = Start {
            launch: launch.clone(),
            worker: self.settings.worker.clone(),
            password: Secret::new(format!("password-{launch}")),
            properties: self.settings.properties.clone(),
            build: WantedBuild::default(),
        };
        within(self.settings.limit, "start_instance", self.backend.start(start)).await.map_err(Verdict::Broken)
    }

    /// A new instance that is to run.
    async fn started(&mut self) -> Result<(LaunchId, Json), Verdict> {
        let launch = self.new_launch();
        let handle = self.start_of(&launch).await?;
        Ok((launch, handle))
    }

    async fn start_of(&self, launch: &LaunchId) -> Result<Json, Verdict> {
        match self.begin(launch).await? {
            Ok(started) => {
                self.open.add(launch, started.handle.clone());
                Ok(started.handle)
            }
            Err(failure) => broken(format!("start_instance failed: {}", failed(failure))),
        }
    }

    async fn end(&self, launch: &LaunchId, handle: &Json, fast: bool) -> Tried {
        let stop = self.backend.stop(launch.clone(), handle.clone(), fast);
        match within(self.settings.limit, "stop_instance", stop).await {
            Ok(Ok(())) => {
                if !fast {
                    self.open.gone(launch);
                }
                Ok(())
            }
            Ok(Err(why)) => broken(format!("stop_instance failed: {why}")),
            Err(why) => broken(why),
        }
    }

    async fn listed(&self) -> Result<Vec<Instance>, Verdict> {
        match within(self.settings.limit, "list_instances", self.backend.list()).await {
            Ok(Ok(list)) => Ok(list),
            Ok(Err(why)) => broken(format!("list_instances failed: {why}")),
            Err(why) => broken(why),
        }
    }

    /// The handles that are listed for a launch.
    async fn handles(&self, launch: &LaunchId) -> Result<Vec<Json>, Verdict> {
        Ok(self.listed().await?.into_iter().filter(|i| i.launch == *launch).map(|i| i.handle).collect())
    }

    fn can_list(&self) -> Tried {
        if self.backend.can_list() { Ok(()) } else { untried("it has no list_instances: what is left over after a crash is never stopped") }
    }

    fn first(&self) -> Result<(LaunchId, Json), Verdict> {
        self.first.clone().map_or_else(|| untried(NOTHING_STARTED), Ok)
    }

    async fn start(&mut self) -> Tried {
        let began = Instant::now();
        let first = self.started().await?;
        self.start_took = began.elapsed();
        self.first = Some(first);
        Ok(())
    }

    async fn list(&mut self) -> Tried {
        self.can_list()?;
        let (launch, _) = self.first()?;
        match self.handles(&launch).await?.as_slice() {
            [] => broken("it does not list the instance that was just started"),
            [Json::Null] => broken("it lists the instance without a handle"),
            [_] => Ok(()),
            several => broken(format!("it lists {} instances of one launch", several.len())),
        }
    }

    async fn judged(&self, launch: &LaunchId, handle: &Json) -> Result<Result<(), String>, Verdict> {
        match within(self.settings.limit, "check_instance", self.backend.check(launch.clone(), handle.clone())).await {
            Ok(Ok(well)) => Ok(well),
            Ok(Err(why)) => broken(format!("check_instance failed: {why}")),
            Err(why) => broken(why),
        }
    }

    async fn check(&mut self) -> Tried {
        if !self.backend.can_check() {
            return untried(
                "it has no check_instance: an instance that dies before its worker attaches is waited for until missing_timeout",
            );
        }
        let (launch, handle) = self.first()?;
        match self.judged(&launch, &handle).await? {
            Ok(()) => Ok(()),
            Err(why) => broken(format!("it says of the instance that was just started: {why}")),
        }
    }

    async fn double_start(&mut self) -> Tried {
        let (launch, first) = self.first()?;
        let second = self.start_of(&launch).await?;
        if !self.backend.can_list() {
            return if first == second { Ok(()) } else { broken(format!("it gave another handle: {first}, then {second}")) };
        }
        match self.handles(&launch).await?.len() {
            1 => Ok(()),
            0 => broken("after it the instance is not listed any more"),
            n => broken(format!("{n} instances run for one launch")),
        }
    }

    async fn own_only(&mut self) -> Tried {
        self.can_list()?;
        let (launch, _) = self.first()?;
        let other = self.bench.stranger().await.map_err(Verdict::Broken)?;
        match within(self.settings.limit, "list_instances", other.list()).await {
            Ok(Ok(list)) if list.iter().any(|i| i.launch == launch) => {
                broken("another master would list it, and stop it as nobody's: compare the mark with self.master_id")
            }
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => broken(format!("list_instances failed: {why}")),
            Err(why) => broken(why),
        }
    }

    async fn restart(&mut self) -> Tried {
        let (launch, handle) = self.first()?;
        self.backend = self.bench.fresh().await.map_err(Verdict::Broken)?;
        if self.backend.can_list() && self.handles(&launch).await?.len() != 1 {
            return broken("the restarted master does not list it");
        }
        if self.backend.can_check()
            && let Err(why) = self.judged(&launch, &handle).await?
        {
            return broken(format!("the restarted master is told that it is not well: {why}"));
        }
        Ok(())
    }

    async fn stop(&mut self) -> Tried {
        let (launch, handle) = self.first()?;
        self.end(&launch, &handle, false).await?;
        if self.backend.can_list() && !self.handles(&launch).await?.is_empty() {
            self.open.add(&launch, handle);
            return broken("stop_instance has returned, and the instance is still listed");
        }
        if self.backend.can_check()
            && let Ok(Ok(Ok(()))) = within(self.settings.limit, "check_instance", self.backend.check(launch, handle)).await
        {
            return broken("stop_instance has returned, and check_instance says that the instance is well");
        }
        Ok(())
    }

    async fn stop_again(&mut self) -> Tried {
        let (launch, handle) = self.first()?;
        self.end(&launch, &handle, false).await
    }

    async fn lost_handle(&mut self) -> Tried {
        let (launch, _) = self.started().await?;
        self.backend = self.bench.fresh().await.map_err(Verdict::Broken)?;
        let handle = match self.backend.can_list() {
            true => match self.handles(&launch).await?.into_iter().next() {
                Some(handle) => handle,
                None => return broken("the restarted master does not list it"),
            },
            false => self.start_of(&launch).await?,
        };
        self.end(&launch, &handle, false).await?;
        match self.backend.can_list() && !self.handles(&launch).await?.is_empty() {
            true => broken("it was stopped by the handle that list_instances gives, and is still listed"),
            false => Ok(()),
        }
    }

    async fn interrupted_start(&mut self) -> Tried {
        let launch = self.new_launch();
        let half = (self.start_took / 2).max(Duration::from_millis(1));
        // However it ends, it is begun again.
        let _ = tokio::time::timeout(half, self.begin(&launch)).await;
        let handle = self.start_of(&launch).await?;
        if self.backend.can_list() {
            match self.handles(&launch).await?.len() {
                1 => {}
                0 => return broken("the second start has returned, and nothing is listed"),
                n => return broken(format!("{n} instances run for one launch: the second start did not look for the first one's")),
            }
        }
        self.end(&launch, &handle, false).await?;
        match self.backend.can_list() && !self.handles(&launch).await?.is_empty() {
            true => broken("after the stop an instance of the start that was cut off still runs"),
            false => Ok(()),
        }
    }

    /// Calls in a world that does not answer; none if they did not ask it.
    async fn away<T>(&self, what: &str, call: BoxFuture<'static, T>) -> Result<Result<T, String>, Verdict> {
        let before = self.bench.asked();
        self.bench.set_world(World::Away);
        let answer = within(self.settings.limit, what, call).await;
        self.bench.set_world(World::Real);
        if self.bench.asked() == before {
            return untried("it asks nobody over http or process.run");
        }
        Ok(answer)
    }

    async fn start_fails(&mut self) -> Tried {
        let launch = self.new_launch();
        let start = Start {
            launch: launch.clone(),
            worker: self.settings.worker.clone(),
            password: Secret::new("unused"),
            properties: self.settings.properties.clone(),
            build: WantedBuild::default(),
        };
        match self.away("start_instance", self.backend.start(start)).await? {
            Ok(Ok(started)) => {
                self.open.add(&launch, started.handle.clone());
                broken(format!("it returned the handle {}, as if something had been started", started.handle))
            }
            Ok(Err(_)) => Ok(()),
            Err(why) => broken(why),
        }
    }

    async fn list_fails(&mut self) -> Tried {
        self.can_list()?;
        match self.away("list_instances", self.backend.list()).await? {
            Ok(Ok(list)) => broken(format!("it returned a list of {}: what it does not list counts as gone, so it must raise", list.len())),
            Ok(Err(_)) => Ok(()),
            Err(why) => broken(why),
        }
    }

    async fn stop_fails(&mut self) -> Tried {
        let (launch, handle) = self.started().await?;
        let answer = self.away("stop_instance", self.backend.stop(launch.clone(), handle.clone(), false)).await;
        let judged = match answer {
            Ok(Ok(Ok(()))) => broken("it returned as if the instance were gone: the instance would run for ever"),
            Ok(Ok(Err(_))) => self.unjudged(&launch, &handle).await,
            Ok(Err(why)) => broken(why),
            Err(verdict) => Err(verdict),
        };
        self.end(&launch, &handle, false).await?;
        judged
    }

    /// A check that can't ask anybody must not condemn.
    async fn unjudged(&self, launch: &LaunchId, handle: &Json) -> Tried {
        if !self.backend.can_check() {
            return Ok(());
        }
        match self.away("check_instance", self.backend.check(launch.clone(), handle.clone())).await {
            Ok(Ok(Ok(Err(why)))) => {
                broken(format!("check_instance says \"{why}\" when nobody answers: a healthy instance would be stopped, so it must raise"))
            }
            Ok(Ok(_)) | Err(Verdict::Untried(_)) => Ok(()),
            Ok(Err(why)) => broken(why),
            Err(verdict) => Err(verdict),
        }
    }

    async fn hanging_stop(&mut self) -> Tried {
        let (launch, handle) = self.started().await?;
        let before = self.bench.asked();
        self.bench.set_world(World::Hangs);
        let cut_off = tokio::time::timeout(self.settings.hang, self.backend.stop(launch.clone(), handle.clone(), false)).await;
        self.bench.set_world(World::Real);
        let asked = self.bench.asked() != before;
        self.end(&launch, &handle, false).await?;
        if self.backend.can_list() && !self.handles(&launch).await?.is_empty() {
            return broken("the second stop has returned, and the instance is still listed");
        }
        match cut_off {
            Ok(Ok(())) if asked => broken("it returned as if the instance were gone, and nobody had answered"),
            _ if !asked => untried("it asks nobody over http or process.run"),
            _ => Ok(()),
        }
    }

    async fn fast_stop(&mut self) -> Tried {
        let (launch, handle) = self.started().await?;
        self.end(&launch, &handle, true).await?;
        if !self.backend.can_list() {
            return self.end(&launch, &handle, false).await;
        }
        let gone = async {
            while !self.handles(&launch).await?.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        };
        match within(self.settings.limit, "the instance", gone).await {
            Ok(done) => {
                self.open.gone(&launch);
                done
            }
            Err(_) => broken("long after a fast stop the instance is still listed"),
        }
    }
}
