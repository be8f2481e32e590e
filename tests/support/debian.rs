//! Programs of Debian packages, fetched and unpacked below `target/peers/` without being installed. Where they can't be had, that is told
//! and not a failure: a machine without Debian's packages has other tests to run.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::peers;

/// A folder with the files of these packages below it, or why there is none.
pub fn unpacked(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let home = peers::root().join(name);
    let stamp = home.join("unpacked");
    let wanted = packages.join(" ");
    let current = || fs::read_to_string(&stamp).is_ok_and(|text| text == wanted);
    if current() {
        return Ok(home);
    }
    fs::create_dir_all(peers::root()).map_err(|e| format!("{}: {e}", peers::root().display()))?;
    let lock = File::create(peers::root().join(format!("{name}.lock"))).map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    if current() {
        return Ok(home);
    }
    let _ = fs::remove_dir_all(&home);
    let archives = home.join("archives");
    fs::create_dir_all(&archives).map_err(|e| format!("{}: {e}", archives.display()))?;
    let download = || run(Command::new("apt-get").arg("download").arg("-q").args(packages).current_dir(&archives));
    if download().is_err() {
        // The lists may be missing or old.
        run(Command::new("apt-get").args(["update", "-q"]))?;
        download()?;
    }
    for entry in fs::read_dir(&archives).map_err(|e| e.to_string())? {
        let archive = entry.map_err(|e| e.to_string())?.path();
        run(Command::new("dpkg").arg("-x").arg(&archive).arg(&home))?;
    }
    fs::remove_dir_all(&archives).map_err(|e| e.to_string())?;
    fs::write(&stamp, &wanted).map_err(|e| e.to_string())?;
    Ok(home)
}

/// One command to its end; what it wrote.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        let said = text(&output.stdout) + &text(&output.stderr);
        let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(format!("{}: {}: {said}", command.get_program().display(), output.status))
    }
}

/// The one line that says what is not tested here, past the capture of a test that succeeds.
pub fn tell(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT TESTED HERE: {what}: {why}");
}

/// A process that ends with the test program, and its folder with it, however that ends: its keeper waits for the end of a pipe.
pub fn kept(command: &str, home: &Path, log: &File) -> Result<std::process::Child, String> {
    let script = format!(
        "exec 3</dev/null; ({command}) <&3 & pid=$!; read line; kill $pid; wait $pid; \
         umount -l {0}/exec/netns/* 2>/dev/null; rm -rf {0}",
        home.display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(std::process::Stdio::piped());
    shell.stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log.try_clone().map_err(|e| e.to_string())?);
    shell.spawn().map_err(|e| e.to_string())
}
