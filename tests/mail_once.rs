//! A mail arrives once, also where the master is killed with -9 while it is sent. The real program against aiosmtpd, which
//! stops at each point of the conversation, and against OpenSMTPD, which delivers into a mailbox. Moments at which its courier
//! dies too are in `outbox.rs`.

mod support;

use std::collections::HashSet;

use serde_json::json;
use support::opensmtpd::OpenSmtpd;
use support::*;

fn config(port: u16) -> String {
    format!(
        r#"
c.workers = {{ LocalWorker{{ "here", max_builds = 8 }} }}
local f = util.BuildFactory()
f:addStep(steps.ShellCommand{{ name = "fail", command = {{ "false" }} }})
c.builders = {{}}
for n = 1, 8 do
  table.insert(c.builders, util.BuilderConfig{{ name = "b" .. n, workernames = {{ "here" }}, factory = f }})
end
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = list.map(c.builders, function(b) return b.name end) }} }}
c.services = {{ reporters.MailNotifier{{ name = "mails", fromaddr = "bot@example.test", smtpPort = {port}, mode = "failing",
  extraRecipients = {{ "anna@example.test" }}, sendToInterestedUsers = false }} }}
"#
    )
}

fn wait_settled(master: &Master) {
    wait_for("all mails are settled", || master.http.rows("outbox?state=waiting", "outbox").is_empty().then_some(()));
}

#[test]
fn a_master_that_is_killed_at_each_point_of_the_sending_sends_exactly_one() {
    for point in ["mail", "rcpt", "data", "dot", "accepted"] {
        let sink = MailSink::start();
        sink.script(json!({ "pause": point }));
        let mut master = Master::start(&config(sink.port));
        master.wait_attached("here");
        assert_eq!(master.build("b1", json!({}))["results"], FAILURE);
        sink.wait_paused();
        master.kill9();
        master.launch();
        sink.go_on();
        wait_settled(&master);
        assert_eq!(sink.count(), 1, "killed at {point}");
        let settled = master.http.rows("outbox?state=sent", "outbox");
        assert_eq!(settled.len(), 1, "killed at {point}");
    }
}

#[test]
fn a_master_that_is_killed_again_and_again_delivers_each_mail_once_into_the_mailbox() {
    const MAILS: usize = 80;
    let Some(server) = OpenSmtpd::start() else { return };
    // They wait for a relay that is not there.
    let mut master = Master::start(&config(1));
    master.wait_attached("here");
    let requests: Vec<i64> = (0..MAILS).map(|n| master.force(&format!("b{}", n % 8 + 1), json!({}))).collect();
    for request in requests {
        master.wait_request(request);
    }
    wait_for("all mails wait", || (master.http.rows("outbox?state=waiting", "outbox").len() == MAILS).then_some(()));
    master.stop();
    master.configure(&config(server.port));
    for more in [1, 7, 3, 12, 5, 2, 9, 4] {
        let wanted = (server.count() + more).min(MAILS);
        master.launch();
        wait_for("some arrive", || (server.count() >= wanted).then_some(()));
        master.kill9();
    }
    master.launch();
    wait_settled(&master);
    let mails = server.wait_mails(MAILS);
    let ids: HashSet<_> = mails.iter().map(|m| m["headers"]["message-id"][0].as_str().expect("an id").to_owned()).collect();
    assert_eq!((mails.len(), ids.len()), (MAILS, MAILS));
}
