//! Who may attach: what a protocol's server asks the registry. The registry implements it; servers know nothing else of it.

use std::sync::Arc;
use std::time::Duration;

use super::link::Link;
use crate::base::Secret;
use crate::model::WorkerInfo;

pub trait Gate: Send + Sync + 'static {
    /// The password of a configured worker; none if the name is unknown or may not log in. The error is why it can't be told
    /// now: the worker is to try again.
    fn password(&self, name: &str) -> Result<Option<Secret>, String>;
    /// How often an idle connection is to be asked for a sign of life; none: never.
    fn keepalive_interval(&self, name: &str) -> Option<Duration>;
    /// The link of the worker that is attached under this name now.
    fn attached(&self, name: &str) -> Option<Arc<dyn Link>>;
    /// The builders (name, folder on the worker) that may run there.
    fn builders(&self, name: &str) -> Vec<(String, String)>;
    /// A worker has logged in and taken its builder list; from now on it gets builds. An error turns it away.
    fn attach(&self, name: &str, peer: &str, info: WorkerInfo, link: Arc<dyn Link>) -> Result<(), String>;
    /// The link is gone. Ignored if another link has taken its place.
    fn detach(&self, name: &str, link: &Arc<dyn Link>, why: &str);
    /// The worker's administrator asked for a graceful stop: no new builds, `Link::shutdown` when idle.
    fn shutdown_requested(&self, name: &str);
    /// A sign of life.
    fn seen(&self, name: &str);
}

/// What the machine of a latent worker means for its login: the registry asks, whoever starts the machines answers.
pub trait Warden: Send + Sync + 'static {
    /// The error is why the worker may not attach now: nobody started its machine, or it is being stopped.
    fn admits(&self, name: &str) -> Result<(), String>;
    /// What the machine that runs now logs in with, where the configuration has no password.
    fn password(&self, name: &str) -> Option<Secret>;
}
