//! Workers in containers of a real Docker engine: a container for each launch, gone afterwards whatever happens to the master, and a clear
//! word where the image, the command or the engine is not as it should be.

mod support;

use serde_json::{Value, json};
use support::docker::{Docker, IMAGE};
use support::*;

/// `worker` are the arguments of the class beside name, password and engine.
fn config(host: &str, class: &str, worker: &str, before: &str) -> String {
    format!(
        r#"
c.collapseRequests = false
c.reap_interval = 10
{before}
c.workers = {{ {class}{{ "bot", None, "{host}", hostconfig = {{ network_mode = "host" }}, masterFQDN = "127.0.0.1:@PB@",
  check_instance_interval = 1, {worker} }} }}
local quick, wait = util.BuildFactory(), util.BuildFactory()
quick:addStep(steps.ShellCommand{{ name = "say", command = "test -e /.dockerenv && echo inside $EXTRA; mount | cat > /dev/null" }})
wait:addStep(steps.ShellCommand{{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" }})
c.builders = {{
  util.BuilderConfig{{ name = "quick", workernames = {{ "bot" }}, factory = quick }},
  util.BuilderConfig{{ name = "wait", workernames = {{ "bot" }}, factory = wait }},
}}
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "quick", "wait" }},
  properties = {{ util.StringParameter{{ name = "version" }} }} }} }}
"#
    )
}

fn plain(worker: &str) -> (&'static Docker, String) {
    // The caller has asked whether there is one.
    let docker = Docker::shared().expect("an engine");
    (docker, config(&docker.host(), "DockerLatentWorker", worker, ""))
}

fn machine(master: &Master) -> Value {
    master.worker("bot")["machine"].clone()
}

/// What is told of the machine while it is in that state.
fn wait_state(master: &Master, wanted: &str) -> Value {
    wait_for(&format!("the machine is {wanted}"), || Some(machine(master)).filter(|machine| machine["state"] == wanted))
}

/// The containers of this master: it is known by its folder's own id.
fn containers(docker: &Docker, master: &Master) -> Vec<String> {
    let all = docker.containers("buildmoon.launch");
    let ours = |id: &String| {
        let env = docker.run(&["inspect", "--format", "{{json .Config.Env}}", id]).unwrap_or_default();
        env.contains(&format!("BUILDMASTER_PORT={}\"", master.pb))
    };
    all.into_iter().filter(ours).collect()
}

fn wait_none(docker: &Docker, master: &Master) {
    wait_for("no container is left", || containers(docker, master).is_empty().then_some(()));
}

#[test]
fn a_build_runs_in_a_container_that_ends_with_it() {
    if Docker::shared().is_none() {
        return;
    }
    let (docker, lua) = plain(&format!("image = '{IMAGE}', volumes = {{ '/scratch' }}"));
    let master = Master::start(&lua);
    assert_eq!(machine(&master)["state"], "idle");
    assert!(containers(docker, &master).is_empty(), "nobody wanted one");
    let build = master.build("quick", json!({}));
    assert_eq!(build["results"], SUCCESS);
    assert!(master.log_contents(&build, "say", "stdio").lines().any(|l| l == "oinside"));
    wait_state(&master, "idle");
    wait_none(docker, &master);
    assert_eq!(docker.run(&["volume", "ls", "-q"]).expect("volumes").trim(), "", "a container's own volume outlives it");

    // The next build has one of its own.
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    wait_none(docker, &master);
    let gone = master.http.rows("instances?state=gone", "instances");
    let used: std::collections::BTreeSet<&str> = gone.iter().filter_map(|row| row["handle"]["container"].as_str()).collect();
    assert_eq!(used.len(), 2, "{gone:#?}");
}

#[test]
fn killed_while_it_is_idle_the_container_is_adopted_and_ends_with_the_master() {
    if Docker::shared().is_none() {
        return;
    }
    let (docker, lua) = plain(&format!("image = '{IMAGE}', build_wait_timeout = -1"));
    let mut master = Master::start(&lua);
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let before = containers(docker, &master);
    assert_eq!(before.len(), 1);
    master.kill9();
    master.launch();
    master.wait_attached("bot");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!(containers(docker, &master), before, "it was started anew");

    // Changed meanwhile, it is another machine's.
    master.kill9();
    master.configure(&lua.replace("build_wait_timeout = -1", "build_wait_timeout = -1, hostname = 'other'"));
    master.launch();
    wait_for("the old one is gone", || containers(docker, &master).iter().all(|id| !before.contains(id)).then_some(()));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert!(master.stop().success());
    wait_none(docker, &master);
}

