//! What of logs goes into messages: which logs are to be read for one and how much of them, the tail that is shown, the whole as an
//! attachment. Reads nothing itself but in [`read`].

use super::about::{About, LogText, LogTexts, LogWish, unite};
use super::clean;
use super::facts::{BuildFacts, StepFacts};
use super::sending::mail::Attachment;
use crate::config::WantedLogs;
use crate::model::{Log, LogKind, Results};
use crate::store::{Store, StoreError};

/// Steps that went wrong and are shown with the end of their log.
pub const MOST_STEPS: usize = 3;
/// Of the end that is shown.
const TAIL_LINES: usize = 25;
const TAIL_LINE: usize = 400;
/// Enough for the tail, unless its lines are very long.
const TAIL_BYTES: usize = 16 << 10;
/// Of one log that hangs on a mail, and of all of them: relays refuse mails of some 10 MB, and an attachment grows by a third.
const LARGEST_LOG: usize = 1 << 20;
const LARGEST_LOGS: usize = 6 << 20;
const MOST_ATTACHMENTS: usize = 30;

/// Steps whose end says why a build went wrong; hidden ones only if no other did.
pub fn failing(build: &BuildFacts) -> Vec<&StepFacts> {
    let bad = |s: &&StepFacts| matches!(s.step.results, Some(Results::Failure | Results::Exception | Results::Retry));
    let (shown, hidden): (Vec<_>, Vec<_>) = build.steps.iter().filter(bad).partition(|s| !s.step.hidden);
    let mut steps = if shown.is_empty() { hidden } else { shown };
    steps.truncate(MOST_STEPS);
    steps
}

/// The log whose end says most: what the command printed.
pub fn telling(step: &StepFacts) -> Option<&Log> {
    let printed = step.logs.iter().find(|l| l.name == "stdio" && l.num_lines > 0);
    printed.or_else(|| step.logs.iter().find(|l| l.kind != LogKind::Html && l.num_lines > 0))
}

/// The logs of these builds that a formatter or reporter asks for by name.
pub fn named<'a>(builds: &[&'a BuildFacts], wanted: &'a [&WantedLogs]) -> impl Iterator<Item = (&'a BuildFacts, &'a StepFacts, &'a Log)> {
    let all = builds.iter().copied().flat_map(|build| {
        let steps = build.steps.iter().filter(|s| !s.step.hidden);
        steps.flat_map(move |step| step.logs.iter().map(move |log| (build, step, log)))
    });
    all.filter(move |(_, step, log)| wanted.iter().any(|w| w.wants(&step.step.name, &log.name)) && log.num_lines > 0)
}

/// What is to be read before a message is made.
pub fn wishes(about: &About<'_>, wanted: &[&WantedLogs]) -> Vec<LogWish> {
    let builds = about.builds();
    let whole = named(&builds, wanted).take(MOST_ATTACHMENTS).map(|(_, _, log)| LogWish { log: log.id, bytes: LARGEST_LOG });
    let tails = match about {
        About::Finished(_) | About::Set { .. } => {
            let steps = builds.iter().take(MOST_STEPS * 10).flat_map(|b| failing(b));
            steps.filter_map(telling).map(|log| LogWish { log: log.id, bytes: TAIL_BYTES }).collect()
        }
        _ => Vec::new(),
    };
    // Beyond what all of them may be together the end is as much as of any.
    let mut left = LARGEST_LOGS;
    let mut read = unite(whole.chain(tails));
    for wish in &mut read {
        wish.bytes = wish.bytes.min(left.max(TAIL_BYTES));
        left = left.saturating_sub(wish.bytes);
    }
    read
}

/// The ends of these logs. One that can't be read is left out, and told to the log of the master: a message without it is better than none.
pub async fn read(store: &Store, wishes: &[LogWish]) -> LogTexts {
    let mut texts = LogTexts::new();
    for wish in wishes {
        match read_end(store, *wish).await {
            Ok(text) => {
                texts.insert(wish.log, text);
            }
            Err(e) => tracing::warn!(log = wish.log.0, "a message is made without the end of a log: {e}"),
        }
    }
    texts
}

async fn read_end(store: &Store, wish: LogWish) -> Result<LogText, StoreError> {
    let Some(log) = store.log(wish.log).await? else { return Ok(LogText::default()) };
    // How long the lines are is not known: further back until there is enough.
    let mut back = (wish.bytes / 80).max(100) as i64;
    loop {
        let first = (log.num_lines - back).max(0);
        let text = read_from(store, wish, first, log.kind == LogKind::Stdio).await?;
        if first == 0 || text.cut || text.first_line > first || text.content.len() >= wish.bytes {
            return Ok(text);
        }
        back = back.saturating_mul(8);
    }
}

