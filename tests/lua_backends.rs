//! Latent workers whose machines a class of the configuration starts and stops, with the real program: the units of a rack that run
//! stock workers. Whatever the class does wrong, no unit is left on, none is started twice, and others do not notice.

mod support;

use serde_json::{Value, json};
use support::rack::Rack;
use support::*;

const VERSION: &str = "4.3.0";

/// As an administrator would write it.
const RACK: &str = r#"
local Rack = LatentWorker:extend("RackWorker", { args = { rack_url = "string" } })
function Rack:start_instance(build)
  local unit = http.post(self.rack_url .. "/boot", { json = {
    name = self.name, password = self.password, launch_id = self.launch_id, owner = self.master_id } })
  if unit.status >= 300 then error("the rack answered " .. unit.status) end
  return { handle = unit.json.id, status = { "rack unit", unit.json.id } }
end
function Rack:stop_instance(handle, fast) http.delete(self.rack_url .. "/units/" .. handle) end
function Rack:check_instance(handle)
  if http.get(self.rack_url .. "/units/" .. handle).status == 200 then return true, "" end
  return false, "the rack has no unit " .. handle
end
function Rack:list_instances() return http.get(self.rack_url .. "/units?owner=" .. self.master_id).json end
"#;

fn config(rack: &Rack, backend: &str, options: &str, more: &str) -> String {
    format!(
        r#"
{backend}
c.collapseRequests = false
c.reap_interval = 10
c.workers = {{ Rack{{ "bot", rack_url = "{}", {options} }}, LocalWorker{{ "here" }} }}
local quick, wait = util.BuildFactory(), util.BuildFactory()
quick:addStep(steps.ShellCommand{{ name = "say", command = {{ "echo", "quick" }} }})
wait:addStep(steps.ShellCommand{{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" }})
c.builders = {{
  util.BuilderConfig{{ name = "quick", workernames = {{ "bot" }}, factory = quick }},
  util.BuilderConfig{{ name = "wait", workernames = {{ "bot" }}, factory = wait }},
  util.BuilderConfig{{ name = "local", workernames = {{ "here" }}, factory = quick }},
}}
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "quick", "wait", "local" }} }} }}
{more}
"#,
        rack.url()
    )
}

/// Every unit runs a stock worker.
fn boots(rack: &Rack, port: u16) {
    rack.machines(move |name, password| Box::new(Worker::start(VERSION, name, password, port)));
}

fn master(rack: &Rack, backend: &str, options: &str) -> Master {
    let mut master = Master::create(&config(rack, backend, options, ""));
    boots(rack, master.pb);
    master.launch();
    master
}

fn state(master: &Master, worker: &str) -> Value {
    master.worker(worker)["machine"]["state"].clone()
}

fn wait_state(master: &Master, worker: &str, wanted: &str) {
    wait_for(&format!("the machine of {worker} is {wanted}"), || (state(master, worker) == wanted).then_some(()));
}

#[test]
fn a_build_starts_its_unit_and_the_unit_ends() {
    let rack = Rack::start();
    let master = master(&rack, RACK, "build_wait_timeout = 600");
    assert_eq!(state(&master, "bot"), "idle");
    assert!(rack.calls("POST").is_empty(), "nobody wanted one");

    let build = master.build("quick", json!({}));
    assert_eq!(build["results"], SUCCESS);
    let told = master.instances();
    let row = &told["instances"][0];
    assert_eq!(
        (&row["workername"], &row["state"], &row["backend"], &row["handle"]),
        (&json!("bot"), &json!("ready"), &json!("RackWorker"), &json!("u1")),
        "{told:#}"
    );

    // The next build finds it running.
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!((rack.calls("POST").len(), rack.live().len()), (1, 1));
    master.reconfig(&config(&rack, RACK, "build_wait_timeout = 1", ""));
    wait_state(&master, "bot", "idle");
    assert_eq!((rack.live().len(), rack.high_water()), (0, 1));
}

