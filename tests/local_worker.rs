//! The local worker: builds without Python and without a connection, with the same behaviour as a remote one.

mod support;

use serde_json::json;
use support::*;

const CONFIG: &str = r#"
c.collapseRequests = false
c.workers = { LocalWorker{ "here", max_builds = 2 } }
local say, wait, slow = util.BuildFactory(), util.BuildFactory(), util.BuildFactory()
say:addStep(steps.ShellCommand{ name = "both", command = { "sh", "-c", "echo 'grün ✓'; echo 'an error: ж' >&2; printf 'no newline'" } })
say:addStep(steps.SetPropertyFromCommand{ name = "ask", command = "echo answer", property = "got" })
say:addStep(steps.ShellCommand{ name = "show", env = { GOT = Property("got") }, command = "echo got=$GOT; pwd" })
wait:addStep(steps.ShellCommand{ name = "wait", command = "echo $$ > @DIR@/pid; echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" })
slow:addStep(steps.ShellCommand{ name = "silent", command = "echo begun; exec sleep 120", timeout = 1 })
c.builders = {
  util.BuilderConfig{ name = "say", workernames = { "here" }, factory = say },
  util.BuilderConfig{ name = "wait", workernames = { "here" }, factory = wait },
  util.BuilderConfig{ name = "slow", workernames = { "here" }, factory = slow },
}
local names = { "say", "wait", "slow" }
for i = 1, 4 do
  names[3 + i] = "wait" .. i
  c.builders[3 + i] = util.BuilderConfig{ name = names[3 + i], workernames = { "here" }, factory = wait }
end
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = names } }
"#;

#[test]
fn it_builds() {
    let master = Master::start(CONFIG);
    master.wait_attached("here");
    let build = master.build("say", json!({}));
    assert_eq!(build["results"], SUCCESS, "{build:#}");
    let both = master.log_contents(&build, "both", "stdio");
    for line in ["ogrün ✓", "ean error: ж", "ono newline"] {
        assert!(both.lines().any(|l| l == line), "no line '{line}' in\n{both}");
    }
    let show = String::from_utf8(master.log_raw(&build, "show", "stdio")).expect("UTF-8");
    assert!(show.lines().any(|l| l == "got=answer") && show.lines().any(|l| l.ends_with("/say/build")), "{show}");
}

#[test]
fn it_stops_and_times_out() {
    let master = Master::start(CONFIG);
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    let pid = std::fs::read_to_string(master.dir().join("pid")).expect("the step's process id");
    master.http.control(&format!("builds/{}", build["buildid"]), "stop", json!({"reason": "enough"})).expect("stop");
    assert_eq!(master.wait_request(request), CANCELLED);
    wait_for("the step's process is gone", || (!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists()).then_some(()));
    let slow = master.build("slow", json!({}));
    assert_eq!(slow["results"], FAILURE, "{slow:#}");
}

#[test]
fn max_builds_is_the_most_at_a_time() {
    let master = Master::start(CONFIG);
    // A builder has one build at a time on a worker.
    let requests: Vec<i64> = (1..=4).map(|i| master.force(&format!("wait{i}"), json!({}))).collect();
    let running = || master.http.rows("builds?complete=false", "builds").len();
    wait_for("two builds run", || (running() == 2).then_some(()));
    worker::stays_true(std::time::Duration::from_millis(500), "no third one", || running() == 2);
    std::fs::write(master.dir().join("go"), "").expect("the file");
    for request in requests {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
}

#[test]
fn a_stopped_master_leaves_no_process_and_runs_the_build_again() {
    let mut master = Master::start(CONFIG);
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    let pid = std::fs::read_to_string(master.dir().join("pid")).expect("the step's process id");
    assert!(master.stop().success());
    wait_for("the step's process is gone", || (!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists()).then_some(()));
    std::fs::write(master.dir().join("go"), "").expect("the file");
    master.launch();
    assert_eq!(master.wait_request(request), SUCCESS);
    let builds = master.builds_of(request);
    assert_eq!(builds.len(), 2, "{builds:#?}");
    assert_eq!(builds[0]["results"], RETRY);
}

#[test]
fn a_local_worker_that_can_not_come_back_is_tried_again() {
    let config = |workdir: &str| {
        format!(
            r#"
            c.workers = {{ LocalWorker{{ "here", workdir = "{workdir}" }} }}
            c.builders = {{ util.BuilderConfig{{ name = "b", workernames = {{ "here" }},
              factory = util.BuildFactory{{ steps.ShellCommand{{ command = "true" }} }} }} }}
            c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "b" }} }} }}
            "#
        )
    };
    let master = Master::start(&config("one"));
    master.wait_attached("here");
    // Its builder's folder can't be made.
    let folder = master.dir().join("two/b");
    std::fs::create_dir(master.dir().join("two")).expect("a folder");
    std::fs::write(&folder, "in the way").expect("a file");
    master.configure(&config("two"));
    signal(master.pid(), "HUP");
    let request = {
        master.wait_detached("here");
        master.force("b", json!({}))
    };
    let why = wait_for("the request says why", || {
        let waits = master.request(request)["waiting_for"]["text"].as_str().unwrap_or_default().to_owned();
        waits.contains("cannot create the folder").then_some(waits)
    });
    assert!(why.starts_with("worker here can't be attached: cannot create the folder"), "{why}");
    let row = master.worker("here");
    assert!(row["attach_error"].as_str().is_some_and(|e| e.contains("cannot create the folder")), "{row:#}");
    std::fs::remove_file(&folder).expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);
    assert!(master.worker("here")["attach_error"].is_null());
}

/// Which SecretInEnvironment keeps from them, and which a command finds nowhere else.
#[test]
fn commands_of_local_workers_do_not_inherit_secrets() {
    let config = |prefixes: &[&str]| {
        let providers: String = prefixes.iter().map(|p| format!("secrets.SecretInEnvironment{{ prefix = '{p}' }},")).collect();
        format!(
            r#"
            c.secretsProviders = {{ {providers} }}
            c.workers = {{ LocalWorker{{ "here" }} }}
            c.builders = {{ util.BuilderConfig{{ name = "b", workernames = {{ "here" }},
              factory = util.BuildFactory{{ steps.ShellCommand{{ name = "env", command = "env" }} }} }} }}
            c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "b" }} }} }}
            "#
        )
    };
    let mut master = Master::create(&config(&["BM_SECRET_"]));
    master.launch_in("BM_SECRET_x=hidden BM_LATER_x=hidden BM_OTHER=seen-value; export BM_SECRET_x BM_LATER_x BM_OTHER; exec \"$@\"");
    let log = |master: &Master| master.log_contents(&master.build("b", json!({})), "env", "stdio");
    let said = log(&master);
    assert!(said.contains("\noBM_OTHER=seen-value") && said.contains("BM_LATER_x") && !said.contains("BM_SECRET_x"), "{said}");
    // A prefix that a reload brings holds at once.
    master.configure(&config(&["BM_SECRET_", "BM_LATER_"]));
    assert_eq!(master.command("reconfig", &[], &[]).code, Some(0));
    let said = log(&master);
    assert!(said.contains("\noBM_OTHER=seen-value") && !said.contains("BM_LATER_x") && !said.contains("BM_SECRET_x"), "{said}");
}
