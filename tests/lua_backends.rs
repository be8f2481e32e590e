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
    let master = master(&rack, RACK, "build_wait_timeout = 3");
    assert_eq!(state(&master, "bot"), "idle");
    assert!(rack.calls("POST").is_empty(), "nobody wanted one");

    let build = master.build("quick", json!({}));
    assert_eq!(build["results"], SUCCESS);
    let ran = master.command("instances", &[], &["--json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let row = &told["instances"][0];
    assert_eq!(
        (&row["workername"], &row["state"], &row["backend"], &row["handle"]),
        (&json!("bot"), &json!("ready"), &json!("RackWorker"), &json!("u1")),
        "{told:#}"
    );

    // The next build finds it running.
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(rack.calls("POST").len(), 1);
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
    ("undefined", "return no_such_name"),
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
    boots(&rack, master.pb);
    master.launch();
    let began = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(master.build("local", json!({}))["results"], SUCCESS);
    }
    let alone = began.elapsed();
    let requests: Vec<i64> = BROKEN.iter().map(|(name, _)| master.force_by("broken", &format!("b-{name}"), json!({}))).collect();
    rack.wait_live(BROKEN.len());
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
