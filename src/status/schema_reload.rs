//! The answer to `POST /v1/reload`.

use serde::{Deserialize, Serialize};

/// What became of reading the settings again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// The variables that were taken on.
    pub applied: Vec<String>,
    /// Those that differ from what is in force and count from the next start of the daemon.
    pub needs_restart: Vec<String>,
    /// All mistakes; with any, nothing was taken on.
    pub mistakes: Vec<String>,
}
