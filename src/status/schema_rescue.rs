//! The answer of `/v1/rescues`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::schema::SCHEMA;
use crate::model::{Endpoint, Epoch, GroupName, UnixTime};

/// The data sets that were saved on the answering node's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescuesReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Those that are kept, the newest first.
    pub rescues: Vec<RescueReport>,
}

impl Default for RescuesReport {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            rescues: Vec::new(),
        }
    }
}

/// A data set that was saved before its instance was demoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescueReport {
    /// The group.
    pub group: GroupName,
    /// Where it came from.
    pub instance: Endpoint,
    /// The epoch in which it was saved.
    pub epoch: Epoch,
    /// When, by the host's clock, in milliseconds since 1970.
    pub at: UnixTime,
    /// The file, a dump of Redis.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Bytes of its stream that the group never got; `null` where that could not be told.
    pub diverged_bytes: Option<u64>,
    /// The group's master now, to compare with; `null` where the group is no longer in the settings.
    pub master: Option<Endpoint>,
}
