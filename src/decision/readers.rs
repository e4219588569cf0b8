//! What readers are told of the replicas: by this node's own watches, and damped, since each change
//! rewrites files.
//!
//! A replica that is down is left out at once: that it is down took its time already. One that lost its
//! master, or is too far behind, is left out when that lasts, and one that was left out is told of again
//! when it has been well for a while, ever longer the more often it goes. How far behind a replica is
//! changes nothing by itself: it is told along with what does.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::group::Group;
use super::health::Health;
use super::record::{GroupRecord, Records};
use super::repair::{self, Standing};
use crate::model::{
    Endpoint, Epoch, GroupName, Loading, Replica, ReplicaHealth, ReplicationOffset,
};

/// One that follows nobody, or is too far behind, is left out after so long: longer than two readings of it
/// are apart, so that one which follows its new master as it should is never left out.
const LEAVES_AFTER: Duration = Duration::from_secs(3);
/// One that was left out has to be well for so long.
const RETURNS_AFTER: Duration = Duration::from_secs(5);
/// The longest time for which one that goes again and again has to be well.
const RETURNS_AFTER_MAX: Duration = Duration::from_secs(300);
/// After so long it is forgotten how often it went.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Readings of a master that are kept: replicas are compared with one that is not younger than their own.
const READINGS: usize = 8;

/// What readers of all groups are told.
#[derive(Debug, Default)]
pub struct Readers {
    groups: BTreeMap<GroupName, Told>,
}

/// What readers of a group are told otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedReaders {
    /// The group.
    pub group: GroupName,
    /// The epoch that was published last.
    pub epoch: Epoch,
    /// Its master.
    pub master: Endpoint,
    /// All other instances.
    pub replicas: Vec<Replica>,
}

/// What those of one group are told.
#[derive(Debug)]
struct Told {
    epoch: Epoch,
    master: Endpoint,
    /// How far it was, and when it was asked.
    readings: VecDeque<(Instant, ReplicationOffset)>,
    lines: BTreeMap<Endpoint, Line>,
    replicas: Vec<Replica>,
}

/// One replica.
#[derive(Debug)]
struct Line {
    health: ReplicaHealth,
    lag_bytes: Option<u64>,
    /// Whether what is seen otherwise than it is told is one for readers, and since when.
    differs: Option<(bool, Instant)>,
    /// When it was last left out, and how often of late.
    left_at: Option<Instant>,
    departures: u32,
}

/// What one look at a replica shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// Nothing that could be relied on.
    Unsure,
    Down,
    Detached,
    /// It follows, and said when it was asked how far it is in the master's stream, if at all.
    Follows(Instant, Option<ReplicationOffset>),
}

impl Readers {
    /// A master was published: what readers are told of the other instances.
    pub fn publish(
        &mut self,
        name: &GroupName,
        (epoch, master): (Epoch, &Endpoint),
        others: &[Endpoint],
        known: Option<(&Group, &GroupRecord)>,
        now: Instant,
    ) -> Vec<Replica> {
        let told = self.groups.entry(name.clone()).or_insert_with(|| Told {
            epoch,
            master: master.clone(),
            readings: VecDeque::new(),
            lines: BTreeMap::new(),
            replicas: Vec::new(),
        });
        if (told.epoch, &told.master) != (epoch, master) {
            told.readings.clear();
        }
        (told.epoch, told.master) = (epoch, master.clone());
        told.lines.retain(|endpoint, _| others.contains(endpoint));
        if let Some((group, record)) = known {
            told.read_master(group, record);
        }
        let Told {
            lines, readings, ..
        } = &mut *told;
        for endpoint in others {
            let new = || match known {
                Some((group, record)) => {
                    let sight = group.sight(record, endpoint, now);
                    Line::new(sight, readings, group.policy.readers_lag_max)
                }
                None => Line::new(Sight::Unsure, readings, None),
            };
            lines.entry(endpoint.clone()).or_insert_with(new);
        }
        if let Some((group, record)) = known {
            told.judge(name, group, record, now);
        }
        told.write_down();
        told.replicas.clone()
    }

