//! What reporters are told to be becomes what they are.

use std::sync::Arc;

use super::super::testing::{function, object, place, table};
use super::super::{MasterConfig, SaidAt, Table, Value, assemble};
use super::*;

fn config(services: &[&Arc<Object>]) -> MasterConfig {
    let mut list = Table::default();
    list.items.extend(services.iter().map(|o| Value::from(*o)));
    let root = table![; services = list];
    let objects: Vec<Arc<Object>> = services.iter().map(|o| Arc::clone(o)).collect();
    assemble(&root, &place(1), &objects, SaidAt::default()).unwrap_or_else(|told| panic!("{told:#?}"))
}

fn one(object: &Arc<Object>) -> Arc<ReporterSpec> {
    config(&[object]).reporters[0].clone()
}

fn warnings(object: &Arc<Object>) -> Vec<String> {
    config(&[object]).warnings.iter().map(|w| w.text.clone()).collect()
}

#[test]
fn a_notifier_that_says_nothing_tells_of_builds_and_workers() {
    let plain = one(&object("MailNotifier", 1, table!["Builds <b@example.org>"]));
    assert_eq!((plain.name.as_str(), plain.generators.len()), ("MailNotifier", 2));
    assert_eq!(plain.generators[0].kind, GeneratorKind::Build { mode: Modes::default(), report_new: false });
    assert!(plain.missing_generator("any").is_some());
    let mail = plain.mail().unwrap();
    assert_eq!(mail.fromaddr.to_string(), "Builds <b@example.org>");
    assert_eq!((mail.relayhost.as_str(), mail.smtp_port, mail.send_to_interested_users), ("localhost", 25, true));
    assert_eq!(warnings(&object("MailNotifier", 1, table!["b@example.org"])), [""; 0]);
}

#[test]
fn arguments_of_old_files_become_generators() {
    let args = table!["b@example.org"; mode = "warnings", categories = table!["x"], schedulers = table!["s"],
        branches = table![Value::None, "main"], subject = "%(builder)s", addLogs = true, addPatch = false, buildSetSummary = true,
        watchedWorkers = table!["w"], name = "old"];
    let object = object("MailNotifier", 1, args);
    let old = one(&object);
    let [builds, missing] = &old.generators[..] else { panic!("{old:#?}") };
    assert_eq!(builds.kind, GeneratorKind::Set { mode: Modes([Mode::Failing, Mode::Warnings].into()) });
    let filter = FilterSpec {
        builders: None,
        tags: Some(vec!["x".into()]),
        schedulers: Some(vec!["s".into()]),
        branches: Some(vec![None, Some("main".into())]),
    };
    assert_eq!(builds.filter, filter);
    assert_eq!((builds.subject.as_deref(), builds.add_logs.as_ref()), (Some("%(builder)s"), Some(&WantedLogs::All)));
    assert_eq!(missing.kind, GeneratorKind::WorkerMissing { workers: Some(vec!["w".into()]) });
    assert!(old.missing_generator("w").is_some() && old.missing_generator("x").is_none());
    let told = warnings(&object);
    assert_eq!(told.iter().filter(|t| t.contains("stand in generators")).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|t| t.contains("'addPatch' is not used yet")).count(), 1, "{told:?}");
}

#[test]
fn no_builders_means_missing_workers_only_without_a_word() {
    let object = object("MailNotifier", 1, table!["b@example.org"; builders = Table::default()]);
    assert_eq!(warnings(&object), [""; 0]);
    let only = one(&object);
    assert_eq!(only.generators[0].filter.builders, Some(vec![]));
    assert!(only.missing_generator("w").is_some());
}

