//! What a test may put in place of the world: answers to `http` and `process`, and time. Undone when the test has ended.

use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, Table};

use super::super::api;
use super::super::clock::Clock;
use super::super::vm::Vm;

const FAKED: [&str; 2] = ["http", "process"];

/// Give the state what test files have besides the library. The table has what the runner calls.
pub(super) fn offer(vm: &Vm) -> mlua::Result<Table> {
    let world = vm.lua.create_table()?;
    world.raw_set("fake", vm.lua.create_function(|lua, (what, answers): (String, Function)| api::fake::set(lua, &what, Some(answers)))?)?;
    let clock = vm.host.clock.clone();
    world.raw_set(
        "time",
        vm.lua.create_function(move |_, at: Option<f64>| {
            clock.make_up(at.unwrap_or_else(|| clock.now()));
            Ok(())
        })?,
    )?;
    let clock = vm.host.clock.clone();
    world.raw_set(
        "advance",
        vm.lua.create_function(move |_, seconds: f64| {
            clock.advance(seconds);
            Ok(())
        })?,
    )?;
    let clock = vm.host.clock.clone();
    world.raw_set("slept", vm.lua.create_function(move |_, ()| Ok(clock.slept()))?)?;
    let clock = vm.host.clock.clone();
    world.raw_set("reset", vm.lua.create_function(move |lua, ()| reset(lua, &clock))?)?;
    vm.prelude.raw_set("world", world)?;
    let source = include_str!("../../../lua/testing.lua");
    let part = vm.lua.load(source).set_name("=[builtin testing]").set_mode(ChunkMode::Text).into_function()?;
    part.call::<()>(&vm.prelude)?;
    vm.prelude.raw_get("testing")
}

fn reset(lua: &Lua, clock: &Rc<Clock>) -> mlua::Result<()> {
    for what in FAKED {
        api::fake::set(lua, what, None)?;
    }
    clock.reset();
    Ok(())
}
