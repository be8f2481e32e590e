//! `time.now` and `sleep`.

use std::rc::Rc;

use mlua::{Lua, Table};

use super::super::host::Host;
use crate::base::duration;
use crate::base::{Clock, SystemClock};

pub(super) fn register(lua: &Lua, host: &Rc<Host>, into: &Table) -> mlua::Result<()> {
    let time = lua.create_table()?;
    time.raw_set("now", lua.create_function(|_, ()| Ok(SystemClock.now().seconds()))?)?;
    into.raw_set("time", time)?;
    let h = host.clone();
    let sleep = lua.create_async_function(move |lua, seconds: f64| {
        let h = h.clone();
        async move {
            super::may_wait(&lua, &h)?;
            let wait =
                duration::from_seconds(seconds).ok_or_else(|| mlua::Error::runtime("sleep needs a number of seconds, at least 0"))?;
            tokio::time::sleep(wait).await;
            Ok(())
        }
    })?;
    into.raw_set("sleep", sleep)
}