#[test]
fn a_killed_master_adopts_or_stops_its_units() {
    let rack = Rack::start();
    let mut master = master(&rack, RACK, "build_wait_timeout = 600");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    master.kill9();
    // Of another master, and one of ours that its ledger does not have.
    rack.add("f00", "somebody else");
    let owner = rack.owner("u1");
    rack.add("b00", &owner);
    master.launch();
    wait_for("the unit that nobody knows is off", || (rack.live() == ["u1", "u2"]).then_some(()));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(rack.calls("POST").len(), 1, "the unit was adopted");

    // With another argument it is another machine.
    master.kill9();
    let lua = config(&rack, RACK, "build_wait_timeout = 600", "").replace("rack_url = \"http://127.0.0.1", "rack_url = \"http://localhost");
    master.configure(&lua);
    master.launch();
    wait_for("the unit of the old settings is off", || (rack.live() == ["u2"]).then_some(()));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(rack.calls("POST").len(), 2);
    master.stop();
    wait_for("it stops its units when it stops", || (rack.live() == ["u2"]).then_some(()));
}

#[test]
fn what_a_worker_left_that_is_not_configured_any_more_is_stopped_by_its_class() {
    let (rack, other) = (Rack::start(), Rack::start());
    let mut master = master(&rack, RACK, "build_wait_timeout = 600");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    master.kill9();
    // Its handle is that of somebody's unit elsewhere.
    let theirs = other.add("f00", "somebody else");
    assert_eq!((rack.live(), &*theirs), (vec![theirs.clone()], "u1"));
    let others = format!(
        "c.workers = {{ Rack{{ \"bot-b\", rack_url = \"{}\" }}, Rack{{ \"bot-c\", rack_url = \"{}\", pool = {{ max = 2 }} }} }}",
        other.url(),
        rack.url().replace("127.0.0.1", "localhost")
    );
    let named = "c.builders = { util.BuilderConfig{ name = \"quick\", workernames = { \"bot-b\", \"bot-c\" }, factory = quick } }\n\
                 c.schedulers = { schedulers.ForceScheduler{ name = \"force\", builderNames = { \"quick\" } } }";
    master.configure(&config(&rack, RACK, "", &format!("{others}\n{named}")));
    master.launch();
    rack.wait_live(0);
    assert_eq!(other.live(), ["u1"]);
    assert!(other.calls("DELETE").is_empty());
    wait_for("the ledger is settled", || master.http.rows("instances?gone_at=null", "instances").is_empty().then_some(()));
}

#[test]
fn killed_in_the_middle_of_a_start_it_finds_what_was_started() {
    let rack = Rack::start();
    let backend = RACK.replace("  return { handle", "  sleep(fs.exists('@DIR@/hold') and 600 or 0)\n  return { handle");
    let mut master = Master::create(&config(&rack, &backend, "", ""));
    boots(&rack, master.pb);
    std::fs::write(master.dir().join("hold"), "").expect("the file");
    master.launch();
    let request = master.force("quick", json!({}));
    rack.wait_live(1);
    master.kill9();
    std::fs::remove_file(master.dir().join("hold")).expect("the file");
    master.launch();
    assert_eq!(master.wait_request(request), SUCCESS);
    assert_eq!((rack.calls("POST").len(), rack.high_water()), (1, 1), "listing told that it runs");
}

/// What a class does in `start_instance` after it switched a unit on, and what is told then.
const BROKEN: &[(&str, &str)] = &[
    ("raises", "error(\"the door is locked\")"),
    ("nonsense", "return 5"),
    ("slip", "return { hande = unit.json.id }"),
    ("loops", "while true do end"),
    ("waits", "sleep(1000)"),
    ("allocates", "local t = {} while true do t[#t + 1] = (\"x\"):rep(1000) .. #t end"),
    ("rep", "return (\"x\"):rep(10 * 1000 * 1000 * 1000)"),
    ("handle", "return { handle = function() end }"),
    ("large", "return { handle = (\"x\"):rep(20000) }"),
    ("deep", "local function f() return 1 + f() end return f()"),
    ("indexes", "return unit.json.none.id"),
];

