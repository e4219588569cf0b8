//! Going on with what is left, when nobody has the group's latest data any more.

use crate::decision::entry::Candidate;
use crate::decision::event::Action;
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::health::Health;
use crate::decision::record::GroupRecord;
use crate::decision::repair::{self, Standing};
use crate::decision::watch::Watch;
use crate::model::{Endpoint, InstanceInfo, Loading, MasterLink, ReplicationOffset, Role};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// So long everybody has to say without a break that the data are nowhere.
const HOPELESS_FOR: Duration = Duration::from_secs(5);

/// What speaks for an instance, the weightiest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    /// How late in the group's life its history was the group's.
    history: Option<usize>,
    has_keys: bool,
    is_logged_master: bool,
    is_master: bool,
    offset: ReplicationOffset,
}

impl Group {
    /// The best of what is left, once all members answer and none of them has had anything of the
    /// logged history for a while: to wait any longer would be in vain.
    ///
    /// One that is down may have it on its disk, and one that has it may be kept back by the
    /// operator: then nobody goes on without it.
    pub(super) fn salvage(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Option<Candidate> {
        let Some(best) = self.best_remains(record, now) else {
            self.hopeless_since = None;
            return None;
        };
        let since = *self.hopeless_since.get_or_insert(now);
        if now.saturating_duration_since(since) < HOPELESS_FOR {
            return None;
        }
        self.hopeless_since = None;
        actions.push(Action::Announce(Happening::DataLost {
            group: self.name.clone(),
            master: best.endpoint.clone(),
        }));
        Some(best)
    }

    fn best_remains(&self, record: &GroupRecord, now: Instant) -> Option<Candidate> {
        let members: BTreeSet<Endpoint> = record
            .members()
            .iter()
            .map(|member| self.real(member).clone())
            .collect();
        let watches: Option<Vec<&Watch>> = members
            .iter()
            .map(|member| self.watches.get(member))
            .collect();
        let mut best: Option<(Worth, Candidate)> = None;
        for watch in watches? {
            let info = &watch.current_sample()?.info;
            let answers = watch.health(&self.policy, None, now) == Health::Up;
            if !answers || is_changing(info) || record.master().shares(&info.history) {
                return None;
            }
            if !self.may_go_on(watch.endpoint(), info, record) {
                continue;
            }
            let worth = worth(watch.endpoint(), info, record);
            if best.as_ref().is_none_or(|(most, _)| worth > *most) {
                best = Some((worth, Candidate::of(watch.endpoint(), info)));
            }
        }
        best.map(|(_, candidate)| candidate)
    }

    fn may_go_on(&self, endpoint: &Endpoint, info: &InstanceInfo, record: &GroupRecord) -> bool {
        let is_logged_master = *endpoint == record.master().endpoint;
        let standing = repair::standing(endpoint, info, record, &self.policy, &self.aliases);
        info.priority > 0
            && !self.policy.excluded.contains(endpoint)
            && (is_logged_master || standing != Standing::Stranger)
    }
}

/// Its data are about to be others.
fn is_changing(info: &InstanceInfo) -> bool {
    let copies = match &info.role {
        Role::Replica { link, .. } => *link == MasterLink::Syncing,
        Role::Master { .. } => false,
    };
    copies || info.loading != Loading::No
}

fn worth(endpoint: &Endpoint, info: &InstanceInfo, record: &GroupRecord) -> Worth {
    let earlier = info.history.continues.map(|(id, _)| id);
    let known = [Some(info.history.id), earlier].into_iter().flatten();
    Worth {
        history: known.filter_map(|id| record.history_rank(&id)).max(),
        has_keys: info.has_keys,
        is_logged_master: *endpoint == record.master().endpoint,
        is_master: matches!(info.role, Role::Master { .. }),
        offset: info.history.offset,
    }
}
