//! `buildmoon mail-test DIR ADDRESS`: sends one mail as a `MailNotifier` of the configuration does, and shows the conversation.
//!
//! Needs no running master, and goes past its outbox: a mail that can't be sent is not tried again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::mistakes;
use crate::base::{Clock, MailAddress, SystemClock, suggest};
use crate::config::{MailSpec, MasterConfig};
use crate::lua;
use crate::report::driver::reporters;
use crate::report::sending::mail::Mail;
use crate::report::sending::mailer::{self, Surroundings};
use crate::report::sending::mime::{self, Mark};
use crate::report::sending::outbox::Outcome;
use crate::report::sending::smtp::{Limits, Smtp, Transcript};
use crate::secrets::SecretSource;

#[derive(clap::Args)]
pub struct Args {
    /// The base folder or the file
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Who gets the mail
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// The name of the MailNotifier that sends it, instead of the first one
    #[arg(long, value_name = "NAME")]
    notifier: Option<String>,
    /// Seconds that the evaluation of the configuration may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    config_timeout: u64,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let work = super::unless_interrupted(send(args));
    super::runtime()?.block_on(work)?.unwrap_or_else(Ok)
}

async fn send(args: Args) -> Result<ExitCode> {
    if MailAddress::parse(&args.address).is_none() {
        bail!("{:?} is no address of mail such as ann@example.org", args.address);
    }
    let options = lua::LoadOptions { path: args.dir.clone(), timeout: Duration::from_secs(args.config_timeout), checking: false };
    let checked = lua::check(options).await;
    let loaded = match checked.outcome {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            mistakes::tell(&mistakes, &checked.surroundings, &args.dir);
            bail!("the configuration has mistakes; nothing was sent");
        }
    };
    let host = lua::full_host_name().unwrap_or_else(|| "localhost".into());
    let (name, spec) = notifier(&loaded.config, args.notifier.as_deref(), &host).map_err(|e| anyhow!(e))?;
    if loaded.config.reporters.iter().all(|r| r.mail().is_none()) {
        println!("* the configuration has no MailNotifier; this is the one that tells of missing workers");
    }
    println!("* MailNotifier '{name}', from {}", spec.fromaddr);

    let now = SystemClock.now();
    let mail = test_mail(&spec, &args.address, &name, &host);
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| anyhow!("no random bytes for the mail's id: {e}"))?;
    let key: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let mark = Mark { master_id: "mail-test", reporter: &name, key: &key, created_at: now };
    let prepared = mime::prepare(&mail, mark).map_err(|e| anyhow!(e))?;
    for remark in &prepared.remarks {
        println!("* {remark}");
    }
    let around = Surroundings {
        master_id: "mail-test".into(),
        folder: loaded.generation.folder().to_owned(),
        secrets: SecretSource::new(loaded.config.clone(), loaded.generation.clone()),
    };
    let settings = mailer::settings(&spec, &around, Limits::default()).await;
    let mut relay = Smtp::new(settings.map_err(|e| anyhow!("the mail could not be sent: {e}"))?);
    let outcome = relay.send(&prepared.envelope, &prepared.bytes, None, &mut Terminal).await;
    relay.close(&mut Terminal).await;
    match outcome {
        Outcome::Sent { .. } => {
            println!("the relay has taken the mail for {} (Message-ID {})", args.address, prepared.message_id);
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Later { error, .. } => bail!("the relay puts it off, a running master would try again: {error}"),
        Outcome::Down(error) => bail!("the mail could not be sent, a running master would try again: {error}"),
        Outcome::Refused(error) => bail!("the relay refuses the mail, a running master would give it up: {error}"),
    }
}

/// The one of that name, or the first; where there is none, the one that tells of missing workers.
fn notifier(config: &MasterConfig, wanted: Option<&str>, host: &str) -> Result<(String, MailSpec), String> {
    let all = reporters(config, host);
    let mut mailers = all.iter().filter_map(|r| Some((&r.name, r.mail()?)));
    let names: Vec<&str> = mailers.clone().map(|(name, _)| name.as_str()).collect();
    let found = match wanted {
        Some(wanted) => mailers.find(|(name, _)| *name == wanted),
        None => mailers.next(),
    };
    found.map(|(name, spec)| (name.clone(), spec.clone())).ok_or_else(|| {
        let wanted = wanted.unwrap_or_default();
        let hint = suggest::hint(wanted, names.iter().copied());
        format!("the configuration has no MailNotifier '{wanted}'{hint}; there are: {}", names.join(", "))
    })
}

fn test_mail(spec: &MailSpec, address: &str, name: &str, host: &str) -> Mail {
    let text = format!(
        "This mail was sent by hand, with `buildmoon mail-test` on {host}.\n\nIt travelled as those of the MailNotifier '{name}' do, through {}:{}.\n",
        spec.relayhost, spec.smtp_port
    );
    Mail {
        from: spec.fromaddr.to_string(),
        to: vec![address.to_owned()],
        subject: format!("Test mail of Buildmoon on {host}"),
        text: Some(text),
        ..Mail::default()
    }
}

struct Terminal;

impl Transcript for Terminal {
    fn client(&mut self, line: &str) {
        println!("> {line}");
    }

    fn server(&mut self, line: &str) {
        println!("< {line}");
    }

    fn note(&mut self, text: &str) {
        println!("* {text}");
    }
}
