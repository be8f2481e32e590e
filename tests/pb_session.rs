//! A PB session against a worker that does what it should, and against those that do not.

mod pb_support;

use std::sync::Arc;
use std::time::Duration;

use buildmoon::wire::banana::Banana;
use buildmoon::wire::jelly::Value;
use buildmoon::wire::{Arg, Command, CommandEnd, Update};
use buildmoon::workers::{CommandEvent, RunningCommand};
use bytes::Bytes;
use pb_support::*;
use tokio::time::Instant;

fn shell() -> Command {
    Command { name: "shell".into(), args: vec![("command".into(), Arg::Text("true".into()))] }
}

async fn end(run: &mut RunningCommand) -> CommandEnd {
    loop {
        match run.events.recv().await.expect("an end") {
            CommandEvent::End(end) => return end,
            CommandEvent::Update(_) => {}
        }
    }
}

/// The id of the command object in `startCommand`.
fn object(call: &Called) -> i64 {
    assert_eq!(call.method, "startCommand");
    match &call.args[0] {
        Value::Remote(id) => *id,
        other => panic!("{other:?}"),
    }
}

async fn attached(gate: &Arc<TestGate>, room: usize) -> Peer {
    let mut peer = Peer::connect(gate, room);
    peer.attach("worker1").await;
    peer
}

#[tokio::test(start_paused = true)]
async fn a_command_runs_and_what_comes_after_its_end_is_ignored() {
    let gate = Arc::new(TestGate::new());
    let mut peer = attached(&gate, 1 << 16).await;
    let link = gate.link("worker1").unwrap();
    let mut run = link.start("demo", shell());
    let call = peer.called().await.unwrap();
    let command = object(&call);
    assert_eq!((call.object, &call.args[2]), (2, &Value::text("shell")));
    // All of it before the answer to the start, as quick commands do.
    let update = peer.update(command, "stdout", Value::text("hello\n")).await;
    peer.update(command, "rc", Value::Int(0)).await;
    let complete = peer.call(command, "complete", vec![Value::None]).await;
    peer.answer(call.id, &Value::None).await;
    assert_eq!(peer.answered(update).await, Some((true, Value::Int(0))));
    assert_eq!(peer.answered(complete).await, Some((true, Value::None)));
    assert!(matches!(run.events.recv().await, Some(CommandEvent::Update(Update::Stdout(text))) if text == "hello\n"));
    assert!(matches!(run.events.recv().await, Some(CommandEvent::Update(Update::Rc(0)))));
    assert!(matches!(run.events.recv().await, Some(CommandEvent::End(CommandEnd::Complete))));

    let late = peer.update(command, "stdout", Value::text("late\n")).await;
    assert_eq!(peer.answered(late).await, Some((true, Value::Int(0))));
    let again = peer.call(command, "complete", vec![Value::None]).await;
    assert_eq!(peer.answered(again).await, Some((true, Value::None)));
    let write = peer.call(77, "write", vec![Value::Bytes(Bytes::new())]).await;
    assert_eq!(peer.answered(write).await, Some((true, Value::None)));
    let unknown = peer.call(77, "explode", vec![]).await;
    assert!(!peer.answered(unknown).await.unwrap().0);
    peer.send([word("decref"), Banana::Int(command)]).await;
    assert!(run.events.recv().await.is_none());
    assert!(link.ping(Duration::from_secs(1)).await.is_err(), "nobody answers the ping");
}

