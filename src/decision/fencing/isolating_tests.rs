//! What a master's `INFO` says of its replicas, and when that means that it is cut off.

use super::super::super::ground_tests::*;
use super::*;
use crate::decision::instance_event::{ProbeCommand, ProbeEvent, ProbeReport};
use crate::decision::record::Records;
use crate::model::{AnnouncedReplica, InstanceInfo};

fn replica(name: &str, lag: u64, time_ms: u64) -> AnnouncedReplica {
    AnnouncedReplica {
        endpoint: endpoint(name),
        online: true,
        offset: ReplicationOffset(100),
        ack: ReplicaAck::read(lag, Some(time_ms * 1000)),
    }
}

#[test]
fn an_acknowledgement_is_as_old_as_its_second_at_least() {
    let time = 1_000_300_000;
    for (lag, time, age_ms) in [
        (0, Some(time), 0),
        (1, Some(time), 300),
        (2, Some(time), 1300),
        (1, None, 0),
        (3, None, 2000),
    ] {
        let ack = ReplicaAck::read(lag, time);
        assert_eq!(ack.age_min, milliseconds(age_ms), "{lag} {time:?}");
        assert_eq!(ack.second, time.map(|_| 1000 - lag), "{lag} {time:?}");
    }
}

/// Acknowledgements come at 0.9 s of each second, and `INFO` is read every 200 ms, so a lag of 0 is
/// hardly ever seen.
#[test]
fn a_replica_that_acknowledges_late_in_each_second_is_heard_all_the_time() {
    let start = Instant::now();
    let mut isolation = Isolation::new(start);
    for time in (1000..6000).step_by(200) {
        let acked = (time - 900) / 1000;
        let lag = time / 1000 - acked;
        let now = start + milliseconds(time);
        let role = Role::Master {
            replicas: vec![replica("b", lag, time)],
        };
        isolation.observe(now, ReplicationOffset(100), &role);
        assert_eq!(isolation.heard_lately(now), 1, "at {time}");
    }
}

#[test]
fn a_replica_that_stops_acknowledging_is_missed_within_one_and_a_half_seconds() {
    let start = Instant::now();
    for phase in [0, 100, 500, 900, 990] {
        let mut isolation = Isolation::new(start);
        let last_ack = 3000 + phase;
        // The cut comes right before the next one would.
        let cut = last_ack + 999;
        let mut missed = None;
        for time in (1000..8000).step_by(50) {
            let acked = if time >= last_ack {
                last_ack
            } else {
                (time - phase) / 1000 * 1000 + phase
            };
            let lag = time / 1000 - acked / 1000;
            let now = start + milliseconds(time);
            let role = Role::Master {
                replicas: vec![replica("b", lag, time)],
            };
            isolation.observe(now, ReplicationOffset(100), &role);
            if isolation.heard_lately(now) == 0 {
                missed.get_or_insert(time);
            }
        }
        let missed = missed.expect("it is missed");
        assert!(missed >= last_ack + 1000, "{phase}: {missed}");
        assert!(missed <= cut + 1500, "{phase}: {missed}");
    }
}

/// The network drops what the master sends: its replicas go on saying that they have what they had.
#[test]
fn a_replica_that_is_heard_and_does_not_hear_is_missed_as_soon() {
    let start = Instant::now();
    let mut isolation = Isolation::new(start);
    let mut missed = None;
    for time in (1000..6000).step_by(200) {
        let now = start + milliseconds(time);
        // Writes go on; from 3 s on nothing of them arrives.
        let acked = (time / 1000 * 1000).min(3000);
        let role = Role::Master {
            replicas: vec![AnnouncedReplica {
                offset: ReplicationOffset(acked),
                ..replica("b", 0, time)
            }],
        };
        isolation.observe(now, ReplicationOffset(time), &role);
        if isolation.heard_lately(now) == 0 {
            missed.get_or_insert(time);
        }
    }
    assert_eq!(missed, Some(4400));
}

#[test]
fn a_replica_that_is_far_behind_and_comes_on_is_heard_until_it_stops() {
    let start = Instant::now();
    let mut isolation = Isolation::new(start);
    let mut missed = None;
    for time in (1000..16000).step_by(200) {
        let now = start + milliseconds(time);
        // It has what the master had five seconds ago, and from 12 s on nothing more arrives.
        let acked = (time / 1000 * 1000).min(12000);
        let role = Role::Master {
            replicas: vec![AnnouncedReplica {
                offset: ReplicationOffset(acked),
                ..replica("b", 0, time)
            }],
        };
        isolation.observe(now, ReplicationOffset(time + 5000), &role);
        if isolation.heard_lately(now) == 0 {
            missed.get_or_insert(time);
        }
    }
    assert_eq!(missed, Some(13200));
}

