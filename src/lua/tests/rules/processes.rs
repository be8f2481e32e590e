//! `process.run`: what it gives, and that nothing of it stays behind.

use std::time::Instant;

use super::*;

/// Does a process with this in its command line exist, a zombie included?
fn alive(pid: &str) -> bool {
    std::path::Path::new("/proc").join(pid.trim()).exists()
}

/// Children of this test that have ended and that nobody asked for: by the name of their program.
fn zombies(program: &str) -> usize {
    let own = std::process::id().to_string();
    let stats = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let (head, tail) = stat.rsplit_once(')').unwrap_or_default();
            let mut fields = tail.split_whitespace();
            head.ends_with(&format!("({program}")) && fields.next() == Some("Z") && fields.next() == Some(&own)
        })
        .count()
}

#[tokio::test]
async fn rule_22_process_runs_a_program_or_a_text_for_the_shell() {
    let folder = Folder::new(&[
        ("sub/here", ""),
        (
            "master.lua",
            r#"
            local r = process.run({ "printf", "%s-%s", "a b", 5 })
            assert(r.status == 0 and r.signal == nil and r.stdout == "a b-5" and r.stderr == "")
            r = process.run("echo out; echo err >&2; exit 3")
            assert(r.status == 3 and r.stdout == "out\n" and r.stderr == "err\n")
            r = process.run("kill -9 $$")
            assert(r.status == nil and r.signal == 9)
            assert(process.run({ "ls" }, { cwd = "sub" }).stdout == "here\n" and fs.is_file(process.run("pwd").stdout:gsub("\n", "") .. "/master.lua"))
            assert(process.run("echo $A$HOME", { env = { A = "x", HOME = None } }).stdout == "x\n")
            assert(process.run({ "/usr/bin/env" }, { env = { A = 1 }, clear_env = true }).stdout == "A=1\n")
            local big = ("x"):rep(1000000)
            assert(process.run({ "cat" }, { stdin = big }).stdout == big and process.run({ "cat" }).stdout == "")
            assert(process.run({ "true" }, { stdin = big, check = true, timeout = "10s" }).status == 0)
            assert(process.run("printf '\\000\\377'").stdout == "\0\255")
        "#,
        ),
    ]);
    folder.see().await.unwrap();
}

#[tokio::test]
async fn rule_22_process_says_what_went_wrong() {
    for (call, expected) in [
        ("process.run({ 'no-such-program' })", "process.run: there is no program 'no-such-program'"),
        ("process.run({ 'ls' }, { cwd = 'none' })", "process.run: cwd: there is no folder "),
        (
            "process.run('echo a secret; echo first >&2; echo last >&2; exit 4', { check = true })",
            "process.run: '/bin/sh' ended with status 4: last",
        ),
        ("process.run('kill $$', { check = true })", "was killed by signal 15"),
        ("process.run('yes', { max_output = 1000 })", "'/bin/sh' wrote more than 1000 bytes to stdout (max_output)"),
        ("process.run({})", "the command is empty"),
        ("process.run({ 'a', 1.5 })", "argument 2 must be text or a whole number"),
        ("process.run(5)", "needs a list of arguments or a text for the shell, got 5"),
        ("process.run('x', { tmeout = 5 })", "unknown option 'tmeout' (did you mean 'timeout'?)"),
        ("process.run('x', { env = { ['a=b'] = 1 } })", "is no name of a variable"),
        ("process.run('x', { timeout = 'soon' })", "process.run: 'timeout' needs a number of seconds"),
        ("table.sort({ 1, 2 }, function() return process.run('true').status == 0 end)", "can't be used here (inside table.sort"),
        ("local A = class('A') function A:init() process.run('true') end local a = A{}", "process.run: init may not wait"),
    ] {
        let told = mistakes(call).await.join("\n");
        assert!(told.starts_with("master.lua:1: ") && told.contains(expected) && !told.contains("secret"), "{call}: {told}");
    }
}

#[tokio::test]
async fn rule_22_process_ends_with_its_group_at_a_timeout() {
    let folder = Folder::new(&[(
        "master.lua",
        "process.run(\"sleep 1000 & echo $! >child; trap '' TERM; echo $$ >leader; while :; do sleep 0.1; done\", { timeout = 0.4 })",
    )]);
    let started = Instant::now();
    let told = folder.mistakes().await.join("\n");
    assert!(told.contains("process.run: '/bin/sh' did not end within 400 ms"), "{told}");
    assert!(started.elapsed() < Duration::from_secs(4), "nobody waits for what does not want to end");
    let pid = |name: &str| std::fs::read_to_string(folder.0.path().join(name)).unwrap();
    assert!(eventually(|| !alive(&pid("child"))).await, "the child heeds SIGTERM");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(alive(&pid("leader")), "it has time to end in order");
    assert!(eventually(|| !alive(&pid("leader"))).await || eventually(|| !alive(&pid("leader"))).await, "and is killed after that");
}

#[tokio::test]
async fn rule_22_process_ends_with_the_call_that_made_it() {
    let folder = Folder::new(&[(
        "master.lua",
        "return { f = function() process.run({ 'sh', '-c', 'echo $$ >pid.new; mv pid.new pid; exec sleep 1001' }) end }",
    )]);
    let seen = folder.see().await.unwrap();
    let (generation, f) = (seen.loaded.generation.clone(), seen.function("f").clone());
    let call = tokio::spawn(async move { generation.render(&f, &RenderInput::default()).await });
    let pid = || std::fs::read_to_string(folder.0.path().join("pid")).unwrap_or_default();
    assert!(eventually(|| !pid().is_empty()).await);
    assert!(alive(&pid()));
    call.abort();
    assert!(eventually(|| !alive(&pid())).await, "the process outlives the call");
    assert_eq!(zombies("sleep"), 0);
}

#[tokio::test]
async fn rule_26_calls_wait_while_the_file_is_evaluated_until_its_deadline() {
    let folder = Folder::new(&[("master.lua", "local r = process.run('echo $$ >pid; exec sleep 1002')")]);
    let mut options = folder.options();
    options.timeout = Duration::from_millis(500);
    let told = folder.see_with(options, MasterConfig::default()).await.map(|_| ()).unwrap_err();
    assert!(told[0].text.contains("the evaluation did not end within 500 ms"), "{told:?}");
    let pid = std::fs::read_to_string(folder.0.path().join("pid")).unwrap();
    assert!(eventually(|| !alive(&pid)).await);
}

#[tokio::test]
async fn rule_22_process_leaves_no_zombie_after_many() {
    see(r#"
        local all = {}
        for i = 1, 40 do
          all[i] = function() return process.run({ "sh", "-c", "exit " .. i % 3 }).status end
        end
        local results = gather(all)
        assert(results.n == 40 and results[1] == 1 and results[2] == 2 and results[3] == 0)
    "#)
    .await;
    assert!(eventually(|| zombies("sh") == 0).await);
}
