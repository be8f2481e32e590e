//! A mail server to send to: aiosmtpd from PyPI, whose mails the test reads, and which misbehaves as the test says. Mails are
//! read with Python's `email`, another reader than the program's writer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{free_port, peers, wait_for};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/smtp_sink.py");

pub struct MailSink {
    pub port: u16,
    folder: TempDir,
    child: Option<Child>,
}

/// A mail as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// `from`, `to`, `options`, `tls`, `user`, `connection` (counts from 1).
    pub envelope: Value,
    pub bytes: Vec<u8>,
}

impl MailSink {
    /// Plain, without login.
    pub fn start() -> MailSink {
        MailSink::with(json!({}))
    }

    /// See `smtp_sink.py` for the options.
    pub fn with(options: Value) -> MailSink {
        let mut sink = MailSink::create(options);
        sink.launch();
        sink
    }

    /// Not listening yet.
    pub fn create(options: Value) -> MailSink {
        let folder = tempfile::Builder::new().prefix("mails-").tempdir().expect("a temporary folder");
        fs::write(folder.path().join("options.json"), options.to_string()).expect("options.json");
        MailSink { port: free_port(), folder, child: None }
    }

    pub fn launch(&mut self) {
        self.stop();
        let ready = self.folder.path().join("ready");
        let _ = fs::remove_file(&ready);
        let out = fs::File::options().create(true).append(true).open(self.folder.path().join("output")).expect("a file for its output");
        let child = Command::new(peers::aiosmtpd_bin().join("python"))
            .arg(PROGRAM)
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("python");
        self.child = Some(child);
        wait_for("the mail sink listens", || {
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().expect("its state")) {
                panic!("the mail sink ended: {status}\n{}", self.read("output"));
            }
            ready.exists().then_some(())
        });
    }

    /// The process ends and the port is closed; mails and script stay.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// From now on it behaves so; see `smtp_sink.py`.
    pub fn script(&self, script: Value) {
        let path = self.folder.path().join("script.json");
        fs::write(path.with_extension("new"), script.to_string()).expect("script.json");
        fs::rename(path.with_extension("new"), path).expect("script.json");
    }

    /// Waits until it stands at the point that the script's `pause` names.
    pub fn wait_paused(&self) {
        wait_for("the mail sink pauses", || self.folder.path().join("paused").exists().then_some(()));
    }

    /// Goes on, and pauses no more.
    pub fn go_on(&self) {
        self.script(json!({}));
        fs::write(self.folder.path().join("go"), "").expect("go");
        let _ = fs::remove_file(self.folder.path().join("paused"));
    }

    /// A line per connection, command and login that it saw.
    pub fn journal(&self) -> Vec<String> {
        self.read("journal").lines().map(str::to_owned).collect()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    pub fn count(&self) -> usize {
        let entries = fs::read_dir(self.mails()).into_iter().flatten().flatten();
        entries.filter(|e| e.path().extension().is_some_and(|x| x == "json")).count()
    }

    fn mails(&self) -> PathBuf {
        self.folder.path().join("mails")
    }

    /// In the order of their arrival.
    pub fn arrived(&self) -> Vec<Arrived> {
        let read = |n: usize, kind: &str| fs::read(self.mails().join(format!("{n}.{kind}"))).expect("a mail");
        let one = |n| Arrived { envelope: serde_json::from_slice(&read(n, "json")).expect("JSON"), bytes: read(n, "eml") };
        (1..=self.count()).map(one).collect()
    }

    /// Waits for so many mails, and reads them: see [`parse`].
    pub fn wait_mails(&self, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} mails arrive"), || (self.count() >= count).then_some(()));
        parse(&self.mails(), self.count())
    }
}

impl Drop for MailSink {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- the mail sink\n{}{}---", self.read("output"), self.read("journal"));
        }
    }
}

/// Reads `1.eml` to `COUNT.eml` in a folder as Python's `email` understands them: `headers` (name in small letters to a list of
/// decoded values), `text`, `html`, `attachments` (`name`, `type`, `content` in base64), `defects`, and the envelope beside.
pub fn parse(folder: &Path, count: usize) -> Vec<Value> {
    let output = Command::new("python3").args(["-c", READER]).arg(folder).arg(count.to_string()).output().expect("the tests need python3");
    assert!(output.status.success(), "reading mails: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON of the reader")
}

const READER: &str = r#"
import base64, email, email.policy, json, os, sys
def read(folder, n):
    with open(os.path.join(folder, f"{n}.eml"), "rb") as f:
        m = email.message_from_binary_file(f, policy=email.policy.default)
    headers = {}
    for name, value in m.items():
        headers.setdefault(name.lower(), []).append(str(value))
    part = lambda kind: (lambda p: p and p.get_content())(m.get_body((kind,)))
    files = [{"name": a.get_filename(), "type": a.get_content_type(), "content": base64.b64encode(a.get_payload(decode=True)).decode()}
             for a in m.iter_attachments()]
    defects = [str(d) for p in m.walk() for d in p.defects]
    addresses = lambda name: [[a.display_name, a.addr_spec] for h in m.get_all(name, []) for a in h.addresses]
    about = {}
    try:
        with open(os.path.join(folder, f"{n}.json")) as f:
            about = json.load(f)
    except FileNotFoundError:
        pass
    return {"headers": headers, "text": part("plain"), "html": part("html"), "attachments": files, "defects": defects,
            "envelope": about, "to": addresses("to"), "cc": addresses("cc"), "from": addresses("from")}
# A header that came as bytes, as SMTPUTF8 allows.
def text(value):
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {k: text(v) for k, v in value.items()}
    return [text(v) for v in value] if isinstance(value, list) else value
print(json.dumps([text(read(sys.argv[1], n)) for n in range(1, int(sys.argv[2]) + 1)]))
"#;
