//! What `util` tells of the machine.

use mlua::{Lua, Table};

pub(super) fn util(lua: &Lua) -> mlua::Result<Table> {
    let util = lua.create_table()?;
    util.raw_set(
        "cpu_count",
        lua.create_function(|_, ()| Ok(std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)))?,
    )?;
    Ok(util)
}
