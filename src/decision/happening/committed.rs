//! What people hear of as it is committed.

use super::Happening;
use crate::decision::entry::{Entry, Grounds};
use crate::decision::record::{Change, GroupRecord};

impl Happening {
    /// What people should hear of a committed change.
    pub fn of_change(change: Change, entry: &Entry, record: &GroupRecord) -> Option<Self> {
        let group = entry.group().clone();
        let epoch = record.epoch();
        match (change, entry) {
            (Change::None | Change::Members | Change::Limits, _) => None,
            (Change::Guard, Entry::Guarded { on, .. }) => {
                Some(Self::GuardSwitched { group, on: *on })
            }
            (Change::Master, Entry::Register { master, .. }) => Some(Self::Registered {
                group,
                master: master.endpoint.clone(),
            }),
            (Change::Master, Entry::Adopt(adoption)) => Some(Self::Adopted {
                group,
                master: adoption.master.endpoint.clone(),
                by: adoption.by.to_string(),
            }),
            (Change::Master, _) => Some(Self::MasterIdentified {
                group,
                epoch,
                master: record.master().clone(),
            }),
            (Change::Begun, Entry::Begin(begin)) => Some(Self::Begun {
                group,
                epoch: begin.epoch,
                candidate: begin.candidate.clone(),
                evidence: match &begin.grounds {
                    Grounds::Lost(evidence) => Some(evidence.clone()),
                    Grounds::Asked(_) => None,
                },
                asked_by: match &begin.grounds {
                    Grounds::Lost(_) => None,
                    Grounds::Asked(asked) => Some(asked.by.to_string()),
                },
                passed_over: begin.passed_over.clone(),
                loss_estimate_bytes: begin.loss_estimate,
                reinstates: begin.reinstates(),
            }),
            (Change::Aborted, Entry::Abort { epoch, why, .. }) => Some(Self::Aborted {
                group,
                epoch: *epoch,
                why: why.clone(),
            }),
            (Change::Done, Entry::Done { steps, .. }) => Some(Self::Done {
                group,
                epoch,
                master: record.master().endpoint.clone(),
                planned: record
                    .failovers()
                    .back()
                    .is_some_and(|last| last.begin.asked().is_some()),
                steps: steps.clone(),
            }),
            (Change::Paused, Entry::Pause(pause)) => Some(Self::Paused {
                group,
                by: pause.by.to_string(),
                reason: pause.reason.clone(),
                until: pause.until(),
            }),
            (Change::Resumed, Entry::Resume(resume)) => Some(Self::Resumed {
                group,
                by: resume.by.to_string(),
            }),
            (
                Change::History,
                Entry::Returned {
                    epoch, lost_bytes, ..
                },
            ) => Some(Self::LossKnown {
                group,
                epoch: *epoch,
                lost_bytes: *lost_bytes,
            }),
            (Change::History, Entry::Settled { epoch, steps, .. }) => Some(Self::Settled {
                group,
                epoch: *epoch,
                steps: steps.clone(),
            }),
            (Change::GivenUp, Entry::GiveUp(given_up)) => Some(Self::SwitchoverGivenUp {
                group,
                by: given_up.asked.by.to_string(),
                why: given_up.why.clone(),
            }),
            // No other entry makes these changes.
            (
                Change::Begun
                | Change::Aborted
                | Change::Done
                | Change::History
                | Change::Guard
                | Change::Paused
                | Change::Resumed
                | Change::GivenUp,
                _,
            ) => None,
        }
    }
}
