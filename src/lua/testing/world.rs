//! What a test may put in place of the world: answers to `http` and `process`, and time. Undone when the test has ended.

use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, MultiValue, StdLib, Table, Value};

use super::super::api;
use super::super::clock::Clock;
use super::super::vm::Vm;
use super::model;

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
    waiting(vm, &world)?;
    vm.prelude.raw_set("world", world)?;
    let source = include_str!("../../../lua/testing.lua");
    let part = vm.lua.load(source).set_name("=[builtin testing]").set_mode(ChunkMode::Text).into_function()?;
    part.call::<()>(&vm.prelude)?;
    vm.prelude.raw_get("testing")
}

/// The functions that wait. mlua makes such with the help of a library that the sandbox has taken away.
fn waiting(vm: &Vm, world: &Table) -> mlua::Result<()> {
    let globals = vm.lua.globals();
    let seal = globals.metatable();
    globals.set_metatable(None)?;
    vm.lua.load_std_libs(StdLib::COROUTINE)?;
    let host = vm.host.clone();
    let load = vm.lua.create_async_function(move |lua, name: String| {
        let host = host.clone();
        async move { model::load(&lua, &host, &name).await }
    })?;
    world.raw_set("load", load)?;
    let host = vm.host.clone();
    let call = vm.lua.create_async_function(move |lua, args: MultiValue| {
        let host = host.clone();
        async move { model::call(&lua, &host, args).await }
    })?;
    world.raw_set("call", call)?;
    globals.raw_set("coroutine", Value::Nil)?;
    globals.set_metatable(seal)
}

fn reset(lua: &Lua, clock: &Rc<Clock>) -> mlua::Result<()> {
    for what in FAKED {
        api::fake::set(lua, what, None)?;
    }
    clock.reset();
    Ok(())
}
