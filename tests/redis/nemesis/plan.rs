//! What goes wrong when, drawn from a seed: the plan of a run is the same each time, what comes of it is
//! not.

use std::collections::BTreeSet;
use std::time::Duration;

use promoterd::model::SplitMix;

use super::history::{At, HostId};

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// What these hosts send to those is dropped, all in one step.
    Cut {
        pairs: BTreeSet<(HostId, HostId)>,
        span: Duration,
    },
    /// The same again and again, for as long as it is not.
    Flap {
        pairs: BTreeSet<(HostId, HostId)>,
        period: Duration,
        times: u32,
    },
    Delay {
        hosts: BTreeSet<HostId>,
        ms: u64,
        jitter: u64,
        span: Duration,
    },
    Lose {
        hosts: BTreeSet<HostId>,
        percent: u64,
        span: Duration,
    },
    StopDaemon {
        host: HostId,
        span: Duration,
    },
    KillDaemon {
        host: HostId,
        back: State,
        after: Duration,
    },
    FailDisk {
        host: HostId,
        how: Disk,
        span: Duration,
    },
    SetClock {
        host: HostId,
        seconds: i64,
        span: Duration,
    },
    /// Each daemon is stopped in order and started again, one after the other.
    Upgrade,
    StopInstance {
        group: usize,
        whom: Whom,
        span: Duration,
    },
    KillInstance {
        group: usize,
        whom: Whom,
        back: Data,
        after: Duration,
        /// Together with the daemon that leads.
        with_leader: bool,
    },
    /// Somebody else's server takes the place of an instance.
    Stranger {
        group: usize,
        span: Duration,
    },
}

/// What a daemon that comes back has in its state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    All,
    Nothing,
    /// What it had when it was killed the time before.
    Older,
}

/// How a daemon's disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    Sync,
    Full,
}

/// Whom of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    Master,
    /// One of the others.
    Replica(usize),
}

/// What an instance that comes back has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// What it wrote down right before it was killed.
    Saved,
    /// What it wrote down in good order as it was stopped.
    Clean,
    /// What it wrote down once, long ago.
    Older,
    Nothing,
}

impl Fault {
    /// What kind it is, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cut { pairs, .. } => kind_of_cut(pairs),
            Self::Flap { .. } => "flapping links",
            Self::Delay { .. } => "delay",
            Self::Lose { .. } => "loss",
            Self::StopDaemon { .. } => "daemon stopped",
            Self::KillDaemon { back, .. } => match back {
                State::All => "daemon killed",
                State::Nothing => "daemon killed, state emptied",
                State::Older => "daemon killed, older state",
            },
            Self::FailDisk { how, .. } => match how {
                Disk::Sync => "daemon's disk cannot sync",
                Disk::Full => "daemon's disk full",
            },
            Self::SetClock { .. } => "daemon's clock set",
            Self::Upgrade => "upgrade of all daemons",
            Self::StopInstance { whom, .. } => match whom {
                Whom::Master => "master hangs",
                Whom::Replica(_) => "replica hangs",
            },
            Self::KillInstance {
                whom,
                back,
                with_leader,
                ..
            } => kind_of_kill(*whom, *back, *with_leader),
            Self::Stranger { .. } => "stranger",
        }
    }
}

fn kind_of_cut(pairs: &BTreeSet<(HostId, HostId)>) -> &'static str {
    let is_two_way = pairs
        .iter()
        .all(|(one, other)| pairs.contains(&(*other, *one)));
    let hosts: BTreeSet<HostId> = pairs.iter().map(|(one, _)| *one).collect();
    let is_apart = |side: &BTreeSet<HostId>| {
        let sides = hosts.iter().all(|one| {
            hosts.iter().all(|other| {
                pairs.contains(&(*one, *other)) == (side.contains(one) != side.contains(other))
            })
        });
        sides && !side.is_empty()
    };
    let first = hosts.iter().next().map(|one| {
        hosts
            .iter()
            .copied()
            .filter(|other| !pairs.contains(&(*one, *other)))
            .collect()
    });
    match (is_two_way, first.is_some_and(|side| is_apart(&side))) {
        (true, true) => "cut",
        (true, false) => "partial partition",
        (false, _) => "one-way cut",
    }
}