    /// What changed since, of the groups whose committed master is the one that was published.
    pub fn look(
        &mut self,
        groups: &BTreeMap<GroupName, Group>,
        records: &Records,
        now: Instant,
    ) -> Vec<ChangedReaders> {
        let mut changed = Vec::new();
        for (name, told) in &mut self.groups {
            let (Some(group), Some(record)) = (groups.get(name), records.get(name)) else {
                continue;
            };
            if (record.epoch(), &record.master().endpoint) != (told.epoch, &told.master) {
                continue;
            }
            told.read_master(group, record);
            if told.judge(name, group, record, now) {
                told.write_down();
                changed.push(ChangedReaders {
                    group: name.clone(),
                    epoch: told.epoch,
                    master: told.master.clone(),
                    replicas: told.replicas.clone(),
                });
            }
        }
        changed
    }

    /// What readers of a group were told last.
    #[must_use]
    pub fn told(&self, name: &GroupName) -> &[Replica] {
        self.groups.get(name).map_or(&[], |told| &told.replicas)
    }
}

impl Told {
    fn read_master(&mut self, group: &Group, record: &GroupRecord) {
        let watch = group.watches.get(&record.master().endpoint);
        let Some(sample) = watch.and_then(|watch| watch.sample()) else {
            return;
        };
        let is_ours = sample.info.run_id == record.master().run_id;
        let is_new = self
            .readings
            .back()
            .is_none_or(|(at, _)| *at < sample.asked_at);
        if is_ours && is_new {
            if self.readings.len() == READINGS {
                self.readings.pop_front();
            }
            let reading = (sample.asked_at, sample.info.history.offset);
            self.readings.push_back(reading);
        }
    }

    /// Whether anything is told otherwise than before.
    fn judge(
        &mut self,
        name: &GroupName,
        group: &Group,
        record: &GroupRecord,
        now: Instant,
    ) -> bool {
        let mut changed = false;
        for (endpoint, line) in &mut self.lines {
            let sight = group.sight(record, endpoint, now);
            if line.judge(sight, &self.readings, group.policy.readers_lag_max, now) {
                let (health, lag_bytes) = (line.health, line.lag_bytes);
                tracing::info!(group = %name, replica = %endpoint, %health, lag_bytes, "told to readers");
                changed = true;
            }
        }
        changed
    }

    fn write_down(&mut self) {
        let replica = |(endpoint, line): (&Endpoint, &Line)| Replica {
            endpoint: endpoint.clone(),
            health: line.health,
            lag_bytes: line.lag_bytes,
        };
        self.replicas = self.lines.iter().map(replica).collect();
    }
}

impl Line {
    /// The first look counts at once.
    fn new(
        sight: Sight,
        readings: &VecDeque<(Instant, ReplicationOffset)>,
        lag_max: Option<u64>,
    ) -> Self {
        let mut line = Self {
            health: ReplicaHealth::Unknown,
            lag_bytes: None,
            differs: None,
            left_at: None,
            departures: 0,
        };
        line.note_lag(sight, readings);
        line.health = line.found(sight, lag_max).unwrap_or(ReplicaHealth::Unknown);
        line
    }

    /// Takes in what is seen; whether the replica is told of otherwise from now on.
    fn judge(
        &mut self,
        sight: Sight,
        readings: &VecDeque<(Instant, ReplicationOffset)>,
        lag_max: Option<u64>,
        now: Instant,
    ) -> bool {
        self.note_lag(sight, readings);
        let Some(found) = self.found(sight, lag_max) else {
            // In doubt it is not well without a break.
            self.differs = self.differs.filter(|(is_well, _)| !is_well);
            return false;
        };
        if found == self.health {
            self.differs = None;
            return false;
        }
        let is_well = found.is_readable();
        let since = match self.differs {
            Some((was_well, since)) if was_well == is_well => since,
            Some(_) | None => now,
        };
        self.differs = Some((is_well, since));
        if now.saturating_duration_since(since) < self.patience(found) {
            return false;
        }
        if self.health.is_readable() && !is_well {
            self.note_departure(now);
        }
        (self.health, self.differs) = (found, None);
        true
    }

