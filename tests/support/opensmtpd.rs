//! OpenSMTPD as Debian has it, unpacked below `target/peers/` and run in a root folder of its own, with a user whose mail it
//! delivers into a Maildir. Needs Debian's archive, an own root folder and users of its own, so it runs where tests are
//! root; elsewhere there is none, and one line says why. It speaks plainly: this release can't use a key for TLS with OpenSSL 3.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{debian, free_port, smtp, wait_for};

const PACKAGES: [&str; 12] = [
    "opensmtpd",
    "dash",
    "libaudit1",
    "libc6",
    "libcap-ng0",
    "libcrypt1",
    "libdb5.3",
    "libevent-2.1-7",
    "libgcc-s1",
    "libpam0g",
    "libssl3",
    "zlib1g",
];

/// Names and numbers in its own root folder; nobody outside has them.
const USERS: [(&str, u32, &str); 3] =
    [("opensmtpd", 9101, "/var/lib/opensmtpd/empty"), ("opensmtpq", 9102, "/var/lib/opensmtpd/empty"), ("anna", 9103, "/home/anna")];

pub struct OpenSmtpd {
    pub port: u16,
    home: TempDir,
    child: Child,
}

impl OpenSmtpd {
    /// It takes mail for `anna@example.test`.
    pub fn start() -> Option<OpenSmtpd> {
        match OpenSmtpd::try_start() {
            Ok(server) => Some(server),
            Err(why) => {
                debian::tell("mail that OpenSMTPD delivers", &why);
                None
            }
        }
    }

    fn try_start() -> Result<OpenSmtpd, String> {
        if !fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) {
            return Err("it must be started by root".into());
        }
        let unpacked = debian::unpacked("smtpd", &PACKAGES)?;
        let home = tempfile::Builder::new().prefix("opensmtpd-").tempdir().map_err(|e| e.to_string())?;
        // Its users must come through.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
        let root = home.path().join("root");
        debian::run(Command::new("cp").arg("-a").arg(&unpacked).arg(&root))?;
        let port = free_port();
        furnish(&root, port).map_err(|e| format!("its root folder can't be furnished: {e}"))?;
        let out = File::create(home.path().join("output")).map_err(|e| e.to_string())?;
        let child = Command::new("chroot")
            .arg(&root)
            .args(["/usr/sbin/smtpd", "-d"])
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(|e| e.to_string())?)
            .stderr(out)
            .spawn()
            .map_err(|e| format!("chroot: {e}"))?;
        let mut server = OpenSmtpd { port, home, child };
        let ended = wait_for("OpenSMTPD listens", || {
            let ended = server.child.try_wait().expect("its state").is_some();
            (ended || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).then_some(ended)
        });
        match ended {
            true => Err(format!("it ended: {}", server.log().trim())),
            false => Ok(server),
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("output")).unwrap_or_default()
    }

    /// How many mails are in anna's mailbox.
    pub fn count(&self) -> usize {
        fs::read_dir(self.mailbox()).map_or(0, Iterator::count)
    }

    fn mailbox(&self) -> PathBuf {
        self.home.path().join("root/home/anna/Maildir/new")
    }

    /// The mails in anna's mailbox in the order of their arrival, read as [`smtp::parse`] does.
    pub fn wait_mails(&self, count: usize) -> Vec<serde_json::Value> {
        let new = self.mailbox();
        let list = || {
            let mut all: Vec<PathBuf> = fs::read_dir(&new).into_iter().flatten().flatten().map(|e| e.path()).collect();
            all.sort_by_key(|p| (fs::metadata(p).and_then(|m| m.modified()).ok(), p.clone()));
            all
        };
        let files = wait_for(&format!("{count} mails are in the mailbox"), || Some(list()).filter(|l| l.len() >= count));
        let copies = self.home.path().join("read");
        fs::create_dir_all(&copies).expect("a folder");
        for (n, file) in files.iter().enumerate() {
            fs::copy(file, copies.join(format!("{}.eml", n + 1))).expect("a copy");
        }
        smtp::parse(&copies, files.len())
    }
}

impl Drop for OpenSmtpd {
    fn drop(&mut self) {
        // Its children end with their parent, which it tells them.
        super::signal(self.child.id(), "TERM");
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- OpenSMTPD\n{}---", self.log());
        }
    }
}

fn furnish(root: &Path, port: u16) -> std::io::Result<()> {
    for folder in ["var/run", "var/mail", "var/spool/smtpd", "var/lib/opensmtpd/empty", "tmp", "home/anna", "dev", "bin", "etc"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for folder in ["tmp", "var/mail"] {
        fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o1777))?;
    }
    fs::set_permissions(root.join("var/spool/smtpd"), fs::Permissions::from_mode(0o711))?;
    for folder in ["var", "var/spool", "var/spool/smtpd", "var/lib", "var/lib/opensmtpd", "var/lib/opensmtpd/empty"] {
        chown(root.join(folder), Some(0), Some(0))?;
    }
    for (name, major, minor) in [("null", 1, 3), ("zero", 1, 5), ("urandom", 1, 9)] {
        let mut mknod = Command::new("mknod");
        let made = mknod.arg("-m666").arg(root.join("dev").join(name)).args(["c", &format!("{major}"), &format!("{minor}")]).output()?;
        if !made.status.success() {
            return Err(std::io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
    }
    if !root.join("bin/sh").exists() {
        symlink(if root.join("bin/dash").exists() { "dash" } else { "/usr/bin/dash" }, root.join("bin/sh"))?;
    }
    let mut passwd = "root:x:0:0:root:/:/bin/sh\n".to_owned();
    let mut group = "root:x:0:\n".to_owned();
    for (name, id, home) in USERS {
        passwd += &format!("{name}:x:{id}:{id}::{home}:/bin/sh\n");
        group += &format!("{name}:x:{id}:\n");
    }
    chown(root.join("home/anna"), Some(9103), Some(9103))?;
    let listen = format!("listen on 127.0.0.1 port {port} hostname mail.test\n");
    let rules = "action \"deliver\" maildir\nmatch from any for domain \"example.test\" action \"deliver\"\n";
    let files = [
        ("passwd", passwd),
        ("group", group),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n".into()),
        ("hosts", "127.0.0.1 localhost\n".into()),
        ("resolv.conf", String::new()),
        ("mailname", "mail.test\n".into()),
        ("smtpd.conf", format!("{listen}{rules}")),
    ];
    files.into_iter().try_for_each(|(name, text)| fs::write(root.join("etc").join(name), text))
}
