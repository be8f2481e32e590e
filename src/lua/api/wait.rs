//! How a host function waits: its work runs on the main runtime, so that the Lua thread is free meanwhile, and ends with the call
//! that asked for it. It knows nothing of what the work is.

use std::future::Future;
use std::rc::Rc;

use mlua::Lua;
use tokio_util::task::AbortOnDropHandle;

use super::super::host::Host;
use super::may_wait;

/// Do the work and wait for it. `what` is the call as messages name it; the place is added where the error is caught.
pub(in super::super) async fn on_main<T: Send + 'static>(
    lua: Lua,
    host: Rc<Host>,
    what: &str,
    work: impl Future<Output = Result<T, String>> + Send + 'static,
) -> mlua::Result<T> {
    let fail = |text: String| mlua::Error::runtime(format!("{what}: {text}"));
    may_wait(&lua, &host).map_err(|e| match e {
        mlua::Error::RuntimeError(text) => fail(text),
        other => other,
    })?;
    let _outside = host.clock.outside();
    let work = AbortOnDropHandle::new(host.main.spawn(work));
    // Work that is done at once must not make a call possible where Lua can't wait: it would fail on another day.
    tokio::task::yield_now().await;
    match work.await {
        Ok(done) => done.map_err(fail),
        Err(e) if e.is_cancelled() => Err(fail("the master is stopping".into())),
        Err(_) => Err(fail("failed inside the host".into())),
    }
}
