//! What can go wrong with what is kept, told apart where somebody acts on the difference. Never decides what to do about it.

use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoreError {
    #[error("{what}: the disk is full ({cause})")]
    Full { what: String, cause: String },
    #[error("{what}: {cause}")]
    Database { what: String, cause: String },
    #[error("{what} {}: {cause}", file.display())]
    File { what: &'static str, file: PathBuf, cause: String },
    #[error("log file {} is damaged at byte {offset}: {cause}", file.display())]
    Damaged { file: PathBuf, offset: u64, cause: String },
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}: it was written by a newer program, use that one"
    )]
    Newer { found: i64, known: i64 },
    /// A question that cannot be answered: an unknown field, a value of the wrong kind.
    #[error("{0}")]
    Query(String),
    /// The state of the thing forbids it: a request that is claimed already.
    #[error("{0}")]
    Refused(String),
    #[error("there is no {0}")]
    Missing(String),
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Did it fail for want of room?
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Full { .. })
    }

    /// The question was wrong, not the store.
    pub fn is_query(&self) -> bool {
        matches!(self, StoreError::Query(_))
    }

    pub(super) fn database(cause: impl std::fmt::Display) -> StoreError {
        StoreError::Database { what: "database".into(), cause: cause.to_string() }
    }

    pub(super) fn file(what: &'static str, file: &Path, error: &std::io::Error) -> StoreError {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => StoreError::Full { what: format!("{what} {}", file.display()), cause: error.to_string() },
            _ => StoreError::File { what, file: file.into(), cause: error.to_string() },
        }
    }

    /// The same, saying what was being done.
    pub(super) fn during(self, doing: impl std::fmt::Display) -> StoreError {
        match self {
            StoreError::Database { what, cause } => StoreError::Database { what: format!("{doing}: {what}"), cause },
            StoreError::Full { what, cause } => StoreError::Full { what: format!("{doing}: {what}"), cause },
            other => other,
        }
    }
}
