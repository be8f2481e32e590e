//! What a call has started beside itself (`spawn`, `gather`, `timeout`) or opened, and that it ends with the call: a scope holds the
//! tasks and streams of one call, a task has a scope of its own. What the file sees of it is in `lua/tasks.lua`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Weak;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mlua::{Function, Lua, Table, UserData, UserDataRef, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::api;
use super::api::stream::{Opened, Shared as Stream};
use super::failure::Caught;
use super::host::Host;
use super::vm::{CALL, call};

/// Tasks that run at the same time in one configuration.
pub(super) const MOST_TASKS: usize = 10_000;
/// Errors that a call keeps for whoever may still wait for them; beyond they are told at once.
const MOST_FAILURES: usize = 100;

/// The tasks of one call.
#[derive(Default)]
pub(super) struct Scope {
    /// In the order of their start: those that run, and those whose error nobody has seen.
    tasks: RefCell<BTreeMap<u64, Rc<Task>>>,
    failures: Cell<usize>,
    /// How many `init` it is in, one within the other. Other calls may wait meanwhile.
    inits: Cell<usize>,
    streams: RefCell<Opened>,
}

struct Task {
    id: u64,
    own: Rc<Scope>,
    state: RefCell<State>,
    changed: Notify,
    abort: RefCell<Option<AbortHandle>>,
}

enum State {
    Running,
    Done,
    Failed(Caught),
    Cancelled,
}

impl Scope {
    /// The call is over: what still runs ends, and errors that nobody waited for are told.
    pub fn end(&self) {
        for task in std::mem::take(&mut *self.tasks.borrow_mut()).into_values() {
            task.cancel();
            task.tell();
        }
        self.streams.borrow_mut().close();
    }

    pub fn in_init(&self) -> bool {
        self.inits.get() > 0
    }

    /// The stream is closed when the call is over.
    pub fn closes(&self, stream: Weak<Stream>) {
        self.streams.borrow_mut().push(stream);
    }

    fn forget(&self, task: &Task) {
        if self.tasks.borrow_mut().remove(&task.id).is_some() && matches!(*task.state.borrow(), State::Failed(_)) {
            self.failures.set(self.failures.get().saturating_sub(1));
        }
    }

    fn finished(&self, task: &Task) {
        let failed = matches!(*task.state.borrow(), State::Failed(_));
        if failed && self.failures.get() < MOST_FAILURES && self.tasks.borrow().contains_key(&task.id) {
            self.failures.set(self.failures.get() + 1);
            return;
        }
        self.tasks.borrow_mut().remove(&task.id);
        task.tell();
    }
}

impl Task {
    fn finish(&self, outcome: Result<Value, Caught>) {
        if matches!(*self.state.borrow(), State::Running) {
            *self.state.borrow_mut() = outcome.map_or_else(State::Failed, |_| State::Done);
            self.changed.notify_waiters();
        }
    }

    fn cancel(&self) {
        if matches!(*self.state.borrow(), State::Running) {
            *self.state.borrow_mut() = State::Cancelled;
            self.changed.notify_waiters();
            if let Some(abort) = self.abort.take() {
                abort.abort();
            }
        }
    }

    fn tell(&self) {
        if let State::Failed(caught) = &*self.state.borrow() {
            tracing::error!(target: "lua", place = %caught.place, "a task failed and nobody waited for it: {}", caught.message);
        }
    }

    async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if !matches!(*self.state.borrow(), State::Running) {
                return;
            }
            changed.await;
        }
    }

    /// Nil after success, else what went wrong.
    fn complaint(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Running | State::Done => None,
            State::Failed(caught) if caught.place.file.is_empty() => Some(caught.message.clone()),
            State::Failed(caught) => Some(format!("{}:{}: {}", caught.place.file, caught.place.line, caught.message)),
            State::Cancelled => Some("the task was cancelled".into()),
        }
    }
}

/// A task and the scope that it was started in.
struct Handle {
    task: Rc<Task>,
    scope: Rc<Scope>,
}

impl UserData for Handle {}

/// Counts a task for as long as it runs.
struct Counted(Rc<Host>);