/// The lines from there on, at most so many bytes of the end.
async fn read_from(store: &Store, wish: LogWish, first: i64, letters: bool) -> Result<LogText, StoreError> {
    let mut text = LogText { first_line: first, ..LogText::default() };
    let mut next = first;
    loop {
        let page = store.log_lines(wish.log, next, 5000).await?;
        if page.count == 0 {
            return Ok(text);
        }
        next = page.first + page.count;
        text.content.extend_from_slice(&page.content);
        shorten(&mut text, wish.bytes, letters);
    }
}

/// Leave the last whole lines of so many bytes, or the end of the last one.
fn shorten(text: &mut LogText, bytes: usize, letters: bool) {
    let Some(over) = text.content.len().checked_sub(bytes).filter(|over| *over > 0) else { return };
    let end = text.content.len().saturating_sub(1);
    match text.content[over - 1..end].iter().position(|b| *b == b'\n') {
        Some(at) => {
            let start = over + at;
            text.first_line += text.content[..start].iter().filter(|b| **b == b'\n').count() as i64;
            text.content.drain(..start);
        }
        None => {
            // The last line alone is too long; the letter of its stream stays.
            let start = text.content[..end].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            text.first_line += text.content[..start].iter().filter(|b| **b == b'\n').count() as i64;
            let letter = text.content[start];
            text.content.drain(..over);
            if letters {
                text.content[0] = letter;
            }
            text.cut = true;
        }
    }
}

/// Its lines without letters; none of those that say what the command was, if `headers` are not wanted.
fn lines<'a>(log: &Log, text: &'a LogText, headers: bool) -> impl Iterator<Item = &'a [u8]> {
    let stdio = log.kind == LogKind::Stdio;
    let all = text.content.strip_suffix(b"\n").unwrap_or(&text.content).split(|b| *b == b'\n').filter(move |l| !l.is_empty() || !stdio);
    all.filter_map(move |line| match (stdio, line.split_first()) {
        (false, _) => Some(line),
        (true, Some((b'h', _))) if !headers => None,
        (true, Some((_, line))) => Some(line),
        (true, None) => None,
    })
}

/// The last lines of a log as people are shown them.
pub struct Tail {
    pub text: String,
    pub lines: usize,
    /// There are lines above them.
    pub more: bool,
}

pub fn tail(log: &Log, text: &LogText) -> Tail {
    let mut last: Vec<&[u8]> = lines(log, text, false).collect();
    if last.iter().all(|line| line.trim_ascii().is_empty()) {
        // Of a command that could not be started only the headers say why.
        last = lines(log, text, true).collect();
    }
    while last.last().is_some_and(|line| line.trim_ascii().is_empty()) {
        last.pop();
    }
    let above = last.len().saturating_sub(TAIL_LINES);
    let last = &last[above..];
    let shown = last.iter().map(|line| {
        let line = clean::block(&String::from_utf8_lossy(line));
        match line.char_indices().nth(TAIL_LINE) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line,
        }
    });
    Tail { text: shown.collect::<Vec<_>>().join("\n"), lines: last.len(), more: above > 0 || text.first_line > 0 || text.cut }
}

