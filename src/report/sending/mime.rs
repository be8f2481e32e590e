//! Turns a mail into the bytes that travel. Never decides who gets it or what it says, and asks no clock.
//!
//! Whatever comes in, no line of a header is made of it: control characters become spaces before anything is encoded.

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message, MultiPart, SinglePart};
use lettre::{Address, address};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Host;

use super::mail::{Attachment, Mail};
use crate::base::{MailAddress, Timestamp};
use crate::config::OWN_HEADERS;
use crate::model::OutboxItem;

/// Longer ones are cut: a subject is for a line of a screen.
const SUBJECT: usize = 400;
/// Of one header of the configuration, in bytes.
const HEADER: usize = 4000;

/// What makes a mail one and the same mail, however often it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// Of this master, among all.
    pub master_id: &'a str,
    pub reporter: &'a str,
    pub key: &'a str,
    pub created_at: Timestamp,
}

impl<'a> Mark<'a> {
    pub fn of(master_id: &'a str, item: &'a OutboxItem) -> Mark<'a> {
        Mark { master_id, reporter: &item.reporter, key: &item.key, created_at: item.created_at }
    }

    /// By which receivers know it.
    pub fn id(&self) -> String {
        digest(&["message", self.master_id, self.reporter, self.key])
    }
}

/// From whom and to whom, as relays are told.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    pub from: Address,
    /// Everybody once.
    pub recipients: Vec<Address>,
}

/// A mail ready to travel.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub envelope: Envelope,
    pub message_id: String,
    /// Without the last line end, which the end of DATA brings.
    pub bytes: Vec<u8>,
    /// Addresses and headers that were left out, and why.
    pub remarks: Vec<String>,
}

/// The error says why this mail can never be sent.
pub fn prepare(mail: &Mail, mark: Mark<'_>) -> Result<Prepared, String> {
    let from = mailbox(&mail.from).map_err(|e| format!("fromaddr {e}"))?;
    let mut remarks = Vec::new();
    let mut recipients: Vec<Address> = Vec::new();
    let mut named = |list: &[String]| {
        let mut boxes = Vec::new();
        for text in list {
            match mailbox(text) {
                Ok(one) if recipients.contains(&one.email) => {}
                Ok(one) => {
                    recipients.push(one.email.clone());
                    boxes.push(one);
                }
                Err(why) => remarks.push(format!("recipient {why}")),
            }
        }
        boxes
    };
    let (to, cc) = (named(&mail.to), named(&mail.cc));
    let envelope = address::Envelope::new(Some(from.email.clone()), recipients.clone()).map_err(|_| match remarks.is_empty() {
        true => "it has no recipient".to_owned(),
        false => remarks.join("; "),
    })?;

    let host = ascii_host(from.email.domain());
    let message_id = format!("<{}@{host}>", mark.id());
    let mut builder = Message::builder()
        .envelope(envelope)
        .date(std::time::UNIX_EPOCH + std::time::Duration::from_millis(mark.created_at.0.max(0) as u64))
        .message_id(Some(message_id.clone()))
        .subject(cut(&clean(&mail.subject), SUBJECT))
        .from(from.clone());
    builder = to.into_iter().fold(builder, |b, one| b.to(one));
    builder = cc.into_iter().fold(builder, |b, one| b.cc(one));
    let list = match &mail.thread {
        Some(thread) => {
            // A message that was never sent: whatever refers to it is shown together.
            let root = format!("<{}@{host}>", digest(&["thread", mark.master_id, mark.reporter, thread]));
            builder = builder.in_reply_to(root.clone()).references(root);
            format!("<{}.{}.{host}>", label(thread), label(mark.reporter))
        }
        None => format!("<{}.{host}>", label(mark.reporter)),
    };
    for (name, value) in [("Auto-Submitted", "auto-generated"), ("Precedence", "bulk"), ("List-Id", &list)] {
        builder = builder.raw_header(header(name, value.to_owned()).ok_or("a header has no name")?);
    }
    for (name, value) in &mail.extra_headers {
        if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            remarks.push(format!("header {name} of extraHeaders is left out: the mail has its own"));
            continue;
        }
        match header(name, cut(&clean(value), HEADER)) {
            Some(value) => builder = builder.raw_header(value),
            None => remarks.push(format!("header {:?} of extraHeaders is left out: that is no name of a header", cut(name, 80))),
        }
    }

    let message = match mail.attachments.as_slice() {
        [] => match content(mail) {
            Content::One(part) => builder.singlepart(part),
            Content::Both(parts) => builder.multipart(parts),
        },
        attachments => {
            let mut parts = match content(mail) {
                Content::One(part) => MultiPart::mixed().singlepart(part),
                Content::Both(parts) => MultiPart::mixed().multipart(parts),
            };
            for one in attachments {
                parts = parts.singlepart(attachment(one)?);
            }
            builder.multipart(parts)
        }
    };
    let message = message.map_err(|e| format!("it can't be written as MIME: {e}"))?;
    let mut bytes = message.formatted();
    while bytes.ends_with(b"\r\n") {
        bytes.truncate(bytes.len() - 2);
    }
    Ok(Prepared { envelope: Envelope { from: from.email, recipients }, message_id, bytes, remarks })
}

