//! The script of `util.UserData` on machines of their own: a stock worker is set up, attaches and builds, and the machine powers off when
//! the setup fails, when the master is out of reach or hangs, when it does not want the worker. Where this computer can't have
//! such machines, one line says why.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use buildmoon::config::user_data::{Install, UserData};
use serde_json::json;
use support::machine::{self, Kind, Machine};
use support::*;
use tempfile::TempDir;

/// No shell, no Python and no JSON may take offence.
const PASSWORD: &str = "p'a\"s$(false)`\\ {}%s ü";

const LUA: &str = r#"
c.workers = { Worker{ "bot", [==[p'a"s$(false)`\ {}%s ü]==] } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "say", command = { "id", "-un" } })
local wait = util.BuildFactory()
wait:addStep(steps.ShellCommand{ name = "wait", command = "echo begun; while [ ! -e go ]; do sleep 0.2; done" })
c.builders = {
  util.BuilderConfig{ name = "quick", workernames = { "bot" }, factory = f },
  util.BuilderConfig{ name = "wait", workernames = { "bot" }, factory = wait },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "quick", "wait" } } }
"#;

fn possible(test: &str) -> bool {
    let missing = machine::missing();
    if let Some(why) = &missing {
        println!("{test}: not run, since there can be no machine here: {why}");
    }
    missing.is_none()
}

/// Of a machine whose image has the worker.
fn data(home: &TempDir, port: u16) -> UserData {
    UserData {
        host: "127.0.0.1".into(),
        port,
        install: Install::Image,
        requirements: vec!["buildbot-worker==4.3.0".into()],
        index_url: None,
        python: "python3".into(),
        packages: Vec::new(),
        prepare: None,
        user: "root".into(),
        basedir: home.path().join("worker").display().to_string(),
        power_off_after: Duration::from_secs(6),
        setup_timeout: Duration::from_secs(600),
        metadata_url: None,
    }
}

fn boot(version: &str, port: u16, prepare: &str, change: impl FnOnce(&mut UserData)) -> Machine {
    let home = machine::folder();
    let mut data = data(&home, port);
    change(&mut data);
    let script = data.script("bot", PASSWORD, prepare).expect("a script");
    let bin = peers::worker_bin(version);
    Machine::boot(home, &script, Kind { bin: Some(&bin), systemd: false })
}

fn wait_off(machine: &Machine, why: &str) -> Duration {
    let began = Instant::now();
    // The longest that it waits, and what a busy machine takes besides.
    let off = wait_within(Duration::from_secs(180), "the machine powers off", || machine.off());
    assert!(off.starts_with("shutdown -P now"), "{off}");
    assert!(machine.console().contains(why), "{why}: {}", machine.console());
    began.elapsed()
}

fn a_machine_builds_until_its_master_is_gone(version: &str) {
    if !possible("a_machine_builds_until_its_master_is_gone") {
        return;
    }
    let mut master = Master::start(LUA);
    let machine = boot(version, master.pb, "echo prepared >\"$MACHINE/prepared\"", |data| data.power_off_after = Duration::from_secs(30));
    master.wait_attached("bot");
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    assert_eq!((machine.code(), machine.read("prepared").as_str()), (Some(0), "prepared\n"));

    // A master that comes back in time finds its worker.
    master.kill9();
    std::thread::sleep(Duration::from_secs(3));
    master.launch();
    master.wait_attached("bot");
    assert_eq!((master.build("quick", json!({}))["results"].as_i64(), machine.off()), (Some(SUCCESS), None));

    master.kill9();
    let after =
        wait_off(&machine, "buildmoon: the worker had no connection to a master that answers for 30 seconds: the machine powers off");
    assert!(after > Duration::from_secs(20), "{after:?}");
    assert!(!machine.console().contains(PASSWORD));
    assert_eq!(
        machine.path("worker/worker.json").metadata().map(|m| std::os::unix::fs::PermissionsExt::mode(&m.permissions()) & 0o777).ok(),
        Some(0o600)
    );
}

for_each_version!(a_machine_builds_until_its_master_is_gone);

#[test]
fn a_setup_that_fails_powers_off() {
    if !possible("a_setup_that_fails_powers_off") {
        return;
    }
    let machine = boot("4.3.0", 1, "echo trying; exit 3", |_| {});
    wait_off(&machine, "buildmoon: the setup failed (exit code 3): the machine powers off");
    assert!(machine.console().contains("trying"));
    let machine = boot("4.3.0", 1, "", |data| data.python = "python-that-is-not-there".into());
    wait_off(&machine, "the setup failed");
}

#[test]
fn a_setup_that_hangs_powers_off() {
    if !possible("a_setup_that_hangs_powers_off") {
        return;
    }
    let machine = boot("4.3.0", 1, "sleep 1000", |data| data.setup_timeout = Duration::from_secs(3));
    wait_off(&machine, "the worker was not set up within 3 seconds");
}

#[test]
fn a_master_that_hangs_is_out_of_reach() {
    if !possible("a_master_that_hangs_is_out_of_reach") {
        return;
    }
    let master = Master::start(LUA);
    let machine = boot("4.3.0", master.pb, "", |data| data.power_off_after = Duration::from_secs(20));
    master.wait_attached("bot");
    // Its port still accepts connections.
    signal(master.pid(), "STOP");
    wait_off(&machine, "no connection to a master that answers for 20 seconds");
    signal(master.pid(), "CONT");
}

#[test]
fn a_master_that_does_not_want_the_worker_is_none() {
    if !possible("a_master_that_does_not_want_the_worker_is_none") {
        return;
    }
    let master = Master::start(&LUA.replace("p'a", "another"));
    let machine = boot("4.3.0", master.pb, "", |data| data.power_off_after = Duration::from_secs(48));
    wait_off(&machine, "no connection to a master that answers for 48 seconds");
    assert!(!master.attached("bot"));
}

/// With pip from the index, as a user of its own; that user can't touch the switch.
#[test]
fn a_plain_machine_installs_its_worker() {
    let test = "a_plain_machine_installs_its_worker";
    if !possible(test) {
        return;
    }
    if !machine::has_users() {
        println!("{test}: not run: it needs root, to make a user");
        return;
    }
    let lua = LUA.replace(
        r#"{ "id", "-un" }"#,
        r#""id -un; touch '@DIR@/../../nothing' 2>/dev/null; rm -rf $(dirname $(dirname $PWD)).root/*; echo x >/proc/1/oom_score_adj""#,
    );
    let mut master = Master::start(&lua);
    let home = machine::folder();
    let plain = UserData {
        install: Install::Pip,
        user: "builder".into(),
        // Another user can't run a Python that lies in somebody's home.
        python: "/usr/bin/python3".into(),
        power_off_after: Duration::from_secs(30),
        ..data(&home, master.pb)
    };
    let script = plain.script("bot", PASSWORD, "").expect("a script");
    let machine = Machine::boot(home, &script, Kind::default());
    wait_within(Duration::from_secs(600), "the worker attaches", || master.attached("bot").then_some(()));
    let build = master.build("quick", json!({}));
    assert!(master.log_contents(&build, "say", "stdio").lines().any(|line| line == "obuilder"));
    assert!(machine.path("worker.root/watch.py").exists() && machine.off().is_none());
    master.kill9();
    wait_off(&machine, "the machine powers off");
}

/// On a notice of the spot market the worker takes no more builds; the one that runs goes on.
#[test]
fn scenario_17_on_a_notice_no_new_build_begins() {
    let test = "scenario_17_on_a_notice_no_new_build_begins";
    if !possible(test) {
        return;
    }
    let market = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", market.local_addr().expect("its address"));
    let notice = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let given = notice.clone();
    std::thread::spawn(move || {
        for stream in market.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).unwrap_or(0);
            let asked = String::from_utf8_lossy(&buffer[..n]).into_owned();
            let (status, body) = match () {
                () if asked.starts_with("PUT /latest/api/token") => ("200 OK", "TOKEN"),
                () if !asked.to_ascii_lowercase().contains("x-aws-ec2-metadata-token: token") => ("401 Unauthorized", ""),
                () if given.load(std::sync::atomic::Ordering::SeqCst) => ("200 OK", "{\"action\": \"terminate\"}"),
                () => ("404 Not Found", ""),
            };
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        }
    });
    let master = Master::start(LUA);
    let machine = boot("4.3.0", master.pb, "", |data| {
        data.metadata_url = Some(url);
        data.power_off_after = Duration::from_secs(600);
    });
    master.wait_attached("bot");
    let first = master.force("wait", json!({}));
    let build = master.wait_build(first, 1);
    master.wait_log_of(&build, "wait", "begun");
    notice.store(true, std::sync::atomic::Ordering::SeqCst);
    master.wait_log("the worker asks to be shut down");
    let second = master.force("quick", json!({}));
    std::fs::write(machine.path("worker/wait/build/go"), "").expect("the file");
    assert_eq!(master.wait_request(first), SUCCESS);
    wait_for("the worker is gone", || (!master.attached("bot")).then_some(()));
    std::thread::sleep(Duration::from_secs(8));
    assert!(!master.attached("bot") && master.builds_of(second).is_empty(), "nothing begins on a machine that is taken back");
}

