//! Stock `buildbot-worker` packages, unmodified from PyPI, each version in a virtual environment of its own below
//! `target/peers/`. Installed once, by whichever test comes first; several test programs at a time wait for each other.
//! Where that can't be done the test fails and says what is missing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The releases whose workers are tested: one of each major version in use.
pub const VERSIONS: [&str; 3] = ["2.10.5", "3.11.9", "4.3.0"];

/// Pinned, so that a new release elsewhere can't turn a test red. `setuptools` is what 2.10.5 looks versions up with;
/// Python 3.12 and later do not bring it.
const WITH: [&str; 2] = ["twisted==26.10.0", "setuptools<81"];

pub fn root() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).join("peers")
}

/// The `bin` folder of the environment with that version of `buildbot-worker`.
pub fn worker_bin(version: &str) -> PathBuf {
    let packages: Vec<String> = std::iter::once(format!("buildbot-worker=={version}")).chain(WITH.map(str::to_owned)).collect();
    environment(&format!("buildbot-worker-{version}"), &packages, "buildbot-worker")
}

/// The `bin` folder of the environment with moto's EC2 server.
pub fn moto_bin() -> PathBuf {
    environment("moto", &["moto[server,ec2]==5.2.5".to_owned()], "moto_server")
}

/// The `bin` folder of the environment with aiosmtpd.
pub fn aiosmtpd_bin() -> PathBuf {
    environment("aiosmtpd", &["aiosmtpd==1.4.6".to_owned()], "aiosmtpd")
}

/// An environment with these packages, whose `program` shows its version.
fn environment(name: &str, packages: &[String], program: &str) -> PathBuf {
    let home = root().join(name);
    let stamp = home.join("installed");
    let wanted = packages.join(" ");
    let current = || fs::read_to_string(&stamp).is_ok_and(|text| text == wanted);
    if !current() {
        fs::create_dir_all(root()).unwrap_or_else(|e| panic!("cannot make {}: {e}", root().display()));
        let lock_path = root().join(format!("{name}.lock"));
        let lock = File::create(&lock_path).unwrap_or_else(|e| panic!("cannot make {}: {e}", lock_path.display()));
        lock.lock().unwrap_or_else(|e| panic!("cannot lock {}: {e}", lock_path.display()));
        if !current() {
            install(name, &home, packages, program);
            fs::write(&stamp, &wanted).unwrap_or_else(|e| panic!("cannot write {}: {e}", stamp.display()));
        }
    }
    home.join("bin")
}

fn install(name: &str, home: &Path, packages: &[String], program: &str) {
    let _ = fs::remove_dir_all(home);
    run(
        name,
        Command::new("python3").args(["-m", "venv"]).arg(home),
        "a Python 3.9 or later with its venv module (Debian, Ubuntu: apt-get install python3-venv)",
    );
    run(
        name,
        Command::new(home.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", "--no-input"]).args(packages),
        "access to PyPI, or to the index that PIP_INDEX_URL names",
    );
    run(name, Command::new(home.join("bin").join(program)).arg("--help"), "a program that starts on this Python");
}

fn run(name: &str, command: &mut Command, needs: &str) {
    let fail =
        |what: String| -> ! { panic!("the tests need {name}, and it can't be installed.\n  missing: {needs}\n  {command:?}\n  {what}") };
    match Command::new(command.get_program()).args(command.get_args()).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            fail(format!("{}: {}", output.status, String::from_utf8_lossy(&text).trim()))
        }
        Err(e) => fail(e.to_string()),
    }
}