#[test]
fn killed_while_it_builds_the_build_runs_again_and_nothing_is_left() {
    if Docker::shared().is_none() {
        return;
    }
    let (docker, lua) = plain(&format!("image = '{IMAGE}', volumes = {{ '@DIR@:@DIR@' }}"));
    let mut master = Master::start(&lua);
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    master.kill9();
    assert_eq!(containers(docker, &master).len(), 1);
    master.launch();
    let again = master.wait_build(request, 2);
    master.wait_log_of(&again, "wait", "begun");
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_none(docker, &master);
}

#[test]
fn a_container_that_nobody_knows_is_reaped_and_those_of_others_are_not() {
    if Docker::shared().is_none() {
        return;
    }
    let (docker, lua) = plain(&format!("image = '{IMAGE}', build_wait_timeout = -1"));
    let master = Master::start(&reaped_by_hand(&lua));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let own = containers(docker, &master);
    let mark = docker.run(&["inspect", "--format", "{{index .Config.Labels \"buildmoon.master\"}}", &own[0]]).expect("a label");
    let run = |master: &str, launch: &str| {
        let labels = [format!("buildmoon.master={master}"), format!("buildmoon.launch={launch}")];
        let args = ["run", "-d", "--network", "host", "-l", &labels[0], "-l", &labels[1], IMAGE, "sleep", "600"];
        docker.run(&args).expect("a container").trim().to_owned()
    };
    let stray = run(mark.trim(), "0123456789abcdef0123456789abcdef");
    let other = run("somebody-else", "0123456789abcdef0123456789abcdee");
    let ran = master.command("instances", &[], &["--reap"]);
    assert!(ran.out.starts_with("stopped: 1\ninstances: 1\n"), "{ran:?}");
    let all = docker.containers("buildmoon.launch");
    assert!(!all.contains(&stray) && all.contains(&other) && all.contains(&own[0]), "{all:?}");
    docker.run(&["rm", "-f", &other]).expect("removed");
}

#[test]
fn an_image_that_is_not_there_is_told_and_the_worker_rests() {
    if Docker::shared().is_none() {
        return;
    }
    let (docker, lua) = plain("image = 'nonesuch:1'");
    let master = Master::start(&lua);
    let request = master.force("quick", json!({}));
    let told = wait_state(&master, "quarantined").to_string();
    assert!(told.contains("has no image nonesuch:1; autopull = true would fetch it"), "{told}");
    assert!(master.builds_of(request).is_empty());
    assert!(containers(docker, &master).is_empty());

    // Mended, it runs.
    master.reconfig(&lua.replace("nonesuch:1", IMAGE));
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_none(docker, &master);
}

#[test]
fn a_program_that_the_image_does_not_have_is_told() {
    if Docker::shared().is_none() {
        return;
    }
    let (docker, lua) = plain(&format!("image = '{IMAGE}', command = {{ '/no/such/program' }}"));
    let master = Master::start(&lua);
    master.force("quick", json!({}));
    let told = wait_state(&master, "quarantined").to_string();
    assert!(told.contains("can't be started") && told.contains("/no/such/program"), "{told}");
    wait_none(docker, &master);
}

#[test]
fn a_container_that_ends_at_once_is_told_with_its_last_lines() {
    if Docker::shared().is_none() {
        return;
    }
    let (docker, lua) = plain(&format!(
        "image = '{IMAGE}', command = \"/bin/sh -c 'echo the disk is full, password $WORKERPASS; exit 7'\", followStartupLogs = true"
    ));
    let master = Master::start(&lua);
    master.force("quick", json!({}));
    wait_for("it is told", || {
        let log = master.log();
        (log.contains("the container ended with exit code 7") && log.contains("the disk is full, password ***")).then_some(())
    });
    wait_none(docker, &master);
}