/// systemd itself looks at the units.
#[test]
fn the_services_are_units_that_systemd_understands() {
    let test = "the_services_are_units_that_systemd_understands";
    if !possible(test) {
        return;
    }
    if !std::path::Path::new("/etc/systemd/system").is_dir() {
        println!("{test}: not run: no systemd here");
        return;
    }
    let home = machine::folder();
    let script = data(&home, 1).script("bot", PASSWORD, "").expect("a script");
    let bin = peers::worker_bin("4.3.0");
    let machine = Machine::boot(home, &script, Kind { bin: Some(&bin), systemd: true });
    wait_for("the script ends", || machine.code());
    assert_eq!(machine.code(), Some(0), "{}", machine.console());
    let told = machine.read("systemctl");
    assert_eq!(told, "daemon-reload\nenable --now buildmoon-watch.service\ndaemon-reload\nenable --now buildmoon-worker.service\n");
    let units = ["buildmoon-watch.service", "buildmoon-worker.service"].map(|unit| machine.path("units").join(unit));
    let ran = std::process::Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output();
    match ran {
        Ok(ran) => {
            let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
            assert!(ran.status.success() && !said.contains("buildmoon-"), "{said}");
        }
        Err(e) => println!("{test}: systemd-analyze was not run: {e}"),
    }
}
