//! Processes of this machine as its kernel tells them: which one is it, does it still run, which have a mark in their environment. A
//! process is told from a later one of the same number by the moment of its start, so that nobody signals a stranger.
//!
//! Programs that must not outlive who started them carry the mark [`OWNER`]: after a crash whoever comes next in that folder finds them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};

/// The variable that says who started a program, and in which folder it was at work. Who sets it to something else, or takes it out of a
/// program's environment, lets that program live on.
pub const OWNER: &str = "BUILDMOON_OWNER";

/// Of one process's environment; what comes after it is not looked at.
const LARGEST_ENVIRONMENT: u64 = 1 << 20;

/// What tells a process from every other one, earlier and later.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Known {
    pub pid: i32,
    /// The machine's start and the moment after it.
    pub started: String,
}

impl Known {
    /// What the number stands for now, also one that has ended and that nobody has asked for yet.
    pub fn of(pid: i32) -> Option<Known> {
        Some(Known { pid, started: Stat::of(pid)?.started(&boot()) })
    }

    pub fn lives(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| !stat.ended && stat.started(&boot()) == self.started)
    }

    /// It, and its whole group where it leads one. Was there somebody to signal?
    pub fn signal(&self, signal: Signal) -> Result<bool, String> {
        if !self.lives() {
            return Ok(false);
        }
        let pid = Pid::from_raw(self.pid);
        let sent = if getpgid(Some(pid)) == Ok(pid) { killpg(pid, signal) } else { kill(pid, signal) };
        match sent {
            Ok(()) => Ok(true),
            Err(nix::errno::Errno::ESRCH) => Ok(false),
            Err(e) => Err(format!("process {} can't be signalled: {e}", self.pid)),
        }
    }
}

/// Differs after every start of the machine, so that a number and a moment of before mean nothing.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().chars().filter(|c| *c != '-').take(12).collect()
}

/// A line of `/proc/PID/stat`.
struct Stat {
    parent: i32,
    /// Nobody asked for its status yet.
    ended: bool,
    ticks: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Stat> {
        // The name before it may hold anything, parentheses and spaces too.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Stat {
            ended: matches!(*fields.first()?, "Z" | "X" | "x"),
            parent: fields.get(1)?.parse().ok()?,
            ticks: fields.get(19)?.parse().ok()?,
        })
    }

    fn started(&self, boot: &str) -> String {
        format!("{boot}-{}", self.ticks)
    }
}

/// A process with marks.
#[derive(Debug)]
pub struct Found {
    pub known: Known,
    pub parent: i32,
    /// The marks that were looked for, and nothing else of its environment.
    pub env: BTreeMap<OsString, Vec<u8>>,
}

/// A variable and its value, or any.
pub type Mark = (OsString, Option<Vec<u8>>);

/// Those that have all the marks, by number. Processes of others can't be looked into, unless one is root; they are left out.
pub fn find(marks: &[Mark]) -> Result<Vec<Found>, String> {
    let boot = boot();
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").map_err(|e| format!("/proc can't be read: {e}"))? {
        let Some(pid) = entry.ok().and_then(|e| e.file_name().to_str()?.parse::<i32>().ok()) else { continue };
        let Some(env) = environment(pid, marks) else { continue };
        // It may have ended meanwhile.
        let Some(stat) = Stat::of(pid).filter(|stat| !stat.ended) else { continue };
        all.push(Found { known: Known { pid, started: stat.started(&boot) }, parent: stat.parent, env });
    }
    all.sort_by_key(|found| found.known.pid);
    Ok(all)
}

/// The marked variables of a process that has them all.
fn environment(pid: i32, marks: &[Mark]) -> Option<BTreeMap<OsString, Vec<u8>>> {
    let mut text = Vec::new();
    fs::File::open(format!("/proc/{pid}/environ")).ok()?.take(LARGEST_ENVIRONMENT).read_to_end(&mut text).ok()?;
    marked(&text, marks)
}

