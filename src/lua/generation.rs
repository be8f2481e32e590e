//! The thread of one loaded configuration, and the calls it serves: each is a task of its own, with a budget, so that none stops
//! the others. It decides nothing; what a callback means is in `callbacks`.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mlua::{Function, MultiValue, Table, Value as LuaValue};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};

use super::convert::{Reader, to_lua};
use super::data::{DataSource, KeptValues, SuperBackends};
use super::failure::{Caught, LuaFailure};
use super::host::Ports;
use super::steps::StepJob;
use super::vm::Vm;
use super::watch::{STUCK_AFTER, Watch};
use crate::base::duration::human;
use crate::config::{FnRef, LuaLimits, Value};

/// Calls that wait for the thread to look at them; more make their callers wait.
const QUEUE: usize = 256;

/// A call on its way to the thread.
pub(super) struct Job {
    /// The entry of the prelude's table of callbacks.
    pub entry: &'static str,
    /// The name in messages.
    pub callback: &'static str,
    pub function: FnRef,
    pub args: Vec<Json>,
    pub budget: Duration,
    /// The longest that it may compute without waiting.
    pub stretch: Duration,
    pub reply: oneshot::Sender<Result<Value, LuaFailure>>,
}

/// A loaded configuration's Lua world. Dropping the last handle ends its thread.
pub struct Generation {
    number: u64,
    jobs: mpsc::Sender<Job>,
    watch: Arc<Watch>,
    limits: LuaLimits,
    steps: mpsc::UnboundedSender<StepJob>,
    instances: AtomicU64,
    folder: PathBuf,
    ports: Ports,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Generation({})", self.number)
    }
}

pub(super) fn channel() -> (mpsc::Sender<Job>, mpsc::Receiver<Job>) {
    mpsc::channel(QUEUE)
}

impl Generation {
    pub(super) fn new(
        number: u64,
        jobs: mpsc::Sender<Job>,
        steps: mpsc::UnboundedSender<StepJob>,
        watch: Arc<Watch>,
        limits: LuaLimits,
        folder: PathBuf,
        ports: Ports,
    ) -> Generation {
        Generation { number, jobs, watch, limits, steps, instances: AtomicU64::new(1), folder, ports }
    }

    /// From now on this answers `master.data:get`.
    pub fn set_data(&self, source: Arc<dyn DataSource>) {
        self.ports.data.set(source);
    }

    /// From now on `store` keeps its values there.
    pub fn set_kept(&self, kept: Arc<dyn KeptValues>) {
        self.ports.kept.set(kept);
    }

    /// From now on `Class.super` of a backend of the host finds it there.
    pub fn set_supers(&self, supers: Arc<dyn SuperBackends>) {
        self.ports.supers.set(supers);
    }

    pub(super) fn steps(&self) -> &mpsc::UnboundedSender<StepJob> {
        &self.steps
    }

    /// Numbers the instances of steps.
    pub(super) fn next_instance(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn step_stretch(&self) -> Duration {
        self.limits.step_stretch
    }

    /// How long a call may take that takes so long by default.
    pub(super) fn budget(&self, default: Duration) -> Duration {
        self.limits.callback_timeout.unwrap_or(default)
    }

    /// Resolves when the thread is found stuck.
    pub(super) async fn stuck(&self) {
        self.watch.stuck().await;
    }

    /// Counts the configurations that this process has loaded; the thread is called `lua-gen-NUMBER`.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Of the configuration: what paths in it are relative to.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) async fn call(
        &self,
        (entry, callback, budget): (&'static str, &'static str, Duration),
        function: &FnRef,
        args: Vec<Json>,
    ) -> Result<Value, LuaFailure> {
        self.submit((entry, callback), (self.budget(budget), Duration::MAX), function, args).await
    }

    /// The same for one that waits most of its time: `c.lua` says only how long it may compute at a stretch.
    pub(super) async fn call_for(
        &self,
        what: (&'static str, &'static str),
        limit: Duration,
        function: &FnRef,
        args: Vec<Json>,
    ) -> Result<Value, LuaFailure> {
        self.submit(what, (limit, self.step_stretch()), function, args).await
    }

    async fn submit(
        &self,
        (entry, callback): (&'static str, &'static str),
        (budget, stretch): (Duration, Duration),
        function: &FnRef,
        args: Vec<Json>,
    ) -> Result<Value, LuaFailure> {
        let failure = |message: String| LuaFailure {
            message,
            at: Some(function.place.clone()),
            callback: callback.to_owned(),
            traceback: Vec::new(),
        };
        let (reply, answer) = oneshot::channel();
        let job = Job { entry, callback, function: function.clone(), args, budget, stretch, reply };
        let answered = async {
            self.jobs.send(job).await.map_err(|_| failure("the Lua thread of this configuration has ended".into()))?;
            answer.await.map_err(|_| failure("the Lua thread of this configuration has ended".into()))?
        };
        tokio::select! {
            biased;
            result = answered => result,
            () = self.watch.stuck() => Err(failure(format!("the Lua thread has been held by a single library call for {}", human(STUCK_AFTER)))),
        }
    }
}

/// Serve calls until nobody can make any more.
pub(super) async fn serve(vm: Rc<Vm>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        let vm = vm.clone();
        tokio::task::spawn_local(async move {
            let Job { entry, callback, function, args, budget, stretch, mut reply } = job;
            let answer = tokio::select! {
                biased;
                // Whoever asked has gone: dropping the call ends it.
                () = reply.closed() => return,
                answer = tokio::time::timeout(budget, run(&vm, entry, &function, &args, stretch)) => answer,
            };
            let answer = match answer {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(caught)) => Err(into_failure(caught, callback, &function)),
                Err(_) => Err(LuaFailure {
                    message: format!("did not return within its budget of {}", human(budget)),
                    at: Some(function.place.clone()),
                    callback: callback.to_owned(),
                    traceback: Vec::new(),
                }),
            };
            let _ = reply.send(answer);
        });
    }
}

fn into_failure(caught: Caught, callback: &str, function: &FnRef) -> LuaFailure {
    let at = if caught.place.file.is_empty() { function.place.clone() } else { caught.place };
    LuaFailure { message: caught.message, at: Some(at), callback: callback.to_owned(), traceback: caught.traceback }
}

async fn run(vm: &Vm, entry: &str, function: &FnRef, args: &[Json], stretch: Duration) -> Result<Value, Caught> {
    let fail = |e: mlua::Error| Caught::outside(&vm.host, &e);
    let Some(f) = vm.functions.get(function.id) else {
        return Err(fail(mlua::Error::runtime("this function is not kept any more: too many were made since")));
    };
    let entry: Function = vm.prelude.raw_get::<Table>("invoke").and_then(|t| t.raw_get(entry)).map_err(fail)?;
    let mut all = MultiValue::with_capacity(args.len() + 1);
    all.push_back(LuaValue::Function(f));
    for arg in args {
        all.push_back(to_lua(&vm.lua, arg, &LuaValue::NULL).map_err(fail)?);
    }
    let answer = vm.call_within(&entry, all, stretch).await?;
    Reader::new(vm).and_then(|mut reader| reader.value(&answer)).map_err(fail)
}
