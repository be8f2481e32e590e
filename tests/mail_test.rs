//! `buildmoon mail-test`, and the outbox of a running master as people see it: in `status`, over REST, in the log. The relay is
//! aiosmtpd.

mod support;

use serde_json::json;
use support::*;

fn config(port: u16, more: &str, arguments: &str) -> String {
    let text = r#"
c.workers = { LocalWorker{ "here", max_builds = 2 } }
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ name = "both", command = { "sh", "-c", "echo out; exit 1" } })
c.builders = {
  util.BuilderConfig{ name = "linux", workernames = { "here" }, factory = f },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "linux" } } }
"#;
    let notifier = format!(
        "c.services = {{ reporters.MailNotifier{{ name = 'mails', fromaddr = 'Bau <bot@example.test>', relayhost = 'localhost', \
         smtpPort = {port}, extraRecipients = {{ 'anna@example.test' }}, sendToInterestedUsers = false, {arguments} }}{more} }}"
    );
    format!("{text}\n{notifier}\n")
}

fn mail_test(master: &Master, rest: &[&str]) -> master::Ran {
    master.command("mail-test", &[], rest)
}

#[test]
fn a_mail_is_sent_by_hand_and_the_conversation_is_shown() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let options = json!({ "cert": path("cert.pem"), "key": path("key.pem"), "tls": "required", "user": "bot", "password": "s3cret-word" });
    let sink = MailSink::with(options);
    let arguments = format!("useTls = true, smtpCaFile = '{}', smtpUser = 'bot', smtpPassword = 's3cret-word'", path("cert.pem"));
    let master = Master::create(&config(sink.port, "", &arguments));
    let ran = mail_test(&master, &["anna@example.test"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    for expected in [
        "* MailNotifier 'mails', from Bau <bot@example.test>",
        "> STARTTLS",
        "> AUTH PLAIN ***",
        "< 235 2.7.0 Authentication successful",
        "> MAIL FROM:<bot@example.test>",
        "> RCPT TO:<anna@example.test>",
        "< 250 kept",
        "> QUIT",
    ] {
        assert!(lines.contains(&expected), "no line {expected:?} in\n{}", ran.out);
    }
    assert!(lines.last().is_some_and(|l| l.starts_with("the relay has taken the mail for anna@example.test (Message-ID <")), "{}", ran.out);
    assert!(!ran.out.contains("s3cret") && !ran.out.contains("AGJvdA"), "{}", ran.out);
    let mails = sink.wait_mails(1);
    assert!(mails[0]["headers"]["subject"][0].as_str().unwrap().starts_with("Test mail of Buildmoon on "), "{}", mails[0]);

    // The login is wrong, the certificate is nobody's.
    let wrong = arguments.replace("'s3cret-word'", "'another'");
    master.configure(&config(sink.port, "", &wrong));
    let ran = mail_test(&master, &["anna@example.test"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("would try again: localhost:") && ran.err.contains("the relay refuses the login: 535"), "{}", ran.err);
    master.configure(&config(sink.port, "", "useTls = true"));
    let ran = mail_test(&master, &["anna@example.test"]);
    assert!(ran.code == Some(1) && ran.err.contains("certificate"), "{ran:?}");
    assert_eq!(sink.count(), 1);
}

#[test]
fn what_is_wrong_is_said_clearly() {
    let sink = MailSink::start();
    sink.script(json!({ "rcpt": { "gone@example.test": "550 no such user" } }));
    let second = ", reporters.MailNotifier{ name = 'owners', fromaddr = 'x@example.test', smtpPort = 1 }";
    let master = Master::create(&config(sink.port, second, ""));
    for (rest, part) in [
        (
            &["gone@example.test"] as &[&str],
            "the relay refuses the mail, a running master would give it up: gone@example.test: 550 no such user",
        ),
        (&["nobody"], "\"nobody\" is no address of mail such as ann@example.org"),
        (&["a@b.example\nRCPT TO:<x@y.example>"], "is no address of mail"),
        (&["anna@example.test", "--notifier", "owner"], "no MailNotifier 'owner' (did you mean 'owners'?); there are: mails, owners"),
        (&["anna@example.test", "--notifier", "owners"], "localhost:1: Connection refused"),
    ] {
        let ran = mail_test(&master, rest);
        assert_eq!(ran.code, Some(1), "{rest:?}: {ran:?}");
        assert!(ran.err.contains(part), "{rest:?}: {}", ran.err);
    }
    master.configure("c.builders = 7");
    let ran = mail_test(&master, &["anna@example.test"]);
    assert!(ran.code == Some(1) && ran.err.contains("the configuration has mistakes; nothing was sent"), "{ran:?}");
    assert_eq!(sink.count(), 0);
}

#[test]
fn what_waits_and_what_is_given_up_is_told_and_arrives_once_after_a_kill() {
    let mut sink = MailSink::create(json!({}));
    let mut master = Master::start(&config(sink.port, "", "mode = 'all'"));
    master.wait_attached("here");
    for _ in 0..3 {
        assert_eq!(master.build("linux", json!({}))["results"], FAILURE);
    }
    let reporter = wait_for("three mails wait", || {
        let row = master.http.rows("reporters?name=mails", "reporters").pop()?;
        (row["waiting"] == 3 && row["failing"] == 3).then_some(row)
    });
    assert!(reporter["error"].as_str().unwrap().contains("refused"), "{reporter}");
    assert_eq!((&reporter["class"], &reporter["given_up"]), (&json!("MailNotifier"), &json!(0)));
    let rows = master.http.rows("outbox?state=waiting&order=messageid", "outbox");
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0]["reporter"], &rows[0]["lane"]), (&json!("mails"), &json!("linux")));
    assert!(rows[0]["attempts"].as_i64().unwrap() >= 1 && rows[0]["next_try"].is_number(), "{}", rows[0]);
    let status = master.command("status", &[], &[]);
    let line = status.out.lines().find(|l| l.trim_start().starts_with("mails: 3 waiting, the oldest for "));
    assert!(line.is_some_and(|l| l.contains("refused")), "{}", status.out);
    master.wait_log("nothing can be sent, tried again in 10 s");
    assert_eq!(master.http.request("PUT", "/api/v2/outbox", None, &[]).unwrap().status, 405);
    assert_eq!(master.http.request("POST", "/api/v2/reporters", None, &[]).unwrap().status, 405);

    // Nothing of it is lost with the process, and nothing comes twice.
    master.kill9();
    sink.launch();
    sink.script(json!({ "data": ["", "554 looks like spam", ""] }));
    master.launch();
    let mails = sink.wait_mails(2);
    wait_for("all is settled", || (master.http.rows("outbox?state=waiting", "outbox").is_empty()).then_some(()));
    assert_eq!(sink.count(), 2);
    let ids: Vec<_> = mails.iter().map(|m| m["headers"]["message-id"][0].clone()).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(mails[0]["headers"]["references"], mails[1]["headers"]["references"], "a thread");
    let given_up = master.http.rows("outbox?state=given%20up", "outbox");
    assert_eq!((given_up.len(), &given_up[0]["error"]), (1, &json!("554 looks like spam")));
    master.wait_log("a message of the outbox is given up and will not be sent: 554 looks like spam");
    let status = master.command("status", &[], &[]);
    assert!(status.out.contains("mails: 1 given up (see /api/v2/outbox?state=given%20up)"), "{}", status.out);
    master.restart();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(sink.count(), 2);
}

