//! Secrets that programs print: `pass`, and any command. Each runs in a group of its own, for a limited time, and what it
//! prints is limited too.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::files::text;
use super::source::{Answer, LARGEST};
use crate::base::Secret;
use crate::base::duration::human;

const PASS_TIMEOUT: Duration = Duration::from_secs(30);
/// Of complaints.
const SHOWN: usize = 300;

/// A name that is an argument and no option, and no way out of a store.
fn argument(name: &str) -> Result<(), String> {
    match name {
        _ if name.starts_with('-') => Err("a name that begins with '-' would be an option".into()),
        _ if name.starts_with('/') || name.split('/').any(|part| part == "..") => Err("such a name leads out of the store".into()),
        _ => Ok(()),
    }
}

pub(super) async fn ask_pass(folder: &Path, passphrase: Option<&Secret>, dirname: Option<&Path>, name: &str) -> Answer {
    if let Err(why) = argument(name) {
        return Ok(Err(why));
    }
    let mut command = Command::new("pass");
    command.arg(name);
    if let Some(dirname) = dirname {
        command.env("PASSWORD_STORE_DIR", folder.join(dirname));
    }
    if let Some(passphrase) = passphrase {
        // The program splits its options at blanks; there is no way to quote them.
        if passphrase.reveal().contains(char::is_whitespace) {
            return Err("'gpgPassphrase' must not hold blanks: pass can't hand them on".into());
        }
        command.env("PASSWORD_STORE_GPG_OPTS", format!("--batch --pinentry-mode loopback --passphrase {}", passphrase.reveal()));
    }
    let ran = run("pass", command, folder, PASS_TIMEOUT).await?;
    if ran.complaint.contains("is not in the password store") {
        return Ok(Err(format!("'{name}' is not in the password store")));
    }
    let secret = ran.output("pass", false)?;
    Ok(Ok(Secret::new(secret.reveal().lines().next().unwrap_or_default())))
}

pub(super) async fn ask_command(folder: &Path, words: &[String], timeout: Duration, strip: bool, name: &str) -> Answer {
    if let Err(why) = argument(name) {
        return Ok(Err(why));
    }
    let Some((program, words)) = words.split_first() else { return Err("the command is empty".into()) };
    let mut command = Command::new(program);
    command.args(words.iter().map(|word| word.replace("%(name)s", name)));
    let secret = run(program, command, folder, timeout).await?.output(program, strip)?;
    if secret.reveal().is_empty() {
        return Ok(Err(format!("{program} printed nothing")));
    }
    Ok(Ok(secret))
}

struct Ran {
    code: Option<i32>,
    out: Vec<u8>,
    complaint: String,
}

impl Ran {
    /// The last line end is no part of a secret, with or without `strip`.
    fn output(mut self, program: &str, strip: bool) -> Result<Secret, String> {
        if self.code != Some(0) {
            let how = self.code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("ended with {code}"));
            let complaint = self.complaint.trim();
            let why = if complaint.is_empty() { String::new() } else { format!(": {}", complaint.chars().take(SHOWN).collect::<String>()) };
            return Err(format!("{program} {how}{why}"));
        }
        if self.out.ends_with(b"\n") {
            self.out.pop();
        }
        text(self.out, strip).map_err(|why| format!("what {program} printed: {why}"))
    }
}

async fn run(program: &str, mut command: Command, folder: &Path, timeout: Duration) -> Result<Ran, String> {
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| format!("{program} can't be started: {e}"))?;
    let group = Group(child.id());
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else { return Err(format!("{program} has no output")) };
    let all = async {
        let (out, err) = tokio::join!(limited(out, LARGEST + 2), limited(err, 4096));
        let status = child.wait().await;
        Ok::<_, std::io::Error>((out?, err?, status?))
    };
    let ran = tokio::time::timeout(timeout, all).await;
    drop(group);
    let (out, err, status) = ran
        .map_err(|_| format!("{program} did not end within {}", human(timeout)))?
        .map_err(|e| format!("the output of {program} can't be read: {e}"))?;
    Ok(Ran { code: status.code(), out, complaint: String::from_utf8_lossy(&err).into_owned() })
}

/// The beginning; the rest is read and dropped, so that the program can end.
async fn limited(mut from: impl AsyncRead + Unpin, most: usize) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    (&mut from).take(most as u64).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// Whatever a program started ends with it.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // Mostly there is nobody left.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    async fn sh(script: &str, name: &str) -> Answer {
        let words = ["sh", "-c", script, "sh", "%(name)s"].map(str::to_owned);
        ask_command(Path::new("/"), &words, Duration::from_secs(5), false, name).await
    }

    #[tokio::test]
    async fn what_a_command_prints_is_the_secret() {
        assert_eq!(sh("echo \"the $1\"", "db").await.unwrap().unwrap().reveal(), "the db");
        assert_eq!(sh("echo '  x '; echo", "db").await.unwrap().unwrap().reveal(), "  x \n");
        assert_eq!(sh("true", "db").await.unwrap().unwrap_err(), "sh printed nothing");
        assert_eq!(sh("echo seen; echo no such thing >&2; exit 3", "db").await.unwrap_err(), "sh ended with 3: no such thing");
        assert_eq!(sh("kill -9 $$", "db").await.unwrap_err(), "sh was ended by a signal");
        assert!(sh("yes | head -c 1000000", "db").await.unwrap_err().contains("larger than 64 KiB"));
        let none = ask_command(Path::new("/"), &["/no/program".into(), "%(name)s".into()], PASS_TIMEOUT, true, "x").await.unwrap_err();
        assert!(none.starts_with("/no/program can't be started: "), "{none}");
    }

    #[tokio::test]
    async fn a_name_is_never_an_option_nor_a_way_out() {
        for name in ["-n", "--help", "/etc/passwd", "a/../../b", ".."] {
            assert!(sh("echo reached", name).await.unwrap().is_err(), "{name}");
            assert!(ask_pass(Path::new("/"), None, None, name).await.unwrap().is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let words = ["sh", "-c", "sleep 600 & echo $! > pid; echo \"$1\"; wait", "sh", "%(name)s"].map(str::to_owned);
        let why = ask_command(dir.path(), &words, Duration::from_millis(500), true, "x").await.unwrap_err();
        assert!(why.starts_with("sh did not end within "), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(30));
        let pid: i32 = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
        for _ in 0..100 {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the child of the command lives");
    }
}