#[test]
fn whatever_start_instance_does_wrong_is_told_and_hurts_nobody_else() {
    let rack = Rack::start();
    let mut workers = String::new();
    for (name, what) in BROKEN {
        workers.push_str(&format!(
            "do\nlocal B = Rack:extend(\"{name}\")\nfunction B:start_instance()\n  local unit = http.post(self.rack_url .. \"/boot\", {{ json = {{ name = self.name, \
             password = self.password, launch_id = self.launch_id, owner = self.master_id }} }})\n  {what}\nend\n\
             table.insert(c.workers, B{{ \"w-{name}\", rack_url = \"{}\", missing_timeout = 20, quarantine_initial_timeout = 600 }})\n\
             table.insert(c.builders, util.BuilderConfig{{ name = \"b-{name}\", workernames = {{ \"w-{name}\" }}, factory = quick }})\n\
             table.insert(names, \"b-{name}\")\nend\n",
            rack.url()
        ));
    }
    let more = format!(
        "local names = {{}}\n{workers}\ntable.insert(c.schedulers, schedulers.ForceScheduler{{ name = \"broken\", builderNames = names }})\n\
         c.lua = {{ step_stretch = 5, memory_limit = \"64M\" }}"
    );
    let mut master = Master::create(&config(&rack, RACK, "", &more));
    master.launch();
    let began = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(master.build("local", json!({}))["results"], SUCCESS);
    }
    let alone = began.elapsed();
    let requests: Vec<i64> = BROKEN.iter().map(|(name, _)| master.force_by("broken", &format!("b-{name}"), json!({}))).collect();
    wait_for("each has switched its unit on", || (rack.calls("POST").len() == BROKEN.len()).then_some(()));
    // Meanwhile others build.
    let began = std::time::Instant::now();
    let others: Vec<i64> = (0..50).map(|_| master.force("local", json!({}))).collect();
    for request in others {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
    println!("50 builds beside {} broken launches: {:?}; 5 builds alone: {alone:?}", BROKEN.len(), began.elapsed());
    for (name, _) in BROKEN {
        let reason = wait_for(&format!("it is told why {name} failed"), || {
            let log = master.log();
            log.lines().find(|l| l.contains(&format!("w-{name} ")) && l.contains(&format!("{name}:start_instance: "))).map(str::to_owned)
        });
        assert!(reason.contains("master.lua:"), "{reason}");
        println!("{reason}");
    }
    rack.wait_live(0);
    assert_eq!(rack.calls("POST").len(), BROKEN.len(), "each was started once");
    for (request, (name, _)) in requests.into_iter().zip(BROKEN) {
        assert!(master.builds_of(request).is_empty(), "{name}");
    }
}