#[test]
fn names_are_made_of_what_is_selected() {
    let mail = |args: Table| one(&object("MailNotifier", 1, args)).name.clone();
    assert_eq!(
        mail(table!["b@example.org"; builders = table!["a", "b"], mode = table!["failing", "change"]]),
        "MailNotifier builders=a,b mode=change+failing"
    );
    assert_eq!(mail(table!["b@example.org"; watchedWorkers = table!["w"]]), "MailNotifier workers=w");
    let many: Vec<Value> = (0..100).map(|i| Value::from(format!("builder-{i}").as_str())).collect();
    let long = mail(table!["b@example.org"; builders = Table { items: many, ..Table::default() }]);
    assert!(long.chars().count() <= LONGEST_NAME && long.contains('…'), "{long}");
    let http = one(&object("HttpStatusPush", 1, table!["https://user:pw@example.org/x@y?token=1"]));
    assert_eq!(http.name, "HttpStatusPush https://example.org/x@y");
}

#[test]
fn pushes_know_their_secrets() {
    let secret = object("Secret", 1, table!["pw"]);
    let header = object("Interpolate", 2, table!["Bearer %(secret:token)s"]);
    let args = table!["https://example.org"; auth = table!["user", &secret], headers = table![; Authorization = &header]];
    let push = object("HttpStatusPush", 3, args);
    // It can't be assembled without providers; by itself it is understood.
    let spec = match assemble(&table![; services = table![&push]], &place(1), &[secret, header, push], SaidAt::default()) {
        Ok(_) => panic!("a secret without a provider"),
        Err(told) => told,
    };
    assert!(spec[0].text.ends_with("it uses the secret 'pw', but c.secretsProviders is empty"), "{spec:?}");
}

#[test]
fn own_reporters_and_generators_bring_functions() {
    let generator = object("BuildStatusGenerator", 1, table![; is_message_needed_by_props = function(), mode = "all"]);
    let own = object("ReporterBase", 2, table![; name = "chat", sendMessage = function(), generators = table![&generator]]);
    let root = table![; services = table![&own]];
    let config = assemble(&root, &place(1), &[generator, own], SaidAt::default()).unwrap();
    let own = &config.reporters[0];
    assert!(own.send_message.is_some() && own.kind == ReporterKind::Own && own.generators[0].needed_by_props.is_some());
}

#[test]
fn a_reload_tells_what_is_different_in_a_reporter() {
    use super::super::diff::diff;
    let with = |to: &str, mode: &str| {
        let generator = object("BuildStatusGenerator", 1, table![; mode = mode]);
        let mail = object("MailNotifier", 2, table!["b@example.org"; extraRecipients = table![to], generators = table![&generator]]);
        assemble(&table![; services = table![&mail]], &place(1), &[generator, mail], SaidAt::default()).unwrap()
    };
    let told = |a: &MasterConfig, b: &MasterConfig| diff(a, b).list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(&with("a@x.example", "failing"), &with("a@x.example", "failing")), [""; 0]);
    assert_eq!(
        told(&with("a@x.example", "failing"), &with("b@x.example", "failing")),
        ["MailNotifier changed: extraRecipients { \"a@x.example\" } → { \"b@x.example\" } (at once)"]
    );
    // Another selection is another reporter, unless it has a name.
    let other = told(&with("a@x.example", "failing"), &with("a@x.example", "problem"));
    assert_eq!(other.len(), 2, "{other:?}");
    assert!(
        other[0].starts_with("MailNotifier added: it tells of what happens") && other[1].starts_with("MailNotifier removed"),
        "{other:?}"
    );
}

#[test]
fn a_pool_stands_for_its_workers() {
    let pool = object("EC2LatentWorker", 1, table!["bot"; instance_type = "t3.micro", ami = "ami-1", pool = table![; max = 2]]);
    let missing = object("WorkerMissingGenerator", 2, table![; workers = table!["bot"]]);
    let mail = object("MailNotifier", 3, table!["b@example.org"; workers = table!["bot", "bot-2"], generators = table![&missing]]);
    let root = table![; workers = table![&pool], services = table![&mail]];
    let config = assemble(&root, &place(1), &[pool, missing, mail], SaidAt::default()).unwrap_or_else(|told| panic!("{told:#?}"));
    let reporter = &config.reporters[0];
    assert_eq!(reporter.mail().and_then(|m| m.workers.clone()), Some(vec!["bot-1".into(), "bot-2".into()]));
    assert!(reporter.missing_generator("bot-1").is_some() && reporter.missing_generator("bot").is_none());
    assert!(!config.warnings.iter().any(|w| w.text.contains("is no worker")), "{:?}", config.warnings);
}

