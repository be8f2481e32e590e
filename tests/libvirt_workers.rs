//! Workers in domains of a real libvirt, whose `test` driver stands for the hypervisor; a stock worker runs for each domain. Domains and
//! disks of a launch end with it, whatever happens to the master.

mod support;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::libvirt::Libvirt;
use support::*;

const VERSION: &str = "4.3.0";

fn config(libvirt: &Libvirt, worker: &str) -> String {
    format!(
        r#"
c.collapseRequests = false
c.reap_interval = 10
c.workers = {{ LibVirtWorker{{ "bot", None, uri = "{}", domain_type = "test", masterFQDN = "127.0.0.1:@PB@", check_instance_interval = 1,
  quarantine_initial_timeout = 1, {worker} }} }}
local quick, wait = util.BuildFactory(), util.BuildFactory()
quick:addStep(steps.ShellCommand{{ name = "say", command = "echo quick" }})
wait:addStep(steps.ShellCommand{{ name = "wait", command = "echo begun; while [ -d @DIR@ ] && [ ! -e @DIR@/go ]; do sleep 0.1; done" }})
c.builders = {{
  util.BuilderConfig{{ name = "quick", workernames = {{ "bot" }}, factory = quick }},
  util.BuilderConfig{{ name = "wait", workernames = {{ "bot" }}, factory = wait }},
}}
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "quick", "wait" }} }} }}
"#,
        libvirt.uri()
    )
}

fn launch(libvirt: &Libvirt, master: &mut Master) {
    master.launch_in(&format!("export PATH={}:$PATH; exec \"$@\"", libvirt.bin().display()));
}

/// A master whose worker has these arguments, and guests that boot.
fn start(libvirt: &mut Libvirt, worker: &str) -> Master {
    let lua = config(libvirt, worker);
    start_with(libvirt, &lua)
}

fn start_with(libvirt: &mut Libvirt, lua: &str) -> Master {
    let mut master = Master::create(lua);
    libvirt.boots(VERSION, master.pb);
    launch(libvirt, &mut master);
    master
}

/// An image of a megabyte that disks are made from, in a folder of its own.
fn base_image(libvirt: &Libvirt) -> PathBuf {
    let folder = libvirt.folder().join("images");
    std::fs::create_dir_all(&folder).expect("a folder");
    let image = folder.join("base.qcow2");
    libvirt.qemu_img(&["create", "-q", "-f", "qcow2", &image.display().to_string(), "1M"]);
    image
}

fn disks(image: &std::path::Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(image.parent().expect("a folder")).expect("the folder").map(|entry| entry.expect("an entry").path());
    all.filter(|path| path != image).collect()
}

fn machine(master: &Master) -> Value {
    master.worker("bot")["machine"].clone()
}

/// What is told of the machine while it is in that state.
fn wait_state(master: &Master, wanted: &str) -> Value {
    wait_for(&format!("the machine is {wanted}"), || Some(machine(master)).filter(|machine| machine["state"] == wanted))
}

fn wait_none(libvirt: &Libvirt) {
    wait_for("no domain is left", || libvirt.domains().is_empty().then_some(()));
}

#[test]
fn a_build_runs_in_a_domain_with_a_disk_of_its_own() {
    let Some(mut libvirt) = Libvirt::start() else { return };
    let image = base_image(&libvirt);
    let before = std::fs::read(&image).expect("the image");
    let master = start(&mut libvirt, &format!("base_image = '{}', build_wait_timeout = -1", image.display()));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let (domains, made) = (libvirt.domains(), disks(&image));
    let xml = libvirt.virsh(&["dumpxml", &domains[0]]).expect("the domain");
    assert!(xml.contains(&made[0].display().to_string()) && xml.contains("master=\"127.0.0.1:"), "{xml}");
    let about = libvirt.qemu_img(&["info", &made[0].display().to_string()]);
    assert!(about.contains(&format!("backing file: {}", image.display())), "{about}");

    let told = master.instances();
    assert_eq!(told["instances"][0]["handle"]["domain"], domains[0].as_str(), "{told:#}");

    let mut master = master;
    assert!(master.stop().success());
    wait_none(&libvirt);
    assert!(disks(&image).is_empty(), "{:?}", disks(&image));
    assert_eq!(std::fs::read(&image).expect("the image"), before, "the base image was written to");
}

