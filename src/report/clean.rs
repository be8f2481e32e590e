//! Text of builds, workers and strangers as it may stand in a message: nothing in it moves the cursor, breaks a line or a header, or
//! turns the direction of writing. It escapes nothing for HTML; the template does that.

use crate::base::Timestamp;

const LONGEST_SUBJECT: usize = 180;

/// One line of at most so many characters.
pub fn line(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most * 4));
    let mut count = 0;
    let mut blank = true;
    for c in text.chars() {
        let c = match c {
            c if c.is_whitespace() || matches!(c, '\u{b}' | '\u{85}' | '\u{2028}' | '\u{2029}') => ' ',
            c if hidden(c) => '\u{fffd}',
            c => c,
        };
        if c == ' ' && (blank || count == most) {
            continue;
        }
        blank = c == ' ';
        if count == most {
            let end = out.trim_end().len();
            out.truncate(end);
            out.push('…');
            return out;
        }
        out.push(c);
        count += 1;
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out
}

/// A subject: one line, not longer than people read.
pub fn subject(text: &str) -> String {
    line(text, LONGEST_SUBJECT)
}

/// Whole lines, without what a terminal would make of them.
pub fn block(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => escape(&mut chars),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\n' | '\t' => out.push(c),
            c if hidden(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// What follows an escape character: colours and the like.
fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while let Some(c) = chars.next_if(|c| *c != '\n') {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
        Some(']') => while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {},
        Some(c) if ('@'..='_').contains(c) => {
            chars.next();
        }
        _ => {}
    }
}

/// Control characters, and those that turn the direction of writing or hide what stands there.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// A link may only lead to the web.
pub fn link(url: &str) -> Option<String> {
    let good = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    (good && !url.chars().any(|c| c.is_whitespace() || hidden(c))).then(|| url.to_owned())
}

/// A time for people, in UTC: they live in many zones.
pub fn time(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{} s after 1970", at.seconds()),
    }
}

/// A name of a file, for an attachment.
pub fn file_name(name: &str) -> String {
    let name: String = line(name, 120).chars().map(|c| if "/\\:*?\"<>|".contains(c) { '_' } else { c }).collect();
    match name.trim_start_matches('.') {
        "" => "log".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one() {
        assert_eq!(line(" a\r\nBcc: x@y\t\0b\u{202e}c\u{2028}d  ", 100), "a Bcc: x@y \u{fffd}b\u{fffd}c d");
        assert_eq!(line("a\u{61c}b\u{180e}\u{e0041}", 9), "a\u{fffd}b\u{fffd}\u{fffd}");
        assert_eq!(line("äöü äöü", 3), "äöü…");
        assert_eq!(line("abc ", 3), "abc");
        assert_eq!(subject(&"x".repeat(5000)).chars().count(), 181);
    }

    #[test]
    fn a_block_keeps_its_lines() {
        assert_eq!(block("\u{1b}[1;31mred\u{1b}[0m\r\nab\rc\u{1b}]0;title\u{7}\td"), "red\nab\nc\u{fffd}\td");
        assert_eq!(block("\u{1b}[1;31\nx\u{1b}"), "\nx");
    }

    #[test]
    fn only_the_web_is_linked() {
        assert_eq!(link("javascript:alert(1)"), None);
        assert_eq!(link("https://e.org/\n"), None);
        assert!(link("http://e.org/#/builders/1").is_some());
    }

    #[test]
    fn times_and_names() {
        assert_eq!(time(Timestamp(1_700_000_000_123)), "2023-11-14 22:13:20 UTC");
        assert_eq!(time(Timestamp(i64::MAX)), "9223372036854776 s after 1970");
        assert_eq!(file_name("../../etc/pass\nwd"), "_.._etc_pass wd");
        assert_eq!(file_name(".."), "log");
    }
}