#[test]
fn what_waits_is_listed_and_tried_at_once_when_somebody_asks() {
    let mut sink = MailSink::create(json!({}));
    let master = Master::start(&config(sink.port, "", "mode = 'all'"));
    master.wait_attached("here");
    let outbox = |rest: &[&str]| {
        let ran = master.command("outbox", &[], rest);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    assert_eq!(outbox(&[]), "waiting: 0\ngiven up: 0\n");
    for _ in 0..3 {
        assert_eq!(master.build("linux", json!({}))["results"], FAILURE);
    }
    // Once more than at first, so that the next try is far away.
    let waiting = || {
        let rows = master.http.rows("outbox?state=waiting&order=messageid", "outbox");
        (rows.len() == 3 && rows[0]["attempts"].as_i64()? >= 2).then_some(())
    };
    wait_for("the relay was tried twice", waiting);
    let listed = outbox(&[]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[4]), (5, "waiting: 3", "given up: 0"), "{listed}");
    assert!(lines[1].contains("mails: build finished 1, made ") && lines[1].contains("tried 2 times, again in "), "{listed}");
    assert!(lines[1].contains("refused") && lines[3].ends_with("not tried yet"), "{listed}");

    sink.launch();
    sink.script(json!({ "data": ["554 looks like spam"] }));
    let asked = std::time::Instant::now();
    assert!(outbox(&["--retry"]).starts_with("tried at once: 3\n"));
    assert_eq!(sink.wait_mails(2).len(), 2);
    assert!(asked.elapsed() < std::time::Duration::from_secs(10), "the pause was 20 s: {:?}", asked.elapsed());
    let json = wait_for("all is settled", || {
        let json: serde_json::Value = serde_json::from_str(&outbox(&["--json"])).expect("JSON");
        (json["waiting"] == json!([])).then_some(json)
    });
    assert_eq!((json["given_up"].as_array().map(Vec::len), &json["due"]), (Some(1), &serde_json::Value::Null), "{json}");
    let listed = outbox(&["--retry"]);
    assert!(listed.starts_with("tried at once: 0\nwaiting: 0\ngiven up: 1\n"), "{listed}");
    assert!(listed.contains("given up ") && listed.trim_end().ends_with(": 554 looks like spam"), "{listed}");

    let (status, error) = master.http.control("outbox", "retri", json!({})).expect_err("a mistake");
    assert_eq!(status, 400);
    assert_eq!(error["message"], "an outbox has no method 'retri' (did you mean 'retry'?); there is: retry");
    let nobody = Master::create("c = BuildmasterConfig").command("outbox", &[], &["--retry"]);
    assert!(nobody.code == Some(1) && nobody.err.contains("no master runs in"), "{nobody:?}");
}

