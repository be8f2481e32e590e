//! Workers at EC2 whose class the configuration extends, with the real program: what the class wants is what is launched, and whatever it
//! does wrong, the instance is stopped. The instances of the fake EC2 run stock workers.
#![cfg(feature = "ec2")]

mod support;

use serde_json::{Value, json};
use support::ec2::{Act, Call, FakeEc2, When};
use support::*;

const VERSION: &str = "4.3.0";

/// A worker `bot` of the class `Own`, and a builder `quick` that is forced with the properties `size`, `image` and `team`.
fn config(ec2: &FakeEc2, class: &str, options: &str) -> String {
    let lua = r#"
@CLASS@
c.collapseRequests = false
c.reap_interval = 10
c.workers = { Own{ "bot", "pass", region = "us-east-1", endpoint_url = "@URL@", identifier = "AKIAEXAMPLE",
  secret_identifier = "hunter2", check_instance_interval = 1, @OPTIONS@ } }
local quick = util.BuildFactory()
quick:addStep(steps.ShellCommand{ name = "say", command = { "echo", "quick" } })
c.builders = { util.BuilderConfig{ name = "quick", workernames = { "bot" }, factory = quick } }
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "quick" }, properties = {
  util.StringParameter{ name = "size" }, util.StringParameter{ name = "image" }, util.StringParameter{ name = "team" } } } }
"#;
    lua.replace("@CLASS@", class).replace("@URL@", &ec2.url()).replace("@OPTIONS@", options)
}

/// Every instance runs a stock worker.
fn boots(ec2: &FakeEc2, port: u16) {
    ec2.machines(move |instance| Box::new(Worker::start(VERSION, instance.worker(), "pass", port)));
}

fn started(class: &str, options: &str) -> (FakeEc2, Master) {
    let ec2 = FakeEc2::start();
    let mut master = Master::create(&config(&ec2, class, options));
    boots(&ec2, master.pb);
    master.launch();
    (ec2, master)
}

fn machine(master: &Master) -> Value {
    master.worker("bot")["machine"].clone()
}

fn wait_idle(master: &Master) {
    wait_for("the machine is stopped", || (machine(master)["state"] == "idle").then_some(()));
}

/// Type, place, image and highest price of each launch that was asked for.
fn asked(calls: &[Call]) -> Vec<[String; 4]> {
    let names = ["InstanceType", "Placement.AvailabilityZone", "ImageId", "InstanceMarketOptions.SpotOptions.MaxPrice"];
    calls.iter().map(|c| names.map(|name| c.params.get(name).cloned().unwrap_or_default())).collect()
}

fn ends(ec2: &FakeEc2, mut master: Master) {
    assert_eq!(master.stop().code(), Some(0));
    ec2.assert_bill_stops();
}

