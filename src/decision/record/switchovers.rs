//! What a group remembers of switchovers that somebody asked for.

use std::collections::VecDeque;

use super::{Change, GroupRecord};
use crate::decision::request::OperationId;
use crate::decision::switchover::{GivenUp, Stage};

/// Switchovers that came to nothing, and that a group remembers.
const GIVEN_UP_MAX: usize = 16;

impl GroupRecord {
    /// Switchovers that came to nothing before an epoch began, the oldest first.
    #[must_use]
    pub fn given_up(&self) -> &VecDeque<GivenUp> {
        &self.given_up
    }

    /// How far the switchover of this operation is, if anything of it is committed.
    #[must_use]
    pub fn switchover(&self, operation: OperationId) -> Option<Stage> {
        if !self.has_done(operation) {
            return None;
        }
        let open = self
            .mandate()
            .and_then(|open| open.begin().asked().cloned());
        let is_open = open.is_some_and(|asked| asked.operation == operation);
        Some(if is_open { Stage::Open } else { Stage::Over })
    }

    /// Not what has become of the same operation before.
    pub(super) fn give_up(&mut self, given_up: GivenUp) -> Change {
        if !self.operations.note(given_up.asked.operation) {
            return Change::None;
        }
        if self.given_up.len() == GIVEN_UP_MAX {
            self.given_up.pop_front();
        }
        self.given_up.push_back(given_up);
        Change::GivenUp
    }
}
