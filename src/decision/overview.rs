//! What one node knows of a group at one moment, for people to read.

use std::time::{Duration, Instant};

use super::agreement::Verdict;
use super::choice::Ineligible;
use super::discovery::WaitingFor;
use super::equality::Difference;
use super::failover::Failover;
use super::failover_record::FailoverRecord;
use super::fencing::FenceOverview;
use super::group::Group;
use super::guard::GuardOverview;
use super::health::{Cause, Health, Trouble};
use super::pause::PauseRecord;
use super::record::GroupRecord;
use super::repair::Standing;
use super::sentinels::SentinelWatch;
use super::switchover::GivenUp;
use super::watch::Watch;
use crate::model::{
    Endpoint, Epoch, GroupName, MasterLink, NodeId, ReplicationOffset, Role, RunId,
};

/// One group at one moment.
#[derive(Debug, Clone)]
pub struct GroupOverview {
    /// Its name.
    pub name: GroupName,
    /// What is committed of it; none before it is registered.
    pub decided: Option<Decided>,
    /// Why it is not registered, as far as this node can tell.
    pub waiting: Option<WaitingFor>,
    /// The voters whose settings of it are others than this node's.
    pub differing: Vec<(NodeId, Difference)>,
    /// What is being done.
    pub phase: Phase,
    /// The master as this node sees it, then all other instances by their endpoints.
    pub instances: Vec<InstanceOverview>,
    /// Who holds the master down or suspects it.
    pub down: Vec<DownOverview>,
    /// Why nobody could be promoted at the last attempt (leader only).
    pub passed_over: Vec<(Endpoint, Ineligible)>,
    /// What a failover is put off for, in words (leader only).
    pub awaited: Option<String>,
    /// How far the guard is, where there is to be one (leader only).
    pub guard: Option<GuardOverview>,
    /// Past epochs, the oldest first.
    pub failovers: Vec<FailoverRecord>,
    /// Switchovers for which no epoch began, the oldest first.
    pub given_up: Vec<GivenUp>,
    /// Past pauses and the one that stands, the oldest first.
    pub pauses: Vec<PauseRecord>,
    /// How long the one that stands still lasts, by this node's clock.
    pub pause_left: Option<Duration>,
    /// The Sentinels for whose sake nothing is done about it.
    pub deferred_to: Option<SentinelWatch>,
    /// The epoch that all of this node's clients' files name.
    pub files_epoch: Option<Epoch>,
}

/// What is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The current epoch.
    pub epoch: Epoch,
    /// The master.
    pub master: Endpoint,
    /// Its process.
    pub run_id: RunId,
}

/// What a node is doing about a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The group is not registered.
    Discovering,
    /// All is well.
    Watching,
    /// Somebody holds the master down, too few to act.
    Suspecting,
    /// Objectively down, and somebody else has to act, or nobody can be promoted.
    Down,
    /// The leader chooses.
    Choosing,
    /// The leader hands the master's place over, and no epoch has begun yet.
    Switching,
    /// `Begin` is proposed.
    Beginning,
    /// An epoch is open.
    Promoting,
    /// Its end is proposed.
    Ending,
}

impl Phase {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovering => "discovering",
            Self::Watching => "watching",
            Self::Suspecting => "suspecting",
            Self::Down => "down",
            Self::Choosing => "choosing",
            Self::Switching => "switching",
            Self::Beginning => "beginning",
            Self::Promoting => "promoting",
            Self::Ending => "ending",
        }
    }
}

/// One instance as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceOverview {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Whether it is the logged master.
    pub is_master: bool,
    /// Whether the group logged it as one of its own.
    pub is_member: bool,
    /// This node's judgement: nothing when it answers.
    pub down: Option<Cause>,
    /// Whether it answers, and stands to the master as it should.
    pub is_healthy: bool,
    /// What is wrong with it, in words.
    pub trouble: Option<String>,
    /// `redis 7.0.15`.
    pub version: Option<String>,
    /// What it says it is, unless it is down: `master` or `replica`.
    pub role: Option<&'static str>,
    /// Its offset as last read.
    pub offset: Option<ReplicationOffset>,
    /// Bytes behind the master's offset as last read; replicas only.
    pub lag_bytes: Option<u64>,
    /// `replica-priority`.
    pub priority: Option<u32>,
    /// Age of what was last read.
    pub read_ago: Option<Duration>,
    /// Who holds it fenced, if it is.
    pub fence: Option<FenceOverview>,
}

