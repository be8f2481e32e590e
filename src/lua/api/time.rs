//! `time.now` and `sleep`.

use std::rc::Rc;

use mlua::{Lua, Table, Value};

use super::super::host::Host;
use crate::base::{Clock, SystemClock};

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let time = lua.create_table()?;
    time.raw_set("now", lua.create_function(|_, ()| Ok(SystemClock.now().seconds()))?)?;
    into.raw_set("time", time)?;
    let h = host.clone();
    let sleep = lua.create_async_function(move |lua, seconds: Value| {
        let h = h.clone();
        async move {
            super::may_wait(&lua, &h)?;
            tokio::time::sleep(super::seconds(&seconds).map_err(|e| mlua::Error::runtime(format!("sleep: {e}")))?).await;
            Ok(())
        }
    })?;
    into.raw_set("sleep", sleep)
}
