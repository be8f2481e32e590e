//! Mails travel to real servers: aiosmtpd with all its moods, OpenSMTPD into a mailbox. What arrives is read by Python's
//! `email`; certificates are made here. Order, pauses and crashes are in `outbox.rs`.

mod support;

use std::time::Duration;

use base64::Engine;
use buildmoon::base::{MailAddress, Secret, Timestamp};
use buildmoon::config::{MailSpec, Password};
use buildmoon::lua;
use buildmoon::report::sending::mail::{Attachment, Mail};
use buildmoon::report::sending::mailer::{self, Surroundings};
use buildmoon::report::sending::mime::{self, Mark, Prepared};
use buildmoon::report::sending::outbox::Outcome;
use buildmoon::report::sending::smtp::{Limits, Silent, Smtp};
use buildmoon::secrets::SecretSource;
use serde_json::json;
use support::MailSink;
use support::opensmtpd::OpenSmtpd;
use tempfile::TempDir;

/// A certificate and its key, in files.
struct Certificate {
    folder: TempDir,
}

impl Certificate {
    fn new(name: &str) -> Certificate {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Certificate { folder }
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    fn options(&self, tls: &str) -> serde_json::Value {
        json!({ "cert": self.path("cert.pem"), "key": self.path("key.pem"), "tls": tls })
    }
}

/// A notifier's relay, and the connection to it.
struct Line {
    spec: MailSpec,
    around: Surroundings,
    limits: Limits,
    relay: Option<Smtp>,
}

impl Line {
    async fn deliver(&mut self, mail: &Prepared, progress: Option<&str>) -> Outcome {
        let relay = match &mut self.relay {
            Some(relay) => relay,
            None => match mailer::settings(&self.spec, &self.around, self.limits).await {
                Ok(settings) => self.relay.insert(Smtp::new(settings)),
                Err(why) => return Outcome::Down(why),
            },
        };
        relay.send(&mail.envelope, &mail.bytes, progress, &mut Silent).await
    }

    async fn close(mut self) {
        if let Some(relay) = &mut self.relay {
            relay.close(&mut Silent).await;
        }
    }
}

async fn sender(spec: MailSpec, limits: Limits) -> Line {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("master.lua"), "BuildmasterConfig.secretsProviders = { secrets.SecretInAFile{ dirname = 'keys' } }")
        .unwrap();
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(keys.join("relay"), "s3cret").unwrap();
    for (path, mode) in [(&keys, 0o700), (&keys.join("relay"), 0o600)] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let loaded = lua::load(lua::LoadOptions::new(folder.path())).await.unwrap();
    let around = Surroundings {
        master_id: "m".into(),
        // It is kept, since secrets are read from it.
        folder: folder.keep(),
        secrets: SecretSource::new(loaded.config, loaded.generation),
    };
    Line { spec, around, limits, relay: None }
}

fn spec(port: u16) -> MailSpec {
    MailSpec { fromaddr: MailAddress::parse("bot@example.test").unwrap(), smtp_port: port, ..MailSpec::default() }
}

fn with_login(spec: MailSpec, user: &str, password: &str) -> MailSpec {
    MailSpec { login: Some((Password::Plain(Secret::new(user)), Password::Plain(Secret::new(password)))), ..spec }
}

fn mail(to: &[&str]) -> Mail {
    Mail {
        from: "Bau-Moon <bot@example.test>".into(),
        to: to.iter().map(|t| t.to_string()).collect(),
        subject: "linux: ☃ failed".into(),
        text: Some("It failed.\nSchön ist das nicht.\n.\n..dots\n".into()),
        ..Mail::default()
    }
}

fn prepared(mail: &Mail, key: &str) -> Prepared {
    mime::prepare(mail, Mark { master_id: "m", reporter: "mail", key, created_at: Timestamp(1_700_000_000_000) }).unwrap()
}

async fn try_once(spec: MailSpec, mail: &Mail) -> Outcome {
    let mut sender = sender(spec, Limits::default()).await;
    let outcome = sender.deliver(&prepared(mail, "k"), None).await;
    sender.close().await;
    outcome
}

const SENT: Outcome = Outcome::Sent { remark: None };

#[track_caller]
fn down(outcome: &Outcome, part: &str) {
    assert!(matches!(outcome, Outcome::Down(why) if why.contains(part)), "expected {part:?}, got {outcome:?}");
}