/// A node that holds the master down or suspects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownOverview {
    /// The node.
    pub node: NodeId,
    /// Why; nothing while it only suspects it.
    pub cause: Option<Cause>,
    /// Age of the evidence.
    pub held_for: Duration,
}

impl Group {
    /// What this node knows at `now`.
    #[must_use]
    pub fn overview(&self, record: Option<&GroupRecord>, now: Instant) -> GroupOverview {
        let passed_over = match &self.failover {
            Failover::Watching { passed_over, .. } => passed_over.clone(),
            Failover::Choosing { .. }
            | Failover::Preparing { .. }
            | Failover::Holding { .. }
            | Failover::Beginning { .. }
            | Failover::Checking { .. }
            | Failover::Promoting { .. }
            | Failover::Ending { .. } => Vec::new(),
        };
        GroupOverview {
            name: self.name.clone(),
            decided: record.map(|record| Decided {
                epoch: record.epoch(),
                master: record.master().endpoint.clone(),
                run_id: record.master().run_id,
            }),
            waiting: match record {
                Some(_) => None,
                None => self.why_not_registered(now),
            },
            differing: self.equality.differences(now),
            phase: self.phase(record, now),
            instances: self.instances(record, now),
            down: record.map_or_else(Vec::new, |record| self.down_overview(record, now)),
            passed_over,
            awaited: self.awaited.as_ref().map(ToString::to_string),
            guard: record.and_then(|record| self.guard_overview(record, now)),
            failovers: record.map_or_else(Vec::new, |record| {
                record.failovers().iter().cloned().collect()
            }),
            given_up: record.map_or_else(Vec::new, |record| {
                record.given_up().iter().cloned().collect()
            }),
            pauses: record.map_or_else(Vec::new, |record| record.pauses().cloned().collect()),
            pause_left: self
                .pause_over_at
                .map(|over_at| over_at.saturating_duration_since(now)),
            deferred_to: self.deferred_to(now),
            files_epoch: self.files_epoch,
        }
    }

    pub(super) fn phase(&self, record: Option<&GroupRecord>, now: Instant) -> Phase {
        let Some(record) = record else {
            return Phase::Discovering;
        };
        match &self.failover {
            Failover::Choosing { .. } => Phase::Choosing,
            Failover::Preparing { .. } | Failover::Holding { .. } => Phase::Switching,
            Failover::Beginning { .. } => Phase::Beginning,
            Failover::Ending { .. } => Phase::Ending,
            Failover::Checking { .. } | Failover::Promoting { .. } => Phase::Promoting,
            Failover::Watching { .. } if record.mandate().is_some() => Phase::Promoting,
            Failover::Watching { .. } => match self.verdict(record, now) {
                Verdict::NotDown => Phase::Watching,
                Verdict::Short { .. } | Verdict::Vetoed { .. } => Phase::Suspecting,
                Verdict::Down { .. } => Phase::Down,
            },
        }
    }

    fn instances(&self, record: Option<&GroupRecord>, now: Instant) -> Vec<InstanceOverview> {
        let master_offset = record.and_then(|record| self.master_offset(record));
        let mut instances: Vec<InstanceOverview> = self
            .watches
            .values()
            .map(|watch| self.instance(watch, record, master_offset, now))
            .collect();
        instances.sort_by_key(|instance| !instance.is_master);
        instances
    }