fn kind_of_kill(whom: Whom, back: Data, with_leader: bool) -> &'static str {
    match (whom, with_leader, back) {
        (Whom::Master, true, _) => "master killed with the leader",
        (Whom::Master, false, Data::Saved) => "master killed, back with its data",
        (Whom::Master, false, Data::Clean) => "master stopped in order",
        (Whom::Master, false, Data::Older) => "master killed, back with an older file",
        (Whom::Master, false, Data::Nothing) => "master killed, back empty",
        (Whom::Replica(_), _, _) => "replica killed",
    }
}

/// Draws what goes wrong within `span`, in order.
pub fn draw(seed: u64, span: Duration, hosts: usize, groups: usize) -> Vec<(At, Fault)> {
    let mut drawing = Drawing {
        random: SplitMix::new(seed),
        hosts,
        faults: Vec::new(),
    };
    drawing.network(span);
    drawing.daemons(span);
    for group in 0..groups {
        drawing.instances(span, group);
    }
    let mut faults = drawing.faults;
    faults.sort_by_key(|(at, _)| *at);
    faults
}

struct Drawing {
    random: SplitMix,
    hosts: usize,
    faults: Vec<(At, Fault)>,
}

impl Drawing {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).unwrap()
    }

    fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(least_ms + self.random.below(most_ms - least_ms))
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.random.below(count) == 0
    }

    /// One fault of the network after the other, and now and then a long while without.
    fn network(&mut self, span: Duration) {
        let mut at = self.between(1000, 4000);
        while at < span {
            let fault = self.network_fault();
            let lasts = match &fault {
                Fault::Cut { span, .. } | Fault::Delay { span, .. } | Fault::Lose { span, .. } => {
                    *span
                }
                Fault::Flap { period, times, .. } => *period * 2 * *times,
                Fault::StopDaemon { .. }
                | Fault::KillDaemon { .. }
                | Fault::FailDisk { .. }
                | Fault::SetClock { .. }
                | Fault::Upgrade
                | Fault::StopInstance { .. }
                | Fault::KillInstance { .. }
                | Fault::Stranger { .. } => unreachable!("no fault of the network"),
            };
            self.faults.push((at, fault));
            at += lasts;
            at += if self.one_in(3) {
                self.between(6000, 9000)
            } else {
                self.between(500, 4000)
            };
        }
    }

    fn network_fault(&mut self) -> Fault {
        let span = match self.below(3) {
            0 => self.between(200, 1200),
            1 => self.between(1500, 4000),
            _ => self.between(4000, 8000),
        };
        match self.below(12) {
            0..=3 => Fault::Cut {
                pairs: self.split(true, true),
                span,
            },
            4 => Fault::Cut {
                pairs: self.split(true, false),
                span,
            },
            5 => Fault::Cut {
                pairs: self.split(false, true),
                span,
            },
            6..=7 => Fault::Cut {
                pairs: self.partial(),
                span,
            },
            8..=9 => Fault::Flap {
                pairs: self.split(true, true),
                period: self.between(150, 1500),
                times: 2 + u32::try_from(self.below(4)).unwrap(),
            },
            10 => {
                let ms = 5 + self.random.below(60);
                let jitter = self.random.below(ms / 2 + 1);
                Fault::Delay {
                    hosts: self.some_hosts(),
                    ms,
                    jitter,
                    span,
                }
            }
            _ => Fault::Lose {
                hosts: self.some_hosts(),
                percent: 2 + self.random.below(25),
                span,
            },
        }
    }

    fn some_hosts(&mut self) -> BTreeSet<HostId> {
        let count = 1 + self.below(2);
        let mut hosts = BTreeSet::new();
        while hosts.len() < count {
            hosts.insert(self.below(self.hosts));
        }
        hosts
    }

    /// One or two hosts from the others.
    fn split(&mut self, out: bool, into: bool) -> BTreeSet<(HostId, HostId)> {
        let side = self.some_hosts();
        let mut pairs = BTreeSet::new();
        for one in &side {
            for other in (0..self.hosts).filter(|other| !side.contains(other)) {
                if out {
                    pairs.insert((*one, other));
                }
                if into {
                    pairs.insert((other, *one));
                }
            }
        }
        pairs
    }

    /// Each daemon sees another part.
    fn partial(&mut self) -> BTreeSet<(HostId, HostId)> {
        let mut pairs = BTreeSet::new();
        for one in 0..self.hosts {
            for other in one + 1..self.hosts {
                if self.below(5) < 2 {
                    pairs.extend([(one, other), (other, one)]);
                }
            }
        }
        if pairs.is_empty() {
            pairs.extend([(0, 1), (1, 0)]);
        }
        pairs
    }

    fn daemons(&mut self, span: Duration) {
        let mut at = self.between(2000, 6000);
        while at < span {
            let fault = self.daemon_fault();
            self.faults.push((at, fault));
            at += self.between(1500, 7000);
        }
    }

    fn daemon_fault(&mut self) -> Fault {
        let host = self.below(self.hosts);
        let span = self.between(100, 4000);
        let after = self.between(0, 3000);
        match self.below(16) {
            0..=3 => Fault::StopDaemon { host, span },
            4..=6 => Fault::KillDaemon {
                host,
                back: State::All,
                after,
            },
            7..=8 => Fault::KillDaemon {
                host,
                back: State::Nothing,
                after,
            },
            9..=10 => Fault::KillDaemon {
                host,
                back: State::Older,
                after,
            },
            11 => Fault::FailDisk {
                host,
                how: Disk::Sync,
                span,
            },
            12 => Fault::FailDisk {
                host,
                how: Disk::Full,
                span,
            },
            13..=14 => {
                let hour = 3600 * (1 + i64::try_from(self.below(48)).unwrap());
                let seconds = if self.one_in(2) { hour } else { -hour };
                Fault::SetClock {
                    host,
                    seconds,
                    span: self.between(2000, 12_000),
                }
            }
            _ => Fault::Upgrade,
        }
    }

    fn instances(&mut self, span: Duration, group: usize) {
        let mut at = self.between(500, 3500);
        while at < span {
            let (fault, lasts) = self.instance_fault(group);
            self.faults.push((at, fault));
            at += lasts + self.between(1200, 5000);
        }
    }

    fn instance_fault(&mut self, group: usize) -> (Fault, Duration) {
        let whom = match self.below(5) {
            0 => Whom::Replica(self.below(2)),
            _ => Whom::Master,
        };
        let span = self.between(300, 5000);
        // A supervisor is back at once, or after a while.
        let after = if self.one_in(3) {
            self.between(0, 60)
        } else {
            self.between(200, 2500)
        };
        match self.below(20) {
            0..=3 => (Fault::StopInstance { group, whom, span }, span),
            4 => (Fault::Stranger { group, span }, span),
            drawn => {
                let back = match drawn {
                    5..=9 => Data::Nothing,
                    10..=12 => Data::Older,
                    13..=16 => Data::Saved,
                    _ => Data::Clean,
                };
                let with_leader = whom == Whom::Master && back == Data::Nothing && self.one_in(3);
                let fault = Fault::KillInstance {
                    group,
                    whom,
                    back,
                    after,
                    with_leader,
                };
                (fault, after)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_draws_the_same_plan_and_another_one_another() {
        let minute = Duration::from_secs(60);
        assert_eq!(draw(7, minute, 5, 3), draw(7, minute, 5, 3));
        assert_ne!(draw(7, minute, 5, 3), draw(8, minute, 5, 3));
    }

    #[test]
    fn ten_minutes_have_every_kind_of_fault_in_order() {
        let faults = draw(1, Duration::from_secs(600), 5, 8);
        assert!(faults.is_sorted_by_key(|(at, _)| *at));
        let kinds: BTreeSet<&str> = faults.iter().map(|(_, fault)| fault.kind()).collect();
        for kind in [
            "cut",
            "one-way cut",
            "partial partition",
            "flapping links",
            "delay",
            "loss",
            "daemon stopped",
            "daemon killed",
            "daemon killed, state emptied",
            "daemon killed, older state",
            "daemon's disk cannot sync",
            "daemon's disk full",
            "daemon's clock set",
            "upgrade of all daemons",
            "master hangs",
            "replica hangs",
            "master killed with the leader",
            "master killed, back with its data",
            "master stopped in order",
            "master killed, back with an older file",
            "master killed, back empty",
            "replica killed",
            "stranger",
        ] {
            assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
        }
    }
}