#[tokio::test]
async fn everything_of_a_mail_arrives_as_another_reader_sees_it() {
    let sink = MailSink::start();
    let log: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let full = Mail {
        cc: vec!["Jörg Müller <joerg@example.test>".into()],
        html: Some("<p>Schön & gut</p>".into()),
        attachments: vec![
            Attachment { name: "compile.stdio".into(), media_type: "text/plain; charset=utf-8".into(), content: b"a\r\nb\nc\r".to_vec() },
            Attachment { name: "größe \"x\"/../y.log".into(), media_type: "no type at all".into(), content: log.clone() },
        ],
        extra_headers: vec![("X-Build".into(), "7 – ü".into()), ("Subject".into(), "mine".into())],
        thread: Some("linux".into()),
        ..mail(&["\"Anna, A.\" <anna@example.test>"])
    };
    assert_eq!(try_once(spec(sink.port), &full).await, SENT);
    let one = sink.wait_mails(1).remove(0);
    assert_eq!(one["defects"], json!([]));
    assert_eq!(one["headers"]["subject"], json!(["linux: ☃ failed"]));
    assert_eq!(one["from"], json!([["Bau-Moon", "bot@example.test"]]));
    assert_eq!(one["to"], json!([["Anna, A.", "anna@example.test"]]));
    assert_eq!(one["cc"], json!([["Jörg Müller", "joerg@example.test"]]));
    assert_eq!(one["headers"]["x-build"], json!(["7 – ü"]));
    assert_eq!(one["headers"]["list-id"], json!(["<linux.mail.example.test>"]));
    assert_eq!(one["headers"]["auto-submitted"], json!(["auto-generated"]));
    assert_eq!(one["headers"]["in-reply-to"], one["headers"]["references"]);
    assert_eq!(one["text"].as_str().unwrap().replace("\r\n", "\n"), "It failed.\nSchön ist das nicht.\n.\n..dots\n");
    assert_eq!(one["html"].as_str().unwrap().trim(), "<p>Schön & gut</p>");
    let files = one["attachments"].as_array().unwrap();
    let content = |n: usize| base64::prelude::BASE64_STANDARD.decode(files[n]["content"].as_str().unwrap()).unwrap();
    assert_eq!((files[0]["name"].as_str(), content(0)), (Some("compile.stdio"), b"a\r\nb\nc\r".to_vec()));
    assert_eq!((files[1]["name"].as_str(), content(1)), (Some("größe _x__.._y.log"), log));
    assert_eq!(files[1]["type"], "application/octet-stream");
    assert_eq!(one["envelope"]["from"], "bot@example.test");
    assert_eq!(one["envelope"]["to"], json!(["anna@example.test", "joerg@example.test"]));
}

#[tokio::test]
async fn addresses_beyond_ascii_need_a_relay_that_takes_them() {
    let sink = MailSink::start();
    let some = mail(&["jörg@bücher.example", "anna@example.test"]);
    assert_eq!(try_once(spec(sink.port), &some).await, SENT);
    let one = sink.wait_mails(1).remove(0);
    assert_eq!(one["envelope"]["to"], json!(["jörg@xn--bcher-kva.example", "anna@example.test"]));
    assert!(one["envelope"]["options"].as_array().unwrap().contains(&json!("SMTPUTF8")), "{one}");
    let old = MailSink::with(json!({ "utf8": false }));
    let outcome = try_once(spec(old.port), &some).await;
    assert!(matches!(&outcome, Outcome::Refused(why) if why.contains("SMTPUTF8")), "{outcome:?}");
    // The domain alone needs nothing.
    assert_eq!(try_once(spec(old.port), &mail(&["anna@bücher.example"])).await, SENT);
}

