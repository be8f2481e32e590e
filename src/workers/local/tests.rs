//! The local worker against real processes: each argument, each ending, and what must not outlive a command.
//! Nothing here waits for a fixed time to see a success.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::wire::EnvArg;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Desk {
    link: Arc<LocalLink>,
    dir: TempDir,
}

/// All that came of one command.
#[derive(Default, Debug)]
struct Seen {
    updates: Vec<Update>,
    end: Option<CommandEnd>,
}

impl Desk {
    async fn new() -> Desk {
        let dir = tempfile::tempdir().expect("folder");
        let link = LocalLink::new(dir.path().to_owned());
        link.set_builders(vec![("b".into(), "bdir".into())]).await.expect("builders");
        Desk { link, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("bdir/build").join(name)
    }

    fn begin(&self, args: ShellArgs) -> RunningCommand {
        let args = ShellArgs { workdir: "build".into(), log_environ: false, ..args };
        self.link.start("b", args.into_command())
    }

    async fn shell(&self, args: ShellArgs) -> Seen {
        all(self.begin(args)).await
    }

    async fn line(&self, line: &str) -> Seen {
        self.shell(line_args(line)).await
    }

    async fn command(&self, name: &str, args: Vec<(&str, Arg)>) -> Seen {
        let args = args.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        all(self.link.start("b", Command { name: name.into(), args })).await
    }
}

fn line_args(line: &str) -> ShellArgs {
    ShellArgs { command: CommandArg::Shell(line.into()), ..ShellArgs::default() }
}

fn words(words: &[&str]) -> CommandArg {
    CommandArg::Words(words.iter().map(|word| (*word).to_owned()).collect())
}

fn text_arg(text: &str) -> Arg {
    Arg::Text(text.into())
}

impl Seen {
    async fn next(&mut self, running: &mut RunningCommand) -> bool {
        let event = tokio::time::timeout(PATIENCE, running.events.recv()).await.expect("an event in time");
        match event {
            Some(CommandEvent::Update(update)) => self.updates.push(update),
            Some(CommandEvent::End(end)) => self.end = Some(end),
            None => return false,
        }
        true
    }

    async fn until(&mut self, running: &mut RunningCommand, wanted: impl Fn(&Update) -> bool) {
        while !self.updates.iter().any(&wanted) {
            assert!(self.next(running).await, "ended too early: {self:?}");
        }
    }

    fn join(&self, pick: impl Fn(&Update) -> Option<&bytes::Bytes>) -> Vec<u8> {
        self.updates.iter().filter_map(pick).flatten().copied().collect()
    }

    fn stdout(&self) -> Vec<u8> {
        self.join(|u| if let Update::Stdout(t) = u { Some(t) } else { None })
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.join(|u| if let Update::Stderr(t) = u { Some(t) } else { None })).expect("text")
    }

    fn header(&self) -> String {
        String::from_utf8(self.join(|u| if let Update::Header(t) = u { Some(t) } else { None })).expect("text")
    }

    fn log(&self, wanted: &str) -> Vec<u8> {
        self.join(|u| if let Update::Log(name, t) = u { Some(t).filter(|_| name == wanted) } else { None })
    }

    fn rc(&self) -> Option<i64> {
        self.updates.iter().rev().find_map(|u| if let Update::Rc(rc) = u { Some(*rc) } else { None })
    }

    fn reason(&self) -> Option<&str> {
        self.updates.iter().find_map(|u| if let Update::FailureReason(r) = u { Some(r.as_str()) } else { None })
    }

    fn elapsed(&self) -> bool {
        self.updates.iter().any(|u| matches!(u, Update::Elapsed(_)))
    }

    fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<&str> = self
            .updates
            .iter()
            .map(|u| match u {
                Update::Stdout(_) => "stdout",
                Update::Stderr(_) => "stderr",
                Update::Header(_) => "header",
                Update::Log(..) => "log",
                Update::Rc(_) => "rc",
                Update::Elapsed(_) => "elapsed",
                Update::FailureReason(_) => "failure_reason",
                Update::Files(_) => "files",
                Update::Stat(_) => "stat",
            })
            .collect();
        kinds.dedup();
        kinds
    }
}

