//! What a person finds in their mailbox: builds that fail and a worker that is lost, told through a whole mail server that delivers
//! into a Maildir, from which Python's `email` reads it back.

mod support;

use base64::Engine;
use serde_json::{Value, json};
use support::opensmtpd::OpenSmtpd;
use support::*;

fn header<'a>(mail: &'a Value, name: &str) -> &'a str {
    match mail["headers"][name].as_array().map(Vec::as_slice) {
        Some([one]) => one.as_str().expect("text"),
        other => panic!("{name} is there {} times in {mail:#}", other.map_or(0, <[Value]>::len)),
    }
}

/// The text or the HTML of it.
fn body<'a>(mail: &'a Value, kind: &str) -> &'a str {
    mail[kind].as_str().unwrap_or_else(|| panic!("no {kind} in {mail:#}"))
}

#[test]
fn failures_and_a_loss_are_found_in_a_mailbox() {
    let Some(server) = OpenSmtpd::start() else { return };
    let lua = r#"
        c.title, c.buildbotURL = "Bücher CI", "http://ci.example/"
        c.workers = { LocalWorker{ "here" }, Worker{ "größe", "pass", missing_timeout = 2, notify_on_missing = "Anna Ö <anna@example.test>" } }
        local function builder(name)
          local compile = steps.ShellCommand{ name = "compile", command = { "echo", "compiled" } }
          local test = steps.ShellCommand{ name = "test", command = { "sh", "-c", Interpolate("echo 'Prüfung: 3 failed'; exit %(prop:rc:-1)s") } }
          return util.BuilderConfig{ name = name, workernames = { "here" }, factory = util.BuildFactory{ compile, test } }
        end
        c.builders = { builder("größe"), builder("other") }
        c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "größe", "other" },
          properties = { util.StringParameter{ name = "rc", default = "1" }, util.StringParameter{ name = "owners", multiple = true, default = "" } } } }
        c.services = { MailNotifier{
          name = "mails", fromaddr = "Bücher CI <ci@example.test>", relayhost = "127.0.0.1", smtpPort = @PORT@, lookup = "example.test",
          extraHeaders = { ["Reply-To"] = "team@example.test", ["X-Builder"] = Property("buildername") },
          generators = { reporters.BuildStatusGenerator{ mode = { "failing", "change" }, add_logs = { "test.stdio" } }, reporters.WorkerMissingGenerator{} },
        } }"#;
    let master = Master::start(&lua.replace("@PORT@", &server.port.to_string()));
    let first = server.wait_mails(1);
    let missing = &first[0];
    assert_eq!(header(missing, "subject"), "Worker größe is missing - Bücher CI");
    assert_eq!(missing["to"], json!([["Anna Ö", "anna@example.test"]]));

    let build = |builder: &str, rc: &str| {
        master.build(builder, json!({ "rc": rc, "owners": ["anna"], "username": "" }));
    };
    for (count, builder, rc) in [(2, "größe", "1"), (3, "other", "1"), (4, "größe", "0")] {
        build(builder, rc);
        server.wait_mails(count);
    }
    let mails = server.wait_mails(4);
    let [failed, other, repaired] = [&mails[1], &mails[2], &mails[3]];
    for mail in &mails {
        assert_eq!(mail["defects"], json!([]), "{mail:#}");
        assert_eq!(mail["from"], json!([["Bücher CI", "ci@example.test"]]));
        assert_eq!(header(mail, "auto-submitted"), "auto-generated");
        assert_eq!(header(mail, "reply-to"), "team@example.test");
        assert_eq!(header(mail, "mime-version"), "1.0");
        assert_eq!(header(mail, "in-reply-to"), header(mail, "references"));
        assert!(header(mail, "list-id").ends_with(".mails.example.test>"), "{mail:#}");
        assert!(body(mail, "html").contains("Bücher CI"), "{mail:#}");
    }
    let subjects: Vec<&str> = [failed, other, repaired].map(|m| header(m, "subject")).to_vec();
    assert_eq!(subjects, ["größe #1 failed - Bücher CI", "other #1 failed - Bücher CI", "größe #2 passed - Bücher CI"]);
    for mail in [failed, other, repaired] {
        assert_eq!(mail["to"], json!([["", "anna@example.test"]]));
    }
    assert_eq!([header(failed, "x-builder"), header(other, "x-builder")], ["größe", "other"]);

    // A builder's mails are one thread, and nobody else's.
    let thread = |mail: &Value| header(mail, "references").to_owned();
    assert_eq!(thread(failed), thread(repaired));
    let mut threads = [failed, other, missing].map(thread).to_vec();
    threads.sort();
    threads.dedup();
    assert_eq!(threads.len(), 3, "{threads:?}");
    let mut ids: Vec<&str> = mails.iter().map(|m| header(m, "message-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);

    // Text and HTML say why, and the log hangs on the mail.
    for kind in ["text", "html"] {
        assert!(body(failed, kind).contains("Prüfung: 3 failed"));
        assert!(body(repaired, kind).contains("the build before: failure"), "{repaired:#}");
    }
    assert!(header(failed, "content-type").starts_with("multipart/mixed"), "{failed:#}");
    assert!(header(missing, "content-type").starts_with("multipart/alternative"), "{missing:#}");
    let files = failed["attachments"].as_array().expect("attachments");
    assert_eq!((files.len(), &files[0]["name"], &files[0]["type"]), (1, &json!("test.stdio"), &json!("text/plain")));
    let content = base64::prelude::BASE64_STANDARD.decode(files[0]["content"].as_str().expect("base64")).expect("base64");
    assert!(String::from_utf8(content).expect("UTF-8").contains("\nPrüfung: 3 failed\n"));
}