#[tokio::test]
async fn starttls_and_login_as_the_configuration_says() {
    let certificate = Certificate::new("localhost");
    let mut options = certificate.options("required");
    options["user"] = json!("bot");
    options["password"] = json!("s3cret");
    for mechanism in ["PLAIN", "LOGIN"] {
        options["mechanisms"] = json!([mechanism]);
        let sink = MailSink::with(options.clone());
        let base = MailSpec { use_tls: true, ca_file: Some(certificate.path("cert.pem")), ..spec(sink.port) };
        let good = MailSpec { login: Some((Password::Plain(Secret::new("bot")), Password::Named("relay".into()))), ..base.clone() };
        assert_eq!(try_once(good, &mail(&["anna@example.test"])).await, SENT);
        let one = sink.arrived().remove(0);
        assert_eq!((&one.envelope["tls"], &one.envelope["user"]), (&json!(true), &json!("bot")));
        assert!(sink.journal().contains(&format!("AUTH {mechanism} good")), "{:?}", sink.journal());
        let wrong = try_once(with_login(base.clone(), "bot", "wrong"), &mail(&["anna@example.test"])).await;
        down(&wrong, "the relay refuses the login: 535");
        let nobody = try_once(base.clone(), &mail(&["anna@example.test"])).await;
        down(&nobody, "530 5.7.0 Authentication required");
        let none = MailSpec { login: Some((Password::Plain(Secret::new("bot")), Password::Named("nosuch".into()))), ..base };
        down(&try_once(none, &mail(&["anna@example.test"])).await, "nosuch");
        assert_eq!(sink.count(), 1);
    }
}

#[tokio::test]
async fn encryption_from_the_first_byte() {
    let certificate = Certificate::new("localhost");
    let sink = MailSink::with(certificate.options("smtps"));
    let good = MailSpec { use_smtps: true, ca_file: Some(certificate.path("cert.pem")), ..spec(sink.port) };
    assert_eq!(try_once(good.clone(), &mail(&["anna@example.test"])).await, SENT);
    assert_eq!(sink.arrived()[0].envelope["tls"], true);
    // A relay that speaks plainly there.
    let plain = MailSink::start();
    down(&try_once(MailSpec { smtp_port: plain.port, ..good }, &mail(&["anna@example.test"])).await, "");
    assert_eq!(plain.count(), 0);
}

#[tokio::test]
async fn without_a_good_certificate_nothing_is_said() {
    let certificate = Certificate::new("localhost");
    let other = Certificate::new("elsewhere.test");
    let to = mail(&["anna@example.test"]);
    for tls in ["required", "smtps"] {
        let secure = |port, ca| MailSpec { use_tls: tls == "required", use_smtps: tls == "smtps", ca_file: ca, ..spec(port) };
        let sink = MailSink::with(certificate.options(tls));
        // Signed by nobody that is known.
        down(&try_once(secure(sink.port, None), &to).await, "certificate");
        down(&try_once(secure(sink.port, Some(other.path("cert.pem"))), &to).await, "certificate");
        // Of another name.
        let strange = MailSink::with(other.options(tls));
        down(&try_once(secure(strange.port, Some(other.path("cert.pem"))), &to).await, "certificate");
        // The file is none.
        down(&try_once(secure(sink.port, Some("nosuch.pem".into())), &to).await, "nosuch.pem: No such file");
        down(&try_once(secure(sink.port, Some(certificate.path("key.pem"))), &to).await, "key.pem is no file of certificates");
        let talk = [sink.journal(), strange.journal()].concat();
        assert!(talk.iter().all(|l| l == "CONNECT"), "{talk:?}");
    }
    // A relay without STARTTLS gets nothing in plain text.
    let plain = MailSink::start();
    let outcome = try_once(MailSpec { use_tls: true, ..spec(plain.port) }, &to).await;
    down(&outcome, "useTls is set, and the relay offers no STARTTLS");
    assert_eq!(plain.journal(), ["CONNECT"]);
    // And without a login to use none is offered.
    down(&try_once(with_login(spec(plain.port), "a", "b"), &to).await, "the relay offers no login");
}

#[tokio::test]
async fn each_recipient_has_an_answer_of_its_own() {
    let sink = MailSink::start();
    sink.script(json!({ "rcpt": { "gone@example.test": "550 5.1.1 no such user", "full@example.test": ["452 mailbox full"] } }));
    let three = mail(&["gone@example.test", "anna@example.test", "full@example.test"]);
    let mut sender = sender(spec(sink.port), Limits::default()).await;
    let mail = prepared(&three, "k");
    let first = sender.deliver(&mail, None).await;
    let Outcome::Later { error, progress: Some(progress) } = first else { panic!("{first:?}") };
    assert_eq!(error, "not yet taken for full@example.test; refused: gone@example.test: 550 5.1.1 no such user");
    // The next try is for the one that is left, and nobody gets it twice.
    let second = sender.deliver(&mail, Some(&progress)).await;
    assert_eq!(second, Outcome::Sent { remark: Some("gone@example.test: 550 5.1.1 no such user".into()) });
    let to: Vec<_> = sink.arrived().into_iter().map(|a| a.envelope["to"].clone()).collect();
    assert_eq!(to, [json!(["anna@example.test"]), json!(["full@example.test"])]);
    assert!(sink.arrived().iter().all(|a| a.envelope["connection"] == 1), "one connection serves");
    // Nobody is left.
    let only = prepared(&self::mail(&["gone@example.test"]), "l");
    assert_eq!(sender.deliver(&only, None).await, Outcome::Refused("gone@example.test: 550 5.1.1 no such user".into()));
    assert_eq!(sink.count(), 2);
}