impl Counted {
    fn new(host: &Rc<Host>) -> mlua::Result<Counted> {
        let running = host.tasks.get();
        if running >= MOST_TASKS {
            return Err(mlua::Error::runtime(format!("spawn: {MOST_TASKS} tasks run already: wait for some of them first")));
        }
        host.tasks.set(running + 1);
        Ok(Counted(host.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get().saturating_sub(1));
    }
}

fn spawn(lua: &Lua, host: &Rc<Host>, body: Function) -> mlua::Result<Handle> {
    api::may_wait(lua, host)?;
    let scope = host.scope().ok_or_else(|| mlua::Error::runtime("spawn: there is no call that the task could belong to"))?;
    let counted = Counted::new(host)?;
    let own = Rc::new(Scope::default());
    let task = Rc::new(Task {
        id: host.next_id(),
        own: own.clone(),
        state: RefCell::new(State::Running),
        changed: Notify::new(),
        abort: RefCell::default(),
    });
    scope.tasks.borrow_mut().insert(task.id, task.clone());
    let (lua, host) = (lua.clone(), host.clone());
    let protected: Function = lua.named_registry_value(CALL)?;
    let (running, within) = (task.clone(), Rc::downgrade(&scope));
    let work = tokio::task::spawn_local(async move {
        let outcome = call((&lua, &protected), &host, own, host.stretch.get(), &body, ()).await;
        drop(counted);
        running.finish(outcome);
        match within.upgrade() {
            Some(scope) => scope.finished(&running),
            None => running.tell(),
        }
    });
    *task.abort.borrow_mut() = Some(work.abort_handle());
    Ok(Handle { task, scope })
}

/// Wait until all have ended well or one has not: its position and what went wrong.
async fn wait(host: &Host, handles: Vec<UserDataRef<Handle>>) -> mlua::Result<(Option<usize>, Option<String>)> {
    let here = host.scope();
    if handles.iter().any(|handle| here.as_ref().is_some_and(|here| Rc::ptr_eq(here, &handle.task.own))) {
        return Err(mlua::Error::runtime("a task can't wait for itself"));
    }
    let mut all: FuturesUnordered<_> = handles
        .iter()
        .zip(1..)
        .map(async |(handle, position)| {
            handle.task.ended().await;
            (handle, position)
        })
        .collect();
    while let Some((handle, position)) = all.next().await {
        handle.scope.forget(&handle.task);
        if let Some(complaint) = handle.task.complaint() {
            return Ok((Some(position), Some(complaint)));
        }
    }
    Ok((None, None))
}

/// What `lua/tasks.lua` asks the host.
pub(super) fn host_functions(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let h = host.clone();
    into.raw_set("spawn", lua.create_function(move |lua, body: Function| spawn(lua, &h, body))?)?;
    let h = host.clone();
    into.raw_set("call_id", lua.create_function(move |_, ()| Ok(h.scope().map_or(0, |scope| Rc::as_ptr(&scope) as i64)))?)?;
    for (name, change) in [("begin_init", 1), ("end_init", -1)] {
        let h = host.clone();
        let count = lua.create_function(move |_, ()| {
            if let Some(scope) = h.scope() {
                scope.inits.set(scope.inits.get().saturating_add_signed(change));
            }
            Ok(())
        })?;
        into.raw_set(name, count)?;
    }
    let h = host.clone();
    into.raw_set("caught", lua.create_function(move |lua, error: Value| lua.create_userdata(Caught::new(lua, &h, &error)))?)?;
    let cancel = lua.create_function(|_, handle: UserDataRef<Handle>| {
        handle.task.cancel();
        handle.scope.forget(&handle.task);
        Ok(())
    })?;
    into.raw_set("cancel", cancel)?;
    let h = host.clone();
    let wait_all = lua.create_async_function(move |lua, handles: Vec<UserDataRef<Handle>>| {
        let h = h.clone();
        async move {
            api::may_wait(&lua, &h)?;
            wait(&h, handles).await
        }
    })?;
    into.raw_set("wait_all", wait_all)?;
    let h = host.clone();
    let wait_for = lua.create_async_function(move |lua, (handle, limit): (UserDataRef<Handle>, Value)| {
        let h = h.clone();
        async move {
            api::may_wait(&lua, &h)?;
            let limit = api::seconds(&limit).map_err(|e| mlua::Error::runtime(format!("timeout: {e}")))?;
            tokio::select! {
                biased;
                ended = wait(&h, vec![handle]) => ended.map(|(_, complaint)| (true, complaint)),
                () = h.clock.sleep(limit) => Ok((false, Some(crate::base::duration::human(limit)))),
            }
        }
    })?;
    into.raw_set("wait_for", wait_for)
}
