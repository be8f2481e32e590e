//! Small things that once went wrong, of the master as a whole: what it says once, how it is interrupted, what it tries again.

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use support::*;

/// A line of the log with this text, and how many there are.
fn lines<'a>(log: &'a str, text: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(text)).collect()
}

#[test]
fn a_worker_that_goes_is_told_of_once() {
    let master = Master::start("c.workers = { Worker{ 'w', 'pass' } }");
    let worker = Worker::start("4.3.0", "w", "pass", master.pb);
    master.wait_attached("w");
    drop(worker);
    master.wait_detached("w");
    master.wait_log("worker detached");
    std::thread::sleep(Duration::from_millis(300));
    let log = master.log();
    let told = lines(&log, "worker detached");
    assert!(told.len() == 1 && told[0].contains("worker=\"w\"") && told[0].contains("peer="), "{told:#?}");
}

#[test]
fn a_reload_says_how_long_it_took() {
    let master = Master::start("c.workers = { Worker{ 'w', 'pass' } }");
    let seconds = |line: &str| -> f64 {
        let took = line.split("took ").nth(1).and_then(|rest| rest.split_once(" seconds")).map(|(number, _)| number);
        took.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no time in {line}"))
    };
    let after = |beginning: &str| {
        signal(master.pid(), "HUP");
        let log = wait_for(beginning, || Some(master.log()).filter(|log| log.contains(beginning)));
        let told = lines(&log, beginning);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!((0.0..60.0).contains(&seconds(told[0])), "{told:#?}");
    };
    after("configuration reloaded: no object is different");
    master.configure("c.workers = { Worker{ 'w', 'pass' }, Worker{ 'v', 'pass' } }");
    after("configuration reloaded: 1 object is different");
    master.configure("c.workers = nonsense");
    after("the configuration is not loaded; the one before stays at work");
}

/// A SIGINT or SIGTERM that comes between the evaluation of the file and the build's first command is heard as well.
#[test]
fn a_run_is_interrupted_whenever_the_signal_comes() {
    let master = Master::create(
        r#"
        c.workers = { LocalWorker{ "here" } }
        c.builders = { util.BuilderConfig{ name = "b", workernames = { "here" },
          factory = util.BuildFactory{ steps.ShellCommand{ command = { "sleep", "600" } } } } }
        fs.write("evaluated", "")
        "#,
    );
    let temp = tempfile::tempdir().expect("a folder");
    let mark = master.dir().join("evaluated");
    for n in 0..24 {
        let _ = std::fs::remove_file(&mark);
        let mut run = Command::new(master::BUILDMOON)
            .args(["run", "b"])
            .arg(master.dir())
            .env("TMPDIR", temp.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("buildmoon run");
        wait_for("the file is evaluated", || mark.exists().then_some(()));
        std::thread::sleep(Duration::from_millis(n * 8));
        let (name, code) = if n % 2 == 0 { ("INT", 130) } else { ("TERM", 143) };
        signal(run.id(), name);
        let mut ended = None;
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(100));
            ended = run.try_wait().expect("its state");
            if ended.is_some() {
                break;
            }
        }
        let _ = run.kill();
        let _ = run.wait();
        let left: Vec<_> = std::fs::read_dir(temp.path()).expect("the folder").flatten().map(|e| e.path()).collect();
        // Before the build the run ends by the signal, later as cancelled.
        let ended = ended.and_then(|status| status.code());
        assert!(ended == Some(code) || ended == Some(6), "SIG{name} after {} ms: {ended:?}", n * 8);
        assert!(left.is_empty(), "SIG{name} after {} ms left {left:?}", n * 8);
    }
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
    let mut master = Master::create(
        r#"
        c.secretsProviders = { secrets.SecretInEnvironment{ prefix = "SMALL_SECRET_" } }
        c.workers = { LocalWorker{ "here" } }
        c.builders = { util.BuilderConfig{ name = "b", workernames = { "here" },
          factory = util.BuildFactory{ steps.ShellCommand{ name = "env", command = "env" } } } }
        c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "b" } } }
        "#,
    );
    master.launch_in("SMALL_SECRET_x=hidden-value SMALL_OTHER=seen-value; export SMALL_SECRET_x SMALL_OTHER; exec \"$@\"");
    let build = master.build("b", json!({}));
    let log = master.log_contents(&build, "env", "stdio");
    assert!(log.contains("\noSMALL_OTHER=seen-value"), "{log}");
    assert!(!log.contains("SMALL_SECRET_x"), "{log}");
}
