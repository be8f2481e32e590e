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