#[test]
fn what_waits_for_a_reporter_that_is_called_otherwise_now_is_told_with_the_remedy() {
    let mut sink = MailSink::create(json!({}));
    let port = sink.port;
    let named = |name: &str| config(port, "", "mode = 'all'").replace("name = 'mails', ", name);
    let mut master = Master::start(&named(""));
    master.wait_attached("here");
    master.build("linux", json!({}));
    let of = |master: &Master| master.http.rows("outbox?state=waiting", "outbox").first().map(|row| row["reporter"].clone());
    let old = wait_for("a mail waits", || of(&master)).as_str().expect("a name").to_owned();

    master.configure(&named("name = 'other', "));
    let reload = |master: &Master| assert_eq!(master.command("reconfig", &[], &[]).code, Some(0));
    reload(&master);
    let remedy = format!("give the one that shall send them name = \"{old}\"");
    master.wait_log(&remedy);
    // A start says it as well.
    master.restart();
    wait_for("it is told again", || (master.log().matches(&remedy).count() == 2).then_some(()));
    let listed = master.command("outbox", &[], &[]).out;
    assert!(listed.contains(&format!("{old} (no longer configured): build finished 1")), "{listed}");

    sink.launch();
    master.configure(&named(&format!("name = '{old}', ")));
    reload(&master);
    assert_eq!(sink.wait_mails(1).len(), 1);
}