/// What is different, as people are told.
fn changes(master: &Master, lua: &str) -> String {
    master.configure(lua);
    let ran = master.command("reconfig", &[], &["--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out
}

/// A rack whose door is shut for the first tries, each in its way.
fn tries(first: u32) -> String {
    let ways = "  tried = tried + 1\n  if tried == 1 then latent.retry('the door opens soon', 1) end\n  if tried == 3 then return false end\n  \
                if tried == 5 then latent.config_error('no such rack') end\n  local unit =";
    format!("local tried = {first}\n{}", RACK.replace("  local unit =", ways))
}

#[test]
fn a_retry_has_its_time_and_what_does_not_work_now_is_built_elsewhere() {
    let rack = Rack::start();
    let options = "build_wait_timeout = 0, quarantine_initial_timeout = 1";
    let mut master = Master::create(&config(&rack, &tries(0), options, ""));
    boots(&rack, master.pb);
    master.launch();
    let request = master.force("quick", json!({}));
    wait_for("it is told", || master.log().contains("master.lua:7: the door opens soon").then_some(()));
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_state(&master, "bot", "idle");
    assert_eq!(rack.calls("POST").len(), 1);

    let both = "c.builders[1] = util.BuilderConfig{ name = 'quick', workernames = { 'bot', 'here' }, factory = quick, \
                nextWorker = function(_, list) for _, w in ipairs(list) do if w.name == 'bot' then return w end end return list[1] end }";
    master.reconfig(&config(&rack, &tries(2), options, both));
    let build = master.build("quick", json!({}));
    assert_eq!((&build["results"], master.properties(&build)["workername"][0].as_str()), (&json!(SUCCESS), Some("here")));
    assert!(master.log().contains("start_instance returned false: not now"));
    assert_eq!(rack.calls("POST").len(), 1);
}

#[test]
fn what_no_retry_helps_waits_for_another_configuration() {
    let rack = Rack::start();
    let mut master = Master::create(&config(&rack, &tries(4), "build_wait_timeout = 0", ""));
    boots(&rack, master.pb);
    master.launch();
    let request = master.force("quick", json!({}));
    wait_state(&master, "bot", "quarantined");
    assert_eq!(master.worker("bot")["machine"]["reason"], "master.lua:9: no such rack");
    assert!(rack.calls("POST").is_empty());
    master.reconfig(&config(&rack, RACK, "build_wait_timeout = 0", ""));
    assert_eq!(master.wait_request(request), SUCCESS);
    rack.wait_live(0);
}

#[test]
fn an_old_backend_keeps_what_it_needs_in_itself() {
    let rack = Rack::start();
    let backend = r#"
local Rack = worker.AbstractLatentWorker:extend("OldRack", { args = { rack_url = "string" } })
function Rack:start_instance(build)
  local unit = http.post(self.rack_url .. "/boot?" .. build.builder.name .. build:getProperty("size", "none"), { json = {
    name = self.name, password = self.password, launch_id = self.launch_id, owner = "me" } })
  self.unit = unit.json.id
  return { "unit", unit.json.id, 7 }
end
function Rack:stop_instance(handle, fast)
  assert(handle == nil and fast == false)
  http.delete(self.rack_url .. "/units/" .. self.unit)
  self.unit = nil
end
"#;
    let master = master(&rack, backend, "build_wait_timeout = 4, pool = { max = 2 }");
    let requests = [master.force("wait", json!({ "properties": {} })), master.force("wait", json!({}))];
    for request in requests {
        let build = master.wait_build(request, 1);
        master.wait_log_of(&build, "wait", "begun");
    }
    assert_eq!(rack.live().len(), 2, "each worker of the pool has fields of its own");
    std::fs::write(master.dir().join("go"), "").expect("the file");
    for request in requests {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
    rack.wait_live(0);
    assert_eq!(rack.calls("POST"), ["POST /boot?waitnone", "POST /boot?waitnone"]);
    assert!(master.log().contains("OldRack has no list_instances: a machine whose start was interrupted"), "{}", master.log());
}

#[test]
fn a_stop_that_fails_is_tried_again_until_the_unit_is_off() {
    let rack = Rack::start();
    let backend = RACK
        .replace(
            "fast) http",
            "fast)\n  stops = stops + 1\n  if stops == 1 then error('the switch is stuck') elseif stops == 2 then return false end\n  http",
        )
        .replace("local Rack", "local stops = 0\nlocal Rack")
        .replace("  return { handle", "  error('nobody knows whether it runs')\n  return { handle");
    let mut master = Master::create(&config(&rack, &backend, "quarantine_initial_timeout = 600", ""));
    master.launch();
    let request = master.force("quick", json!({}));
    rack.wait_live(1);
    wait_for("the first failure is told", || master.log().contains("RackWorker:stop_instance: the switch is stuck").then_some(()));
    wait_for("the second failure is told", || master.log().contains("RackWorker:stop_instance: returned false").then_some(()));
    rack.wait_live(0);
    wait_state(&master, "bot", "quarantined");
    assert_eq!(rack.calls("POST").len(), 1);
    assert!(master.builds_of(request).is_empty());
}

#[test]
fn arguments_are_rendered_and_secrets_stay_hidden() {
    let rack = Rack::start();
    let backend = RACK
        .replace("rack_url = \"string\" }", "rack_url = \"string\", size = \"string\", key = \"string\", tags = \"table?\" }")
        .replace("/boot\"", "/boot?\" .. self.size .. \"-\" .. self.key .. \"-\" .. self.tags.of .. \"-\" .. self.tags.list[2] .. \"-\" .. (self.master_port or 0)")
        .replace("handle) end\nfunction Rack:check", "handle .. \"?\" .. self.key)\n  if gone then error(\"key \" .. self.key) end\n  gone = true\n  error(\"again, \" .. self.key)\nend\nfunction Rack:check");
    let backend = format!(
        "local gone\nlocal Mine = secrets.SecretProviderBase:extend('Mine')\nfunction Mine:get(name) return name .. '-value' end\nc.secretsProviders = {{ Mine{{}} }}\n{backend}"
    );
    let options = "build_wait_timeout = 0, size = util.Interpolate('%(prop:size:-small)s'), key = util.Secret('rack'), \
                   tags = { of = Property('owner'), list = { 'a', util.renderer(function(props) return props.buildername end) } }";
    let mut master = Master::create(&config(&rack, &backend, options, ""));
    boots(&rack, master.pb);
    master.launch();
    assert_eq!(master.build("quick", json!({ "owner": "me" }))["results"], SUCCESS);
    assert_eq!(rack.calls("POST"), [format!("POST /boot?small-rack-value-me-quick-{}", master.pb)]);
    wait_for("the unit is switched off with the key", || (!rack.calls("DELETE /units/u1?rack-value").is_empty()).then_some(()));
    wait_for("the failure is told", || master.log().contains("RackWorker:stop_instance: again, <rack>").then_some(()));
    assert!(!master.log().contains("rack-value"), "{}", master.log());
}

#[test]
fn what_is_put_into_the_store_is_there_after_a_restart() {
    let rack = Rack::start();
    let backend = RACK.replace(
        "  local unit",
        "  local n = (store.get('launches') or { count = 0 }).count + 1\n  store.put('launches', { count = n })\n  local unit",
    );
    let backend = backend.replace("/boot\"", "/boot?\" .. n");
    let mut master = master(&rack, &backend, "build_wait_timeout = 0");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    rack.wait_live(0);
    master.kill9();
    master.launch();
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(rack.calls("POST"), ["POST /boot?1", "POST /boot?2"]);
    let mistake = master.command("reconfig", &[], &[]);
    assert_eq!(mistake.code, Some(0), "{mistake:?}");
    master.configure("store.put('a', 1)");
    let mistake = master.command("reconfig", &[], &[]);
    assert!(format!("{mistake:?}").contains("store.put: it is for callbacks of a running master, and none runs"), "{mistake:?}");
}

#[test]
fn a_reload_in_the_middle_of_a_start_stops_nothing() {
    let rack = Rack::start();
    let of = |generation: u32| {
        RACK.replace("/boot\"", &format!("/boot?{generation}\""))
            .replace("/units/\" .. handle)\n", &format!("/units/\" .. handle .. \"?{generation}\")\n"))
            .replace("  return { handle", "  while fs.exists('@DIR@/hold') do sleep(0.1) end\n  return { handle")
            .replace("handle) end\nfunction Rack:check", &format!("handle .. \"?{generation}\") end\nfunction Rack:check"))
    };
    let mut master = Master::create(&config(&rack, &of(1), "build_wait_timeout = 1", ""));
    boots(&rack, master.pb);
    std::fs::write(master.dir().join("hold"), "").expect("the file");
    master.launch();
    let request = master.force("quick", json!({}));
    rack.wait_live(1);
    let told = changes(&master, &config(&rack, &of(2), "build_wait_timeout = 2", ""));
    for change in ["build_wait_timeout 1 → 2 (at once)", "start_instance a function (master.lua:", "→ another function (master.lua:"] {
        assert!(told.contains(change), "{told}");
    }
    assert!(!told.contains("rack_url") && !told.contains("list_instances"), "{told}");
    assert_eq!(rack.live().len(), 1);
    std::fs::remove_file(master.dir().join("hold")).expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);
    rack.wait_live(0);
    assert_eq!(rack.calls("POST"), ["POST /boot?1"]);
    assert_eq!(rack.calls("DELETE"), ["DELETE /units/u1?2"]);
    // And the next one is all the new one's.
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(rack.calls("POST").last().map(String::as_str), Some("POST /boot?2"));
    wait_for("the old generation has ended", || (master.http.get("config").json()["config"]["generations_alive"] == 1).then_some(()));
}

#[test]
fn two_hundred_launches_at_once() {
    const WORKERS: usize = 200;
    let rack = Rack::start();
    let mut master = Master::create(&config(&rack, RACK, &format!("pool = {{ max = {WORKERS} }}, build_wait_timeout = 1"), ""));
    let port = master.pb;
    let on = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    rack.machines(move |name, password| {
        let count = on.clone();
        on.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        // In its own time: the unit is on when the call returns.
        let (name, password) = (name.to_owned(), password.to_owned());
        std::thread::spawn(move || {
            // None is used twice.
            wait_for("all are on", || (count.load(std::sync::atomic::Ordering::SeqCst) == WORKERS).then_some(()));
            support::pb::Scripted::attach(port, &name, &password).serve_on()
        });
        Box::new(())
    });
    master.launch();
    let began = std::time::Instant::now();
    let requests: Vec<i64> = (0..WORKERS).map(|_| master.force("quick", json!({}))).collect();
    for request in &requests {
        assert_eq!(master.wait_request(*request), SUCCESS);
    }
    println!("{WORKERS} builds on {} units, {} at once: {:?}", rack.calls("POST").len(), rack.high_water(), began.elapsed());
    assert_eq!((rack.calls("POST").len(), rack.high_water()), (WORKERS, WORKERS));
    rack.wait_live(0);
}
