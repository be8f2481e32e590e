//! Logs through the store: what goes in comes out, in pieces, in part, while it is written, on a full disk.

use std::time::Duration;

use futures_util::TryStreamExt;
use proptest::prelude::*;

use super::frame::MAX_LINE;
use super::*;
use crate::base::StepId;
use crate::model::build::Stream::{self, *};
use crate::model::{Log, LogKind};
use crate::store::tests::{log, open};

async fn raw(store: &Store, id: LogId) -> Result<Vec<u8>> {
    let raw = store.log_raw(id).await?;
    let total = raw.total;
    let chunks: Vec<bytes::Bytes> = raw.try_collect().await?;
    let content = chunks.concat();
    assert_eq!(content.len() as u64, total);
    Ok(content)
}

/// All lines, asked for `step` at a time.
async fn lines(store: &Store, id: LogId, step: i64) -> Vec<u8> {
    let (mut content, mut next) = (Vec::new(), 0);
    loop {
        let some = store.log_lines(id, next, step).await.unwrap();
        assert_eq!(some.first, next);
        if some.count == 0 {
            return content;
        }
        next += some.count;
        content.extend(some.content);
    }
}

/// Waits until everything that is queued is committed.
async fn settle(store: &Store) {
    store.engine.write("test", |_| Ok(())).await.unwrap();
}

/// What a log of these pieces must hold: whole lines in the order of their ends.
fn expected(pieces: &[(Stream, Vec<u8>)]) -> Vec<(Stream, Vec<u8>)> {
    let mut begun: HashMap<Stream, Vec<u8>> = HashMap::new();
    let mut lines = Vec::new();
    for (stream, piece) in pieces {
        for &byte in piece {
            let line = begun.entry(*stream).or_default();
            line.push(byte);
            if byte == b'\n' {
                lines.push((*stream, std::mem::take(line)));
            }
        }
    }
    for stream in [Stdout, Stderr, Header] {
        if let Some(mut line) = begun.remove(&stream).filter(|line| !line.is_empty()) {
            line.push(b'\n');
            lines.push((stream, line));
        }
    }
    lines
}

fn lettered(lines: &[(Stream, Vec<u8>)]) -> Vec<u8> {
    lines.iter().flat_map(|(stream, line)| std::iter::once(*stream as u8).chain(line.iter().copied())).collect()
}

fn bare(lines: &[(Stream, Vec<u8>)]) -> Vec<u8> {
    lines.iter().flat_map(|(_, line)| line.clone()).collect()
}

fn pieces() -> impl Strategy<Value = Vec<(Stream, Vec<u8>)>> {
    let stream = prop_oneof![Just(Stdout), Just(Stderr), Just(Header)];
    let byte = prop_oneof![4 => any::<u8>(), 2 => Just(b'\n')];
    let piece = prop_oneof![
        8 => prop::collection::vec(byte, 0..40),
        1 => (any::<u8>(), 1..200usize, 1..3000usize).prop_map(|(byte, length, count)| {
            [vec![byte; length], b"\n".to_vec()].concat().repeat(count)
        }),
    ];
    prop::collection::vec((stream, piece), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_goes_in_comes_out(pieces in pieces(), flush in 1..8usize, step in 1..5000i64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = open(&folder).await;
            let log = log(&store, StepId(1));
            let mut writer = store.log_writer(log.clone(), LogLimits::default());
            for (index, (stream, piece)) in pieces.iter().enumerate() {
                writer.append(*stream, piece).unwrap();
                if index % flush == 0 {
                    writer.flush_if_older_than(Duration::ZERO).unwrap();
                }
            }
            let expected = expected(&pieces);
            // While it is written all whole lines can be read; lines that have no end yet come last.
            let so_far = lines(&store, log.id, step).await;
            assert!(lettered(&expected).starts_with(&so_far));
            let finished = writer.finish().unwrap();
            assert_eq!(finished.num_lines, expected.len() as i64);
            settle(&store).await;
            assert_eq!(store.log(log.id).await.unwrap(), Some(finished));
            assert!(store.logs.find(log.id).is_none());
            assert!(lines(&store, log.id, step.max(50)).await == lettered(&expected));
            assert!(raw(&store, log.id).await.unwrap() == bare(&expected));
        });
    }

    #[test]
    fn limits_hold(pieces in pieces(), max in 0..4000u64, max_tail in 0..2000u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = open(&folder).await;
            let log = log(&store, StepId(1));
            let limits = LogLimits { max_bytes: Some(max), max_tail_bytes: Some(max_tail) };
            let mut writer = store.log_writer(log.clone(), limits);
            for (stream, piece) in &pieces {
                writer.append(*stream, piece).unwrap();
            }
            writer.finish().unwrap();
            settle(&store).await;
            let all = bare(&expected(&pieces));
            let found = raw(&store, log.id).await.unwrap();
            if all.len() as u64 <= max {
                assert!(found == all);
                return;
            }
            let text = b" bytes are left out here";
            let Some(at) = found.windows(text.len()).position(|part| part == text) else {
                assert!(found.len() == all.len());
                return;
            };
            let digits = found[..at].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            let (head, number) = found[..at].split_at(at - digits);
            let left_out: usize = std::str::from_utf8(number).unwrap().parse().unwrap();
            let note = at - digits + digits + found[at..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
            assert!(head.len() as u64 <= max && all.starts_with(head));
            assert_eq!(head.len() + left_out + (found.len() - note), all.len());
        });
    }
}

