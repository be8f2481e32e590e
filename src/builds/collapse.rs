//! May an older request be answered by a newer one? Pure.

use crate::model::{BuildRequest, Properties, SourceStamp};

/// The default rule: the same sources, and the same properties apart from who asked and why.
pub fn same_work(older: &BuildRequest, newer: &BuildRequest) -> bool {
    older.builder == newer.builder
        && stamps(older) == stamps(newer)
        && properties(&older.buildset.properties) == properties(&newer.buildset.properties)
}

fn stamps(r: &BuildRequest) -> Vec<&SourceStamp> {
    let mut stamps: Vec<&SourceStamp> = r.buildset.sourcestamps.iter().map(|(_, s)| s).collect();
    stamps.sort_by(|a, b| a.codebase.cmp(&b.codebase));
    stamps
}

fn properties(p: &Properties) -> Vec<(&String, &serde_json::Value)> {
    p.0.iter().filter(|(name, _)| !matches!(name.as_str(), "owner" | "owners" | "reason")).map(|(n, p)| (n, &p.value)).collect()
}