/// The logs that were asked for, each a file.
pub fn attachments(builds: &[&BuildFacts], wanted: &[&WantedLogs], texts: &LogTexts) -> Vec<Attachment> {
    let several = builds.len() > 1;
    let mut files: Vec<Attachment> = Vec::new();
    let mut left = LARGEST_LOGS;
    for (build, step, log) in named(builds, wanted).take(MOST_ATTACHMENTS) {
        let Some(text) = texts.get(&log.id) else { continue };
        let mut content = Vec::with_capacity(text.content.len() + 100);
        if text.first_line > 0 || text.cut {
            let what = if text.cut { "and the start of the next one " } else { "" };
            content.extend_from_slice(format!("[the first {} lines {what}are left out]\n", text.first_line).as_bytes());
        }
        for line in lines(log, text, true) {
            content.extend_from_slice(line);
            content.push(b'\n');
        }
        let Some(rest) = left.checked_sub(content.len()) else { continue };
        left = rest;
        let builder = if several { format!("{}.", build.builder.name) } else { String::new() };
        let html = log.kind == LogKind::Html;
        let stem = clean::file_name(&format!("{builder}{}.{}", step.step.name, log.name));
        let ending = if html { ".html" } else { "" };
        let mut name = format!("{stem}{ending}");
        let mut count = 1;
        while files.iter().any(|f| f.name == name) {
            count += 1;
            name = format!("{stem}-{count}{ending}");
        }
        let media_type = if html { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
        files.push(Attachment { name, media_type: media_type.to_owned(), content });
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LogId, StepId};
    use crate::model::build::Stream;
    use crate::store::{LogLimits, StoreOptions};

    fn text(content: &str) -> LogText {
        LogText { content: content.as_bytes().to_vec(), ..LogText::default() }
    }

    fn log(kind: LogKind) -> Log {
        Log { id: LogId(1), step: StepId(1), name: "stdio".into(), slug: "stdio".into(), kind, complete: true, num_lines: 1 }
    }

    #[test]
    fn the_end_is_kept_in_whole_lines() {
        let shortened = |content: &str, bytes| {
            let mut text = text(content);
            shorten(&mut text, bytes, true);
            (String::from_utf8(text.content).unwrap(), text.first_line, text.cut)
        };
        assert_eq!(shortened("oa\nob\noc\n", 9), ("oa\nob\noc\n".into(), 0, false));
        assert_eq!(shortened("oa\nob\noc\n", 8), ("ob\noc\n".into(), 1, false));
        assert_eq!(shortened("oa\nob\noc\n", 6), ("ob\noc\n".into(), 1, false));
        assert_eq!(shortened("oa\nob\noc\n", 3), ("oc\n".into(), 2, false));
        assert_eq!(shortened("oa\nobcdef\n", 4), ("oef\n".into(), 1, true));
        assert_eq!(shortened("obcdef\n", 4), ("oef\n".into(), 0, true));
    }

    #[test]
    fn the_tail_is_what_the_command_printed() {
        let shown = |content: &str| tail(&log(LogKind::Stdio), &text(content)).text;
        assert_eq!(shown("hmake\noone\nered \u{1b}[31mtwo\no\nhexit 2\n"), "one\nred two");
        assert_eq!(shown("hno such program\n"), "no such program");
        assert_eq!(shown(""), "");
        let long: String = (0..100).map(|i| format!("o{i}\n")).collect();
        assert!(shown(&long).starts_with("75\n") && shown(&long).ends_with("\n99"));
        assert_eq!(tail(&log(LogKind::Text), &text("hello\n")).text, "hello");
        let wide = format!("o{}\n", "ä".repeat(9999));
        assert_eq!(shown(&wide).chars().count(), TAIL_LINE + 1);
    }

    /// A log of the store with these lines, and what is read of its end.
    async fn read_back(lines: impl Iterator<Item = String>, bytes: usize) -> LogText {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { database: folder.path().join("state.sqlite"), logs: folder.path().join("logs") };
        let store = Store::open(options).await.unwrap();
        let log = Log { id: store.next_log_id(), ..log(LogKind::Stdio) };
        let mut writer = store.log_writer(log.clone(), LogLimits::default());
        for line in lines {
            writer.append(Stream::Stdout, format!("{line}\n").as_bytes()).unwrap();
        }
        store.put_log(&writer.finish().unwrap()).await.unwrap();
        let gone = LogWish { log: LogId(999), bytes };
        let mut texts = read(&store, &[LogWish { log: log.id, bytes }, gone]).await;
        store.close().await;
        assert!(texts.len() <= 2);
        texts.remove(&log.id).unwrap()
    }

    #[tokio::test]
    async fn the_end_of_a_log_is_read_whatever_its_lines_are_like() {
        let text = read_back((0..200_000).map(|i| format!("line {i}")), 1000).await;
        assert!(text.content.len() <= 1000 && text.content.len() > 900 && !text.cut);
        assert!(text.content.ends_with(b"oline 199999\n"));
        let first = String::from_utf8(text.content.split(|b| *b == b'\n').next().unwrap().to_vec()).unwrap();
        assert_eq!(first, format!("oline {}", text.first_line));
        // Lines that are shorter than expected: further back until there is enough.
        let text = read_back((0..50_000).map(|_| "x".to_owned()), 90_000).await;
        assert_eq!((text.content.len(), text.first_line), (90_000, 20_000));
        let text = read_back((0..5).map(|_| "y".repeat(100_000)), 5000).await;
        assert_eq!((text.content.len(), text.first_line, text.cut), (5000, 4, true));
        assert_eq!(read_back((0..3).map(|i| i.to_string()), 5000).await.content, b"o0\no1\no2\n");
    }
}
