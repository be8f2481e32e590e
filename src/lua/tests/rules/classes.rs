//! Classes of the file below the host's: what their attributes stand for, and that nothing depends on the order of `pairs`.

use crate::lua::load::load;
use crate::lua::tests::*;

#[tokio::test]
async fn rule_05_class_attributes_are_defaults_over_several_generations() {
    let seen = see(r#"
        local Unix = Worker:extend("Unix", { max_builds = 2, keepalive_interval = 60, zone = "eu" })
        local Big = Unix:extend("Big", { max_builds = 8 })
        function Big:init(args)
          Big.super.init(self, { args[1], args[2], properties = { zone = self.zone } })
        end
        local Huge = Big:extend("Huge")
        local w = Huge{ "w", "pw" }
        assert(w.max_builds == 8 and w.keepalive_interval == 60 and Huge.max_builds == 8 and w.zone == "eu")
        local given = Unix{ "g", "pw", max_builds = 1 }
        assert(given.max_builds == 1)
        local Local = LocalWorker:extend("Local", { max_builds = 3 })
        Local"here"
        local Out = util.BuildFactory:extend("Out", { workdir = "out" })
        assert(Out().workdir == "out" and Out{ workdir = "x" }.workdir == "x")
        local Mine = util.BuilderConfig:extend("Mine", { tags = { "mine" }, workernames = { "w" } })
        function Mine:canStartBuild(wfb, request) return true end
        Mine{ name = "b", factory = Out() }
        Mine{ name = "c", factory = Out(), workername = "g", workernames = None }
        local Form = schedulers.ForceScheduler:extend("Form", { buttonName = "go", builderNames = { "b" } })
        Form"f"
        local Version = util.StringParameter:extend("Version", { regex = "[0-9]", required = true })
        Version"v"
    "#)
    .await;
    let named = |custom: &str, name: &str| {
        seen.objects.iter().find(|o| o.custom_class.as_deref() == Some(custom)).unwrap().args.named.get(name).cloned()
    };
    assert_eq!(named("Huge", "max_builds"), Some(Value::Int(8)));
    assert_eq!(named("Huge", "keepalive_interval"), Some(Value::Int(60)));
    assert_eq!(named("Unix", "max_builds"), Some(Value::Int(1)));
    assert_eq!(named("Local", "max_builds"), Some(Value::Int(3)));
    assert_eq!(named("Out", "workdir"), Some(text("out")));
    assert!(matches!(named("Mine", "canStartBuild"), Some(Value::Function(_))));
    assert_eq!(named("Form", "buttonName"), Some(text("go")));
    assert_eq!(named("Version", "regex"), Some(text("[0-9]")));
}

#[tokio::test]
async fn rule_05_methods_are_no_arguments_and_a_given_spelling_hides_another() {
    let seen = see(r#"
        local F = util.BuildFactory:extend("F")
        function F:workdir() return "method" end
        F()
        local B = util.BuilderConfig:extend("B", { slavename = "old" })
        B{ name = "b", factory = F(), workername = "new" }
    "#)
    .await;
    assert!(seen.object("BuildFactory").args.named.is_empty());
    assert_eq!(seen.object("BuilderConfig").args.named.get("slavename"), None);
}

#[tokio::test]
async fn rule_07_any_class_declares_arguments() {
    let seen = see(r#"
        local W = Worker:extend("W", { args = { os = "string", cpus = { "integer", default = 2 } } })
        local w = W{ "a", "pw", os = "linux" }
        assert(w.os == "linux" and w.cpus == 2)
        local P = util.StringParameter:extend("P", { args = { unit = "string?" } })
        assert(P{ "p", unit = "s" }.unit == "s" and P"q".unit == nil)
        local S = schedulers.ForceScheduler:extend("S", { args = { team = { "list<string>", default = {} } } })
        local s = S{ "s", builderNames = {} }
        assert(#s.team == 0)
        local Plain = class("Plain")
        Plain.args = { n = "integer" }
        function Plain:init(args) self.twice = args.n * 2 end
        local Sub = Plain:extend("Sub")
        assert(Sub{ n = 4 }.twice == 8 and Sub{ n = 4 }.n == 4)
    "#)
    .await;
    assert_eq!(seen.object("Worker").args.named.keys().collect::<Vec<_>>(), [""; 0]);
    let told = mistakes("local P = class('P')\nP.args = { n = 'integer' }\nP{ n = 'x' }\nP{}").await;
    assert_eq!(told, ["master.lua:3: P: 'n' must be integer, got \"x\"", "master.lua:4: P: missing argument 'n'"]);
}

#[tokio::test]
async fn rule_08_instances_know_their_class_and_mask_secrets() {
    see(r#"
        local W = Worker:extend("W")
        local w = W{ "a", "pw" }
        assert(w:isinstance(Worker) and isinstance(w, W) and not isinstance(w, LocalWorker) and W.classname == "W")
        assert(w.password == "***" and w.workername == "a" and w.name == "a")
        local p = util.IntParameter{ "n" }
        assert(p.label == nil or p.label == None or type(p.label) == "string")
        assert(p:isinstance(util.IntParameter) and p.required == false)
        local Mixed = class("Mixed"):mixin{ hello = function() return "hello" end }
        assert(Mixed():hello() == "hello" and Mixed():isinstance(Mixed))
    "#)
    .await;
}

/// A table constructor whose fields stand in another order each time.
fn shuffled(random: &mut fastrand::Rng, fields: &[&str]) -> String {
    let mut fields: Vec<&str> = fields.to_vec();
    random.shuffle(&mut fields);
    format!("{{ {} }}", fields.join(", "))
}

#[tokio::test]
async fn rule_15_the_same_file_in_any_order_gives_the_same_configuration() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut first: Option<String> = None;
    for _ in 0..12 {
        // What is made first, second … stays so; only the order within tables changes.
        let mut table = |fields: &[&str]| shuffled(&mut random, fields);
        let source = [
            "local c = BuildmasterConfig".to_owned(),
            format!("local W = Worker:extend('W', {})", table(&["max_builds = 3", "keepalive_interval = 5", "missing_timeout = 9"])),
            format!("local props = {}", table(&["os = 'linux'", "cpus = 4", "deep = { a = 1, b = 2, c = { 3 } }", "['a b'] = true"])),
            "c.workers = { W{ 'w1', 'pw', properties = props }, LocalWorker{ 'w2' } }".into(),
            "local f = util.BuildFactory()".into(),
            format!(
                "f:addStep(steps.ShellCommand{})",
                table(&[
                    "name = 'say'",
                    "command = { 'echo', Interpolate('%(prop:x)s %(kw:a)s %(kw:b)s', { a = function() return 1 end, b = Property('y') }) }",
                    "env = { A = '1', B = Property('b'), C = function(props) return props.c end, D = '4' }",
                    "doStepIf = function(step) return true end",
                    "hideStepIf = function(results, step) return false end",
                    "haltOnFailure = true",
                ])
            ),
            format!(
                "c.builders = {{ util.BuilderConfig{} }}",
                table(&[
                    "name = 'b'",
                    "workernames = { 'w1', 'w2' }",
                    "factory = f",
                    "tags = { 'x', 'y' }",
                    "nextWorker = function(b, ws) return ws[1] end",
                    "canStartBuild = function() return true end",
                    "nextBuild = function(b, rs) return rs[1] end",
                ])
            ),
            format!(
                "c.schedulers = {{ schedulers.ForceScheduler{} }}",
                table(&[
                    "name = 'force'",
                    "builderNames = { 'b' }",
                    "properties = { util.ChoiceStringParameter{ name = 'c', choices = function() return { 'a' } end } }",
                ])
            ),
            format!(
                "for k, v in pairs{} do c[k] = v end",
                table(&["title = 'T'", "buildbotURL = 'http://x/'", "properties = { p = 1, q = 2 }"])
            ),
            "c.collapseRequests = function() return false end".into(),
        ]
        .join("\n");
        let folder = Folder::new(&[("master.lua", &source)]);
        let loaded = load(folder.options()).await.unwrap_or_else(|told| panic!("{told:#?}\n{source}"));
        let shown = format!("{:#?}", loaded.config);
        match &first {
            None => first = Some(shown),
            Some(first) => assert!(*first == shown, "{source}\n{first}\n{shown}"),
        }
    }
}

/// Every class that can be extended, in the namespaces where it lives, with what it needs.
#[tokio::test]
async fn rule_05_every_class_of_the_host_that_can_be_extended_is() {
    use crate::config::class::{Kind, classes};
    let mut tried = 0;
    for class in classes().iter().filter(|c| c.extensible) {
        let mut given = vec![];
        for arg in class.args.iter().filter(|a| a.required) {
            let value = match arg.name {
                "command" if class.kind == Kind::SecretProvider => "{ 'x', '%(name)s' }",
                "docker_host" => "'unix:///socket'",
                "factory" => "util.BuildFactory()",
                "fromaddr" => "'a@b.example'",
                "serverUrl" => "'http://localhost/'",
                "function" => "print",
                "template_type" => "'plain'",
                "commands" | "fields" | "choices" | "builderNames" | "properties" => "{ }",
                _ => "'x'",
            };
            given.push(format!("[\"{}\"] = {value}", arg.name));
        }
        match class.name {
            "BuilderConfig" => given.push("workernames = { 'w' }".into()),
            "DockerLatentWorker" => given.push("image = 'ci'".into()),
            "OpenStackLatentWorker" => {
                given.push("image = 'ci', os_username = 'x', os_password = 'x', os_tenant_name = 'x', os_auth_url = 'https://x/v3'".into());
            }
            "EC2LatentWorker" | "EC2LatentBuildSlave" => given.push("ami = 'ami-1'".into()),
            "SetPropertyFromCommand" => given.push("property = 'p'".into()),
            _ => {}
        }
        let given = given.join(", ");
        let (attribute, value) = match class.kind {
            Kind::Step => ("haltOnFailure", "true"),
            Kind::Worker => ("max_builds", "4"),
            Kind::Builder => ("tags", "{ 't' }"),
            Kind::Factory => ("workdir", "'w'"),
            Kind::Scheduler => ("buttonName", "'b'"),
            Kind::Reporter => ("name", "'r'"),
            Kind::Generator if class.name == "WorkerMissingGenerator" => ("workers", "{ 'w' }"),
            Kind::Generator if class.name == "BuildSetCombinedStatusGenerator" => ("tooltip", "'t'"),
            Kind::Generator => ("tags", "{ 't' }"),
            Kind::Formatter => ("ctx", "{ a = 1 }"),
            _ => ("tooltip", "'t'"),
        };
        // What a class that does nothing itself demands.
        let method = match class.name {
            "BuildStep" => "function One:run() return util.SUCCESS end",
            "LatentWorker" => "function One:start_instance() end function One:stop_instance() end",
            "SecretProviderBase" => "function One:get(name) end",
            "ReporterBase" => "function One:sendMessage(reports) end",
            _ => "",
        };
        for space in class.namespaces {
            let name = class.name;
            let source = format!(
                "local c = BuildmasterConfig
                c.workers = {{ LocalWorker{{ 'w' }} }}
                local One = {space}.{name}:extend('One', {{ {attribute} = {value}, own = 1 }}) {method}
                function One:init(args) self.seen = args One.super.init(self, args) end
                local Two = One:extend('Two', {{ args = {{ more = 'integer?' }} }})
                function Two:init(args) Two.super.init(self, args) end
                local made = Two{{ {given} }}
                assert(isinstance(made, {space}.{name}) and isinstance(made, One) and made.own == 1 and made.seen and Two.super == One)
                assert(made.{attribute} ~= nil and Two.{attribute} == One.{attribute} and Two{{ more = 3, {given} }}.more == 3)"
            );
            let folder = Folder::new(&[("master.lua", &source)]);
            load(folder.options()).await.unwrap_or_else(|told| panic!("{told:#?}\n{source}"));
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[tokio::test]
async fn rule_07_an_argument_that_the_host_has_too_may_be_given_by_position() {
    let seen = see(r#"
        local Bot = Worker:extend("Bot", { args = { name = "string", max_builds = { "integer", default = 3 } } })
        local bot = Bot{ "a", "pw" }
        assert(bot.name == "a" and bot.max_builds == 3)
        assert(Bot{ name = "b", password = "pw", max_builds = 1 }.max_builds == 1)
    "#)
    .await;
    let args = |i: usize| &seen.objects[i].args;
    assert_eq!((args(0).items.as_slice(), args(0).named.get("name")), (texts(&["a", "pw"]).as_slice(), None));
    assert_eq!((args(0).named.get("max_builds"), args(1).named.get("name")), (Some(&Value::Int(3)), Some(&text("b"))));
}
