//! Rules 5 to 11: classes of the file, their instances and fields.

use super::super::slips::all_told;
use super::*;

#[tokio::test]
async fn rule_05_attributes_are_inherited_and_are_defaults_of_a_steps_arguments() {
    let seen = see(r#"
        local Make = steps.ShellCommand:extend("Make", { haltOnFailure = true, extra = "e" })
        local Check = Make:extend("Check")
        assert(Check.extra == "e" and Check.haltOnFailure == true and Check.classname == "Check" and Check.super == Make)
        Check{"make check"}
        local given = Check{"x", haltOnFailure = false}
        assert(given.haltOnFailure == false and given.extra == "e")
    "#)
    .await;
    assert_eq!(seen.objects[0].custom_class.as_deref(), Some("Check"));
    assert_eq!(seen.objects[0].class, "ShellCommand");
    assert_eq!(seen.objects[0].args.named["haltOnFailure"], Value::Bool(true));
    assert_eq!(seen.objects[1].args.named["haltOnFailure"], Value::Bool(false));
}

#[tokio::test]
async fn rule_06_init_gets_one_normalised_table_and_reaches_the_parent_once() {
    let seen = see(r#"
        local Base = util.BuildFactory:extend("Base")
        function Base:init(args)
          self.tag = args.tag
          Base.super.init(self, { args[1] })
        end
        local Sub = Base:extend("Sub")
        function Sub:init(args)
          assert(args.steps == args[1])
          args.tag = "t"
          Sub.super.init(self, args)
        end
        local f = Sub{ { steps.ShellCommand{"a"} }, any = "key" }
        assert(f.tag == "t" and isinstance(f, Base) and f:isinstance(util.BuildFactory) and not isinstance(f, Worker))
        local Named = Worker:extend("Named")
        function Named:init(args)
          args.name = "x-" .. args.name
          Named.super.init(self, args)
        end
        Named{"w", "pw"}
    "#)
    .await;
    let factory = seen.object("BuildFactory");
    assert!(matches!(&factory.args.items[..], [Value::Table(t)] if t.items.len() == 1));
    assert!(factory.args.named.is_empty(), "{factory:?}");
    assert_eq!(seen.object("Worker").args.items, texts(&["x-w", "pw"]));
    assert!(seen.object("Worker").args.named.is_empty());

    let none = mistakes("local F = util.BuildFactory:extend('F')\nfunction F:init() end\nF{}").await;
    assert_eq!(none, ["master.lua:3: F: init must call F.super.init(self, …)"]);
    let twice =
        mistakes("local F = util.BuildFactory:extend('F')\nfunction F:init() F.super.init(self)\nF.super.init(self) end\nF{}").await;
    assert!(twice[0].starts_with("master.lua:3: init of F called its parent's init twice"), "{twice:?}");
    let own = mistakes("local F = util.BuildFactory:extend('F')\nfunction F:init() self.super.init(self) end\nF{}").await;
    assert!(own[0].contains("self.super would loop"), "{own:?}");
    let waits = mistakes("local F = util.BuildFactory:extend('F')\nfunction F:init() sleep(0) end\nF{}").await;
    assert!(waits[0].starts_with("master.lua:2: init may not wait"), "{waits:?}");
}

#[tokio::test]
async fn rule_07_declared_arguments_land_in_the_instance_and_not_in_the_parent() {
    let seen = see(r#"
        local F = util.BuildFactory:extend("F", { args = { branch = "string", tags = { "list<string>", default = {} }, n = "integer?" } })
        local G = F:extend("G", { args = { deep = { "boolean", default = true } } })
        local g = G{ branch = "main", workdir = "w" }
        assert(g.branch == "main" and #g.tags == 0 and g.n == nil and g.deep == true)
        assert(g.tags ~= G{ branch = "x" }.tags)
    "#)
    .await;
    assert_eq!(seen.objects[0].args.named.keys().collect::<Vec<_>>(), ["workdir"]);
    let wrong =
        mistakes("local F = util.BuildFactory:extend('F', { args = { a = 'string', b = 'list<string>?' } })\nF{ b = { 1 } }\nF{ a = 1.5 }")
            .await;
    assert_eq!(
        wrong,
        [
            "master.lua:2: F: missing argument 'a'",
            "master.lua:2: F: 'b' must be list<string>, got a table",
            "master.lua:3: F: 'a' must be string, got 1.5"
        ]
    );
}

#[tokio::test]
async fn rule_08_instances_show_arguments_and_take_fields() {
    see(r#"
        local w = Worker{"a", "pw"}
        assert(w.name == "a" and w.workername == "a" and w.password == "***")
        local f = util.BuildFactory()
        f.note = "mine"
        assert(f.note == "mine")
        local A = class("A")
        function A:init(args) self.x = args.x end
        local B = class("B", A)
        B:mixin{ x = 5, y = function(self) return self.x + 1 end }
        local b = B{ x = 3 }
        assert(b.x == 3 and b:y() == 4 and isinstance(b, A) and B.super == A and tostring(b) == "B (master.lua:11)")
        return {}
    "#)
    .await;
}

#[tokio::test]
async fn rule_08_lists_are_shown_as_fields_and_what_is_put_in_them_counts() {
    let seen = see(r#"
        local a = util.BuilderConfig{ name = "a", factory = util.BuildFactory() }
        local b = util.BuilderConfig{ name = "b", factory = util.BuildFactory() }
        assert(#a.tags == 0 and a.tags == a.tags and a.tags ~= b.tags)
        table.insert(b.tags, "late")
    "#)
    .await;
    let builders: Vec<_> = seen.objects.iter().filter(|o| o.class == "BuilderConfig").collect();
    assert!(!builders[0].args.named.contains_key("tags"));
    assert!(matches!(&builders[1].args.named["tags"], Value::Table(t) if t.items == texts(&["late"])));
}

#[tokio::test]
async fn rule_09_a_field_assigned_later_is_the_argument() {
    let seen = see(r#"
        local b = util.BuilderConfig{ name = "b", factory = util.BuildFactory() }
        b.canStartBuild = function() return true end
        local w = Worker("a", "pw")
        w.name = "z"
    "#)
    .await;
    assert!(matches!(seen.object("BuilderConfig").args.named["canStartBuild"], Value::Function(_)));
    assert_eq!(seen.object("Worker").args.items, texts(&["z", "pw"]));
    let unknown = mistakes("local w = Worker{'a', 'pw'}\n\nw.max_build = 3").await;
    assert_eq!(unknown, ["master.lua:3: Worker \"a\": unknown argument 'max_build' (did you mean 'max_builds'?)"]);
}

#[tokio::test]
async fn rule_09_a_wrong_value_assigned_later_has_the_line_of_the_assignment() {
    all_told(&[
        ("local w = Worker{'a', 'p'}\n\nw.max_builds = 'two'", "master.lua:5: Worker \"a\": ", "'max_builds' must be"),
        (
            "local b = util.BuilderConfig{ name = 'b', factory = f, workernames = {} }\nb.workernames = { 'none' }\nc.builders = { b }",
            "master.lua:4: BuilderConfig \"b\": ",
            "names 'none', which is no worker",
        ),
    ])
    .await;
}

#[tokio::test]
async fn rule_06_without_an_init_unknown_keys_are_mistakes_and_with_one_the_outer_line_is_named() {
    let source = "
local Plain = util.BuildFactory:extend('Plain')
local a = Plain{ workdr = 'x' }
local Own = util.BuildFactory:extend('Own')
function Own:init(args)
  Own.super.init(self, { workdr = args.folder })
end
local b = Own{ folder = 'x', anything = 1 }";
    assert_eq!(
        whole(source).await,
        [
            "master.lua:3: Plain: unknown argument 'workdr' (did you mean 'workdir'?)",
            "master.lua:8: Own: unknown argument 'workdr' (did you mean 'workdir'?)"
        ]
    );
}

#[tokio::test]
async fn rule_08_isinstance_classname_and_mixin() {
    see(r#"
        local Make = steps.ShellCommand:extend("Make", { jobs = 4 })
        Make:mixin{ jobs = 8, verbose = true }
        local m = Make{ command = "make" }
        assert(isinstance(m, Make) and isinstance(m, steps.ShellCommand) and not isinstance(m, util.BuildFactory) and not isinstance(5, Make))
        assert(m.jobs == 4 and m.verbose and Make.classname == "Make" and steps.ShellCommand.classname == "ShellCommand")
        assert(m.haltOnFailure == false and m.command == "make")
    "#)
    .await;
}

#[tokio::test]
async fn rule_09_assigning_an_unknown_name_tells_the_object_and_the_line() {
    let wrong = mistakes(
        "local b = util.BuilderConfig{ name = 'b', workernames = {}, factory = util.BuildFactory() }\n\nb.canStartBuld = print\nb.colour = 1",
    )
    .await;
    assert_eq!(
        wrong,
        [
            "master.lua:3: BuilderConfig \"b\": unknown argument 'canStartBuld' (did you mean 'canStartBuild'?)",
            "master.lua:4: BuilderConfig \"b\": unknown argument 'colour'"
        ]
    );
}

#[tokio::test]
async fn rule_10_a_step_is_not_changed_from_outside() {
    let wrong = mistakes(
        "
local plain = steps.ShellCommand{ name = 'all', command = 'make' }
plain.command = 'make all'
local Mine = steps.ShellCommand:extend('Mine')
function Mine:init(args)
  self.target = args.target
  Mine.super.init(self, { command = { 'make', args.target } })
  self.made = true
end
local mine = Mine{ target = 'all' }
assert(mine.target == 'all' and mine.made)
mine.other = 'check'
mine.command = 'x'",
    )
    .await;
    assert_eq!(
        wrong,
        [
            "master.lua:3: ShellCommand \"all\": a step is made anew for every build: give 'command' to the constructor of ShellCommand",
            "master.lua:12: Mine: a step is made anew for every build: set 'other' in the init of Mine",
            "master.lua:13: Mine: a step is made anew for every build: give 'command' to the constructor of Mine"
        ]
    );
}

#[tokio::test]
async fn rule_11_a_slip_in_a_methods_name_is_warned_of_wherever_it_is_written() {
    let seen = see("
local A = steps.ShellCommand:extend('A', { evalauteCommand = function() end })
function A:getResultSumary() end
A.getCurrentSummary = function() end
function A:summary() end
A.rum = 5
local F = util.BuildFactory:extend('F')
function F:addstep() end
function F:Init() end
local C = class('C')
function C:inti() end
local D = C:extend('D')
function D:inti() end")
    .await;
    assert_eq!(
        seen.warnings(),
        [
            "master.lua:2: A: the method 'evalauteCommand' overrides nothing (did you mean 'evaluateCommand'?)",
            "master.lua:3: A: the method 'getResultSumary' overrides nothing (did you mean 'getResultSummary'?)",
            "master.lua:8: F: the method 'addstep' overrides nothing (did you mean 'addStep'?)",
            "master.lua:9: F: the method 'Init' overrides nothing (did you mean 'init'?)",
            "master.lua:11: C: the method 'inti' overrides nothing (did you mean 'init'?)",
        ]
    );
}
