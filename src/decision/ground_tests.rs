//! Small builders for tests of the core: instances by letter, lives and histories by number.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::model::{
    Endpoint, Epoch, GroupName, InstanceInfo, Loading, MasterLink, NodeId, ReplicationHistory,
    ReplicationId, ReplicationOffset, Role, RunId, UnixTime,
};

/// The instance `a` listens at `a:6379`.
pub(super) fn endpoint(name: &str) -> Endpoint {
    Endpoint::new(name, 6379).unwrap()
}

pub(super) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(super) fn group_name() -> GroupName {
    "features".parse().unwrap()
}

pub(super) fn run_id(life: u8) -> RunId {
    RunId::from_bytes([life; 20])
}

pub(super) fn history_id(history: u8) -> ReplicationId {
    ReplicationId::from_bytes([history; 20])
}

pub(super) fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The settings of a group of `a`, `b` and `c` that three voters watch.
pub(super) fn policy() -> GroupPolicy {
    GroupPolicy {
        instances: ["a", "b", "c"].map(endpoint).into(),
        quorum: 2,
        down_after: milliseconds(1000),
        gone_after: milliseconds(20),
        exited: true,
        replica_veto_max: milliseconds(3000),
        promote_timeout: milliseconds(2000),
        parallel_syncs: 1,
        lag_max: None,
        readers_lag_max: None,
        cooldown: milliseconds(10_000),
        failovers_max: 10,
        take_over: false,
        excluded: [].into(),
        fencing: Fencing::Fast,
        lease: milliseconds(800),
        isolation_after: milliseconds(1000),
        gone_loss_max: 1 << 20,
        guard: false,
        rescue: false,
        rescue_limits: RescueLimits {
            size_max: 16 << 30,
            lasts_max: milliseconds(120_000),
        },
    }
}

/// What a master with a key says: its life, its history, how far it is.
pub(super) fn master_info(life: u8, history: u8, offset: u64) -> InstanceInfo {
    InstanceInfo {
        run_id: run_id(life),
        process_id: 1000 + u32::from(life),
        version: "redis 7.0.15".to_owned(),
        role: Role::Master {
            replicas: Vec::new(),
        },
        history: ReplicationHistory {
            id: history_id(history),
            offset: ReplicationOffset(offset),
            continues: None,
        },
        loading: Loading::No,
        priority: 100,
        has_keys: true,
        connected_replicas: 0,
    }
}

/// What a replica of `master` says whose link is up.
pub(super) fn replica_info(life: u8, history: u8, offset: u64, master: &str) -> InstanceInfo {
    InstanceInfo {
        role: Role::Replica {
            master: endpoint(master),
            link: MasterLink::Up,
        },
        ..master_info(life, history, offset)
    }
}

/// The same, of a history that goes on from another one, which it left at `parted_at`.
pub(super) fn continuing(info: InstanceInfo, earlier: u8, parted_at: u64) -> InstanceInfo {
    let continues = Some((history_id(earlier), ReplicationOffset(parted_at)));
    InstanceInfo {
        history: ReplicationHistory {
            continues,
            ..info.history
        },
        ..info
    }
}

/// A watch whose connection is open and that has read `info`, asked for and answered at `now`.
pub(super) fn watch_reading(name: &str, info: InstanceInfo, now: Instant) -> Watch {
    let (mut watch, link) = watch_connected(name, now);
    let report = ProbeReport::InfoReplied {
        sent_at: now,
        result: Ok(info),
    };
    watch.observe(link, report, &policy(), now, &mut Vec::new());
    watch
}

/// A watch of an instance on the node's own host that has read `info`, as [`watch_reading`].
pub(super) fn watch_beside(name: &str, info: InstanceInfo, now: Instant) -> Watch {
    let (mut watch, link) = watch_connected_from(name, true, now);
    let report = ProbeReport::InfoReplied {
        sent_at: now,
        result: Ok(info),
    };
    watch.observe(link, report, &policy(), now, &mut Vec::new());
    watch
}

