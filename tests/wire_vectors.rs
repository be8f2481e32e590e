//! Recorded traffic of stock masters and workers: it decodes, it encodes to the same bytes, and a session that is fed the
//! worker's side of it understands what the recorded master did.

mod pb_support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use buildmoon::wire::banana::{Banana, Decoder, Limits};
use buildmoon::wire::jelly::Value;
use buildmoon::wire::{Arg, Command, CommandEnd, Update};
use buildmoon::workers::CommandEvent;
use buildmoon::workers::pb::PbServer;
use bytes::BytesMut;
use pb_support::*;

struct Recording {
    name: String,
    /// From the worker? and the value, in the order of completion.
    values: Vec<(bool, Banana)>,
    bytes: [Vec<u8>; 2],
}

fn read(path: &Path) -> Recording {
    let mut recording =
        Recording { name: path.file_name().unwrap().to_string_lossy().into_owned(), values: vec![], bytes: Default::default() };
    let mut decoders = [Decoder::new(Limits::WORKER), Decoder::new(Limits::WORKER)];
    for line in std::fs::read_to_string(path).unwrap().lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (direction, hex) = line.split_once(' ').unwrap();
        let bytes: Vec<u8> = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        let from_worker = direction == "W>M";
        let decoder = &mut decoders[usize::from(from_worker)];
        decoder.buffer().extend_from_slice(&bytes);
        recording.bytes[usize::from(from_worker)].extend(bytes);
        while let Some(value) = decoder.decode().unwrap() {
            recording.values.push((from_worker, value));
        }
    }
    for decoder in &mut decoders {
        assert!(decoder.buffer().is_empty(), "{}: bytes are left", recording.name);
    }
    recording
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut paths: Vec<PathBuf> = ["pb", "pb-old-workers"]
        .iter()
        .flat_map(|sub| std::fs::read_dir(folder.join(sub)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "hex"))
        .collect();
    paths.sort();
    assert!(paths.len() > 50);
    paths.iter().map(|path| read(path)).collect()
}

fn recording(name: &str) -> Recording {
    recordings().into_iter().find(|recording| recording.name == format!("{name}.hex")).unwrap()
}

#[test]
fn both_directions_encode_to_the_same_bytes() {
    for recording in recordings() {
        let mut out = [BytesMut::new(), BytesMut::new()];
        for (from_worker, value) in &recording.values {
            value.encode(&mut out[usize::from(*from_worker)]);
        }
        for (recorded, encoded) in recording.bytes.iter().zip(&out) {
            assert!(recorded[..] == encoded[..], "{}", recording.name);
        }
    }
}

/// Arguments and results, as jelly.
#[test]
fn every_jellied_value_is_understood_and_encodes_to_the_same_bytes() {
    let mut understood = 0;
    for recording in recordings() {
        for (_, value) in recording.values {
            let Banana::List(message) = value else { continue };
            let jellied = match &message[0] {
                kind if is(kind, "message") => &message[5..],
                kind if is(kind, "answer") || is(kind, "error") => &message[2..],
                _ => continue,
            };
            for part in jellied {
                let value = Value::from_banana(part.clone()).unwrap_or_else(|e| panic!("{}: {e}: {part:?}", recording.name));
                let (mut recorded, mut encoded) = (BytesMut::new(), BytesMut::new());
                part.encode(&mut recorded);
                value.encode(&mut encoded);
                // This side writes shared values twice instead of referring to them.
                let refers = recorded.windows(4).any(|bytes| bytes == [3, 0x80, 4, 0x87]);
                if !refers {
                    assert!(recorded == encoded, "{}: {part:?}", recording.name);
                    understood += 1;
                }
            }
        }
    }
    assert!(understood > 1000, "{understood}");
}

#[derive(Default)]
struct Replay {
    log: Vec<String>,
    infos: usize,
    commands: Vec<Vec<CommandEvent>>,
    /// Errors among the answers.
    errors: usize,
    answers: usize,
}