#[test]
fn a_worker_that_nobody_mails_about_is_told_at_load() {
    let warned = |mail: Option<Table>| {
        let worker = object("Worker", 1, table!["w", "pass"; notify_on_missing = "ops@example.org"]);
        let builds = object("BuildStatusGenerator", 2, Table::default());
        let mail = mail.map(|args| object("MailNotifier", 3, args));
        let with_builds = mail.is_none().then(|| object("MailNotifier", 3, table!["b@example.org"; generators = table![&builds]]));
        let service = mail.or(with_builds).unwrap();
        let root = table![; workers = table![&worker], services = table![&service]];
        let config = assemble(&root, &place(1), &[worker, builds, service], SaidAt::default()).unwrap();
        config.warnings.iter().filter(|w| w.text.contains("no MailNotifier tells of this worker")).count()
    };
    assert_eq!(warned(None), 1, "its generators tell of builds only");
    assert_eq!(warned(Some(table!["b@example.org"])), 0);
    assert_eq!(warned(Some(table!["b@example.org"; workers = table!["x"]])), 1, "of others only");
    let alone = object("Worker", 1, table!["w", "pass"; notify_on_missing = "ops@example.org"]);
    let config = assemble(&table![; workers = table![&alone]], &place(1), &[alone], SaidAt::default()).unwrap();
    assert!(!config.warnings.iter().any(|w| w.text.contains("no MailNotifier")), "the host's own does");
}

#[test]
fn what_tells_of_workers_can_not_tell_of_builds() {
    let formatter = object("MessageFormatterMissingWorker", 1, Table::default());
    let mistakes = |class: &str, argument: &str| {
        let mut args = Table::default();
        args.named.insert(argument.into(), Value::from(&formatter));
        let generator = object(class, 2, args);
        let mail = object("MailNotifier", 3, table!["b@example.org"; generators = table![&generator]]);
        let told = assemble(&table![; services = table![&mail]], &place(1), &[formatter.clone(), generator, mail], SaidAt::default());
        told.err().map_or_else(Vec::new, |told| told.iter().map(ToString::to_string).collect())
    };
    assert_eq!(mistakes("WorkerMissingGenerator", "message_formatter"), [""; 0]);
    for (class, argument) in [
        ("BuildStatusGenerator", "message_formatter"),
        ("BuildSetStatusGenerator", "message_formatter"),
        ("BuildSetCombinedStatusGenerator", "message_formatter"),
        ("BuildStartEndStatusGenerator", "start_formatter"),
        ("BuildStartEndStatusGenerator", "end_formatter"),
        ("BuildRequestGenerator", "formatter"),
    ] {
        let text = "MessageFormatterMissingWorker tells of a worker, not of a build: reporters.MessageFormatter does";
        assert_eq!(mistakes(class, argument), [format!("master.lua:2: {class}: {text}")], "{argument}");
    }
}

#[test]
fn authorities_without_encryption_are_for_nothing() {
    let warned = |more: Table| {
        let mut args = table!["b@example.org"; smtpCaFile = "ca.pem"];
        args.named.extend(more.named);
        warnings(&object("MailNotifier", 1, args)).iter().filter(|w| w.contains("'smtpCaFile' has no effect")).count()
    };
    assert_eq!(warned(Table::default()), 1);
    assert_eq!(
        [warned(table![; useTls = true]), warned(table![; useSmtps = true]), warned(table![; smtpUser = "u", smtpPassword = "p"])],
        [0; 3]
    );
}
