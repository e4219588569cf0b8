//! What the master of a switchover is told, and what it has to say behind `Begin`.

use crate::decision::agreement::Verdict;
use crate::decision::entry::{AbortReason, StepName};
use crate::decision::event::Action;
use crate::decision::failover::{Failover, Run};
use crate::decision::failover_record::Outcome;
use crate::decision::fencing::FenceCause;
use crate::decision::group::Group;
use crate::decision::instance_event::{CommandFailure, LinkId, ProbeCommand};
use crate::decision::policy::Fencing;
use crate::decision::record::{GroupRecord, Mandate};
use crate::decision::switchover::{HOLD, Held, Hold, NotSwitched};
use crate::decision::watch::Watch;
use crate::model::{Endpoint, InstanceInfo, ReplicationOffset, Role};
use std::time::Instant;

impl Group {
    pub(super) fn hold_writes(
        &mut self,
        master: &Endpoint,
        link: LinkId,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Hold {
        self.held = Some(Held {
            instance: master.clone(),
            until: now + HOLD,
        });
        self.send(
            master,
            vec![(link, ProbeCommand::HoldWrites(HOLD))],
            actions,
        );
        Hold {
            link,
            sent_at: now,
            outcome: None,
        }
    }

    /// The answer to what the master was told.
    pub(in crate::decision) fn on_writes_held(
        &mut self,
        link: LinkId,
        sent_at: Instant,
        result: Result<InstanceInfo, CommandFailure>,
        record: Option<&GroupRecord>,
        now: Instant,
    ) {
        let (hold, timeline) = match &mut self.failover {
            Failover::Holding { hold, timeline, .. } => (Some(hold), timeline),
            Failover::Checking { run, .. } => (run.hold.as_mut(), &mut run.timeline),
            Failover::Watching { .. }
            | Failover::Choosing { .. }
            | Failover::Preparing { .. }
            | Failover::Beginning { .. }
            | Failover::Promoting { .. }
            | Failover::Ending { .. } => return,
        };
        let is_answer = |hold: &&mut Hold| {
            hold.link == link && sent_at >= hold.sent_at && hold.outcome.is_none()
        };
        if let (Some(hold), Some(record)) = (hold.filter(is_answer), record) {
            hold.outcome = Some(match result {
                Ok(info) => {
                    timeline.note_first(StepName::Held, now);
                    is_logged(record, &info)
                        .map(|()| info.history.offset)
                        .map_err(NotSwitched::MasterChanged)
                }
                Err(failure) => Err(NotSwitched::NotHeld(failure)),
            });
        }
    }

    /// How far the candidate of an open switchover has to be before it may be promoted: as far as the
    /// master ever came. That is known once the master is fenced and holds its writes, which is asked for
    /// anew behind each `Begin` by whoever leads; nothing until then. In a failover any will do.
    ///
    /// # Errors
    /// [`NotSwitched`] when the master does not hand its place over.
    pub(super) fn hand_over(
        &mut self,
        record: &GroupRecord,
        mandate: &Mandate<'_>,
        run: &mut Run,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Result<Option<ReplicationOffset>, NotSwitched> {
        if mandate.begin().asked().is_none() {
            return Ok(Some(ReplicationOffset(0)));
        }
        let master = record.master().endpoint.clone();
        if let Verdict::Down { evidence, .. } = self.verdict(record, now) {
            return Err(NotSwitched::MasterNotWell {
                master,
                why: evidence.to_string(),
            });
        }
        let Some(link) = self.watches.get(&master).and_then(Watch::open_link) else {
            return Ok(None);
        };
        let is_in_force = |hold: &Hold| {
            hold.link == link && now.saturating_duration_since(hold.sent_at) < HOLD / 2
        };
        let Some(hold) = run.hold.as_ref().filter(|hold| is_in_force(hold)) else {
            if self.policy.fencing == Fencing::Fast {
                // First: what the master says behind it is then all that it will ever have.
                self.fence(&master, FenceCause::Replaced, record, now, actions);
            }
            run.hold = Some(self.hold_writes(&master, link, now, actions));
            return Ok(None);
        };
        let reached = match &hold.outcome {
            None => return Ok(None),
            Some(outcome) => outcome.clone()?,
        };
        Ok(self.is_fence_settled(&master).then_some(reached))
    }

    /// Whether it is fenced, or will not be: then the hold alone has to do.
    fn is_fence_settled(&self, master: &Endpoint) -> bool {
        let watch = self.watches.get(master);
        self.policy.fencing == Fencing::Off
            || self.is_fence_refused(master)
            || watch.is_some_and(Watch::is_seen_fenced)
    }

    /// Why an open epoch is given up when its time is over.
    pub(super) fn overdue(&self, mandate: &Mandate<'_>, run: &Run) -> AbortReason {
        if run.promoted {
            let how = "it is not heard since".to_owned();
            return AbortReason::LostAfterPromotion(how);
        }
        if mandate.begin().asked().is_none() {
            return AbortReason::TimedOut(self.policy.promote_timeout);
        }
        AbortReason::NotSwitched(NotSwitched::TimedOut)
    }

    /// Whoever had the last switchover's master hold writes may be gone: as a replica it would take in
    /// nothing of its new master until the hold ends by itself.
    pub(super) fn remember_hold(&mut self, record: &GroupRecord, now: Instant) {
        let last = record.failovers().back();
        let switched =
            last.filter(|last| last.outcome == Outcome::Done && last.begin.asked().is_some());
        if let Some(switched) = switched {
            self.held = Some(Held {
                instance: switched.begin.from.endpoint.clone(),
                until: now + HOLD,
            });
        }
    }

    /// Lets the clients' writes go on that were held, once that does no harm: the master keeps its place
    /// and is not fenced, or it is a replica, and refuses them.
    pub(super) fn release_writes(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(held) = &self.held else { return };
        if held.until <= now {
            self.held = None;
            return;
        }
        let is_over = matches!(self.failover, Failover::Watching { .. })
            && record.mandate().is_none()
            && !record.is_vacant();
        let Some(watch) = self.watches.get(&held.instance).filter(|_| is_over) else {
            return;
        };
        let sample = watch.current_sample();
        let (Some(link), Some(sample)) = (watch.open_link(), sample) else {
            return;
        };
        let may_go_on = match &sample.info.role {
            Role::Replica { .. } => true,
            Role::Master { .. } => held.instance == record.master().endpoint && !watch.is_fenced(),
        };
        if may_go_on {
            let instance = held.instance.clone();
            self.held = None;
            self.send(
                &instance,
                vec![(link, ProbeCommand::ReleaseWrites)],
                actions,
            );
        }
    }
}

/// Whether this is the very master that is logged.
pub(super) fn is_logged(record: &GroupRecord, info: &InstanceInfo) -> Result<(), String> {
    let master = record.master();
    if info.run_id != master.run_id {
        return Err(format!("another process answers (run id {})", info.run_id));
    }
    if info.history.id != master.replication_id {
        return Err(format!("its replication history is {}", info.history.id));
    }
    match &info.role {
        Role::Master { .. } => Ok(()),
        Role::Replica { master, .. } => Err(format!("it is a replica of {master}")),
    }
}