#[tokio::test]
async fn the_relays_answers_are_told_apart() {
    let sink = MailSink::start();
    let to = mail(&["anna@example.test"]);
    for (script, expected) in [
        (json!({ "mail": "450 try later" }), Outcome::Later { error: "450 try later".into(), progress: None }),
        (json!({ "mail": "553 not you" }), Outcome::Refused("553 not you".into())),
        (json!({ "data": "451 local trouble" }), Outcome::Later { error: "451 local trouble".into(), progress: None }),
        (json!({ "data": "554 looks like spam" }), Outcome::Refused("554 looks like spam".into())),
        (
            json!({ "rcpt": { "anna@example.test": "450 greylisted" } }),
            Outcome::Later { error: "not yet taken for anna@example.test".into(), progress: None },
        ),
    ] {
        sink.script(script.clone());
        let outcome = try_once(spec(sink.port), &to).await;
        assert_eq!(outcome, expected, "{script}");
    }
    for script in [json!({ "mail": "421 going down" }), json!({ "data": "421 going down" }), json!({ "close_in_data": true })] {
        sink.script(script.clone());
        let outcome = try_once(spec(sink.port), &to).await;
        assert!(matches!(outcome, Outcome::Down(_)), "{script}: {outcome:?}");
    }
    assert_eq!(sink.count(), 0);
}

#[tokio::test]
async fn silence_ends_and_a_connection_that_was_closed_is_dialled_again() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = Limits { connect: Duration::from_millis(300), command: Duration::from_secs(20), end: Duration::from_secs(20) };
    let mut sender = sender(spec(silent.local_addr().unwrap().port()), limits).await;
    let one = prepared(&mail(&["anna@example.test"]), "k");
    down(&sender.deliver(&one, None).await, "no connection and greeting within");

    let mut sink = MailSink::start();
    let mut sender = self::sender(spec(sink.port), Limits::default()).await;
    assert_eq!(sender.deliver(&one, None).await, SENT);
    sink.launch();
    assert_eq!(sender.deliver(&one, None).await, SENT, "it has been restarted in between");
    sink.stop();
    down(&sender.deliver(&one, None).await, "refused");
}

#[tokio::test]
async fn opensmtpd_delivers_into_a_mailbox() {
    let Some(server) = OpenSmtpd::start() else { return };
    let big = Mail {
        html: Some("<p>Schön</p>".into()),
        attachments: vec![Attachment {
            name: "log".into(),
            media_type: "text/plain".into(),
            content: b"0123456789abcde\n".repeat(200_000),
        }],
        thread: Some("linux".into()),
        ..mail(&["anna@example.test"])
    };
    let mut sender = sender(spec(server.port), Limits::default()).await;
    assert_eq!(sender.deliver(&prepared(&big, "1"), None).await, SENT);
    assert_eq!(sender.deliver(&prepared(&mail(&["anna@example.test"]), "2"), None).await, SENT);
    let refused = sender.deliver(&prepared(&mail(&["x@elsewhere.example"]), "3"), None).await;
    assert!(matches!(&refused, Outcome::Refused(why) if why.contains("550")), "{refused:?}");
    sender.close().await;
    let mails = server.wait_mails(2);
    let big = mails.iter().find(|m| !m["html"].is_null()).expect("the one with HTML");
    assert_eq!((&big["defects"], &big["headers"]["subject"]), (&json!([]), &json!(["linux: ☃ failed"])));
    let content = base64::prelude::BASE64_STANDARD.decode(big["attachments"][0]["content"].as_str().unwrap()).unwrap();
    assert_eq!(content.len(), 3_200_000);
    let plain = mails.iter().find(|m| m["html"].is_null()).expect("the plain one");
    assert_eq!(plain["text"].as_str().unwrap().replace("\r\n", "\n"), "It failed.\nSchön ist das nicht.\n.\n..dots\n");
    assert_ne!(plain["headers"]["message-id"], big["headers"]["message-id"]);
}
