//! What a worker says of itself when it attaches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Facts that the worker reported. All of it is the worker's word, none of it is trusted for decisions of safety.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// `info/admin`, `info/host`, `info/access_uri` of its base folder, and any other file there.
    #[serde(flatten)]
    pub files: BTreeMap<String, String>,
    /// What it calls its version; old packages report a date. Features follow from `commands`, never from this.
    pub version: String,
    /// `posix` or `nt`.
    pub system: String,
    pub basedir: String,
    pub numcpus: Option<i64>,
    /// Its environment variables; never shown by the API, steps may ask for single ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub environ: BTreeMap<String, String>,
    /// Command name to version.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub commands: BTreeMap<String, String>,
    #[serde(default)]
    pub delete_leftover_dirs: bool,
}
