//! What replies mean, by the question that they answer: the parsing alone, for bytes without a server.

use redis::Value;

use super::guard::read_setting;
use super::info;
use super::limits;
use super::reply::{clean, expect_text, read_ping, read_promotion, read_subscribers};
use super::work::{expect_process, read_demotion};
use crate::decision::CommandFailure;
use crate::model::{InstanceInfo, RunId};

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `PING`.
    Ping,
    /// `INFO` of all that we read.
    Info,
    /// `INFO server`, to make sure of the process.
    Process(RunId),
    /// How many Sentinels listen.
    Sentinels,
    /// `REPLICAOF NO ONE` and `ROLE`.
    Promotion,
    /// `CONFIG GET` of the limits of writing.
    Limits,
    /// `CONFIG GET` and twice `CONFIG SET` of them.
    SetLimits,
    /// `CONFIG GET` of one setting.
    Setting,
    /// The transaction that demotes.
    Demotion,
}

impl Asked {
    /// Everything that is asked.
    #[must_use]
    pub fn all(run_id: RunId) -> [Self; 9] {
        [
            Self::Ping,
            Self::Info,
            Self::Process(run_id),
            Self::Sentinels,
            Self::Promotion,
            Self::Limits,
            Self::SetLimits,
            Self::Setting,
            Self::Demotion,
        ]
    }

    /// What these replies mean, in words; nothing where the question has one reply and there is none.
    #[must_use]
    pub fn read(self, replies: &[Value]) -> Option<String> {
        let first = replies.first();
        Some(match self {
            Self::Ping => format!("{:?}", read_ping(first?)),
            Self::Info => format!("{:?}", read_info(first?.clone())),
            Self::Process(run_id) => format!("{:?}", expect_process(first?.clone(), run_id)),
            Self::Sentinels => format!("{:?}", read_subscribers(first?)),
            Self::Promotion => format!("{:?}", read_promotion(replies)),
            Self::Limits => format!("{:?}", limits::read(first?)),
            Self::SetLimits => format!("{:?}", limits::read_set(replies)),
            Self::Setting => format!("{:?}", read_setting(first?)),
            Self::Demotion => format!("{:?}", read_demotion(replies)),
        })
    }
}

/// What an instance says of itself.
pub(super) fn read_info(reply: Value) -> Result<InstanceInfo, CommandFailure> {
    let text = expect_text(reply)?;
    info::parse(&text)
        .map_err(|error| CommandFailure::Malformed(format!("INFO: {}", clean(&error.to_string()))))
}