fn marked(text: &[u8], marks: &[Mark]) -> Option<BTreeMap<OsString, Vec<u8>>> {
    let find = |(name, wanted): &Mark| {
        let mut variables = text.split(|b| *b == 0);
        let value = variables.find_map(|v| v.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        let fits = wanted.as_ref().is_none_or(|wanted| wanted == value);
        fits.then(|| (name.clone(), value.to_vec()))
    };
    marks.iter().map(find).collect()
}

/// The value of [`OWNER`] for what this process starts while it is at work in a folder: its number, its start, the folder. None where the
/// kernel tells too little.
pub fn owned_in(folder: &Path) -> Option<OsString> {
    let Known { pid, started } = Known::of(i32::try_from(std::process::id()).ok()?)?;
    let mut mark = OsString::from(format!("{pid} {started} "));
    mark.push(place(folder)?);
    Some(mark)
}

/// A folder as no other has it: one that was moved, or made anew, is another.
fn place(folder: &Path) -> Option<OsString> {
    let folder = folder.canonicalize().ok()?;
    let meta = fs::metadata(&folder).ok()?;
    let mut place = OsString::from(format!("{}-{} ", meta.dev(), meta.ino()));
    place.push(folder);
    Some(place)
}

/// What a mark says: who started the program, and where.
fn owner(mark: &[u8]) -> Option<(Known, OsString)> {
    let mut parts = mark.splitn(3, |b| *b == b' ');
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let known = Known { pid: text()?.parse().ok()?, started: text()?.to_owned() };
    Some((known, OsString::from_vec(parts.next()?.to_vec())))
}

/// Programs that were started in a folder by processes that do not live any more. Those of another pid namespace are left out: there the
/// numbers mean other processes.
pub fn left_behind(folder: &Path) -> Result<Vec<Known>, String> {
    let Some(place) = place(folder) else { return Ok(Vec::new()) };
    let namespace = |pid: &dyn std::fmt::Display| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(own) = namespace(&"self") else { return Ok(Vec::new()) };
    let abandoned = |found: &Found| {
        let mark = found.env.get(OsStr::new(OWNER)).and_then(|mark| owner(mark));
        mark.is_some_and(|(owner, of)| of == place && !owner.lives()) && namespace(&found.known.pid).as_ref() == Some(&own)
    };
    Ok(find(&[(OWNER.into(), None)])?.into_iter().filter(abandoned).map(|found| found.known).collect())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_of_its_number() {
        let own = Known::of(std::process::id() as i32).unwrap();
        assert!(own.lives());
        assert!(!Known { started: "before-1".into(), ..own.clone() }.lives());
        assert!(!Known { started: "before-1".into(), ..own }.signal(Signal::SIGKILL).unwrap(), "this test would have ended");
    }

    #[test]
    fn a_name_may_hold_anything() {
        let line = "77 (a) Z 9 (b)) S 5 77 77 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 123456 10 5 184467";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.ended, stat.ticks), (5, false, 123_456));
        assert!(Stat::parse(&line.replace(") S", ") Z")).unwrap().ended);
        assert!(Stat::parse("77 (x) S 5").is_none());
    }

    #[test]
    fn marks_are_whole_names_and_whole_values() {
        let mark = |name: &str, value: Option<&str>| (OsString::from(name), value.map(|v| v.as_bytes().to_vec()));
        let text = b"XMARK=no\0MARK=a=b\0OTHER=\0";
        assert_eq!(marked(text, &[mark("MARK", Some("a=b"))]).unwrap()[&OsString::from("MARK")], b"a=b");
        assert!(marked(text, &[mark("MARK", None), mark("OTHER", Some(""))]).is_some());
        for (name, value) in [("MARK", Some("a")), ("MAR", None), ("NONE", None)] {
            assert!(marked(text, &[mark("OTHER", None), mark(name, value)]).is_none(), "{name}");
        }
    }

    /// A program of its own, killed at the end.
    struct Program(Child);

    impl Program {
        fn start(mark: &OsStr) -> Program {
            Program(Command::new("sleep").arg("600").env(OWNER, mark).spawn().expect("sleep"))
        }

        fn pid(&self) -> i32 {
            self.0.id() as i32
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn only_what_a_dead_owner_left_in_that_folder_is_found() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dead = |folder: &Path| {
            let mut mark = OsString::from(format!("{} before-1 ", std::process::id()));
            mark.push(place(folder).unwrap());
            mark
        };
        let left = Program::start(&dead(folder.path()));
        let others = Program::start(&dead(other.path()));
        let owned = Program::start(&owned_in(folder.path()).unwrap());
        let odd = Program::start(OsStr::new("nonsense"));
        let found: Vec<i32> = left_behind(&folder.path().join(".")).unwrap().iter().map(|known| known.pid).collect();
        assert_eq!(found, [left.pid()], "of {}, {} and {}", others.pid(), owned.pid(), odd.pid());
    }
}