/// Plays the worker of a recording. Its answers go to the same calls of this master (by method and count), and its calls to the
/// same commands; what the recorded master did of its own accord, this one is told to do.
async fn replay(recording: &Recording, gate: Arc<TestGate>) -> Replay {
    let challenge = recording.values.iter().find_map(|(from_worker, value)| match value {
        Banana::List(message) if !from_worker && is(&message[0], "answer") => Value::from_banana(message[2].clone()).ok()?.into_items(),
        _ => None,
    });
    let challenge: [u8; 16] = challenge.unwrap()[0].as_bytes().unwrap()[..].try_into().unwrap();
    let mut peer = Peer::connect_to(&PbServer::with_fixed_challenge(gate.clone(), challenge), 1 << 20);
    let mut result = Replay::default();
    // Of the recorded master: call number to method and its count; command objects in order.
    let (mut recorded_calls, mut recorded_counts) = (HashMap::new(), HashMap::<Vec<u8>, usize>::new());
    let mut objects = HashMap::new();
    let mut runs = Vec::new();
    for (from_worker, value) in &recording.values {
        let Banana::List(message) = value else {
            let mut bytes = BytesMut::new();
            value.encode(&mut bytes);
            peer.send_bytes(&bytes).await;
            continue;
        };
        let mut message = message.clone();
        if !from_worker {
            if !is(&message[0], "message") {
                continue;
            }
            let Banana::Bytes(method) = &message[3] else { panic!() };
            let count = recorded_counts.entry(method.to_vec()).or_default();
            recorded_calls.insert(int(&message[1]), (method.to_vec(), *count));
            *count += 1;
            let link = gate.link("worker1");
            match (&method[..], link) {
                (b"startCommand", Some(link)) => {
                    let args = Value::from_banana(message[5].clone()).unwrap().into_items().unwrap();
                    let Value::Remote(theirs) = args[0] else { panic!() };
                    let command = Command { name: args[2].to_text(), args: vec![("x".into(), Arg::None)] };
                    let run = link.start("demo", command);
                    let call = peer.called().await.unwrap();
                    let Value::Remote(ours) = call.args[0] else { panic!("{call:?}") };
                    objects.insert(theirs, ours);
                    // The number of this master's call, under the recorded one's.
                    recorded_calls.insert(int(&message[1]), (format!("={}", call.id).into_bytes(), 0));
                    let (interrupt, mut events) = (run.interrupter(), run.events);
                    runs.push((
                        interrupt,
                        tokio::spawn(async move {
                            let mut got = Vec::new();
                            while let Some(event) = events.recv().await {
                                got.push(event);
                            }
                            got
                        }),
                    ));
                }
                (b"interruptCommand", _) => runs.last().unwrap().0("stop"),
                (b"shutdown", Some(link)) => drop(tokio::spawn(async move { link.shutdown().await })),
                _ => {}
            }
            settle().await;
            continue;
        }
        if is(&message[0], "answer") || is(&message[0], "error") {
            let (method, count) = recorded_calls.remove(&int(&message[1])).unwrap();
            let ours = match &method[..] {
                [b'=', id @ ..] => String::from_utf8_lossy(id).parse().unwrap(),
                b"print" if count == 0 => peer.called().await.unwrap().id,
                b"getWorkerInfo" | b"setBuilderList" | b"interruptCommand" | b"shutdown" => {
                    let call = peer.called().await.unwrap();
                    assert_eq!(call.method.as_bytes(), method, "{}", recording.name);
                    call.id
                }
                _ => continue,
            };
            message[1] = Banana::Int(ours);
        } else if let Banana::Int(theirs) = message[2.min(message.len() - 1)]
            && is(&message[0], "message")
            && theirs > 2
        {
            message[2] = Banana::Int(objects.get(&theirs).copied().unwrap_or(theirs + 10_000));
        }
        let mut bytes = BytesMut::new();
        Banana::List(message).encode(&mut bytes);
        peer.send_bytes(&bytes).await;
        settle().await;
    }
    settle().await;
    tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await.unwrap();
    while let Some(value) = peer.receive().await {
        if let Banana::List(message) = value {
            result.errors += usize::from(is(&message[0], "error"));
            result.answers += usize::from(is(&message[0], "answer"));
        }
    }
    for (_, events) in runs {
        result.commands.push(events.await.unwrap());
    }
    settle().await;
    result.log = gate.log();
    result.infos = gate.infos.lock().unwrap().len();
    result
}

fn text(events: &[CommandEvent]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        CommandEvent::Update(Update::Stdout(text) | Update::Stderr(text)) => Some(String::from_utf8(text.to_vec()).unwrap()),
        _ => None,
    });
    texts.collect()
}