enum Content {
    One(SinglePart),
    Both(MultiPart),
}

fn content(mail: &Mail) -> Content {
    match (&mail.text, &mail.html) {
        (Some(text), Some(html)) => Content::Both(MultiPart::alternative_plain_html(body(text), body(html))),
        (None, Some(html)) => Content::One(SinglePart::html(body(html))),
        (text, None) => Content::One(SinglePart::plain(body(text.as_deref().unwrap_or_default()))),
    }
}

/// A text without what mail servers stumble over: lone carriage returns, and control characters that no reader shows. Its lines
/// end as they travel, since the library takes quadratic time to make them so.
fn body(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16 + 2);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' | '\n' => out.push_str("\r\n"),
            c if c.is_control() && c != '\t' => {}
            c => out.push(c),
        }
    }
    if !out.ends_with('\n') {
        out.push_str("\r\n");
    }
    out
}

fn attachment(one: &Attachment) -> Result<SinglePart, String> {
    let fallback = || ContentType::parse("application/octet-stream").map_err(|e| e.to_string());
    let plain = one.media_type.chars().all(|c| c.is_ascii() && !c.is_ascii_control());
    let kind = match ContentType::parse(&one.media_type) {
        Ok(kind) if plain => kind,
        _ => fallback()?,
    };
    // Always base64: what hangs on a mail arrives byte by byte, line ends too.
    let content = Body::new_with_encoding(one.content.clone(), ContentTransferEncoding::Base64);
    let content = content.map_err(|_| format!("attachment {:?} can't be encoded", one.name))?;
    let name: String = clean(&one.name).replace(['/', '\\', '"'], "_");
    Ok(lettre::message::Attachment::new(cut(&name, 200)).body(content, kind))
}

/// An address with or without a name; a domain beyond ASCII becomes what DNS knows.
fn mailbox(text: &str) -> Result<Mailbox, String> {
    let bad = || format!("{:?} is no mail address", cut(text, 200));
    let MailAddress { name, bare } = MailAddress::parse(text).ok_or_else(bad)?;
    let (user, domain) = bare.rsplit_once('@').ok_or_else(bad)?;
    let address = Address::new(user, ascii_host(domain)).map_err(|_| bad())?;
    Ok(Mailbox::new(name, address))
}

/// The domain as DNS knows it, if it is one that is not so already.
fn ascii_host(domain: &str) -> String {
    match domain.is_ascii() {
        true => domain.to_owned(),
        false => match Host::parse(domain) {
            Ok(Host::Domain(ascii)) => ascii,
            _ => domain.to_owned(),
        },
    }
}

fn header(name: &str, value: String) -> Option<HeaderValue> {
    let good = !name.is_empty() && name.len() <= 76 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&b));
    let name = good.then(|| HeaderName::new_from_ascii(name.to_owned()).ok())??;
    Some(HeaderValue::new(name, value))
}

fn clean(text: &str) -> String {
    // A line break and what indents the next line are one gap.
    let spaced: String = text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect();
    spaced.trim().to_owned()
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= most).last() {
        Some((at, c)) if at + c.len_utf8() < text.len() => format!("{}…", &text[..at + c.len_utf8()]),
        _ => text.to_owned(),
    }
}

