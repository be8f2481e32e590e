//! Where a build's properties come from, which source wins, and the renderables that are made of them.

mod support;

use serde_json::json;
use support::*;

const CONFIG: &str = r#"
local function all(from, first)
  local p, names = {}, { "config", "request", "builder", "worker", "step" }
  for i, name in ipairs(names) do
    if i >= first then p["until_" .. name] = from end
  end
  return p
end
c.properties = all("config", 1)
c.workers = { LocalWorker{ "here", properties = all("worker", 4), defaultProperties = { until_config = "no", default_worker = "dw", default_both = "no" } } }
local f = util.BuildFactory()
f:addStep(steps.SetProperty{ name = "set", property = "until_step", value = "step" })
f:addStep(steps.ShellCommand{ name = "show", env = { OWN = "own", BOTH = "step" }, command = "echo $FROM/$OWN/$BOTH" })
f:addStep(steps.SetProperty{ property = "joined", value = util.Transform(function(a, b, none, named) return a .. b .. tostring(none) .. named.c end,
  Property("until_step"), "+", Property("absent"), { c = "?" }) })
f:addStep(steps.SetProperty{ property = "named", value = util.Transform{ function(x, named) return { x, named.y, Property("until_config") } end, 1, y = Property("until_step") } })
f:addStep(steps.SetProperty{ property = "flat", value = util.FlattenList{ "a", { "b", { Property("until_step") } }, {} } })
c.builders = { util.BuilderConfig{ name = "b", workernames = { "here" }, factory = f, properties = all("builder", 3),
  defaultProperties = { until_request = "no", default_builder = "db", default_both = "db" },
  env = { FROM = Interpolate("%(prop:until_builder)s"), BOTH = "builder" } } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" }, properties = {
  util.StringParameter{ name = "until_request", default = "request" }, util.StringParameter{ name = "until_builder", default = "request" },
  util.StringParameter{ name = "until_worker", default = "request" }, util.StringParameter{ name = "until_step", default = "request" } } } }
"#;

#[test]
fn later_sources_win_and_are_told() {
    let master = Master::start(CONFIG);
    master.wait_attached("here");
    let build = master.build("b", json!({}));
    assert_eq!(build["results"], SUCCESS, "{build:#}");
    let properties = master.properties(&build);
    for (name, value, source) in [
        ("until_config", "config", "Config"),
        ("until_request", "request", "Force Build Form"),
        ("until_builder", "builder", "Builder"),
        ("until_worker", "worker", "Worker"),
        ("until_step", "step", "set"),
        ("default_builder", "db", "Builder"),
        ("default_worker", "dw", "Worker"),
        ("default_both", "db", "Builder"),
    ] {
        assert_eq!(properties[name], json!([value, source]), "{name}");
    }
    let show = String::from_utf8(master.log_raw(&build, "show", "stdio")).expect("UTF-8");
    assert!(show.lines().any(|l| l == "builder/own/step"), "{show}");
    assert_eq!(properties["joined"][0], "step+nil?");
    assert_eq!(properties["named"][0], json!([1, "step", "config"]));
    assert_eq!(properties["flat"][0], json!(["a", "b", "step"]));
}
