//! A real OpenSSH server of the test's own, from Debian's packages, on a port of this machine; it lets in who has its key. As root it needs
//! a user of its own and a folder: it gets both in a name space that nobody else sees.

use std::fs::{self, File};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::debian::{run, tell, unpacked};
use super::{free_port, wait_for};

const PACKAGES: [&str; 2] = ["openssh-server", "libwrap0"];

pub struct Sshd {
    home: TempDir,
    port: u16,
    child: Child,
}

impl Sshd {
    /// None where there is none to be had, which is told.
    pub fn start() -> Option<Sshd> {
        Sshd::new().inspect_err(|why| tell("workers on other machines, by ssh", why)).ok()
    }

    fn new() -> Result<Sshd, String> {
        let files = unpacked("sshd", &PACKAGES)?;
        let home = tempfile::Builder::new().prefix("sshd-").tempdir().map_err(|e| e.to_string())?;
        let dir = home.path();
        for key in ["host", "key"] {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key)))?;
        }
        let write = |name: &str, text: String| fs::write(dir.join(name), text).map_err(|e| format!("{name}: {e}"));
        let port = free_port();
        let shown = dir.display();
        write(
            "config",
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/key.pub\nPidFile none\nUsePAM no\n\
                 StrictModes no\nPasswordAuthentication no\n"
            ),
        )?;
        let users = fs::read_to_string("/etc/passwd").map_err(|e| e.to_string())?;
        write("passwd", format!("{users}sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"))?;
        let libraries =
            [files.join("lib"), files.join("usr/lib")].map(|lib| format!("{0}/{1}-linux-gnu", lib.display(), std::env::consts::ARCH));
        let start = format!("exec {}/usr/sbin/sshd -D -e -f {shown}/config", files.display());
        let root = nix::unistd::geteuid().is_root();
        let script = if root {
            format!("mount --bind {shown}/passwd /etc/passwd && mount -t tmpfs none /run && mkdir -m 755 /run/sshd && {start}")
        } else {
            start
        };
        let log = File::create(dir.join("log")).map_err(|e| e.to_string())?;
        let mut command = if root { Command::new("unshare") } else { Command::new("sh") };
        if root {
            command.args(["-m", "sh"]);
        }
        command.args(["-c", &script]).env("LD_LIBRARY_PATH", libraries.join(":")).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log);
        let mut child = command.spawn().map_err(|e| format!("unshare: {e}"))?;
        let ended = wait_for("sshd listens or ends", || match child.try_wait() {
            Ok(Some(status)) => Some(Some(status)),
            _ => TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(None),
        });
        if let Some(status) = ended {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            return Err(format!("sshd does not run here ({status}): {}", log.trim()));
        }
        Ok(Sshd { home, port, child })
    }

    /// The words that ssh needs to get in, as a list of Lua.
    pub fn options(&self) -> String {
        let key = self.home.path().join("key");
        let known = self.home.path().join("known");
        format!(
            "{{ \"-p\", \"{}\", \"-i\", {key:?}, \"-o\", \"StrictHostKeyChecking=accept-new\", \"-o\", \"UserKnownHostsFile={}\", \"-F\", \"none\" }}",
            self.port,
            known.display()
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