fn last(events: &[CommandEvent]) -> &CommandEnd {
    match events.last() {
        Some(CommandEvent::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_recorded_worker_is_served() {
    for recording in recordings() {
        if ["wrongpw", "unknown", "duplicate.2"].iter().any(|s| recording.name.starts_with(s)) {
            continue;
        }
        let replay = tokio::time::timeout(Duration::from_secs(1000), replay(&recording, Arc::new(TestGate::new())));
        let replay = replay.await.unwrap_or_else(|_| panic!("{} hangs", recording.name));
        let name = &recording.name;
        assert_eq!(replay.log.first().map(String::as_str), Some("attach worker1"), "{name}");
        assert_eq!(replay.infos, 1, "{name}");
        assert_eq!(replay.errors, 0, "{name}");
        let starts = recording.values.iter().filter(|(from_worker, value)| {
            !from_worker && matches!(value, Banana::List(message) if message.len() == 7 && is(&message[3], "startCommand"))
        });
        assert_eq!(replay.commands.len(), starts.count(), "{name}");
        for events in &replay.commands {
            let ends = events.iter().filter(|event| matches!(event, CommandEvent::End(_))).count();
            assert_eq!(ends, 1, "{name}: {events:?}");
            let lost = matches!(last(events), CommandEnd::Lost(_));
            assert_eq!(lost, name.starts_with("workerlost"), "{name}: {:?}", last(events));
            let refused = matches!(last(events), CommandEnd::Refused(_));
            assert!(!refused || name.starts_with("errors"), "{name}: {:?}", last(events));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_shell_recordings_say_what_was_printed() {
    for recording in recordings().iter().filter(|recording| recording.name.starts_with("shell-") || recording.name == "shell.1.hex") {
        let replay = replay(recording, Arc::new(TestGate::new())).await;
        let [events] = &replay.commands[..] else { panic!("{}", recording.name) };
        let text = text(events);
        assert!(text.contains("héllo wörld ✓\n") && text.contains("ошибка 日本語\n"), "{}: {text}", recording.name);
        assert!(events.iter().any(|event| matches!(event, CommandEvent::Update(Update::Rc(3)))), "{}", recording.name);
        assert_eq!(last(events), &CommandEnd::Complete);
    }
}

#[tokio::test(start_paused = true)]
async fn the_errors_recording_ends_as_recorded() {
    let replay = replay(&recording("errors.1"), Arc::new(TestGate::new())).await;
    let ends: Vec<String> = replay.commands.iter().map(|events| format!("{:?}", last(events))).collect();
    let starts = [
        "Refused(\"buildbot_worker.base.UnknownCommand: (command 0)",
        "Refused(\"builtins.ValueError: WorkerShellCommand is missing args: command",
        "Complete",
        "Failed(\"builtins.RuntimeError: 'env' values must be strings or lists",
        "Complete",
        "Complete",
        "Refused(\"builtins.ValueError: WorkerFileUploadCommand is missing args: writer",
    ];
    assert_eq!(ends.len(), starts.len());
    for (end, start) in ends.iter().zip(starts) {
        assert!(end.starts_with(start), "{end}");
    }
    assert!(replay.commands[4].iter().any(|event| matches!(event, CommandEvent::Update(Update::Rc(-1)))));
    assert_eq!(text(&replay.commands[5]), "real-secret\n");
}

#[tokio::test(start_paused = true)]
async fn stat_and_files_of_the_fs_recording_arrive() {
    let replay = replay(&recording("fs.1"), Arc::new(TestGate::new())).await;
    let updates: Vec<&Update> =
        replay.commands.iter().flatten().filter_map(|event| if let CommandEvent::Update(u) = event { Some(u) } else { None }).collect();
    assert!(updates.iter().any(|update| matches!(update, Update::Stat(numbers) if numbers.len() == 10)));
    assert!(updates.iter().any(|update| matches!(update, Update::Files(names) if !names.is_empty())));
}

#[tokio::test(start_paused = true)]
async fn recorded_wrong_logins_are_refused() {
    for recording in recordings().iter().filter(|r| r.name.starts_with("wrongpw") || r.name.starts_with("unknown")) {
        let replay = replay(recording, Arc::new(TestGate::new())).await;
        assert_eq!((replay.errors, replay.infos), (1, 0), "{}", recording.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorded_duplicate_is_closed_while_the_old_one_lives() {
    let gate = Arc::new(TestGate::new());
    let mut old = Peer::connect(&gate, 1 << 16);
    old.attach("worker1").await;
    tokio::spawn(async move {
        while let Some(call) = old.called().await {
            old.answer(call.id, &Value::None).await;
        }
    });
    let replay = replay(&recording("duplicate.2"), gate).await;
    assert_eq!((replay.errors, replay.infos), (0, 1));
}
