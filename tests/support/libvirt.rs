//! A libvirt daemon of the tests' own, with its `test` driver: domains without a hypervisor, whose state is the daemon's. A stock worker runs
//! for each domain that carries a login, as a guest would: from the moment when the domain runs until it does not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::worker::Worker;
use super::{DEADLINE, debian, peers};

const PACKAGES: [&str; 4] = ["libvirt-daemon", "libvirt-clients", "libvirt0", "libvirt-daemon-driver-qemu"];
const LIBRARIES: [&str; 15] = [
    "libnl-3-200",
    "libnl-route-3-200",
    "libparted2",
    "libpcap0.8",
    "libssh-4",
    "libssh2-1",
    "libyajl2",
    "libnuma1",
    "libcap-ng0",
    "libapparmor1",
    "libxml2",
    "libsasl2-2",
    "libtirpc3",
    "libpciaccess0",
    "libfuse3-3",
];
const IMAGES: [&str; 6] = ["qemu-utils", "libglib2.0-0", "libaio1", "liburing2", "libfuse3-3", "libgnutls30"];

pub struct Libvirt {
    home: TempDir,
    keeper: Child,
    /// The `test` driver forgets its domains when the last connection is closed.
    holder: Option<Child>,
    guests: Arc<Guests>,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Guests {
    done: AtomicBool,
    /// The domain's id to its worker; none for a guest that does not come up.
    running: Mutex<BTreeMap<String, Option<Worker>>>,
    dead: AtomicBool,
}

impl Libvirt {
    /// None where it can't be started, which is told once.
    pub fn start() -> Option<Libvirt> {
        static TOLD: Once = Once::new();
        let started = Libvirt::try_start();
        match started {
            Ok(libvirt) => Some(libvirt),
            Err(why) => {
                TOLD.call_once(|| debian::tell("workers in domains of libvirt", &why));
                None
            }
        }
    }