/// A name as part of a `List-Id`.
fn label(name: &str) -> String {
    let mut label: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(60).collect();
    label = label.trim_matches('-').to_owned();
    match label.is_empty() {
        true => digest(&["label", name])[..12].to_owned(),
        false => label,
    }
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> Mail {
        Mail {
            from: "Bau <bot@example.org>".into(),
            to: vec!["anna@example.org".into()],
            subject: "s".into(),
            text: Some("t".into()),
            ..Mail::default()
        }
    }

    const MARK: Mark<'static> =
        Mark { master_id: "m", reporter: "mail", key: "build finished 7", created_at: Timestamp(1_700_000_000_000) };

    fn shown(mail: &Mail) -> String {
        String::from_utf8(prepare(mail, MARK).unwrap().bytes).unwrap()
    }

    /// The names of the header's lines.
    fn names(text: &str) -> Vec<&str> {
        let head = text.split("\r\n\r\n").next().unwrap();
        head.split("\r\n").filter(|l| !l.starts_with([' ', '\t'])).map(|l| l.split(':').next().unwrap()).collect()
    }

    #[test]
    fn the_same_mail_has_the_same_id_and_others_have_another() {
        let first = prepare(&mail(), MARK).unwrap();
        assert_eq!(first.message_id, prepare(&mail(), MARK).unwrap().message_id);
        for mark in [Mark { key: "8", ..MARK }, Mark { reporter: "x", ..MARK }, Mark { master_id: "n", ..MARK }] {
            assert_ne!(first.message_id, prepare(&mail(), mark).unwrap().message_id);
        }
        let text = String::from_utf8(first.bytes).unwrap();
        assert!(text.contains(&format!("Message-ID: {}\r\n", first.message_id)), "{text}");
        assert!(text.contains("Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"), "{text}");
        assert!(text.contains("Auto-Submitted: auto-generated\r\n") && text.contains("Precedence: bulk\r\n"), "{text}");
        assert!(text.contains("List-Id: <mail.example.org>\r\n"), "{text}");
    }

    #[test]
    fn mails_of_a_builder_are_a_thread() {
        let in_thread = Mail { thread: Some("Linux Büild/x64".into()), ..mail() };
        let text = shown(&in_thread);
        let line = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap().split_once(": ").unwrap().1.to_owned();
        assert_eq!(line("In-Reply-To"), line("References"));
        assert_eq!(line("List-Id"), "<linux-b-ild-x64.mail.example.org>");
        let other = prepare(&in_thread, Mark { key: "8", ..MARK }).unwrap();
        assert!(String::from_utf8(other.bytes).unwrap().contains(&line("References")));
    }

    #[test]
    fn nothing_in_a_mail_makes_a_line_of_the_header() {
        for bad in
            ["a\r\nBcc: evil@x.org", "a\nBcc: evil@x.org", "a\rBcc: e@x.org", "a\r\n\r\nBody", "a\u{85}Bcc: e", "a\u{2028}Bcc: e", "a\0b"]
        {
            let hostile = Mail {
                from: "Bau <bot@example.org>".into(),
                subject: bad.into(),
                thread: Some(bad.into()),
                extra_headers: vec![
                    ("X-Author".into(), bad.into()),
                    (format!("X-A: b\r\nBcc{bad}"), "v".into()),
                    ("To".into(), "e@x.org".into()),
                ],
                attachments: vec![Attachment {
                    name: format!("{bad}.log"),
                    media_type: format!("text/plain{bad}"),
                    content: b"c".to_vec(),
                }],
                ..mail()
            };
            let prepared = prepare(&hostile, MARK).unwrap();
            assert_eq!(prepared.remarks.len(), 2, "{:?}", prepared.remarks);
            let text = String::from_utf8(prepared.bytes).unwrap();
            let mut names = names(&text);
            names.sort_unstable();
            let expected = [
                "Auto-Submitted",
                "Content-Type",
                "Date",
                "From",
                "In-Reply-To",
                "List-Id",
                "MIME-Version",
                "Message-ID",
                "Precedence",
                "References",
                "Subject",
                "To",
                "X-Author",
            ];
            assert_eq!(names, expected, "{text}");
            assert!(!text.lines().any(|l| l.to_lowercase().starts_with("bcc")), "{text}");
        }
    }

    #[test]
    fn hostile_addresses_are_refused_and_the_others_stay() {
        for bad in
            ["a@b.c\r\nRCPT TO:<x@y.z>", "a\nb@c.d", "nobody", "@x.org", "a b@x.org", "a@x y.org", "<>", "a@b.c> <x@y.z", "\"a\"<a@b\0c>"]
        {
            let some = Mail { to: vec![bad.into(), "anna@example.org".into()], ..mail() };
            match prepare(&some, MARK) {
                Ok(prepared) => {
                    let all: Vec<String> = prepared.envelope.recipients.iter().map(ToString::to_string).collect();
                    assert!(all.contains(&"anna@example.org".to_owned()), "{bad:?}");
                    assert!(all.iter().all(|a| !a.contains(['\r', '\n', '<', '>', ' '])), "{bad:?}: {all:?}");
                }
                Err(e) => panic!("{bad:?}: {e}"),
            }
        }
        let none = prepare(&Mail { to: vec!["nobody".into()], ..mail() }, MARK).unwrap_err();
        assert_eq!(none, "recipient \"nobody\" is no mail address");
        assert_eq!(prepare(&Mail { to: vec![], ..mail() }, MARK).unwrap_err(), "it has no recipient");
        assert!(prepare(&Mail { from: "x".into(), ..mail() }, MARK).unwrap_err().starts_with("fromaddr \"x\" is no mail address"));
    }

    #[test]
    fn names_and_domains_beyond_ascii_travel() {
        let some = Mail {
            from: "Bäuerin <bot@bücher.example>".into(),
            to: vec!["\"Müller, Jörg\" <jörg@example.org>".into(), "Anna <anna@例え.jp>".into()],
            cc: vec!["anna@xn--r8jz45g.jp".into()],
            subject: "Erfolg: ☃".into(),
            text: Some("schön".into()),
            html: Some("<p>schön</p>".into()),
            ..mail()
        };
        let prepared = prepare(&some, MARK).unwrap();
        let all: Vec<String> = prepared.envelope.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(all, ["jörg@example.org", "anna@xn--r8jz45g.jp"], "everybody once");
        assert_eq!(prepared.envelope.from.to_string(), "bot@xn--bcher-kva.example");
        let text = String::from_utf8(prepared.bytes).unwrap();
        assert!(text.contains("multipart/alternative"), "{text}");
        assert!(text.contains("Subject: Erfolg: =?utf-8?b?"), "{text}");
        assert!(!text.contains("Cc:"), "{text}");
    }

    #[test]
    fn bodies_have_whole_lines_and_no_control_characters() {
        assert_eq!(body("a\rb\r\nc\u{1b}[31m\0\td"), "a\r\nb\r\nc[31m\td\r\n");
        assert_eq!(body("a\r\r\n\n"), "a\r\n\r\n\r\n");
        let text = shown(&Mail { text: Some(format!("{}\r.\rend", "x".repeat(2000))), ..mail() });
        assert!(text.lines().all(|l| l.len() <= 998), "long lines are broken");
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "no lone line ends");
    }

    #[test]
    fn a_long_text_takes_time_by_its_length() {
        let long = Mail { text: Some("A line of a log that hangs on.\n".repeat(300_000)), ..mail() };
        let start = std::time::Instant::now();
        assert!(prepare(&long, MARK).unwrap().bytes.len() > 9_000_000);
        // A minute and more, if it is by the square.
        assert!(start.elapsed() < std::time::Duration::from_secs(25), "{:?}", start.elapsed());
    }

    #[test]
    fn long_subjects_are_cut_between_characters() {
        assert_eq!(cut("añb", 3), "añ…");
        assert_eq!(cut("añb", 2), "a…");
        assert_eq!(cut("añb", 4), "añb");
        let text = shown(&Mail { subject: "é".repeat(100_000), ..mail() });
        assert!(text.len() < 4000);
    }
}
