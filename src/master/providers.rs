//! The backends that are written in Rust, or why one can't be had in this build of the program.

use std::path::Path;
use std::sync::{Arc, Weak};

use crate::config::{Ec2Spec, WorkerSpec};
use crate::latent::backend::Backend;
use crate::lua::Loaded;
use crate::secrets::SecretSource;
use crate::workers::registry::Registry;

pub struct Providers {
    #[cfg(feature = "ec2")]
    ec2: super::ec2::Ec2,
}

#[cfg(feature = "ec2")]
impl Providers {
    pub fn new(master_id: String, folder: &Path, registry: Weak<Registry>) -> Providers {
        Providers { ec2: super::ec2::Ec2::new(master_id, folder.to_owned(), registry) }
    }

    pub async fn ec2(&self, worker: &WorkerSpec, spec: &Ec2Spec, loaded: &Loaded, source: &SecretSource) -> Arc<dyn Backend> {
        self.ec2.backend(worker, spec, loaded, source).await
    }
}

#[cfg(not(feature = "ec2"))]
impl Providers {
    pub fn new(_: String, _: &Path, _: Weak<Registry>) -> Providers {
        Providers {}
    }

    /// The configuration is refused before that.
    pub async fn ec2(&self, _: &WorkerSpec, _: &Ec2Spec, _: &Loaded, _: &SecretSource) -> Arc<dyn Backend> {
        let why = "this buildmoon was built without Amazon EC2".to_owned();
        Arc::new(crate::latent::backend::Unusable { class: "EC2LatentWorker", why })
    }
}