    fn instance(
        &self,
        watch: &Watch,
        record: Option<&GroupRecord>,
        master_offset: Option<ReplicationOffset>,
        now: Instant,
    ) -> InstanceOverview {
        let endpoint = watch.endpoint();
        let is_master = record.is_some_and(|record| record.master().endpoint == *endpoint);
        let health = match record {
            Some(record) if is_master => self.own_health(record, now),
            Some(_) | None => watch.health(&self.policy, None, now),
        };
        let info = watch.sample().map(|sample| &sample.info);
        let offset = info.map(|info| info.history.offset);
        let standing = record
            .zip(info)
            .filter(|_| !is_master)
            .map(|(record, info)| {
                super::repair::standing(endpoint, info, record, &self.policy, &self.aliases)
            });
        let down = match health {
            Health::Down { cause, .. } => Some(cause),
            Health::Up | Health::Unknown | Health::Suspected { .. } => None,
        };
        let fence = self.fence_overview(record, endpoint, now);
        let stands_well = standing.is_none_or(|standing| standing == Standing::Follows);
        InstanceOverview {
            endpoint: endpoint.clone(),
            is_master,
            is_member: record.is_some_and(|record| record.members().contains(endpoint)),
            down,
            is_healthy: health == Health::Up && stands_well,
            // What one that is down said of itself is no longer worth anything.
            trouble: self
                .rescue_overview(endpoint, now)
                .or_else(|| fence.as_ref().map(ToString::to_string))
                .filter(|_| down.is_none())
                .or_else(|| self.trouble(watch, standing.filter(|_| down.is_none()))),
            version: info.map(|info| info.version.clone()),
            role: info.filter(|_| down.is_none()).map(|info| match info.role {
                Role::Master { .. } => "master",
                Role::Replica { .. } => "replica",
            }),
            offset,
            // Offsets compare within one history only.
            lag_bytes: record
                .zip(info)
                .filter(|_| !is_master)
                .and_then(|(record, info)| record.master().reach(&info.history))
                .zip(master_offset)
                .map(|(own, master)| master.ahead_of(own)),
            priority: info.map(|info| info.priority),
            read_ago: watch
                .sample()
                .map(|sample| now.saturating_duration_since(sample.asked_at)),
            fence,
        }
    }

    fn trouble(&self, watch: &Watch, standing: Option<Standing>) -> Option<String> {
        if let Some(error) = self.repair.error(watch.endpoint()) {
            return Some(format!("cannot be made to follow the master: {error}"));
        }
        if let Some(trouble) = watch.trouble() {
            return Some(Trouble::to_string(trouble));
        }
        if let Some(trouble) = limits_trouble(watch) {
            return Some(trouble);
        }
        let follows = watch.sample().and_then(|sample| match &sample.info.role {
            Role::Replica { master, link } => Some((master, link)),
            Role::Master { .. } => None,
        });
        match (standing?, follows) {
            (Standing::Follows, _) => None,
            (Standing::Joins, Some((_, MasterLink::Syncing))) => {
                Some("copying the master's data".to_owned())
            }
            (Standing::Joins, _) => Some("its link to the master is down".to_owned()),
            (Standing::Astray, Some((master, _))) => Some(format!("follows {master}")),
            (Standing::Astray, None) => Some("follows somebody else".to_owned()),
            (Standing::Rogue, _) => Some("claims to be a master".to_owned()),
            (Standing::Stranger, Some((master, _))) => {
                Some(format!("not of this group any more: it follows {master}"))
            }
            (Standing::Stranger, None) => {
                Some("a master with data that are not this group's".to_owned())
            }
        }
    }

    fn down_overview(&self, record: &GroupRecord, now: Instant) -> Vec<DownOverview> {
        self.views_now(record, now)
            .into_iter()
            .filter_map(|(node, view)| {
                let (cause, since) = match view.health {
                    Health::Down { cause, since } => (Some(cause), since),
                    Health::Suspected { since } => (None, since),
                    Health::Up | Health::Unknown => return None,
                };
                let held_for = now.saturating_duration_since(since);
                Some(DownOverview {
                    node,
                    cause,
                    held_for,
                })
            })
            .collect()
    }
}

/// What an instance's own limits of writing come to, or why they are not known.
fn limits_trouble(watch: &Watch) -> Option<String> {
    if let Some(failure) = watch.limits_failure() {
        return Some(format!(
            "cannot be fenced, nor a fence lifted: {failure}; allow +config|get and +config|set to our \
             user"
        ));
    }
    let needed = watch.limits()?.replicas_needed();
    let Role::Master { replicas } = &watch.sample()?.info.role else {
        return None;
    };
    let online = replicas.iter().filter(|replica| replica.online).count();
    (u32::try_from(online).unwrap_or(u32::MAX) < needed).then(|| {
        format!(
            "takes no writes: min-replicas-to-write is {needed}, and {online} replicas are online"
        )
    })
}
