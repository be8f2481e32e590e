//! Steps of one's own as they are declared; what they do in builds is in `tests/lua_steps.rs`.

use super::super::super::api::library::STEP;
use super::super::super::host::Host;
use super::super::super::vm::Vm;
use super::super::super::watch::Watch;
use super::super::*;

const HEAD: &str = "local S = steps.BuildStep:extend('S', { args = { target = 'string' } })\nfunction S:run() return SUCCESS end\n";

#[tokio::test]
async fn rule_10_a_field_set_from_outside_is_refused_with_a_hint() {
    for (line, expected) in [
        ("local s = S{ target = 'x' } s.colour = 1", "a step is made anew for every build: set 'colour' in the init of S"),
        ("local s = S{ target = 'x' } s.target = 'y'", "set 'target' in the init of S"),
        ("local s = S{ target = 'x' } s.timeout = 1", "give 'timeout' to the constructor of S"),
        ("local s = steps.ShellCommand{ command = 'x' } s.timeout = 1", "give 'timeout' to the constructor of ShellCommand"),
    ] {
        let told = mistakes(&format!("{HEAD}{line}")).await;
        assert!(told[0].starts_with("master.lua:3: ") && told[0].contains(expected), "{line}: {told:?}");
    }
}

#[tokio::test]
async fn rule_10_an_init_may_set_fields_and_arguments() {
    let seen = see("local S = steps.ShellCommand:extend('S', { haltOnFailure = true })
         function S:init(args)
           self.before = 1
           S.super.init(self, { command = args[1] })
           self.after = self.before + 1
           self.timeout = 7
           self:addLogObserver('stdio', function() end)
         end
         local s = S{ 'make' }
         assert(s.before == 1 and s.after == 2 and s.timeout == 7 and s.command == 'make' and s.haltOnFailure)")
    .await;
    let args = &seen.object("ShellCommand").args;
    assert_eq!(args.named.get("timeout"), Some(&Value::Int(7)));
    assert_eq!(args.named.get("command"), Some(&text("make")));
    let methods = seen.object("ShellCommand").methods.clone().unwrap();
    assert_eq!(methods.into_iter().collect::<Vec<_>>(), ["init"]);
}

#[tokio::test]
async fn what_runs_only_in_a_build_says_so() {
    for (line, expected) in [
        ("local s = S{ target = 'x' } s:setProperty('a', 1)", "self:setProperty works only while the step runs"),
        ("local s = S{ target = 'x' } s:addLogObserver('stdio', print)", "addLogObserver is for init and run()"),
        ("S.addLog('x')", "write self:addLog(…), with a colon"),
        ("util.RemoteCommand('mkdir', { dir = 'x' })", "works only while a step runs"),
        ("local o = util.LineConsumerLogObserver()", "needs a function(stream, line)"),
        ("S:mixin(steps.ShellCommand)", "needs a table of methods, not the class ShellCommand"),
        ("steps.BuildStep:extend('T', { mixins = steps.ShellMixin })", "mixins must be a list"),
    ] {
        let told = mistakes(&format!("{HEAD}{line}")).await;
        assert!(told[0].starts_with("master.lua:3: ") && told[0].contains(expected), "{line}: {told:?}");
    }
}

#[tokio::test]
async fn mixins_give_what_the_class_lacks() {
    see("local M = { run = function() return SUCCESS end, colour = 'red', size = 3 }
         local S = steps.BuildStep:extend('S', { mixins = { steps.ShellMixin, M }, size = 5 })
         assert(S.run == M.run and S.colour == 'red' and S.size == 5)
         local T = steps.BuildStep:extend('T', { mixins = { M } })
         function T:run() return FAILURE end
         assert(T.run ~= M.run)
         local U = T:extend('U', { mixins = { M } })
         assert(U.run == T.run, 'what the classes above have is not covered')
         assert(isinstance(S(), steps.BuildStep) and S():isinstance(S))")
    .await;
}

#[tokio::test]
async fn an_argument_that_is_rendered_takes_what_is_to_be_rendered() {
    see("local S = steps.BuildStep:extend('S', { args = { a = 'string', b = 'list<string>' }, renderables = { 'a', 'b' } })
         function S:run() return SUCCESS end
         S{ a = Interpolate('%(prop:x)s'), b = { 'y', Property('z') } }")
    .await;
    let told = mistakes("local S = steps.BuildStep:extend('S', { args = { a = 'string' } })\nlocal s = S{ a = Interpolate('x') }").await;
    assert_eq!(told, ["master.lua:2: S: 'a' must be string, got an Interpolate"]);
}

#[tokio::test]
async fn a_step_without_run_is_a_mistake() {
    let told = async |step: &str| {
        let folder = Folder::new(&[("master.lua", step)]);
        let mistakes = load(folder.options()).await.map(|_| ()).unwrap_err();
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let plain = told("local f = util.BuildFactory{ steps.BuildStep() }").await;
    assert!(plain.contains("master.lua:1: BuildStep: has no run(): extend BuildStep and write function Class:run() … end"), "{plain}");
    let old = told("local S = steps.BuildStep:extend('S')\nfunction S:start() end\nlocal s = S()").await;
    assert!(old.contains("master.lua:3: S: has no run(); start() is Buildbot's old form"), "{old}");
}

#[tokio::test]
async fn the_page_of_steps_has_every_method() {
    let host = Host::new(std::env::temp_dir(), true, Watch::new(), tokio::runtime::Handle::current());
    let vm = Vm::new(host).unwrap();
    let methods: mlua::Table = vm.prelude.raw_get("step_methods").unwrap();
    let mut there: Vec<String> = methods.pairs::<String, mlua::Value>().map(|pair| pair.unwrap().0).filter(|n| n != "isinstance").collect();
    let mut written: Vec<&str> = STEP.iter().map(|(call, _)| call.split(['(', '{']).next().unwrap()).collect();
    there.sort_unstable();
    written.sort_unstable();
    assert_eq!(there, written);
}