/// A watch whose connection is open, and nothing was heard on it.
pub(super) fn watch_connected(name: &str, now: Instant) -> (Watch, LinkId) {
    watch_connected_from(name, false, now)
}

fn watch_connected_from(name: &str, same_host: bool, now: Instant) -> (Watch, LinkId) {
    let mut watch = Watch::new(endpoint(name), now);
    let mut orders = Vec::new();
    let pace = Pace {
        info_interval: GroupPolicy::INFO_INTERVAL,
    };
    watch.poll(&policy(), pace, now, &mut LinkIds::default(), &mut orders);
    let (link, command) = orders.remove(0);
    assert_eq!(command, ProbeCommand::Connect);
    let connected = ProbeReport::Connected { same_host };
    watch.observe(link, connected, &policy(), now, &mut Vec::new());
    (watch, link)
}

/// A watch that was refused at `now`.
pub(super) fn watch_refused(name: &str, now: Instant) -> Watch {
    let mut watch = Watch::new(endpoint(name), now);
    let mut orders = Vec::new();
    let pace = Pace {
        info_interval: GroupPolicy::INFO_INTERVAL,
    };
    watch.poll(&policy(), pace, now, &mut LinkIds::default(), &mut orders);
    let refused = ProbeReport::ConnectFailed(ConnectFailure::Refused);
    watch.observe(orders[0].0, refused, &policy(), now, &mut Vec::new());
    watch
}

pub(super) fn watches(all: Vec<Watch>) -> BTreeMap<Endpoint, Watch> {
    all.into_iter()
        .map(|watch| (watch.endpoint().clone(), watch))
        .collect()
}

/// `a` in its first life, with history 1.
pub(super) fn identity_of_a() -> Identity {
    Identity::of(endpoint("a"), &master_info(1, 1, 0))
}

pub(super) fn register() -> Entry {
    Entry::Register {
        group: group_name(),
        master: identity_of_a(),
        members: policy().instances,
    }
}

/// The start of `epoch`, from `from` to a candidate that is now what `info` says.
pub(super) fn begin(epoch: u64, from: Identity, candidate: &str, info: &InstanceInfo) -> Begin {
    Begin {
        group: group_name(),
        epoch: Epoch(epoch),
        from,
        candidate: Candidate {
            endpoint: endpoint(candidate),
            run_id: info.run_id,
            replication_id: info.history.id,
            offset: info.history.offset,
        },
        grounds: Grounds::Lost(Evidence {
            cause: Cause::Gone,
            views: vec![(node("n1"), Cause::Gone), (node("n2"), Cause::Silent)],
            needed: 2,
        }),
        passed_over: vec![(endpoint("c"), Ineligible::PriorityZero)],
        loss_estimate: Some(12),
        leader: node("n1"),
        at: UnixTime(1_700_000_000_000),
    }
}

pub(super) fn done(epoch: u64, master: Identity) -> Entry {
    Entry::Done {
        group: group_name(),
        epoch: Epoch(epoch),
        master,
        steps: vec![Step {
            what: StepName::Promoted,
            after: milliseconds(7),
        }],
    }
}

pub(super) fn abort(epoch: u64) -> Entry {
    Entry::Abort {
        group: group_name(),
        epoch: Epoch(epoch),
        why: AbortReason::TimedOut(milliseconds(2000)),
    }
}

/// All records after these entries.
pub(super) fn records(entries: impl IntoIterator<Item = Entry>) -> Records {
    let mut records = Records::default();
    for entry in entries {
        records.apply(entry);
    }
    records
}

/// Compares what a file of this directory says with what is true, or makes the file say it when
/// `PROMOTERD_REWRITE` is set.
pub(super) fn assert_transcript(file: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/decision")
        .join(file);
    if std::env::var_os("PROMOTERD_REWRITE").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (expected, actual) in expected.lines().zip(actual.lines()) {
        assert_eq!(actual, expected, "{file}; all of it:\n{actual}");
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "{file}");
}
