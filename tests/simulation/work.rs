//! Work on servers beside the probes: making them follow, and guarding them.

use promoterd::decision::{
    CommandFailure, Event, FollowOrder, FollowOutcome, GuardOrder, GuardOutcome, GuardTask,
    RescueOrder, RescueOutcome, Rescued,
};
use promoterd::model::{Endpoint, ReplicationHistory, RunId};

use super::world::World;

/// What is done on a connection of its own.
#[derive(Debug, Clone)]
pub enum Work {
    Follow(FollowOrder),
    Guard(GuardOrder),
    Rescue(RescueOrder),
}

impl Work {
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Follow(order) => &order.endpoint,
            Self::Guard(order) => &order.endpoint,
            Self::Rescue(order) => &order.endpoint,
        }
    }

    pub fn run_id(&self) -> RunId {
        match self {
            Self::Follow(order) => order.run_id,
            Self::Guard(order) => order.run_id,
            Self::Rescue(order) => order.run_id,
        }
    }

    pub fn ended(self, result: Result<Option<ReplicationHistory>, CommandFailure>) -> Event {
        match self {
            Self::Follow(order) => Event::Followed(FollowOutcome { order, result }),
            Self::Guard(order) => Event::Guarded(GuardOutcome {
                order,
                result: result.map(|_| ()),
            }),
            Self::Rescue(order) => {
                let saved = result.map(|_| Rescued {
                    path: format!("{}-{}.rdb", order.group, order.epoch),
                    bytes: 1,
                });
                let result = saved.map_err(|failure| failure.to_string());
                Event::Rescued(RescueOutcome { order, result })
            }
        }
    }
}

impl World {
    /// Its data are copied while it holds still.
    pub fn execute_rescue(&mut self, index: usize) -> Result<(), CommandFailure> {
        self.tally.rescued += 1;
        self.note(|| format!("server {index} is rescued"));
        Ok(())
    }

    pub fn execute_guard(
        &mut self,
        index: usize,
        order: &GuardOrder,
    ) -> Result<(), CommandFailure> {
        self.may_change_role(index)?;
        self.tally.guarded += 1;
        let server = &mut self.servers[index];
        match order.task {
            GuardTask::Admit => server.knows = Some(order.epoch),
            GuardTask::Arm => server.shows = Some(order.epoch),
            GuardTask::Release => server.shows = None,
            GuardTask::Close => server.knows = None,
        }
        self.note(|| format!("server {index}: {:?} of epoch {}", order.task, order.epoch));
        Ok(())
    }
}
