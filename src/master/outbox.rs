//! The outbox among the other rooms: who sends for which reporter of the configuration, and what of it the API shows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::AtWork;
use crate::config::{FnRef, ReporterKind, ReporterSpec};
use crate::model::query::Row;
use crate::model::{OutboxCount, OutboxItem, OutboxState};
use crate::report::driver;
use crate::report::sending::courier::Courier;
use crate::report::sending::mailer::{MailSender, Surroundings};
use crate::report::sending::outbox::{Outbox, Sender};
use crate::report::sending::own::OwnSender;
use crate::report::sending::push::PushSender;
use crate::report::sending::smtp::Limits;
use crate::secrets::SecretSource;
use crate::store::{Store, StoreError};

/// Below the base folder: what couriers brought that the store does not know of.
const COURIERS: &str = "outbox";
/// Messages of each state that the API shows.
const SHOWN: usize = 1000;

/// Puts the reporters of a configuration to work.
pub fn configure(outbox: &Outbox, at_work: &AtWork, master_id: &Arc<str>, base: &Path) {
    let config = &at_work.loaded.config;
    let generation = &at_work.loaded.generation;
    let around = Surroundings {
        master_id: master_id.clone(),
        folder: PathBuf::from(generation.folder()),
        secrets: SecretSource::new(config.clone(), generation.clone()),
    };
    let reporters = driver::reporters(config, &driver::host());
    let own = |send_message: &FnRef| Box::new(OwnSender::new(send_message.clone(), generation.clone())) as Box<dyn Sender>;
    let sender = |spec: &ReporterSpec| {
        let courier = || Courier::new(&base.join(COURIERS), &spec.name);
        spec.send_message.as_ref().map(own).or_else(|| sender(spec, &around, courier()))
    };
    outbox.configure(reporters.iter().filter_map(|spec| Some((spec.name.clone(), sender(spec)?))).collect());
}

/// Who of the host sends for it.
fn sender(spec: &ReporterSpec, around: &Surroundings, courier: Courier) -> Option<Box<dyn Sender>> {
    match &spec.kind {
        ReporterKind::Mail(mail) => Some(Box::new(MailSender::new((**mail).clone(), around.clone(), Limits::default(), courier))),
        ReporterKind::Http(http) => Some(Box::new(PushSender::new((**http).clone(), around.clone(), courier))),
        ReporterKind::Own => None,
    }
}

/// The newest messages of each state as the API shows them, the newest first.
pub async fn rows(store: &Store) -> Result<Vec<Row>, StoreError> {
    let mut items = Vec::new();
    for state in [OutboxState::Waiting, OutboxState::GivenUp, OutboxState::Sent] {
        items.extend(store.outbox(Some(state), SHOWN).await?);
    }
    items.sort_by_key(|item| std::cmp::Reverse(item.id));
    Ok(items.iter().map(shown).collect())
}

fn shown(item: &OutboxItem) -> Row {
    let waits = item.state == OutboxState::Waiting;
    super::backend::row(json!({
        "messageid": item.id, "reporter": item.reporter, "about": item.key, "lane": item.lane, "state": item.state.name(),
        "attempts": item.attempts, "created_at": item.created_at.seconds(), "settled_at": item.settled_at.map(|t| t.seconds()),
        "next_try": (waits && item.attempts > 0).then(|| item.next_try.seconds()), "error": item.last_error,
    }))
}

/// Each reporter with what waits for it; also those that are no longer configured and have something.
pub async fn reporters(store: &Store, configured: &[Arc<ReporterSpec>]) -> Result<Vec<Row>, StoreError> {
    let mut counts: HashMap<String, OutboxCount> = store.outbox_counts().await?.into_iter().map(|c| (c.reporter.clone(), c)).collect();
    let row = |name: &str, class: Option<&str>, count: OutboxCount| {
        super::backend::row(json!({
            "name": name, "class": class, "waiting": count.waiting, "failing": count.failing, "given_up": count.given_up,
            "oldest": count.oldest.map(|t| t.seconds()), "error": count.last_error,
        }))
    };
    let mut rows: Vec<Row> =
        configured.iter().map(|spec| row(&spec.name, Some(&spec.class), counts.remove(&spec.name).unwrap_or_default())).collect();
    let mut gone: Vec<OutboxCount> = counts.into_values().collect();
    gone.sort_by(|a, b| a.reporter.cmp(&b.reporter));
    rows.extend(gone.into_iter().map(|count| row(&count.reporter.clone(), None, count)));
    Ok(rows)
}