async fn all(mut running: RunningCommand) -> Seen {
    let mut seen = Seen::default();
    while seen.next(&mut running).await {}
    assert!(seen.end.is_some(), "no end");
    seen
}

async fn eventually(what: &str, check: impl Fn() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether the process whose number is in the file is gone (one that only waits to be reaped is).
fn dead(file: &Path) -> bool {
    let Some(pid) = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u32>().ok()) else { return false };
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

#[tokio::test]
async fn a_command_runs_as_on_a_stock_worker() {
    let desk = Desk::new().await;
    let seen = desk.shell(ShellArgs { timeout: Some(60.0), ..line_args("echo out; sleep 0.3; echo err >&2; exit 3") }).await;
    assert_eq!(seen.kinds(), ["header", "stdout", "stderr", "rc", "header", "elapsed"]);
    let expected = format!(
        "echo out; sleep 0.3; echo err >&2; exit 3\n in dir {} (timeout 60 secs)\n watching logfiles {{}}\n argv: b'echo out; sleep 0.3; echo err >&2; exit 3'\n using PTY: False\nelapsedTime=",
        desk.path("").display().to_string().trim_end_matches('/')
    );
    assert!(seen.header().starts_with(&expected), "{}", seen.header());
    assert_eq!((seen.stdout(), seen.stderr().as_str(), seen.rc()), (b"out\n".to_vec(), "err\n", Some(3)));
    assert_eq!(seen.end, Some(CommandEnd::Complete));
}

#[tokio::test]
async fn environment_words_and_stdin_reach_the_program() {
    let desk = Desk::new().await;
    let args = ShellArgs {
        command: words(&["/bin/sh", "-c", "echo \"$0|$A|$B|${HOME-none}|$PWD\"; cat", "it's"]),
        env: vec![
            ("A".into(), EnvArg::Path(vec!["x".into(), "${PATH}".into()])),
            ("B".into(), EnvArg::Set("${NO_SUCH_VARIABLE}b".into())),
            ("HOME".into(), EnvArg::Remove),
        ],
        initial_stdin: Some("given\n".into()),
        ..ShellArgs::default()
    };
    let seen = desk.shell(args).await;
    let path = std::env::var("PATH").expect("PATH");
    let expected = format!("it's|x:{path}|b|none|{}\ngiven\n", desk.path("").display().to_string().trim_end_matches('/'));
    assert_eq!(String::from_utf8(seen.stdout()).expect("text"), expected);
    assert!(seen.header().contains(" writing 6 bytes to stdin\n"));
    assert_eq!(desk.line("cat; echo done").await.stdout(), b"done\n");
}

#[tokio::test]
async fn the_environment_is_shown_and_secrets_are_not() {
    let desk = Desk::new().await;
    let command = CommandArg::Obfuscated(vec![("echo".into(), "echo".into()), ("real".into(), "***".into())]);
    let seen = all(desk.link.start("b", ShellArgs { command, workdir: "build".into(), ..ShellArgs::default() }.into_command())).await;
    assert!(seen.header().contains(" environment:\n") && seen.header().contains("\n  PATH="));
    assert!(seen.header().contains(" argv: [b'echo', b'***']\n") && !seen.header().contains("real"));
    assert_eq!(seen.stdout(), b"real\n");
}

#[tokio::test]
async fn unwanted_streams_are_not_sent() {
    let desk = Desk::new().await;
    let seen = desk.shell(ShellArgs { want_stdout: false, ..line_args("echo out; echo err >&2") }).await;
    assert_eq!((seen.stdout(), seen.stderr().as_str()), (Vec::new(), "err\n"));
    let seen = desk.shell(ShellArgs { want_stderr: false, ..line_args("echo out; echo err >&2") }).await;
    assert_eq!((seen.stdout(), seen.stderr().as_str()), (b"out\n".to_vec(), ""));
}

#[tokio::test]
async fn output_keeps_its_bytes_and_loses_its_line_ends() {
    let desk = Desk::new().await;
    let seen = desk.line(r"printf '\377\376x\r\n50%%\r100%%\nno end'").await;
    assert_eq!(seen.stdout(), b"\xff\xfex\n50%\n100%\nno end\n");
    assert_eq!(seen.kinds().last(), Some(&"stdout"), "an unfinished line comes last");
}

#[tokio::test]
async fn five_megabytes_arrive_whole_in_few_updates() {
    let desk = Desk::new().await;
    let mut running = desk.begin(line_args("seq 1 750000"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut seen = Seen::default();
    while seen.next(&mut running).await {}
    let expected: String = (1..=750_000).map(|n| format!("{n}\n")).collect();
    assert!(seen.stdout() == expected.as_bytes(), "{} of {} bytes", seen.stdout().len(), expected.len());
    let texts = seen.updates.iter().filter(|u| matches!(u, Update::Stdout(_))).count();
    assert!(texts < 1000, "{texts} updates");
    assert!(seen.updates.iter().all(|u| !matches!(u, Update::Stdout(t) if t.last() != Some(&b'\n'))));
}

#[tokio::test]
async fn output_comes_before_the_end() {
    let desk = Desk::new().await;
    let mut running = desk.begin(line_args("echo early; while [ ! -e go ]; do sleep 0.05; done"));
    let mut seen = Seen::default();
    seen.until(&mut running, |u| matches!(u, Update::Stdout(t) if t == "early\n")).await;
    std::fs::write(desk.path("go"), "").expect("file");
    while seen.next(&mut running).await {}
    assert_eq!(seen.rc(), Some(0));
}

#[tokio::test]
async fn silence_and_time_are_limited() {
    let desk = Desk::new().await;
    let seen = desk.shell(ShellArgs { timeout: Some(0.5), ..line_args("echo a; sleep 100") }).await;
    assert_eq!(seen.kinds(), ["header", "stdout", "failure_reason", "header", "rc", "header", "elapsed"]);
    assert_eq!((seen.reason(), seen.rc()), (Some("timeout_without_output"), Some(-1)));
    let text =
        "\ncommand timed out: 0.5 seconds without output running b'echo a; sleep 100', attempting to kill\nprocess killed by signal 9\n";
    assert!(seen.header().contains(text), "{}", seen.header());

    let args = ShellArgs { max_time: Some(1.0), sigterm_time: Some(20.0), ..line_args("while sleep 0.1; do echo b; done") };
    let seen = desk.shell(args).await;
    assert_eq!((seen.reason(), seen.rc(), seen.elapsed()), (Some("timeout"), Some(-1), true));
    let text = "\ncommand timed out: 1 seconds elapsed running b'while sleep 0.1; do echo b; done', attempting to kill\nprocess killed by signal 15\n";
    assert!(seen.header().contains(text), "{}", seen.header());

    let seen = desk.shell(ShellArgs { timeout: Some(0.0), max_time: Some(0.0), ..line_args("sleep 0.2; echo c") }).await;
    assert_eq!((seen.reason(), seen.rc()), (None, Some(0)));
}

#[tokio::test]
async fn absurd_limits_are_no_limits() {
    let desk = Desk::new().await;
    for number in [1e300, f64::MAX, 1e18, -1.0] {
        let limit = Some(number);
        let args =
            ShellArgs { timeout: limit, max_time: limit, sigterm_time: limit, max_lines: Some(i64::MAX), ..line_args("kill -TERM $$") };
        let mut running = desk.begin(args);
        running.interrupt("at once");
        let mut seen = Seen::default();
        while seen.next(&mut running).await {}
        assert_eq!((seen.reason(), seen.rc()), (None, Some(-1)));
    }
}

#[tokio::test]
async fn too_many_lines_end_a_command() {
    let desk = Desk::new().await;
    let seen = desk.shell(ShellArgs { max_lines: Some(10), ..line_args("seq 1 100; sleep 100") }).await;
    assert_eq!(seen.kinds(), ["header", "failure_reason", "header", "stdout", "header", "rc", "header", "elapsed"]);
    assert_eq!((seen.reason(), seen.rc()), (Some("max_lines_failure"), Some(-1)));
    assert!(
        seen.header().contains("\ncommand exceeds max lines: 100/10 written/allowed running b'seq 1 100; sleep 100', attempting to kill\n")
    );
    assert!(seen.stdout().starts_with(b"1\n2\n"));
    let seen = desk.shell(ShellArgs { max_lines: Some(100), ..line_args("seq 1 100") }).await;
    assert_eq!((seen.reason(), seen.rc()), (None, Some(0)));
}

#[tokio::test]
async fn an_interrupt_kills_the_whole_group() {
    let desk = Desk::new().await;
    let mut running = desk.begin(line_args("sleep 100 & echo $! > grandchild; echo ready; wait"));
    let mut seen = Seen::default();
    seen.until(&mut running, |u| matches!(u, Update::Stdout(_))).await;
    running.interrupt("enough");
    running.interrupt("twice is not different");
    while seen.next(&mut running).await {}
    assert!(
        seen.header().contains("\ncommand interrupted, attempting to kill\nprocess killed by signal 9\nelapsedTime="),
        "{}",
        seen.header()
    );
    assert_eq!((seen.rc(), seen.elapsed(), seen.end.as_ref()), (Some(-1), false, Some(&CommandEnd::Complete)));
    eventually("the grandchild is dead", || dead(&desk.path("grandchild"))).await;
    running.interrupt("nothing runs any more");
}

#[tokio::test]
async fn the_signal_is_the_one_that_was_asked_for() {
    let desk = Desk::new().await;
    for (args, rc) in [
        // Not INT: a shell whose child dies of that may die of it as well.
        (ShellArgs { interrupt_signal: "USR1".into(), ..line_args("trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done") }, 7),
        // An end without complaint is still no success.
        (ShellArgs { sigterm_time: Some(20.0), ..line_args("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done") }, -1),
    ] {
        let mut running = desk.begin(args);
        let mut seen = Seen::default();
        seen.until(&mut running, |u| matches!(u, Update::Stdout(_))).await;
        running.interrupt("stop");
        while seen.next(&mut running).await {}
        assert_eq!(seen.rc(), Some(rc));
    }
    let seen = desk.shell(ShellArgs { interrupt_signal: "NOPE".into(), ..line_args("true") }).await;
    assert_eq!(seen.end, Some(CommandEnd::Failed("'interruptSignal' must be the name of a signal, got 'NOPE'".into())));
}

#[tokio::test]
async fn what_ignores_its_signal_is_killed_in_the_end() {
    let desk = Desk::new().await;
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let patient = ShellArgs { sigterm_time: Some(0.3), ..line_args(stubborn) };
    let five_seconds = ShellArgs { interrupt_signal: "TERM".into(), ..line_args(stubborn) };
    for args in [patient, five_seconds] {
        let mut running = desk.begin(args);
        let mut seen = Seen::default();
        seen.until(&mut running, |u| matches!(u, Update::Stdout(_))).await;
        running.interrupt("stop");
        while seen.next(&mut running).await {}
        assert!(seen.header().contains("process killed by signal 9\n"), "{}", seen.header());
        assert_eq!((seen.rc(), seen.end), (Some(-1), Some(CommandEnd::Complete)));
    }
}

#[tokio::test]
async fn a_grandchild_that_holds_the_output_does_not_hang_the_command() {
    let desk = Desk::new().await;
    let seen = desk.line("sleep 100 & echo $! > grandchild; echo done").await;
    assert_eq!((seen.stdout(), seen.rc()), (b"done\n".to_vec(), Some(0)));
    eventually("the grandchild is dead", || dead(&desk.path("grandchild"))).await;
    // Even if it is out of reach.
    let seen =
        desk.line("setsid sh -c 'echo $$ > outsider; exec sleep 100' & while [ ! -s outsider ]; do sleep 0.02; done; echo done").await;
    assert_eq!((seen.stdout(), seen.rc()), (b"done\n".to_vec(), Some(0)));
    assert!(!dead(&desk.path("outsider")));
    let pid = std::fs::read_to_string(desk.path("outsider")).expect("pid");
    desk.line(&format!("kill {pid}")).await;
}

#[tokio::test]
async fn a_daemon_that_lets_go_of_the_output_lives_on() {
    let desk = Desk::new().await;
    let seen = desk.line("sleep 100 >/dev/null 2>&1 </dev/null & echo $! > daemon").await;
    assert_eq!(seen.rc(), Some(0));
    assert!(!dead(&desk.path("daemon")));
    desk.line("kill $(cat daemon)").await;
}

#[tokio::test]
async fn a_program_that_kills_itself_or_is_missing_fails() {
    let desk = Desk::new().await;
    let seen = desk.line("kill -9 $$").await;
    assert!(seen.header().contains("process killed by signal 9\n"));
    assert_eq!((seen.rc(), seen.elapsed()), (Some(-1), true));
    let seen = desk.shell(ShellArgs { command: words(&["/no/such/program"]), ..ShellArgs::default() }).await;
    assert_eq!((seen.stderr().as_str(), seen.rc()), ("cannot run '/no/such/program': No such file or directory\n", Some(1)));
    assert_eq!(seen.kinds(), ["header", "stderr", "rc", "header", "elapsed"]);
    let seen = desk.shell(ShellArgs { command: words(&["x\0y"]), ..ShellArgs::default() }).await;
    assert_eq!((seen.rc(), seen.end), (Some(1), Some(CommandEnd::Complete)));
}

#[tokio::test]
async fn a_workdir_that_cannot_be_made_fails_the_worker() {
    let desk = Desk::new().await;
    std::fs::write(desk.dir.path().join("bdir/build"), "a file").expect("file");
    let seen = desk.line("true").await;
    assert_eq!((seen.kinds(), seen.rc()), (vec!["stderr", "elapsed"], None));
    assert!(matches!(seen.end, Some(CommandEnd::Failed(why)) if why.contains("cannot create the folder")));
}

#[tokio::test]
async fn watched_files_are_sent() {
    let desk = Desk::new().await;
    std::fs::create_dir_all(desk.path("")).expect("folder");
    std::fs::write(desk.path("fol.log"), "old\n").expect("file");
    let args = ShellArgs {
        logfiles: vec![("mine".into(), "my.log".into(), false), ("fol".into(), "fol.log".into(), true)],
        ..line_args("echo l1 >> my.log; echo new >> fol.log; while [ ! -e go ]; do sleep 0.05; done; printf 'l2 no end' >> my.log")
    };
    let mut running = desk.begin(args);
    let mut seen = Seen::default();
    seen.until(&mut running, |u| matches!(u, Update::Log(name, t) if name == "fol" && t == "new\n")).await;
    std::fs::write(desk.path("go"), "").expect("file");
    while seen.next(&mut running).await {}
    assert_eq!((seen.log("mine"), seen.log("fol")), (b"l1\nl2 no end\n".to_vec(), b"new\n".to_vec()));
    assert_eq!(seen.kinds().last(), Some(&"log"));
}

#[tokio::test]
async fn a_terminal_is_given_if_wanted() {
    let desk = Desk::new().await;
    let args = ShellArgs {
        use_pty: true,
        initial_stdin: Some("typed\n".into()),
        ..line_args("stty -echo; tty -s && echo terminal; cat; echo bye >&2")
    };
    let seen = desk.shell(args).await;
    let stdout = String::from_utf8(seen.stdout()).expect("text");
    assert!(seen.header().contains(" using PTY: True\n"));
    assert!(stdout.contains("terminal\n") && stdout.contains("typed\n") && stdout.ends_with("bye\n"), "{stdout:?}");
    assert_eq!(seen.rc(), Some(0));
    let mut running = desk.begin(ShellArgs { use_pty: true, ..line_args("echo ready; sleep 100") });
    let mut seen = Seen::default();
    seen.until(&mut running, |u| matches!(u, Update::Stdout(_))).await;
    running.interrupt("stop");
    while seen.next(&mut running).await {}
    assert_eq!(seen.rc(), Some(-1));
}

#[tokio::test]
async fn an_interrupt_works_while_nobody_reads() {
    let desk = Desk::new().await;
    let mut running = desk.begin(line_args("echo $$ > pid; exec yes"));
    eventually("it runs", || desk.path("pid").metadata().is_ok_and(|m| m.len() > 0)).await;
    running.interrupt("stop");
    eventually("it is dead", || dead(&desk.path("pid"))).await;
    let mut seen = Seen::default();
    while seen.next(&mut running).await {}
    assert_eq!(seen.rc(), Some(-1));
}

#[tokio::test]
async fn a_line_that_is_cut_kills_everything() {
    for way in ["disconnect", "drop", "builder"] {
        let desk = Desk::new().await;
        let pid = desk.path("pid");
        let mut running = desk.begin(line_args("sleep 100 & echo $! > pid; wait"));
        eventually("it runs", || pid.metadata().is_ok_and(|m| m.len() > 0)).await;
        let Desk { link, dir } = desk;
        let mut kept = Some(link);
        match way {
            "disconnect" => kept.as_ref().expect("link").disconnect("going away"),
            "drop" => kept = None,
            _ => kept.as_ref().expect("link").set_builders(vec![("other".into(), "o".into())]).await.expect("builders"),
        }
        let mut seen = Seen::default();
        while seen.next(&mut running).await {}
        let why = match way {
            "disconnect" => "going away",
            "drop" => "the local worker is gone",
            _ => "the builder was taken from the worker",
        };
        assert_eq!(seen.end, Some(CommandEnd::Lost(why.into())));
        eventually("the grandchild is dead", || dead(&pid)).await;
        if way == "disconnect" {
            let link = kept.take().expect("link");
            assert_eq!(link.closed().await, "going away");
            assert_eq!(link.ping(Duration::from_secs(1)).await, Err("going away".into()));
            let seen = all(link.start("b", line_args("true").into_command())).await;
            assert_eq!(seen.end, Some(CommandEnd::Lost("going away".into())));
        }
        drop(dir);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let desk = Desk::new().await;
    let refused = |text: &str| Some(CommandEnd::Refused(text.into()));
    assert_eq!(desk.command("uploadFile", vec![]).await.end, refused("unknown command 'uploadFile'"));
    assert_eq!(desk.command("shell", vec![("workdir", text_arg("build"))]).await.end, refused("missing args: command"));
    assert_eq!(desk.command("cpdir", vec![]).await.end, refused("missing args: fromdir, todir"));
    let seen = all(desk.link.start("nobody", line_args("true").into_command())).await;
    assert_eq!((seen.updates.len(), seen.end), (0, refused("unknown builder 'nobody'")));
    let env = Arg::Map(vec![("A".into(), Arg::Int(5))]);
    let seen = desk.command("shell", vec![("workdir", text_arg("")), ("command", text_arg("true")), ("env", env)]).await;
    let wrong = "'env' values must be strings or lists; key 'A' is incorrect";
    assert_eq!((seen.kinds(), seen.end), (vec!["elapsed"], Some(CommandEnd::Failed(wrong.into()))));
}

#[tokio::test]
async fn files_are_made_found_and_removed() {
    let desk = Desk::new().await;
    let seen = desk.command("mkdir", vec![("dir", text_arg("build/new/inner"))]).await;
    assert_eq!((seen.kinds(), seen.rc(), seen.end), (vec!["rc", "elapsed"], Some(0), Some(CommandEnd::Complete)));
    std::fs::write(desk.path("new/f.txt"), "hi\n").expect("file");

    let seen = desk.command("stat", vec![("file", text_arg("new/f.txt")), ("workdir", text_arg("build"))]).await;
    assert_eq!(seen.kinds(), ["stat", "rc", "elapsed"]);
    assert!(
        matches!(&seen.updates[0], Update::Stat(numbers) if numbers.len() == 10 && numbers[6] == 3 && numbers[0] & 0o170_000 == 0o100_000)
    );
    let seen = desk.command("stat", vec![("file", text_arg("build/nope"))]).await;
    assert_eq!((seen.kinds(), seen.rc()), (vec!["rc", "elapsed", "header"], Some(2)));
    assert_eq!(seen.header(), format!("stat: No such file or directory: {}\n", desk.path("nope").display()));

    let names = |names: &[&str]| Update::Files(names.iter().map(|name| (*name).to_owned()).collect());
    let seen = desk.command("glob", vec![("path", text_arg("build/new/*"))]).await;
    let paths = ["new/f.txt", "new/inner"].map(|name| desk.path(name).display().to_string());
    assert_eq!(seen.updates[0], names(&[&paths[0], &paths[1]]));
    assert_eq!(desk.command("glob", vec![("path", text_arg("nope*"))]).await.updates[0], names(&[]));
    assert_eq!(desk.command("listdir", vec![("dir", text_arg("build"))]).await.updates[0], names(&["new"]));
    assert_eq!(desk.command("listdir", vec![("dir", text_arg("build/new/f.txt"))]).await.rc(), Some(20));

    let seen = desk.command("cpdir", vec![("fromdir", text_arg("build/new")), ("todir", text_arg("build/copy"))]).await;
    assert_eq!((seen.kinds(), seen.rc()), (vec!["header", "stdout", "header", "rc", "elapsed"], Some(0)));
    assert!(seen.header().contains(" (timeout 120 secs)\n") && desk.path("copy/f.txt").exists());
    assert_ne!(desk.command("cpdir", vec![("fromdir", text_arg("nope")), ("todir", text_arg("x"))]).await.rc(), Some(0));

    assert_eq!(desk.command("rmfile", vec![("path", text_arg("build/new/f.txt"))]).await.rc(), Some(0));
    let seen = desk.command("rmfile", vec![("path", text_arg("build/new/f.txt"))]).await;
    assert_eq!((seen.rc(), seen.header().starts_with("rmfile: No such file or directory: ")), (Some(2), true));

    let dirs = Arg::List(vec![text_arg("build/new"), text_arg("build/copy"), text_arg("build/missing")]);
    let seen = desk.command("rmdir", vec![("dir", dirs), ("logEnviron", Arg::Bool(false))]).await;
    assert_eq!((seen.kinds(), seen.rc()), (vec!["header", "rc", "elapsed"], Some(0)));
    assert!(!desk.path("new").exists() && !desk.path("copy").exists());
    assert!(!seen.header().contains("environment:"));
}

#[tokio::test]
async fn the_worker_introduces_itself() {
    let desk = Desk::new().await;
    let info = desk.link.info();
    assert_eq!((info.system.as_str(), info.commands.get("shell").map(String::as_str)), ("posix", Some("3.3")));
    assert_eq!(info.basedir, desk.dir.path().display().to_string());
    assert!(info.numcpus.is_some_and(|n| n > 0) && info.environ.contains_key("PATH"));
    assert!(desk.dir.path().join("bdir").is_dir());
    assert_eq!(desk.link.ping(Duration::from_secs(1)).await, Ok(()));
    let facts = os_facts("NAME=\"Some Linux\"\n# a comment=x\nVERSION_ID=12\n");
    let expected = [("os_name", "Some Linux"), ("os_version_id", "12")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(facts, expected.into());
}