#[test]
fn its_choices_are_tried_in_their_order() {
    let class = r#"
local Own = EC2LatentWorker:extend("Own")
function Own:launch_choices(build)
  local choices = Own.super.launch_choices(self, build)
  if build:getProperty("size") == "big" then
    table.insert(choices, 1, { instance_type = "c5.large", placement = "b", ami = "ami-2" })
    table.insert(choices, 2, { instance_type = "c5.large", spot_price = 0.25 })
  end
  return choices
end
"#;
    let (ec2, master) = started(class, r#"instance_type = { "m5.large", "t3.large" }, ami = "ami-1", build_wait_timeout = 0"#);
    ec2.with(|w| w.images.push(support::ec2::Image::new("ami-2", "111111111111", "ci-2/image")));
    ec2.fault("RunInstances", When::First(3), Act::Error("InsufficientInstanceCapacity"));
    assert_eq!(master.build("quick", json!({ "size": "big" }))["results"], SUCCESS);
    let wanted = [
        ["c5.large", "us-east-1b", "ami-2", ""],
        ["c5.large", "", "ami-1", "0.250000"],
        ["m5.large", "", "ami-1", ""],
        ["t3.large", "", "ami-1", ""],
    ];
    assert_eq!(asked(&ec2.calls("RunInstances")), wanted, "{}", ec2.story());
    wait_idle(&master);
    // The first that is left without the class's own has no room yet.
    assert_eq!(master.build("quick", json!({ "size": "small" }))["results"], SUCCESS);
    assert_eq!(asked(&ec2.calls("RunInstances"))[4..], [["t3.large", "", "ami-1", ""]], "{}", ec2.story());
    assert_eq!(ec2.high_water(), 1);
    ends(&ec2, master);
}

#[test]
fn choices_that_are_none_start_nothing_and_are_told() {
    let class = r#"
local Own = EC2LatentWorker:extend("Own")
function Own:launch_choices(build) return { { type = "c5.large" } } end
"#;
    let (ec2, mut master) = started(class, r#"instance_type = "m5.large", ami = "ami-1""#);
    master.force("quick", json!({}));
    master.wait_log("launch_choices: item 1: unknown name 'type'");
    assert!(ec2.calls("RunInstances").is_empty(), "{}", ec2.story());
    master.kill9();
}

#[test]
fn a_method_has_what_the_one_above_it_answers() {
    let class = r#"
local Own = EC2LatentWorker:extend("Own")
function Own:start_instance(build)
  local started = Own.super.start_instance(self, build)
  log.info("started " .. started.handle.instance .. " for " .. build.builder.name .. " as " .. started.status[2])
  started.status = { "started by Own", started.handle.instance }
  started.price_per_hour = 0.5
  return started
end
function Own:stop_instance(handle, fast)
  log.info("stopping " .. handle.instance)
  Own.super.stop_instance(self, handle, fast)
  log.info("stopped " .. handle.instance)
end
function Own:check_instance(handle)
  local good, why = Own.super.check_instance(self, handle)
  log.info("checked " .. handle.instance .. " " .. tostring(good))
  return good, why
end
function Own:list_instances()
  local list = Own.super.list_instances(self)
  log.info("listed " .. #list)
  return list
end
"#;
    let (ec2, mut master) = started(class, r#"instance_type = "m5.large", ami = "ami-1", build_wait_timeout = 600"#);
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let id = ec2.live()[0].id.clone();
    master.wait_log(&format!("started {id} for quick as on demand m5.large"));
    let shown = machine(&master);
    assert_eq!((&shown["handle"]["instance"], &shown["price_per_hour"]), (&json!(id), &json!(0.5)), "{shown:#}");
    master.wait_log(&format!("its machine runs started by Own {id}"));

    // A master that comes back finds it again, and one that nobody knows is ended.
    master.kill9();
    let owner = ec2.live()[0].tags["buildmoon:master"].clone();
    let stray = ec2.with(|w| w.found(&[("buildmoon:master", &owner), ("buildmoon:worker", "bot"), ("buildmoon:launch", &"0".repeat(32))]));
    master.launch();
    master.wait_log("listed 2");
    master.wait_log(&format!("stopped {stray}"));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(ec2.calls("RunInstances").len(), 1, "{}", ec2.story());

    // While its worker is awaited it is checked; it dies, and the class's check tells.
    ec2.boots_nothing();
    ec2.kill(&id, "Server.InternalError");
    wait_idle(&master);
    let request = master.force("quick", json!({}));
    let second = wait_for("another is launched", || ec2.live().first().map(|i| i.id.clone()));
    master.wait_log(&format!("checked {second} true"));
    ec2.kill(&second, "Server.InternalError");
    master.wait_log(&format!("checked {second} false"));
    boots(&ec2, master.pb);
    master.wait_request(request);
    assert_eq!(master.last_build_of(request)["results"], SUCCESS);
    let next = ec2.live()[0].id.clone();
    assert_eq!(master.stop().code(), Some(0));
    assert!(master.log().contains(&format!("stopping {next}")), "its own method ends it");
    ec2.assert_bill_stops();
}

#[test]
fn an_error_after_the_start_stops_the_instance() {
    let class = r#"
local Own = EC2LatentWorker:extend("Own")
function Own:start_instance(build)
  local started = Own.super.start_instance(self, build)
  local before = store.get("failed") or 0
  if before < 2 then
    store.put("failed", before + 1)
    if before == 0 then error("no name for " .. started.handle.instance) end
    latent.retry("not yet, " .. started.handle.instance, 1)
  end
  return started
end
"#;
    let (ec2, master) = started(class, r#"instance_type = "m5.large", ami = "ami-1", build_wait_timeout = 0"#);
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let log = master.log();
    let ended = ec2.with(|w| w.instances.iter().map(|i| i.id.clone()).collect::<Vec<_>>());
    assert!(log.contains("Own:start_instance") && log.contains(&format!("no name for {}", ended[0])), "{ended:?}");
    assert!(log.contains(&format!("not yet, {}", ended[1])), "{ended:?}");
    assert_eq!((ended.len(), ec2.high_water()), (3, 1), "each is gone before there is another\n{}", ec2.story());
    wait_idle(&master);
    assert!(ec2.live().is_empty());
    ends(&ec2, master);
}

#[test]
fn arguments_are_those_of_the_build() {
    let options = r#"instance_type = util.Property("size"), ami = Interpolate("ami-%(prop:image)s"),
  tags = { team = util.Property("team"), builder = Interpolate("<%(prop:buildername)s>") }"#;
    let (ec2, master) = started("local Own = EC2LatentWorker", options);
    ec2.with(|w| w.images.push(support::ec2::Image::new("ami-2", "111111111111", "ci-2/image")));
    for (size, image, team) in [("c5.large", "1", "compilers"), ("t3.small", "2", "docs")] {
        assert_eq!(master.build("quick", json!({ "size": size, "image": image, "team": team }))["results"], SUCCESS);
        // It was made for that build: the next one gets one of its own.
        wait_idle(&master);
        let of_it = ec2.with(|w| w.instances.last().cloned()).expect("an instance");
        let tags = ["team", "builder"].map(|t| of_it.tags.get(t).map(String::as_str).unwrap_or_default());
        assert_eq!((of_it.params["InstanceType"].as_str(), of_it.params["ImageId"].as_str()), (size, format!("ami-{image}").as_str()));
        assert_eq!(tags, [team, "<quick>"]);
    }
    assert_eq!(ec2.calls("RunInstances").len(), 2, "{}", ec2.story());
    ends(&ec2, master);
}

#[test]
fn a_class_calls_amazon_with_the_keys_of_its_worker() {
    let class = r#"
local Own = EC2LatentWorker:extend("Own")
function Own:start_instance(build)
  local started = Own.super.start_instance(self, build)
  local id = started.handle.instance
  self:aws("ec2", "CreateTags", { ResourceId = { id }, Tag = { { Key = "cost", Value = "<team> & \u{e4}" }, { Key = "build", Value = build:getProperty("team") } } })
  local found = self:aws("ec2", "DescribeInstances", { Filter = { { Name = "instance-id", Value = { id } } } })
  for _, reservation in ipairs(found.reservationSet) do
    for _, instance in ipairs(reservation.instancesSet) do log.info("found " .. instance.instanceId .. " of " .. #instance.tagSet .. " tags") end
  end
  log.info("account " .. self:aws("sts", "GetCallerIdentity").GetCallerIdentityResult.Account)
  local ok, why = pcall(self.aws, self, "ec2", "DescribeNonsense", { What = "hunter2" })
  log.info("refused: " .. tostring(ok) .. " " .. tostring(why))
  ok, why = pcall(self.aws, self, "example.org/", "Steal")
  log.info("refused: " .. tostring(ok) .. " " .. tostring(why))
  ok, why = pcall(self.aws, self, "ec2", 5)
  log.info("refused: " .. tostring(ok) .. " " .. tostring(why))
  return started
end
local outside = Own{ "outside", "pass", "m5.large", ami = "ami-1" }
local ok, why = pcall(outside.aws, outside, "ec2", "DescribeInstances")
log.warn("outside: " .. tostring(ok) .. " " .. tostring(why))
"#;
    let (ec2, master) = started(class, r#"instance_type = "m5.large", ami = "ami-1", build_wait_timeout = 0"#);
    master.wait_log("outside: false");
    master.wait_log("aws belongs into a method that the host calls: write self:aws(…) there");
    assert_eq!(master.build("quick", json!({ "team": "docs" }))["results"], SUCCESS);
    let instance = ec2.with(|w| w.instances[0].clone());
    assert_eq!((instance.tags["cost"].as_str(), instance.tags["build"].as_str()), ("<team> & \u{e4}", "docs"));
    master.wait_log(&format!("found {} of {} tags", instance.id, instance.tags.len()));
    master.wait_log("account 111111111111");
    let log = master.log();
    let told = |text: &str| assert!(log.contains(text), "{text}");
    told("ec2 DescribeNonsense: InvalidAction: The action DescribeNonsense is not valid");
    told("the service must be a name such as \"ec2\", got \"example.org/\"");
    told("self:aws needs the names of a service and of an action");
    assert!(!log.contains("AKIAEXAMPLE"), "a key is in the log");
    for (action, service) in [("CreateTags", "ec2"), ("GetCallerIdentity", "sts")] {
        let call = &ec2.calls(action)[0];
        let scope = format!("/us-east-1/{service}/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=");
        assert!(call.signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/") && call.signed.contains(&scope), "{call:?}");
        assert_eq!(call.outcome, "ok");
    }
    wait_idle(&master);
    ends(&ec2, master);
}