    /// What one look comes to; none in doubt.
    fn found(&self, sight: Sight, lag_max: Option<u64>) -> Option<ReplicaHealth> {
        let was_behind = self.health == ReplicaHealth::Behind;
        match sight {
            Sight::Unsure => None,
            Sight::Down => Some(ReplicaHealth::Down),
            Sight::Detached => Some(ReplicaHealth::Detached),
            Sight::Follows(..) => {
                // Half of the limit, that it does not come and go at it.
                let limit = lag_max.map(|max| if was_behind { max / 2 } else { max });
                match (limit, self.lag_bytes) {
                    (Some(limit), Some(lag)) if lag > limit => Some(ReplicaHealth::Behind),
                    (Some(_), None) if was_behind => None,
                    (Some(_) | None, Some(_) | None) => Some(ReplicaHealth::Healthy),
                }
            }
        }
    }

    /// What the master had when it was last asked before the replica was, and the replica had not: what was
    /// written between the two questions is no lag.
    fn note_lag(&mut self, sight: Sight, readings: &VecDeque<(Instant, ReplicationOffset)>) {
        self.lag_bytes = match sight {
            // It may be well; what was last read stays.
            Sight::Unsure => return,
            Sight::Down | Sight::Detached | Sight::Follows(_, None) => None,
            Sight::Follows(asked_at, Some(own)) => {
                let mut earlier = readings.iter().rev();
                let earlier = earlier.find(|(at, _)| *at <= asked_at);
                earlier.map(|(_, master)| master.ahead_of(own))
            }
        };
    }

    fn patience(&self, found: ReplicaHealth) -> Duration {
        match (self.health.is_readable(), found) {
            (true, ReplicaHealth::Healthy | ReplicaHealth::Unknown | ReplicaHealth::Down) => {
                Duration::ZERO
            }
            (false, ReplicaHealth::Healthy | ReplicaHealth::Unknown) => {
                let doublings = self.departures.saturating_sub(1).min(16);
                (RETURNS_AFTER * 2_u32.pow(doublings)).min(RETURNS_AFTER_MAX)
            }
            (_, ReplicaHealth::Behind | ReplicaHealth::Detached | ReplicaHealth::Down) => {
                LEAVES_AFTER
            }
        }
    }

    fn note_departure(&mut self, now: Instant) {
        let is_again = self
            .left_at
            .is_some_and(|at| now.saturating_duration_since(at) < FORGOTTEN_AFTER);
        self.departures = if is_again { self.departures + 1 } else { 1 };
        self.left_at = Some(now);
    }
}

impl Group {
    /// How a replica stands at `now`, for whoever wants to read there.
    fn sight(&self, record: &GroupRecord, endpoint: &Endpoint, now: Instant) -> Sight {
        let Some(watch) = self.watches.get(self.real(endpoint)) else {
            return Sight::Unsure;
        };
        match watch.health(&self.policy, None, now) {
            Health::Down { .. } => return Sight::Down,
            Health::Unknown | Health::Suspected { .. } => return Sight::Unsure,
            Health::Up => {}
        }
        let Some(sample) = watch.current_sample() else {
            return Sight::Unsure;
        };
        let info = &sample.info;
        let standing = repair::standing(endpoint, info, record, &self.policy, &self.aliases);
        match standing {
            Standing::Follows if info.loading == Loading::No => {
                Sight::Follows(sample.asked_at, record.master().reach(&info.history))
            }
            Standing::Follows
            | Standing::Joins
            | Standing::Astray
            | Standing::Rogue
            | Standing::Stranger => Sight::Detached,
        }
    }
}

#[cfg(test)]
#[path = "readers_tests.rs"]
mod tests;