#[test]
fn what_differs_from_build_to_build_is_rendered() {
    if Docker::shared().is_none() {
        return;
    }
    let (docker, lua) = plain("image = Interpolate('worker:%(prop:version:-none)s')");
    let master = Master::start(&lua);
    let build = master.build("quick", json!({ "version": "4.3.0" }));
    assert_eq!(build["results"], SUCCESS);
    wait_none(docker, &master);

    // What is wrong for one build is not for the next: the worker rests a while, not until the file is changed.
    let wrong = master.force("quick", json!({ "version": "nonesuch" }));
    let told = wait_state(&master, "quarantined").to_string();
    assert!(told.contains("has no image worker:nonesuch"), "{told}");
    master.http.control(&format!("buildrequests/{wrong}"), "cancel", json!({})).expect("cancelled");
    let right = master.force("quick", json!({ "version": "4.3.0" }));
    // A minute's rest comes first.
    wait_within(DEADLINE * 2, "it has a machine", || (!master.builds_of(right).is_empty()).then_some(()));
    assert_eq!(master.wait_request(right), SUCCESS);
    wait_none(docker, &master);
}

#[test]
fn a_class_of_ones_own_changes_what_the_container_is_made_of() {
    let Some(docker) = Docker::shared() else { return };
    let class = r#"
local Extra = DockerLatentWorker:extend("Extra", { args = { extra = "string" } })
function Extra:container_spec(build)
  local made = Extra.super.container_spec(self, build)
  table.insert(made.Env, "EXTRA=" .. self.extra)
  return made
end
function Extra:start_instance(build)
  local first = Extra.super.start_instance(self, build)
  local second = Extra.super.start_instance(self, build)
  assert(first.handle.container == second.handle.container, "two containers of one launch")
  return second
end
"#;
    let master = Master::start(&config(&docker.host(), "Extra", &format!("image = '{IMAGE}', extra = 'more'"), class));
    let build = master.build("quick", json!({}));
    assert_eq!(build["results"], SUCCESS);
    assert!(master.log_contents(&build, "say", "stdio").lines().any(|l| l == "oinside more"));
    wait_none(docker, &master);
}

#[test]
fn an_image_is_built_from_a_dockerfile() {
    let Some(docker) = Docker::shared() else { return };
    let text = format!("dockerfile = [[\nFROM {IMAGE}\nARG WHAT=nothing\nENV EXTRA=$WHAT\n]], buildargs = {{ WHAT = 'built' }}");
    let master = Master::start(&config(&docker.host(), "DockerLatentWorker", &text, ""));
    let build = master.build("quick", json!({}));
    assert_eq!(build["results"], SUCCESS);
    assert!(master.log_contents(&build, "say", "stdio").lines().any(|l| l == "oinside built"));
    assert!(master.log().contains("Successfully built"));
    wait_none(docker, &master);

    // What can't be built is told with the engine's own words.
    master.reconfig(&config(&docker.host(), "DockerLatentWorker", &format!("dockerfile = 'FROM {IMAGE}\\nCOPY nothing /\\n'"), ""));
    master.force("quick", json!({}));
    let told = wait_state(&master, "quarantined").to_string();
    assert!(told.contains("can't be built") && told.contains("nothing"), "{told}");
}

#[test]
fn an_engine_that_is_away_is_asked_again() {
    let Some(docker) = Docker::shared() else { return };
    let home = tempfile::tempdir().expect("a folder");
    let socket = home.path().join("socket");
    let host = format!("unix://{}", socket.display());
    let master = Master::start(&config(&host, "DockerLatentWorker", &format!("image = '{IMAGE}'"), ""));
    let request = master.force("quick", json!({}));
    wait_for("it is told", || machine(&master).to_string().contains("does not answer").then_some(()));
    assert!(master.builds_of(request).is_empty());
    // It comes back.
    std::os::unix::fs::symlink(docker.host().trim_start_matches("unix://"), &socket).expect("a link");
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_none(docker, &master);
}