#[tokio::test(start_paused = true)]
async fn refused_failed_interrupted_and_busy() {
    let gate = Arc::new(TestGate::new());
    let mut peer = attached(&gate, 1 << 16).await;
    let link = gate.link("worker1").unwrap();

    let mut run = link.start("demo", shell());
    let call = peer.called().await.unwrap();
    let failure = Value::Copied(
        "twisted.spread.pb.CopyableFailure".into(),
        Box::new(Value::Dict(vec![
            (Value::text("type"), Value::Bytes("builtins.ValueError".into())),
            (Value::text("value"), Value::text("missing args: command")),
        ])),
    );
    peer.send([word("error"), Banana::Int(call.id), jelly(&failure)]).await;
    assert_eq!(end(&mut run).await, CommandEnd::Refused("builtins.ValueError: missing args: command".into()));

    let mut run = link.start("demo", shell());
    let call = peer.called().await.unwrap();
    peer.answer(call.id, &Value::None).await;
    assert_eq!(end(&mut link.start("demo", shell())).await, CommandEnd::Refused("a command is still running in builder 'demo'".into()));
    assert_eq!(end(&mut link.start("other", shell())).await, CommandEnd::Refused("the worker has no builder 'other'".into()));
    run.interrupt("enough");
    let interrupt = peer.called().await.unwrap();
    assert_eq!((interrupt.method.as_str(), &interrupt.args[1]), ("interruptCommand", &Value::text("enough")));
    peer.call(object(&call), "complete", vec![failure]).await;
    assert_eq!(end(&mut run).await, CommandEnd::Failed("builtins.ValueError: missing args: command".into()));

    let long = Command { name: "shell".into(), args: vec![("initial_stdin".into(), Arg::Text("x".repeat(655_361)))] };
    assert!(matches!(end(&mut link.start("demo", long)).await, CommandEnd::Refused(why) if why.contains("initial_stdin")));

    let mut run = link.start("demo", shell());
    peer.called().await.unwrap();
    drop(peer);
    assert_eq!(end(&mut run).await, CommandEnd::Lost("the worker closed the connection".into()));
    assert_eq!(link.closed().await, "the worker closed the connection");
    settle().await;
    assert_eq!(gate.log(), ["attach worker1", "detach worker1: the worker closed the connection"]);
    assert!(matches!(end(&mut link.start("demo", shell())).await, CommandEnd::Lost(_)));
    assert_eq!(link.set_builders(vec![]).await, Err("the worker closed the connection".into()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_slows_the_worker_and_loses_nothing() {
    let gate = Arc::new(TestGate::new());
    let mut peer = attached(&gate, 4096).await;
    let link = gate.link("worker1").unwrap();
    let mut run = link.start("demo", shell());
    let command = object(&peer.called().await.unwrap());
    let (read, mut write) = tokio::io::split(peer.stream);
    let mut peer = Peer::connect(&gate, 64);
    let writer = tokio::spawn(async move {
        for n in 0..400 {
            let dict = Value::Dict(vec![(Value::text("stdout"), Value::text(&format!("{n} {}", "x".repeat(1000))))]);
            let bytes = peer.message(Banana::Int(command), "update", vec![Value::List(vec![Value::List(vec![dict, Value::Int(0)])])]);
            tokio::io::AsyncWriteExt::write_all(&mut write, &bytes).await.unwrap();
        }
        let bytes = peer.message(Banana::Int(command), "complete", vec![Value::None]);
        tokio::io::AsyncWriteExt::write_all(&mut write, &bytes).await.unwrap();
        write
    });
    let answers = tokio::spawn(async move {
        let mut read = read;
        tokio::io::copy(&mut read, &mut tokio::io::sink()).await
    });
    settle().await;
    assert!(!writer.is_finished(), "the worker must wait for the reader");
    for n in 0..400 {
        let Some(CommandEvent::Update(Update::Stdout(text))) = run.events.recv().await else { panic!("update {n}") };
        assert!(text.starts_with(format!("{n} ").as_bytes()));
    }
    assert_eq!(end(&mut run).await, CommandEnd::Complete);
    drop(writer.await.unwrap());
    link.disconnect("test over");
    answers.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_went_away_hinders_nothing() {
    let gate = Arc::new(TestGate::new());
    let mut peer = attached(&gate, 1 << 20).await;
    let link = gate.link("worker1").unwrap();
    let run = link.start("demo", shell());
    let command = object(&peer.called().await.unwrap());
    for _ in 0..40 {
        peer.update(command, "stdout", Value::text("x\n")).await;
    }
    settle().await;
    drop(run);
    let complete = peer.call(command, "complete", vec![Value::None]).await;
    assert_eq!(peer.answered(complete).await, Some((true, Value::None)));
    let mut next = link.start("demo", shell());
    let command = object(&peer.called().await.unwrap());
    peer.call(command, "complete", vec![Value::None]).await;
    assert_eq!(end(&mut next).await, CommandEnd::Complete);
}

#[tokio::test(start_paused = true)]
async fn strangers_are_refused_and_not_told_why() {
    for (name, password) in [("worker1", "bad"), ("nobody", "secret-pw"), ("", "")] {
        let gate = Arc::new(TestGate::new());
        let mut peer = Peer::connect(&gate, 1 << 16);
        let respond = peer.log_in(name, password).await;
        let (good, failure) = peer.answered(respond).await.unwrap();
        let Value::Copied(_, state) = failure else { panic!() };
        assert!(!good);
        assert_eq!(state.get("type").unwrap().to_text(), "twisted.cred.error.UnauthorizedLogin");
        let decref = items(peer.receive().await.unwrap());
        assert!(is(&decref[0], "decref") && int(&decref[1]) == 1);
        let start = Instant::now();
        assert!(peer.receive().await.is_none());
        assert!(start.elapsed() > Duration::from_secs(50), "the worker is left to close the connection");
        assert!(gate.log().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_worker_is_cut_off() {
    let gate = Arc::new(TestGate::new());
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 0x03, 0x01, 0x02], b"\x02\x82pc", b"\x02\x82pb\xff", b"\x02\x82pb\x7f\x80"] {
        let mut peer = Peer::connect(&gate, 1 << 16);
        let start = Instant::now();
        peer.send_bytes(noise).await;
        while peer.receive().await.is_some() {}
        assert!(start.elapsed() < Duration::from_secs(1), "{noise:?}");
    }
    for silence in [&b""[..], b"\x02\x82", b"\x02\x82pb\x02\x80"] {
        let mut peer = Peer::connect(&gate, 1 << 16);
        let start = Instant::now();
        peer.send_bytes(silence).await;
        while peer.receive().await.is_some() {}
        assert_eq!(start.elapsed().as_secs(), 60, "{silence:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_older_of_two_stays_while_it_lives() {
    let gate = Arc::new(TestGate::new());
    let mut old = attached(&gate, 1 << 16).await;
    let mut new = Peer::connect(&gate, 1 << 16);
    let respond = new.log_in("worker1", "secret-pw").await;
    let ping = old.called().await.unwrap();
    old.answer(ping.id, &Value::None).await;
    assert_eq!(new.answered(respond).await, None, "closed, without an error");

    let mut newer = Peer::connect(&gate, 1 << 16);
    newer.attach("worker1").await;
    settle().await;
    let log = gate.log();
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log[1].starts_with("detach worker1: a new connection"), "{log:?}");
    assert_eq!(log[2], "attach worker1");
    while old.receive().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_silent_death_is_noticed() {
    let gate = Arc::new(TestGate { keepalive: Some(Duration::from_secs(3600)), ..TestGate::new() });
    let mut peer = attached(&gate, 1 << 16).await;
    let start = Instant::now();
    for _ in 0..3 {
        let ask = peer.called().await.unwrap();
        assert_eq!(ask.method, "print");
        peer.answer(ask.id, &Value::None).await;
    }
    assert!((175..190).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let link = gate.link("worker1").unwrap();
    let start = Instant::now();
    assert_eq!(link.closed().await, "no answer to keepalive");
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
    assert_eq!(gate.log().iter().filter(|line| *line == "seen worker1").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_keepalive_nothing_is_asked() {
    let gate = Arc::new(TestGate::new());
    let mut peer = attached(&gate, 1 << 16).await;
    let ask = tokio::time::timeout(Duration::from_secs(10_000), peer.called()).await;
    assert!(ask.is_err(), "{ask:?}");
}

#[tokio::test(start_paused = true)]
async fn keepalive_and_shutdown_reach_the_gate() {
    let gate = Arc::new(TestGate::new());
    let mut peer = attached(&gate, 1 << 16).await;
    for (method, good) in [("keepalive", true), ("shutdown", true), ("selfdestruct", false)] {
        let call = peer.call(2, method, vec![]).await;
        assert_eq!(peer.answered(call).await.unwrap().0, good);
    }
    assert_eq!(gate.log(), ["attach worker1", "seen worker1", "shutdown worker1"]);
    let link = gate.link("worker1").unwrap();
    let shutdown = tokio::spawn(async move { link.shutdown().await });
    assert_eq!(peer.called().await.unwrap().method, "shutdown");
    drop(peer);
    shutdown.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn builders_change_and_old_objects_are_given_back_once() {
    let gate = Arc::new(TestGate::new());
    let mut peer = attached(&gate, 1 << 16).await;
    let link = gate.link("worker1").unwrap();
    assert_eq!(link.set_builders(gate.builders.clone()).await, Ok(()), "nothing new");
    let mut run = link.start("demo", shell());
    object(&peer.called().await.unwrap());
    let change = tokio::spawn({
        let link = link.clone();
        async move { link.set_builders(vec![("a".into(), "a".into()), ("b".into(), "b".into())]).await }
    });
    let call = peer.called().await.unwrap();
    assert_eq!(call.method, "setBuilderList");
    peer.take_builders(call).await;
    assert_eq!(change.await.unwrap(), Ok(()));
    assert!(matches!(end(&mut run).await, CommandEnd::Lost(_)));
    let decref = items(peer.receive().await.unwrap());
    assert!(is(&decref[0], "decref") && int(&decref[1]) == 2);
    let _run = link.start("b", shell());
    assert_eq!(peer.called().await.unwrap().object, 3);
    let many = (0..1025).map(|n| (n.to_string(), n.to_string())).collect();
    assert_eq!(link.set_builders(many).await, Err("1025 builders; a worker takes at most 1024".into()));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_reads_nothing_is_given_up() {
    let gate = Arc::new(TestGate::new());
    let _peer = attached(&gate, 1024).await;
    let link = gate.link("worker1").unwrap();
    let start = Instant::now();
    let long = Command { name: "shell".into(), args: vec![("initial_stdin".into(), Arg::Text("x".repeat(100_000)))] };
    let mut run = link.start("demo", long);
    assert!(matches!(end(&mut run).await, CommandEnd::Lost(why) if why.contains("not read")));
    assert_eq!(start.elapsed().as_secs(), 60);
}