#[test]
fn killed_while_it_builds_the_domain_is_adopted_and_ends() {
    let Some(mut libvirt) = Libvirt::start() else { return };
    let image = base_image(&libvirt);
    let mut master = start(&mut libvirt, &format!("base_image = '{}', build_wait_timeout = 1", image.display()));
    let request = master.force("wait", json!({}));
    let build = master.wait_build(request, 1);
    master.wait_log_of(&build, "wait", "begun");
    let before = libvirt.domains();
    master.kill9();
    launch(&libvirt, &mut master);
    let again = master.wait_build(request, 2);
    master.wait_log_of(&again, "wait", "begun");
    assert_eq!(libvirt.domains(), before, "it was started anew");
    std::fs::write(master.dir().join("go"), "").expect("the file");
    assert_eq!(master.wait_request(request), SUCCESS);
    wait_none(&libvirt);
    wait_for("the disk is gone", || disks(&image).is_empty().then_some(()));
}

#[test]
fn what_a_launch_left_is_reaped_domains_and_disks() {
    let Some(mut libvirt) = Libvirt::start() else { return };
    let image = base_image(&libvirt);
    let lua = config(&libvirt, &format!("base_image = '{}', build_wait_timeout = -1", image.display()));
    let master = start_with(&mut libvirt, &reaped_by_hand(&lua));
    assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
    let (own, disk) = (libvirt.domains(), disks(&image).remove(0));
    let xml = libvirt.virsh(&["dumpxml", &own[0]]).expect("the domain");
    let launch = own[0].replace('-', "");
    // A domain and a disk of launches that nobody knows, and a domain and a disk of somebody else.
    let (stray, other) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdee");
    let create = |xml: String| {
        let file = libvirt.folder().join("stray.xml");
        std::fs::write(&file, xml).expect("a file");
        libvirt.virsh(&["create", &file.display().to_string()]).expect("a domain");
    };
    let renamed = |id: &str, name: &str| {
        let uuid = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
        xml.replace(&own[0], &uuid)
            .replace(&launch, id)
            .replace(&format!("<name>bot-{}</name>", &launch[..12]), &format!("<name>{name}</name>"))
    };
    create(renamed(stray, "stray"));
    let mark = libvirt.virsh(&["metadata", &own[0], "--uri", "urn:buildmoon:instance"]).expect("a mark");
    let id = mark.split("master=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("the master").to_owned();
    create(renamed(other, "other").replace(&id, "somebody-else"));
    let lone = "0123456789abcdef0123456789abcdaa";
    let lone_disk = PathBuf::from(disk.display().to_string().replace(&launch, lone));
    std::fs::write(&lone_disk, "x").expect("a disk");
    let others_disk = image.with_file_name(format!("buildmoon-000000000000-{lone}.qcow2"));
    std::fs::write(&others_disk, "x").expect("a disk");

    let ran = master.command("instances", &[], &["--reap"]);
    assert!(ran.out.starts_with("stopped: 2\ninstances: 1\n"), "{ran:?}");
    let names = libvirt.virsh(&["list", "--name"]).expect("names");
    assert!(!names.contains("stray") && names.contains("other"), "{names}");
    assert!(libvirt.domains().contains(&own[0]));
    assert!(!lone_disk.exists() && disk.exists() && others_disk.exists());
}

#[test]
fn a_domain_that_libvirt_knows_is_started_and_given_back_as_it_was() {
    let Some(mut libvirt) = Libvirt::start() else { return };
    let image = base_image(&libvirt);
    let disk = libvirt.folder().join("bot.qcow2");
    let file = libvirt.folder().join("bot.xml");
    let xml = format!(
        "<domain type='test'><name>bot</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices><disk type='file' \
         device='disk'><source file='{}'/><target dev='vda'/></disk></devices></domain>",
        disk.display()
    );
    std::fs::write(&file, xml).expect("a file");
    libvirt.virsh(&["define", &file.display().to_string()]).expect("defined");
    let options =
        format!("hd_image = '{}', base_image = '{}', cheap_copy = false, build_wait_timeout = 1", disk.display(), image.display());
    let master = start(&mut libvirt, &options);
    for _ in 0..2 {
        assert_eq!(master.build("quick", json!({}))["results"], SUCCESS);
        wait_none(&libvirt);
        wait_state(&master, "idle");
    }
    assert!(libvirt.virsh(&["metadata", "bot", "--config", "--uri", "urn:buildmoon:instance"]).is_err(), "the mark is left");
    assert!(libvirt.virsh(&["list", "--all", "--name"]).expect("names").lines().any(|name| name == "bot"));
    assert!(!disk.exists());

    // Somebody else runs it: it is left alone, and waited for.
    libvirt.virsh(&["start", "bot"]).expect("started");
    master.force("quick", json!({}));
    wait_for("it is told", || machine(&master).to_string().contains("runs already").then_some(()));
    assert_eq!(libvirt.domains().len(), 1);
}

#[test]
fn xml_of_ones_own_is_started_under_a_name_of_its_own() {
    let Some(mut libvirt) = Libvirt::start() else { return };
    let image = base_image(&libvirt);
    let xml = "<domain type='test'><name>whatever</name><description>for {name}</description><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
        <os><type>hvm</type></os><devices><disk type='file' device='disk'><source file='{hd_image}'/><target dev='vda'/></disk></devices></domain>";
    let options = format!("base_image = '{}', xml = [[{xml}]], build_wait_timeout = -1, pool = {{ max = 2 }}", image.display());
    let mut master = start(&mut libvirt, &options);
    let requests = [master.force("wait", json!({})), master.force("wait", json!({}))];
    for request in requests {
        let build = master.wait_build(request, 1);
        master.wait_log_of(&build, "wait", "begun");
    }
    let names = libvirt.virsh(&["list", "--name"]).expect("names");
    assert!(names.contains("bot-1-") && names.contains("bot-2-") && !names.contains("whatever"), "{names}");
    assert_eq!(disks(&image).len(), 2);
    let xml = libvirt.virsh(&["dumpxml", &libvirt.domains()[0]]).expect("the domain");
    assert!(xml.contains("<description>for bot-") && xml.contains("/buildmoon-"), "{xml}");
    std::fs::write(master.dir().join("go"), "").expect("the file");
    for request in requests {
        assert_eq!(master.wait_request(request), SUCCESS);
    }
    assert!(master.stop().success());
    wait_none(&libvirt);
    assert!(disks(&image).is_empty());
}

#[test]
fn what_is_wrong_is_told_and_the_worker_rests() {
    let Some(mut libvirt) = Libvirt::start() else { return };
    let master = start(&mut libvirt, "base_image = '/no/such/image'");
    master.force("quick", json!({}));
    let told = wait_state(&master, "quarantined").to_string();
    assert!(told.contains("there is no image") && told.contains("/no/such/image"), "{told}");
    assert!(libvirt.domains().is_empty());
}

#[test]
fn a_domain_that_dies_before_its_worker_came_is_told() {
    let Some(mut libvirt) = Libvirt::start() else { return };
    let image = base_image(&libvirt);
    libvirt.guests_are_dead(true);
    let master = start(&mut libvirt, &format!("base_image = '{}'", image.display()));
    let request = master.force("quick", json!({}));
    wait_for("a domain", || (libvirt.domains().len() == 1).then_some(()));
    wait_state(&master, "waiting");
    libvirt.wait_dead_guest();
    libvirt.guests_are_dead(false);
    libvirt.virsh(&["destroy", &libvirt.domains()[0]]).expect("destroyed");
    master.wait_log("the domain is gone");
    assert_eq!(master.wait_request(request), SUCCESS, "another one is started");
}

#[test]
fn a_hypervisor_that_is_away_is_asked_again() {
    let Some(mut libvirt) = Libvirt::start() else { return };
    let image = base_image(&libvirt);
    let socket = libvirt.folder().join("elsewhere");
    let lua = config(&libvirt, &format!("base_image = '{}'", image.display())).replace("/libvirt-sock", "/elsewhere");
    let master = start_with(&mut libvirt, &lua);
    let request = master.force("quick", json!({}));
    wait_for("it is told", || machine(&master).to_string().contains("does not answer").then_some(()));
    std::os::unix::fs::symlink(libvirt.folder().join("libvirt-sock"), socket).expect("a link");
    assert_eq!(master.wait_request(request), SUCCESS);
}