#[tokio::test]
async fn any_line_of_a_long_log_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let log = log(&store, StepId(1));
    let mut writer = store.log_writer(log.clone(), LogLimits::default());
    let line = |n: i64| format!("this is line {n:060}\n");
    for n in 0..40_000 {
        writer.append(Stdout, line(n).as_bytes()).unwrap();
    }
    let mut writer = Some(writer);
    for finished in [false, true] {
        for first in [0, 1, 3_333, 3_500, 20_000, 39_997] {
            let some = store.log_lines(log.id, first, 3).await.unwrap();
            let wanted: String = (first..first + 3).map(|n| format!("o{}", line(n))).collect();
            assert_eq!(String::from_utf8(some.content).unwrap(), wanted, "{finished} {first}");
        }
        let all = store.log_lines(log.id, 0, i64::MAX).await.unwrap();
        assert_eq!(all.count, 40_000 + i64::from(finished));
        let end = store.log_lines(log.id, 40_000, 5).await.unwrap();
        assert_eq!(end.content, if finished { &b"hthe end\n"[..] } else { b"" });
        if let Some(mut writer) = writer.take() {
            // Dropped, it finishes the log.
            writer.append(Header, b"the end").unwrap();
            drop(writer);
            settle(&store).await;
        }
    }
}

#[tokio::test]
async fn huge_lines_are_cut_and_nothing_else_happens_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let huge = vec![b'x'; 2 * MAX_LINE + 500_000];
    let with_end = [&b"small\n"[..], &huge, b"\nafter\n"].concat();
    for size in [with_end.len(), 70_000] {
        let log = log(&store, StepId(1));
        let mut writer = store.log_writer(log.clone(), LogLimits::default());
        for piece in with_end.chunks(size) {
            writer.append(Stdout, piece).unwrap();
        }
        let log = writer.finish().unwrap();
        assert_eq!(log.num_lines, 5);
        settle(&store).await;
        let content = raw(&store, log.id).await.unwrap();
        let without_ends: Vec<u8> = content.iter().copied().filter(|&byte| byte != b'\n').collect();
        assert!(without_ends == [&b"small"[..], &huge, b"after"].concat());
        assert_eq!(store.log_lines(log.id, 4, 1).await.unwrap().content, b"oafter\n");
    }
}

#[tokio::test]
async fn text_logs_have_no_letters_and_bytes_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let log = Log { kind: LogKind::Text, ..log(&store, StepId(1)) };
    let mut writer = store.log_writer(log.clone(), LogLimits::default());
    writer.append(Stdout, b"\xff\xfe\0\r\n\n").unwrap();
    assert_eq!(store.log_lines(log.id, 0, 9).await.unwrap().content, b"\xff\xfe\0\r\n\n");
    writer.finish().unwrap();
    settle(&store).await;
    assert_eq!(store.log_lines(log.id, 1, 9).await.unwrap(), LogLines { first: 1, count: 1, content: b"\n".to_vec() });
    let unknown = store.log_lines(LogId(99), 0, 1).await.unwrap_err();
    assert_eq!(unknown, StoreError::Missing("log 99".into()));
}

