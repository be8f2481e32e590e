//! A machine that runs its user data once, as cloud-init does: processes, mounts and users of its own, within this computer. What would
//! power it off is written down instead, and it can't reach what would power this computer off.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Stands in for the programs that end a machine.
const OFF: &str = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >>\"$MACHINE/off\"\n";

pub struct Machine {
    home: TempDir,
    child: Child,
}

#[derive(Clone, Copy, Default)]
pub struct Kind<'a> {
    /// Programs that its image has besides those of this computer.
    pub bin: Option<&'a Path>,
    /// It looks as if systemd ran it; what systemd is told is written down.
    pub systemd: bool,
}

/// Who is root here may have users of his own in there; who is not is root in there and has none.
pub fn has_users() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A folder for the machine, and so the place of its worker. A script must know it before it boots.
pub fn folder() -> TempDir {
    let home = tempfile::Builder::new().prefix("machine-").permissions(fs::Permissions::from_mode(0o755)).tempdir();
    home.expect("a temporary folder")
}

/// Why there can be no such machine here.
pub fn missing() -> Option<String> {
    let tried = namespaces().arg("true").stdin(Stdio::null()).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("unshare: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Some(format!("unshare (Debian, Ubuntu: apt-get install util-linux): {e}")),
    }
}

fn namespaces() -> Command {
    let mut command = Command::new("unshare");
    if !has_users() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command
}

impl Machine {
    pub fn boot(home: TempDir, script: &str, kind: Kind) -> Machine {
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("bin")).expect("a folder");
        for name in ["shutdown", "poweroff", "halt", "reboot"] {
            program(&at("bin").join(name), OFF);
        }
        program(&at("bin").join("systemctl"), "#!/bin/sh\necho \"$*\" >>\"$MACHINE/systemctl\"\n");
        fs::write(at("user-data"), script).expect("the script");
        fs::write(at("console"), "").expect("a console");
        // What runs as systemd's services and as other users does not hear of this computer's own.
        let etc = if has_users() { "cp -a /etc \"$MACHINE/etc\"; mount --bind \"$MACHINE/etc\" /etc;" } else { "" };
        let units = if kind.systemd {
            "mkdir -p /run/systemd/system \"$MACHINE/units\"; mount --bind \"$MACHINE/units\" /etc/systemd/system;"
        } else {
            ""
        };
        let init = format!(
            "set -e
            [ ! -d /run/systemd/resolve ] || cp -a /run/systemd/resolve \"$MACHINE/resolve\"
            for d in /run/systemd /run/dbus; do [ ! -d $d ] || mount -t tmpfs none $d; done
            [ ! -d \"$MACHINE/resolve\" ] || cp -a \"$MACHINE/resolve\" /run/systemd/resolve
            mount --bind \"$MACHINE/console\" /dev/console
            {etc} {units}
            set +e
            sh \"$MACHINE/user-data\" </dev/null >>\"$MACHINE/output\" 2>&1
            echo $? >\"$MACHINE/code\"
            while :; do sleep 1; done"
        );
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = kind.bin.map(|bin| format!("{}:", bin.display())).unwrap_or_default();
        let child = namespaces()
            .args(["sh", "-c", &init])
            .env("MACHINE", home.path())
            .env("PATH", format!("{}:{bin}{path}", at("bin").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("init")).expect("a file"))
            .spawn()
            .expect("unshare");
        Machine { home, child }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// What people see: the script's output and the console.
    pub fn console(&self) -> String {
        self.read("init") + &self.read("output") + &self.read("console")
    }

    /// How it was powered off.
    pub fn off(&self) -> Option<String> {
        Some(self.read("off")).filter(|off| !off.is_empty())
    }

    /// The script's exit code, once it has ended.
    pub fn code(&self) -> Option<i32> {
        self.read("code").trim().parse().ok()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.console(), self.read("worker/twistd.log"));
        }
        // All that runs in there ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).expect("a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("made runnable");
}
