//! `process.start`, `find`, `alive`, `kill`, `stop`: programs that go on, and what becomes of them when their configuration ends.

use super::*;

fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

impl Folder {
    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_talked_to_while_it_runs() {
    see(r#"
        local p = process.start({ "cat" }, { stdin = "pipe", stdout = "pipe" })
        assert(p.pid > 1 and #p.started > 3 and p.stderr == nil and process.alive(p))
        p.stdin:write("one\ntwo\r\nhalf")
        local line = p.stdout:lines()
        assert(line() == "one" and line() == "two" and p.stdout:read() == "half")
        assert(p:wait(0.05) == nil)
        p.stdin:close()
        assert(line() == nil and p:wait().status == 0 and p:wait().status == 0 and not process.alive(p) and p:kill() == false)
        assert(not pcall(function() p.stdin:write("x") end))

        p = process.start("echo out; echo err >&2; exit 3", { stdout = "pipe", stderr = "stdout", env = { A = 1 }, cwd = "." })
        assert(p.stdout:read("a") == "out\nerr\n" and p.stdout:read() == nil and p:wait().status == 3)
        p = process.start("echo out; echo err >&2", { stdout = "out.txt", stderr = "pipe" })
        assert(p.stderr:read("l") == "err" and p.stdout == nil and p:wait().status == 0 and fs.read("out.txt") == "out\n")
        p = process.start("echo more", { stdout = "out.txt" })
        p:wait()
        assert(fs.read("out.txt") == "out\nmore\n", "it is added to")

        p = process.start{ "sleep", 1000 }
        assert(p:kill("KILL") and p:wait().signal == 9 and process.kill(p) == false)
        p = process.start("trap '' TERM; echo ready; while :; do sleep 0.05; done", { stdout = "pipe" })
        assert(p.stdout:read("l") == "ready")
        assert(process.stop(p, 0.2) and p:wait().signal == 9 and process.stop(p) == false)

        -- A reader that gives up loses nothing.
        p = process.start("printf a; sleep 0.5; printf 'b\nc\n'", { stdout = "pipe" })
        assert(not pcall(timeout, 0.1, function() return p.stdout:read("l") end))
        assert(p.stdout:read("l") == "ab" and p.stdout:read("l") == "c")
    "#)
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_nobody_reads_waits_and_takes_no_memory() {
    let seen = see(r#"
        local p
        return {
          start = function() p = process.start("yes", { stdout = "pipe", cwd = "/" }) return p.pid end,
          read = function() for i = 1, 200 do if #p.stdout:read() == 0 then error("nothing") end end p:kill() return p:wait().signal end,
        }"#)
    .await;
    let cx = RenderInput::default();
    let Value::Int(pid) = seen.loaded.generation.render(seen.function("start"), &cx).await.unwrap() else { panic!() };
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(11).unwrap().parse::<u64>().unwrap()
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = ticks();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ticks(), before, "it goes on writing");
    assert_eq!(seen.loaded.generation.render(seen.function("read"), &cx).await.unwrap(), Value::Int(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_end_with_their_configuration_unless_they_are_detached() {
    let folder = Folder::new(&[(
        "master.lua",
        r#"return { f = function()
            local own = process.start("sleep 1003 & echo $! >child; exec sleep 1003")
            local free = process.start({ "sleep", "1004" }, { detached = true, env = { BUILDMOON_TEST_OF_ENDS = "x" } })
            fs.write("own", tostring(own.pid))
            fs.write("free", tostring(free.pid))
            while not fs.exists("child") do sleep(0.01) end
            return { pid = free.pid, started = free.started }
        end }"#,
    )]);
    let seen = folder.see().await.unwrap();
    seen.loaded.generation.render(seen.function("f"), &RenderInput::default()).await.unwrap();
    let (own, child, free) = (folder.text("own"), folder.text("child"), folder.text("free"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(alive(&own) && alive(&child) && alive(&free), "they outlive the call");
    drop(seen);
    assert!(eventually(|| !alive(&own) && !alive(&child)).await, "the program outlives its configuration");
    assert!(alive(&free));

    // Another configuration finds it, and nobody else of that number.
    let found = see(r#"return { f = function()
        local all = process.find{ BUILDMOON_TEST_OF_ENDS = "x" }
        assert(#all == 1 and all[1].env.BUILDMOON_TEST_OF_ENDS == "x" and all[1].parent > 0, #all)
        assert(#process.find{ BUILDMOON_TEST_OF_ENDS = true } == 1 and #process.find{ BUILDMOON_TEST_OF_ENDS = "y" } == 0)
        local handle = json.decode(json.encode{ pid = all[1].pid, started = all[1].started })
        local other = { pid = handle.pid, started = "elsewhere-1" }
        assert(process.alive(handle) and not process.alive(other) and process.kill(other, "KILL") == false and process.alive(handle))
        assert(process.stop(handle) and not process.alive(handle))
        return handle.pid
    end }"#)
    .await;
    let pid = found.loaded.generation.render(found.function("f"), &RenderInput::default()).await.unwrap();
    assert_eq!(pid, Value::Int(free.trim().parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_start_is_said() {
    for (call, expected) in [
        ("process.start({ 'no-such-program' })", "process.start: there is no program 'no-such-program'"),
        ("process.start('x', { cwd = 'none' })", "process.start: cwd: there is no folder "),
        ("process.start('x', { stdout = 5 })", "'stdout' must be \"pipe\", \"null\" or the name of a file, got 5"),
        ("process.start('x', { stdout = 'no/such/folder/f' })", "process.start: stdout: "),
        ("process.start('x', { stdin = 'text' })", "'stdin' must be \"pipe\" or \"null\""),
        ("process.start('x', { detach = true })", "unknown option 'detach' (did you mean 'detached'?)"),
        ("process.start('x', { detached = true })", "can't be started while the file is evaluated"),
        ("process.start({ 'sleep', 9 }):kill('TREM')", "process:kill: \"TREM\" is no signal; \"TERM\", \"KILL\", \"INT\" are some"),
        ("process.start({ 'true' }):wait('soon')", "process:wait: the time needs a number of seconds"),
        ("process.start({ 'true' }, { stdout = 'pipe' }).stdout:read('x')", "'true' (stdout): read takes \"l\" (a line)"),
        (
            "process.start('yes | tr -d \"\\\\n\"', { stdout = 'pipe' }).stdout:read('l')",
            "'/bin/sh' (stdout): a line is longer than 1048576 bytes",
        ),
        ("process.alive(5)", "process.alive: needs a process, as in { pid = …, started = … }, got 5"),
        ("process.kill{ pid = 1, started = 'x' }", "process.kill: needs a process"),
        ("process.kill{ pid = -1, started = 'x' }", "process.kill: needs a process"),
        ("process.find{}", "process.find: needs variables of the environment"),
        ("process.find{ ['A=b'] = true }", "process.find: needs variables of the environment"),
    ] {
        let told = mistakes(call).await.join("\n");
        assert!(told.starts_with("master.lua:1: ") && told.contains(expected), "{call}: {told}");
    }
}