#[tokio::test]
async fn a_damaged_frame_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let log = log(&store, StepId(1));
    let mut writer = store.log_writer(log.clone(), LogLimits::default());
    writer.append(Stdout, b"first frame\n").unwrap();
    writer.flush_if_older_than(Duration::ZERO).unwrap();
    writer.append(Stdout, b"second frame\n").unwrap();
    writer.finish().unwrap();
    settle(&store).await;
    let path = store.logs.path(log.id);
    let good = std::fs::read(&path).unwrap();
    let second = good.windows(4).rposition(|bytes| bytes == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
    let mut bad = good.clone();
    bad[second + 12] ^= 1;
    for bytes in [bad, good[..good.len() - 1].to_vec()] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(store.log_lines(log.id, 0, 1).await.unwrap().content, b"ofirst frame\n");
        let error = raw(&store, log.id).await.unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { file, offset, .. } if *file == path && *offset == second as u64), "{error}");
    }
    // Bytes that no row knows are of no interest.
    std::fs::write(&path, [&good[..], b"left from a crash"].concat()).unwrap();
    assert_eq!(raw(&store, log.id).await.unwrap(), b"first frame\nsecond frame\n");
}

#[tokio::test]
async fn a_full_disk_stops_the_log_and_leaves_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let log = log(&store, StepId(1));
    let path = store.logs.path(log.id);
    let mut writer = store.log_writer(log.clone(), LogLimits::default());
    writer.append(Stdout, b"written\n").unwrap();
    writer.flush_if_older_than(Duration::ZERO).unwrap();
    settle(&store).await;
    writer.fill_disk();
    writer.append(Stdout, b"not written\n").unwrap();
    let error = writer.flush_if_older_than(Duration::ZERO).unwrap_err();
    assert!(error.is_full() && error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(writer.append(Stdout, b"more\n").unwrap_err().is_full());
    assert_eq!(raw(&store, log.id).await.unwrap(), b"written\n");
    assert!(writer.finish().unwrap_err().is_full());
    settle(&store).await;
    assert_eq!(raw(&store, log.id).await.unwrap(), b"written\n");
    let row = store.log(log.id).await.unwrap().unwrap();
    assert_eq!((row.complete, row.num_lines), (true, 1));

    // The same when not even the first bytes find room.
    let log = self::log(&store, StepId(1));
    std::os::unix::fs::symlink("/dev/full", store.logs.path(log.id)).unwrap();
    let mut writer = store.log_writer(log.clone(), LogLimits::default());
    writer.append(Stdout, b"not written\n").unwrap();
    assert!(writer.finish().unwrap_err().is_full());
    settle(&store).await;
    assert_eq!(raw(&store, log.id).await.unwrap(), b"");
}

#[tokio::test]
async fn a_closed_store_does_not_hang_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut writer = store.log_writer(log(&store, StepId(1)), LogLimits::default());
    store.close().await;
    writer.append(Stdout, b"late\n").unwrap();
    writer.flush_if_older_than(Duration::ZERO).unwrap();
    drop(writer);
}

#[tokio::test]
async fn a_deleted_log_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let log = log(&store, StepId(1));
    let mut writer = store.log_writer(log.clone(), LogLimits::default());
    writer.append(Stdout, b"x\n").unwrap();
    assert!(matches!(store.delete_log(log.id).await, Err(StoreError::Refused(_))));
    writer.finish().unwrap();
    settle(&store).await;
    let path = store.logs.path(log.id);
    assert!(path.exists());
    store.delete_log(log.id).await.unwrap();
    assert!(!path.exists());
    assert!(matches!(store.delete_log(log.id).await, Err(StoreError::Missing(_))));
    assert!(matches!(raw(&store, log.id).await, Err(StoreError::Missing(_))));
}