#[test]
fn what_hostconfig_says_reaches_the_engine_in_its_own_words() {
    let Some(docker) = Docker::shared() else { return };
    let hostconfig = r#"hostconfig = { network_mode = "host", mem_limit = "256m", shm_size = 1048576, cap_add = { "SYS_NICE" }, cap_drop = "NET_RAW",
        extra_hosts = { one = "192.0.2.1" }, tmpfs = { "/a:size=1m", "/b" }, ulimits = { { name = "nofile", soft = 512, hard = 1024 } },
        init = true, read_only = false, binds = { ["/tmp"] = { bind = "/there", mode = "ro" } }, devices = { "/dev/null:/dev/nothing" },
        log_config = { type = "json-file", config = { ["max-size"] = "1m" } }, OomScoreAdj = 100 }, volumes = "/etc:/host-etc:ro""#;
    let lua = config(&docker.host(), "DockerLatentWorker", &format!("image = '{IMAGE}', build_wait_timeout = -1"), "");
    let lua = lua.replace("hostconfig = { network_mode = \"host\" }", hostconfig);
    let master = Master::start(&lua);
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let id = &containers(docker, &master)[0];
    let said = docker.run(&["inspect", "--format", "{{json .HostConfig}}", id]).expect("its description");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let wanted = json!({
        "NetworkMode": "host", "Memory": 256 << 20, "ShmSize": 1 << 20, "CapAdd": ["SYS_NICE"], "CapDrop": ["NET_RAW"],
        "ExtraHosts": ["one:192.0.2.1"], "Tmpfs": { "/a": "size=1m", "/b": "" }, "Init": true, "OomScoreAdj": 100,
        "Ulimits": [{ "Name": "nofile", "Soft": 512, "Hard": 1024 }], "Binds": ["/tmp:/there:ro", "/etc:/host-etc:ro"],
        "Devices": [{ "PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rwm" }],
        "LogConfig": { "Type": "json-file", "Config": { "max-size": "1m" } },
    });
    for (name, value) in wanted.as_object().expect("names") {
        assert_eq!(&said[name], value, "{name}: {said:#}");
    }
    let mut master = master;
    assert!(master.stop().success());
    wait_none(docker, &master);
}

#[test]
fn an_image_is_pulled_from_a_registry() {
    let Some(docker) = Docker::shared() else { return };
    let registry = match docker.registry() {
        Ok(registry) => registry,
        Err(why) => return support::debian::tell("images of a registry", &why),
    };
    let image = format!("{}/ci/worker:new", registry.address);
    let login = registry.config.display().to_string();
    for args in [["tag", IMAGE, &image].as_slice(), &["--config", &login, "push", &image], &["rmi", &image]] {
        docker.run(args).expect("the image is in the registry");
    }
    let mut master = Master::create(&config(&docker.host(), "DockerLatentWorker", &format!("image = '{image}', autopull = true"), ""));
    master.launch_in(&format!("export DOCKER_CONFIG={login}; exec \"$@\""));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    wait_none(docker, &master);
    docker.run(&["image", "inspect", &image]).expect("the engine has it");

    // What the registry does not have, no retry brings.
    master.reconfig(&config(&docker.host(), "DockerLatentWorker", &format!("image = '{image}er', alwaysPull = true"), ""));
    master.force("quick", json!({}));
    let told = wait_state(&master, "quarantined").to_string();
    assert!(told.contains("can't be pulled") && told.contains("newer"), "{told}");
}

#[test]
fn an_engine_is_asked_over_tls_with_certificates() {
    let Some(_) = Docker::shared() else { return };
    let (docker, tls) = Docker::with_tls().expect("a second engine");
    docker.import().expect("the image");
    let worker = format!(
        "image = '{IMAGE}', tls = {{ client_cert = {{ '{0}/client.pem', '{0}/client.key' }}, ca_cert = '{0}/ca.pem' }}",
        tls.folder.display()
    );
    let master = Master::start(&config(&tls.host, "DockerLatentWorker", &worker, ""));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    wait_none(&docker, &master);

    // Without its own certificate it is not let in, and says so.
    let bare = format!("image = '{IMAGE}', tls = {{ ca_cert = '{}/ca.pem' }}", tls.folder.display());
    master.reconfig(&config(&tls.host, "DockerLatentWorker", &bare, ""));
    master.force("quick", json!({}));
    wait_for("it is told", || machine(&master).to_string().contains("does not answer").then_some(()));
}
