//! The JSON of pauses, and of administrators' operations.

use serde::{Deserialize, Serialize};

use super::schema::SCHEMA;
use super::schema_switchover::SwitchoverReport;
use super::source::{AdoptionOverview, OperationOverview, OperationState};
use crate::decision::{OperationId, Pause, PauseRecord};
use crate::model::{Endpoint, GroupName, UnixTime};

/// A pause of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseReport {
    /// The group.
    pub group: GroupName,
    /// When it began, by the leader's clock, in milliseconds since 1970.
    pub at: UnixTime,
    /// When it ends by itself, by that clock; `null` when only somebody can end it.
    pub until: Option<UnixTime>,
    /// Milliseconds until then, by the clock that counts; `null` when past or without an end.
    pub left_ms: Option<u64>,
    /// Who or what began it.
    pub by: String,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
    /// The operation that began it.
    pub operation: Option<OperationId>,
    /// When it ended; `null` while it stands.
    pub ended_at: Option<UnixTime>,
    /// Who or what ended it.
    pub ended_by: Option<String>,
}

impl From<&Pause> for PauseReport {
    fn from(pause: &Pause) -> Self {
        Self {
            group: pause.group.clone(),
            at: pause.at,
            until: pause.until(),
            left_ms: None,
            by: pause.by.to_string(),
            reason: pause.reason.as_ref().map(ToString::to_string),
            operation: pause.operation(),
            ended_at: None,
            ended_by: None,
        }
    }
}

impl From<&PauseRecord> for PauseReport {
    fn from(record: &PauseRecord) -> Self {
        let ended = record.ended.as_ref();
        Self {
            ended_at: ended.map(|(at, _)| *at),
            ended_by: ended.map(|(_, by)| by.to_string()),
            ..Self::from(&record.pause)
        }
    }
}

/// `/v1/operations/ID`, and the answer to every `POST`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Its number.
    pub operation: OperationId,
    /// How far it is, as far as the answering node knows.
    pub state: OperationState,
    /// The groups in which it is committed, as they are now.
    pub groups: Vec<OperatedGroup>,
}

/// A group in which an operation is committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatedGroup {
    /// The group.
    pub group: GroupName,
    /// The pause that stands now.
    pub paused: Option<PauseReport>,
    /// What the operation came to, if it registered the group.
    pub adopted: Option<AdoptionReport>,
    /// What it came to, if it asked for a switchover.
    pub switchover: Option<SwitchoverReport>,
}

/// A group that was registered by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionReport {
    /// Its master.
    pub master: Endpoint,
    /// The instances that do not follow it.
    pub others: Vec<BystanderReport>,
}

/// An instance of a group that was registered by hand, which does not follow its master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BystanderReport {
    /// Which.
    pub endpoint: Endpoint,
    /// What it says, and what becomes of it, in words.
    pub outlook: String,
}

impl From<&AdoptionOverview> for AdoptionReport {
    fn from(adoption: &AdoptionOverview) -> Self {
        let bystander = |(endpoint, outlook): &(Endpoint, String)| BystanderReport {
            endpoint: endpoint.clone(),
            outlook: outlook.clone(),
        };
        Self {
            master: adoption.master.clone(),
            others: adoption.others.iter().map(bystander).collect(),
        }
    }
}

impl OperationReport {
    /// Of one that is still under way.
    #[must_use]
    pub fn open(operation: OperationId) -> Self {
        Self {
            schema: SCHEMA,
            operation,
            state: OperationState::Open,
            groups: Vec::new(),
        }
    }
}

impl From<&OperationOverview> for OperationReport {
    fn from(overview: &OperationOverview) -> Self {
        let groups = overview.groups.iter();
        Self {
            schema: SCHEMA,
            operation: overview.operation,
            state: overview.state,
            groups: groups
                .map(|operated| OperatedGroup {
                    group: operated.group.clone(),
                    paused: operated.pause.as_ref().map(PauseReport::from),
                    adopted: operated.adoption.as_ref().map(AdoptionReport::from),
                    switchover: operated.switchover.as_ref().map(SwitchoverReport::from),
                })
                .collect(),
        }
    }
}
