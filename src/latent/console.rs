//! What a machine's console says, as people are shown it. Pure.

/// Lines that are kept of a console's end, and characters of each.
const LINES: usize = 10;
const WIDTH: usize = 200;
/// Lines that a sentence quotes.
const QUOTED: usize = 3;

/// The last lines; `hidden` is in none of them.
pub fn tail(console: &str, hidden: &str) -> Vec<String> {
    let masked = match hidden.len() {
        // Shorter ones would take letters out of words.
        0..4 => console.to_owned(),
        _ => console.replace(hidden, "<password>"),
    };
    let lines = masked.lines().map(plain).filter(|line| !line.is_empty());
    let mut last: Vec<String> = lines.collect();
    last.drain(..last.len().saturating_sub(LINES));
    last
}

/// Without what steers a terminal.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            // `ESC [ … letter`
            '\u{1b}' => {
                if chars.next() == Some('[') {
                    chars.by_ref().find(|c| c.is_ascii_alphabetic());
                }
            }
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
        if out.len() >= WIDTH {
            out.push('…');
            break;
        }
    }
    out.trim().to_owned()
}

/// What follows a sentence about the machine; nothing if its console says nothing.
pub fn quoted(lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        lines => format!("; its console ends with \"{}\"", lines[lines.len().saturating_sub(QUOTED)..].join(" / ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_plain_and_say_no_password() {
        let console = format!("{}\r\n\u{1b}[32mok\u{1b}[0m\n\nlogin hunter2 \u{7}\n{}\n", "early\n".repeat(30), "x".repeat(500));
        let lines = tail(&console, "hunter2");
        assert_eq!((lines.len(), lines[7].as_str(), lines[8].as_str()), (LINES, "ok", "login <password>"));
        assert!(lines[9].chars().count() == WIDTH + 1 && lines[9].ends_with('…'));
        assert_eq!(quoted(&tail("a\nb\nc\nd", "")), "; its console ends with \"b / c / d\"");
        assert_eq!((quoted(&tail("\n \n", "")), tail("aaa", "a")), (String::new(), vec!["aaa".to_owned()]));
    }
}
