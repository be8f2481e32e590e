//! A Docker engine of the tests' own: Debian's `dockerd` with its own folders and socket, and an image with a stock worker in it. Containers use
//! the network of the machine, since nothing is set up for another one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{DEADLINE, debian, free_port, peers};

const PACKAGES: [&str; 5] = ["docker.io", "containerd", "runc", "tini", "iptables"];
const LIBRARIES: [&str; 7] =
    ["libip4tc2", "libip6tc2", "libnfnetlink0", "libnetfilter-conntrack3", "libnftnl11", "libxtables12", "libmnl0"];
const VERSION: &str = "4.3.0";
/// Its command is `/start-worker`.
pub const IMAGE: &str = "worker:4.3.0";

pub struct Docker {
    home: TempDir,
    programs: PathBuf,
    keeper: Child,
}

/// A registry that asks for a name and a password.
pub struct Registry {
    pub address: String,
    /// Has the password, as `docker login` would leave it: the value of `DOCKER_CONFIG`.
    pub config: PathBuf,
    _home: TempDir,
    keeper: Child,
}

/// How an engine is reached over TLS.
pub struct Tls {
    pub host: String,
    /// With `ca.pem`, `client.pem` and `client.key`.
    pub folder: PathBuf,
}

impl Docker {
    /// The engine that the tests of one program share, with the image; none where it can't be started, which is told once.
    pub fn shared() -> Option<&'static Docker> {
        static SHARED: OnceLock<Option<Docker>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                let docker = Docker::start().and_then(|docker| docker.import().map(|()| docker));
                docker.inspect_err(|why| debian::tell("workers in containers of a Docker engine", why)).ok()
            })
            .as_ref()
    }

    /// One without any image.
    pub fn start() -> Result<Docker, String> {
        let home = tempfile::Builder::new().prefix("docker-").tempdir().map_err(|e| e.to_string())?;
        Docker::start_in(home, "")
    }

    /// One that also listens over TLS, for those who show a certificate.
    pub fn with_tls() -> Result<(Docker, Tls), String> {
        let home = tempfile::Builder::new().prefix("docker-").tempdir().map_err(|e| e.to_string())?;
        for (name, text) in certificates() {
            fs::write(home.path().join(name), text).map_err(|e| e.to_string())?;
        }
        let tls = Tls { host: format!("tcp://127.0.0.1:{}", free_port()), folder: home.path().to_owned() };
        let folder = tls.folder.display();
        let options = format!(
            "--host {} --tlsverify --tlscacert {folder}/ca.pem --tlscert {folder}/server.pem --tlskey {folder}/server.key",
            tls.host
        );
        Docker::start_in(home, &options).map(|docker| (docker, tls))
    }

    fn start_in(home: TempDir, options: &str) -> Result<Docker, String> {
        let programs = debian::unpacked("docker", &[PACKAGES.as_slice(), LIBRARIES.as_slice()].concat())?;
        let log = File::create(home.path().join("log")).map_err(|e| e.to_string())?;
        let keeper = debian::kept(&format!("{} {options}", daemon(&programs, home.path())), home.path(), &log)?;
        let mut docker = Docker { home, programs, keeper };
        let began = Instant::now();
        while docker.run(&["version"]).is_err() {
            let ended = docker.keeper.try_wait().map_err(|e| e.to_string())?;
            if ended.is_some() || began.elapsed() > DEADLINE || docker.log().contains("failed to start daemon") {
                let log = docker.log();
                let last = log.lines().rfind(|l| l.contains("fail") || l.contains("level=fatal")).or(log.lines().last());
                return Err(format!("dockerd does not start: {}", last.unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(docker)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// As `docker_host` names it.
    pub fn host(&self) -> String {
        host(self.home.path())
    }

    /// A `docker` command; what it wrote.
    pub fn run(&self, args: &[&str]) -> Result<String, String> {
        debian::run(Command::new(self.programs.join("usr/bin/docker")).args(["-H", &self.host()]).args(args))
    }

    /// The ids of all containers with this label, whatever their state.
    pub fn containers(&self, label: &str) -> Vec<String> {
        let out = self.run(&["ps", "-aq", "--no-trunc", "--filter", &format!("label={label}")]).expect("docker ps");
        out.lines().map(str::to_owned).collect()
    }

    /// A registry of its own on this machine.
    pub fn registry(&self) -> Result<Registry, String> {
        let programs = debian::unpacked("docker-registry", &["docker-registry"])?;
        let home = tempfile::Builder::new().prefix("registry-").tempdir().map_err(|e| e.to_string())?;
        let (folder, address) = (home.path().display().to_string(), format!("127.0.0.1:{}", free_port()));
        let settings = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {folder}/data }} }}\nhttp: {{ addr: '{address}' }}\n\
             auth: {{ htpasswd: {{ realm: r, path: {folder}/passwords }} }}\n"
        );
        // ci:s3cret
        let passwords = "ci:$2b$04$aaL.dK/rpGB0OkbG65y0I.8ajm/14WpLrSyNF80mXVjOEuBvuKLG.\n";
        let config = format!("{{\"auths\":{{\"{address}\":{{\"auth\":\"Y2k6czNjcmV0\"}}}}}}");
        for (name, text) in [("settings.yml", settings.as_str()), ("passwords", passwords), ("config.json", &config)] {
            fs::write(home.path().join(name), text).map_err(|e| e.to_string())?;
        }
        let log = File::create(home.path().join("log")).map_err(|e| e.to_string())?;
        let command = format!("exec {}/usr/bin/docker-registry serve {folder}/settings.yml", programs.display());
        let keeper = debian::kept(&command, home.path(), &log)?;
        let config = home.path().to_owned();
        let registry = Registry { address, config, _home: home, keeper };
        let began = Instant::now();
        while std::net::TcpStream::connect(&registry.address).is_err() {
            if began.elapsed() > DEADLINE {
                return Err("docker-registry does not start".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(registry)
    }

    pub fn import(&self) -> Result<(), String> {
        let archive = archive()?;
        self.run(&["import", "--change", "CMD [\"/start-worker\"]", &archive.display().to_string(), IMAGE]).map(drop)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A root, a server and a client, signed by it.
fn certificates() -> Vec<(String, String)> {
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    let mut root = CertificateParams::new(Vec::new()).expect("a root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "the root");
    let root_key = KeyPair::generate().expect("a key");
    let ca = root.self_signed(&root_key).expect("a certificate");
    let issuer = Issuer::new(root, root_key);
    let mut files = vec![("ca.pem".to_owned(), ca.pem())];
    for (name, purpose) in [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)] {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("parameters");
        params.extended_key_usages.push(purpose);
        let key = KeyPair::generate().expect("a key");
        files.push((format!("{name}.pem"), params.signed_by(&key, &issuer).expect("a certificate").pem()));
        files.push((format!("{name}.key"), key.serialize_pem()));
    }
    files
}

/// As `docker_host` names an engine whose folder this is.
pub fn host(home: &Path) -> String {
    format!("unix://{}", home.join("socket").display())
}

fn daemon(programs: &Path, home: &Path) -> String {
    let (programs, home) = (programs.display(), home.display());
    format!(
        "PATH={programs}/usr/bin:{programs}/usr/sbin:$PATH LD_LIBRARY_PATH={programs}/usr/lib/x86_64-linux-gnu exec \
         {programs}/usr/sbin/dockerd --data-root {home}/data --exec-root {home}/exec --host unix://{home}/socket --pidfile {home}/pid \
         --bridge=none --iptables=false --ip6tables=false --ip-masq=false --shutdown-timeout 2"
    )
}

/// The root file system of the image, made once.
fn archive() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/worker_image.py");
    let source = fs::read_to_string(&script).map_err(|e| e.to_string())?;
    let python = peers::worker_bin(VERSION).join("python");
    let (archive, stamp) = (peers::root().join(format!("worker-{VERSION}.tar")), peers::root().join(format!("worker-{VERSION}.py")));
    let lock = File::create(peers::root().join("worker-image.lock")).map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    if !archive.is_file() || fs::read_to_string(&stamp).is_ok_and(|known| known != source) || !stamp.is_file() {
        debian::run(Command::new(python).arg(&script).arg(&archive))?;
        fs::write(&stamp, source).map_err(|e| e.to_string())?;
    }
    Ok(archive)
}