/// Members that are gone for good are not missed again when daemons are down.
#[test]
fn what_is_lost_counts_from_what_the_master_had() {
    let start = Instant::now();
    let at = |time: u64| start + milliseconds(time);
    let role = |heard: &[&str], time| Role::Master {
        replicas: heard.iter().map(|name| replica(name, 0, time)).collect(),
    };
    for (had, has, is_lost) in [
        (&["b", "c"][..], &["b", "c"][..], false),
        (&["b", "c"], &["b"], false),
        (&["b", "c"], &[], true),
        (&["b"], &["b"], false),
        (&["b"], &[], true),
        (&[], &[], false),
    ] {
        let mut isolation = Isolation::new(start);
        isolation.hear(at(1000), None);
        isolation.observe(at(1100), ReplicationOffset(100), &role(had, 1100));
        isolation.observe(at(4000), ReplicationOffset(100), &role(has, 4000));
        assert_eq!(
            isolation.has_lost_replicas(at(4000)),
            is_lost,
            "{had:?} {has:?}"
        );
    }
}

#[test]
fn a_replica_that_went_away_is_not_missed_for_ever() {
    let start = Instant::now();
    let mut isolation = Isolation::new(start);
    let read = |isolation: &mut Isolation, time: u64, heard: &[&str]| {
        let now = start + milliseconds(time);
        let replicas = heard.iter().map(|name| replica(name, 0, time)).collect();
        isolation.hear(now, None);
        isolation.observe(now, ReplicationOffset(100), &Role::Master { replicas });
        isolation.has_lost_replicas(now)
    };
    assert!(!read(&mut isolation, 1000, &["b"]));
    assert!(read(&mut isolation, 1200, &[]));
    assert!(read(&mut isolation, 10_900, &[]));
    assert!(!read(&mut isolation, 11_000, &[]));
}

/// One group with the master `a` beside this node, after its first `INFO` at `start`.
struct Bench {
    group: Group,
    records: Records,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        let records = records([register()]);
        let mut group = Group::new(group_name(), node("n1"), policy(), start);
        let record = records.get(&group_name()).unwrap();
        let mut actions = Vec::new();
        let mut ids = crate::decision::watch::LinkIds::default();
        group.poll(Some(record), &mut ids, start, &mut actions);
        for action in actions {
            let Action::Probe(order) = action else {
                continue;
            };
            if order.command != ProbeCommand::Connect {
                continue;
            }
            let same_host = order.endpoint == endpoint("a");
            let event = ProbeEvent {
                endpoint: order.endpoint,
                link: order.link,
                report: ProbeReport::Connected { same_host },
            };
            group.on_probe(event, Some(record), start, &mut Vec::new());
        }
        let mut bench = Self {
            group,
            records,
            start,
        };
        bench.read(0, &["b", "c"]);
        bench
    }

    /// The master says at `at` that it just heard these.
    fn read(&mut self, at: u64, heard: &[&str]) {
        let now = self.start + milliseconds(at);
        let info = InstanceInfo {
            role: Role::Master {
                replicas: heard.iter().map(|name| replica(name, 0, at)).collect(),
            },
            ..master_info(1, 1, 100)
        };
        let link = self.group.watches[&endpoint("a")].open_link().unwrap();
        let event = ProbeEvent {
            endpoint: endpoint("a"),
            link,
            report: ProbeReport::InfoReplied {
                sent_at: now,
                result: Ok(info),
            },
        };
        let record = self.records.get(&group_name());
        self.group.on_probe(event, record, now, &mut Vec::new());
    }

    /// Whether the master is told to refuse writes at `at`, when the majority was last heard at `heard`.
    fn fences(&mut self, at: u64, heard: u64) -> bool {
        let now = self.start + milliseconds(at);
        let moment = self.start + milliseconds(heard);
        self.group.isolation.hear(moment, None);
        let mut actions = Vec::new();
        let record = self.records.get(&group_name());
        self.group.keep_fences(record, false, now, &mut actions);
        actions.iter().any(|action| {
            matches!(action, Action::Probe(order)
                if order.command == ProbeCommand::SetLimits(crate::model::WriteLimits::FENCE))
        })
    }
}

#[test]
fn only_a_master_that_lost_both_the_voters_and_its_replicas_is_fenced() {
    for (name, heard_voters, replicas, is_fenced) in [
        ("nothing is wrong", 4900, &["b", "c"][..], false),
        ("daemons are merely down", 0, &["b", "c"], false),
        ("replicas are merely down", 4900, &[], false),
        ("half of the replicas are there", 0, &["b"], false),
        ("all are gone", 0, &[], true),
        ("voters were heard a moment ago", 4300, &[], false),
    ] {
        let mut bench = Bench::new();
        bench.read(5000, replicas);
        assert_eq!(bench.fences(5000, heard_voters), is_fenced, "{name}");
    }
}

#[test]
fn nothing_is_fenced_on_what_the_master_said_long_ago_nor_twice() {
    let mut bench = Bench::new();
    assert!(!bench.fences(5000, 0), "the master was not read since");
    bench.read(5000, &[]);
    assert!(bench.fences(5000, 0));
    bench.read(5100, &[]);
    assert!(!bench.fences(5100, 0), "it is on its way");
}