    fn try_start() -> Result<Libvirt, String> {
        let programs = debian::unpacked("libvirt", &[PACKAGES.as_slice(), LIBRARIES.as_slice()].concat())?;
        let home = tempfile::Builder::new().prefix("libvirt-").tempdir().map_err(|e| e.to_string())?;
        let folder = home.path().display().to_string();
        let settings =
            format!("unix_sock_dir = \"{folder}\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nlog_outputs = \"2:stderr\"\n");
        fs::write(home.path().join("libvirtd.conf"), settings).map_err(|e| e.to_string())?;
        let bin = home.path().join("bin");
        fs::create_dir(&bin).map_err(|e| e.to_string())?;
        let mut wrapped = vec![("virsh", "usr/bin/virsh", programs.clone()), ("libvirtd", "usr/sbin/libvirtd", programs)];
        if debian::run(Command::new("qemu-img").arg("--version")).is_err() {
            wrapped.push(("qemu-img", "usr/bin/qemu-img", debian::unpacked("qemu-utils", &IMAGES)?));
        }
        for (name, path, top) in wrapped {
            let top = top.display();
            let script =
                format!("#!/bin/sh\nLD_LIBRARY_PATH={top}/usr/lib/x86_64-linux-gnu:{top}/lib/x86_64-linux-gnu exec {top}/{path} \"$@\"\n");
            let file = bin.join(name);
            fs::write(&file, script).map_err(|e| e.to_string())?;
            debian::run(Command::new("chmod").arg("755").arg(&file))?;
        }
        let log = File::create(home.path().join("log")).map_err(|e| e.to_string())?;
        let command = format!(
            "XDG_RUNTIME_DIR={folder} XDG_CONFIG_HOME={folder}/config XDG_CACHE_HOME={folder}/cache exec {folder}/bin/libvirtd \
             -f {folder}/libvirtd.conf -p {folder}/pid"
        );
        let keeper = debian::kept(&command, home.path(), &log)?;
        let mut libvirt = Libvirt { home, keeper, holder: None, guests: Arc::default(), watcher: None };
        let began = Instant::now();
        while let Err(why) = libvirt.virsh(&["list"]) {
            if began.elapsed() > DEADLINE {
                let log = fs::read_to_string(libvirt.home.path().join("log")).unwrap_or_default();
                return Err(format!("libvirtd does not start: {}", log.lines().last().unwrap_or(&why)));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let holder = Command::new(libvirt.bin().join("virsh"))
            .args(["-q", "-c", &libvirt.uri()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        connected(libvirt.holder.insert(holder.map_err(|e| e.to_string())?)).map_err(|e| format!("virsh: {e}"))?;
        Ok(libvirt)
    }

    /// With `virsh` and `qemu-img`.
    pub fn bin(&self) -> PathBuf {
        self.home.path().join("bin")
    }

    pub fn folder(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub fn uri(&self) -> String {
        format!("test+unix:///default?socket={}", self.home.path().join("libvirt-sock").display())
    }

    /// A command of virsh; what it wrote.
    pub fn virsh(&self, args: &[&str]) -> Result<String, String> {
        debian::run(Command::new(self.bin().join("virsh")).args(["-q", "-c", &self.uri()]).args(args))
    }

    pub fn qemu_img(&self, args: &[&str]) -> String {
        let own = self.bin().join("qemu-img");
        let program = if own.is_file() { own } else { "qemu-img".into() };
        debian::run(Command::new(program).args(args)).expect("qemu-img")
    }

    /// The uuids of the domains that run, but for the one that the driver begins with.
    pub fn domains(&self) -> Vec<String> {
        running(&self.bin(), &self.uri(), "--uuid")
    }

    /// From now on guests do not come up.
    pub fn guests_are_dead(&self, dead: bool) {
        self.guests.dead.store(dead, Ordering::Relaxed);
    }

    /// Waits until somebody has looked at a guest that does not come up: it never does.
    pub fn wait_dead_guest(&self) {
        super::wait_for("a guest is dead", || {
            let guests = self.guests.running.lock().expect("the guests");
            guests.values().any(Option::is_none).then_some(())
        });
    }

    /// Each running domain with a login has a worker of this version that connects to this port.
    pub fn boots(&mut self, version: &'static str, port: u16) {
        let (guests, bin, uri) = (self.guests.clone(), self.bin(), self.uri());
        peers::worker_bin(version);
        self.watcher = Some(std::thread::spawn(move || {
            while !guests.done.load(Ordering::Relaxed) {
                // A domain that is started again has its uuid as before, but another id.
                let domains = running(&bin, &uri, "--id");
                let mut workers = guests.running.lock().expect("the guests");
                workers.retain(|id, _| domains.contains(id));
                for id in domains {
                    if workers.contains_key(&id) {
                        continue;
                    }
                    let Some((name, password)) = login(&bin, &uri, &id) else { continue };
                    let dead = guests.dead.load(Ordering::Relaxed);
                    let worker = (!dead).then(|| Worker::start(version, &name, &password, port));
                    workers.insert(id, worker);
                }
                drop(workers);
                std::thread::sleep(Duration::from_millis(200));
            }
            guests.running.lock().expect("the guests").clear();
        }));
    }
}

/// Waits until a `virsh` that reads commands has its connection: it can tell to whom then.
fn connected(virsh: &mut Child) -> std::io::Result<()> {
    let (Some(stdin), Some(stdout)) = (virsh.stdin.as_mut(), virsh.stdout.as_mut()) else { return Ok(()) };
    stdin.write_all(b"uri\n")?;
    let (mut said, mut byte) = (String::new(), [0]);
    while !said.contains("test+unix:") {
        stdout.read_exact(&mut byte)?;
        said.push(char::from(byte[0]));
    }
    Ok(())
}

/// The running domains by `--uuid` or by `--id`.
fn running(bin: &std::path::Path, uri: &str, by: &str) -> Vec<String> {
    let out = debian::run(Command::new(bin.join("virsh")).args(["-q", "-c", uri, "list", by, "--state-running"])).unwrap_or_default();
    let all = out.split_whitespace().map(str::to_owned);
    // The driver's own.
    all.filter(|domain| !["6695eb01-f6a4-8304-79aa-97f2502e193f", "1"].contains(&domain.as_str())).collect()
}

/// Name and password of the domain's metadata.
fn login(bin: &std::path::Path, uri: &str, id: &str) -> Option<(String, String)> {
    let args = ["-q", "-c", uri, "metadata", id, "--uri", "http://buildbot.net/"];
    let xml = debian::run(Command::new(bin.join("virsh")).args(args)).ok()?;
    let attribute = |name: &str| {
        let (_, rest) = xml.split_once(&format!("{name}="))?;
        let quote = rest.chars().next()?;
        rest[1..].split_once(quote).map(|(value, _)| value.to_owned())
    };
    Some((attribute("username")?, attribute("password")?))
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        self.guests.done.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
        if let Some(mut holder) = self.holder.take() {
            let _ = holder.kill();
            let _ = holder.wait();
        }
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
