//! Clusters for the tests of this module: well, after a failover, and in several kinds of trouble.

use std::time::Duration;

use super::source::{
    ClientReloadOverview, EngineOverview, EngineRole, FileOverview, ReloadStanding, StatusSource,
    VoterOverview,
};
use crate::decision::{
    AbortReason, Asked, Begin, Candidate, Cause, Decided, DownOverview, Evidence, FailoverRecord,
    GivenUp, Grounds, GroupOverview, Identity, Ineligible, InstanceOverview, NotSwitched,
    OperationId, Outcome, Pause, PauseRecord, PausedBy, Phase, Requester, ResumedBy, Step,
    StepName, WaitingFor,
};
use crate::model::{
    ClusterId, Endpoint, Epoch, Incarnation, NodeId, NodeRole, Replica, ReplicaHealth,
    ReplicationId, ReplicationOffset, RunId, Term, UnixTime,
};

/// Half an hour after the failover of [`after_failover`] began.
pub const NOW: UnixTime = UnixTime(1_770_000_000_123 + 30 * 60 * 1000);

pub fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn node(text: &str) -> NodeId {
    text.parse().unwrap()
}

fn voter(name: &str, address: &str) -> VoterOverview {
    VoterOverview {
        node: node(name),
        is_self: name == "b",
        role: Some(NodeRole::Voter),
        connected: true,
        address: endpoint(address),
        since: (name != "b").then_some(Duration::from_secs(7500)),
        last_error: None,
    }
}

fn instance(at: &str, is_master: bool, offset: u64) -> InstanceOverview {
    InstanceOverview {
        endpoint: endpoint(at),
        is_master,
        is_member: true,
        down: None,
        is_healthy: true,
        trouble: None,
        version: Some("redis 7.0.15".to_owned()),
        role: Some(if is_master { "master" } else { "replica" }),
        offset: Some(ReplicationOffset(offset)),
        lag_bytes: (!is_master).then(|| 89_536 - offset),
        priority: Some(100),
        read_ago: Some(Duration::from_millis(120)),
        fence: None,
    }
}

fn file(epoch: Option<u64>, error: Option<&str>) -> FileOverview {
    FileOverview {
        client: "api".parse().unwrap(),
        group: "features".parse().unwrap(),
        path: "/etc/api/redis.env".into(),
        epoch: epoch.map(Epoch),
        error: error.map(str::to_owned),
        check_output: String::new(),
        reload: None,
    }
}

fn replica(text: &str, health: ReplicaHealth) -> Replica {
    Replica {
        endpoint: endpoint(text),
        health,
        lag_bytes: Some(1536),
    }
}

pub fn healthy() -> StatusSource {
    StatusSource {
        node: node("b"),
        engine: EngineOverview {
            role: EngineRole::Leader,
            leader: Some(node("b")),
            term: Term(7),
        },
        cluster: Some(ClusterId(0x1f2e)),
        incarnation: Incarnation(7),
        waiting: None,
        readers: [(
            "features".parse().unwrap(),
            vec![
                replica("10.0.0.2:6379", ReplicaHealth::Healthy),
                replica("10.0.0.3:6379", ReplicaHealth::Behind),
            ],
        )]
        .into(),
        voters: vec![
            voter("a", "10.0.0.1:7400"),
            voter("b", "10.0.0.2:7400"),
            voter("c", "10.0.0.3:7400"),
        ],
        groups: vec![GroupOverview {
            name: "features".parse().unwrap(),
            decided: Some(Decided {
                epoch: Epoch(1),
                master: endpoint("10.0.0.1:6379"),
                run_id: RunId::from_bytes([1; 20]),
            }),
            waiting: None,
            differing: Vec::new(),
            phase: Phase::Watching,
            instances: vec![
                instance("10.0.0.1:6379", true, 89_536),
                instance("10.0.0.2:6379", false, 89_536),
                instance("10.0.0.3:6379", false, 88_000),
            ],
            down: Vec::new(),
            passed_over: Vec::new(),
            awaited: None,
            guard: None,
            failovers: Vec::new(),
            given_up: Vec::new(),
            pauses: Vec::new(),
            pause_left: None,
            deferred_to: None,
            files_epoch: Some(Epoch(1)),
        }],
        files: vec![file(Some(1), None)],
        confirmed: true,
        following: None,
        observers: None,
        uptime: Duration::from_secs(7500),
    }
}

fn failover() -> FailoverRecord {
    let step = |what, micros| Step {
        what,
        after: Duration::from_micros(micros),
    };
    FailoverRecord {
        begin: Begin {
            group: "features".parse().unwrap(),
            epoch: Epoch(2),
            from: Identity {
                endpoint: endpoint("10.0.0.1:6379"),
                run_id: RunId::from_bytes([1; 20]),
                replication_id: ReplicationId::from_bytes([2; 20]),
                continues: None,
            },
            candidate: Candidate {
                endpoint: endpoint("10.0.0.2:6379"),
                run_id: RunId::from_bytes([3; 20]),
                replication_id: ReplicationId::from_bytes([2; 20]),
                offset: ReplicationOffset(80_000),
            },
            grounds: Grounds::Lost(Evidence {
                cause: Cause::Gone,
                views: vec![(node("a"), Cause::Gone), (node("b"), Cause::Silent)],
                needed: 2,
            }),
            passed_over: vec![(endpoint("10.0.0.4:6379"), Ineligible::PriorityZero)],
            loss_estimate: Some(4096),
            leader: node("b"),
            at: UnixTime(1_770_000_000_123),
        },
        outcome: Outcome::Done,
        steps: vec![
            step(StepName::Agreed, 20_412),
            step(StepName::Begun, 22_000),
            step(StepName::Promoted, 23_125),
            step(StepName::FilesRewritten, 1_031_500),
        ],
        loss: Some(1234),
    }
}

/// The old master is back as a replica that copies, and the link to `c` is lost.
pub fn after_failover() -> StatusSource {
    let mut source = healthy();
    source.voters[2].connected = false;
    source.voters[2].since = Some(Duration::from_millis(3200));
    source.voters[2].last_error = Some("connection refused".to_owned());
    source.files = vec![file(Some(2), None)];
    source.readers = [(
        "features".parse().unwrap(),
        vec![
            replica("10.0.0.1:6379", ReplicaHealth::Detached),
            replica("10.0.0.3:6379", ReplicaHealth::Healthy),
        ],
    )]
    .into();
    let group = &mut source.groups[0];
    group.decided = Some(Decided {
        epoch: Epoch(2),
        master: endpoint("10.0.0.2:6379"),
        run_id: RunId::from_bytes([3; 20]),
    });
    let mut returned = instance("10.0.0.1:6379", false, 89_536);
    returned.is_healthy = false;
    returned.trouble = Some("copying the master's data".to_owned());
    group.instances = vec![
        instance("10.0.0.2:6379", true, 89_536),
        returned,
        instance("10.0.0.3:6379", false, 88_000),
    ];
    group.failovers = vec![failover()];
    source
}

/// The epoch that began in [`after_failover`] did not come to its end.
pub fn aborted() -> StatusSource {
    let mut source = healthy();
    let mut record = failover();
    record.outcome = Outcome::Aborted(AbortReason::TimedOut(Duration::from_secs(2)));
    record.steps = Vec::new();
    record.loss = None;
    record.begin.passed_over = Vec::new();
    source.groups[0].failovers = vec![record];
    source
}

/// Somebody asked for another master, and once more in vain.
pub fn switched() -> StatusSource {
    let mut source = healthy();
    let asked = Asked {
        by: Requester::new(0, Some("root".to_owned()), node("a")),
        operation: OperationId(0xa3),
        reason: Some("new disks".parse().unwrap()),
    };
    let step = |what, micros| Step {
        what,
        after: Duration::from_micros(micros),
    };
    let mut record = failover();
    record.begin.grounds = Grounds::Asked(asked.clone());
    record.steps = vec![
        step(StepName::Held, 1_000),
        step(StepName::CaughtUp, 1_500),
        step(StepName::Begun, 2_000),
        step(StepName::Promoted, 3_125),
    ];
    source.groups[0].failovers = vec![record];
    source.groups[0].given_up = vec![GivenUp {
        group: "features".parse().unwrap(),
        asked,
        at: NOW,
        why: NotSwitched::IsMaster(endpoint("10.0.0.3:6379")),
    }];
    source
}

/// `a` holds the master down, `b` suspects it.
pub fn suspecting() -> StatusSource {
    let mut source = healthy();
    let group = &mut source.groups[0];
    group.phase = Phase::Suspecting;
    group.instances[0].is_healthy = false;
    group.instances[0].down = Some(Cause::Silent);
    group.instances[0].read_ago = Some(Duration::from_millis(61_000));
    group.down = vec![
        DownOverview {
            node: node("a"),
            cause: Some(Cause::WrongRole),
            held_for: Duration::from_micros(1_250_900),
        },
        DownOverview {
            node: node("b"),
            cause: None,
            held_for: Duration::from_millis(300),
        },
    ];
    group.passed_over = vec![(
        endpoint("10.0.0.3:6379"),
        Ineligible::LagTooLarge {
            lag_bytes: 1536,
            allowed_bytes: 1000,
        },
    )];
    source
}

/// The third instance was never started, and there is no leader.
pub fn discovering() -> StatusSource {
    let mut source = healthy();
    source.engine = EngineOverview {
        role: EngineRole::Candidate,
        leader: None,
        term: Term(0),
    };
    source.confirmed = false;
    source.files = vec![file(None, None)];
    let group = &mut source.groups[0];
    group.decided = None;
    group.phase = Phase::Discovering;
    group.waiting = Some(WaitingFor::Answers {
        instances: vec![(endpoint("10.0.0.3:6379"), "connection refused".to_owned())],
    });
    group.instances = vec![
        instance("10.0.0.2:6379", false, 89_536),
        InstanceOverview {
            endpoint: endpoint("10.0.0.3:6379"),
            is_master: false,
            is_member: false,
            down: Some(Cause::Gone),
            is_healthy: false,
            trouble: Some("connection refused".to_owned()),
            version: None,
            role: None,
            offset: None,
            lag_bytes: None,
            priority: None,
            read_ago: None,
            fence: None,
        },
    ];
    group.files_epoch = None;
    source
}

/// Somebody works on it, and its master is down.
pub fn paused() -> StatusSource {
    let mut source = suspecting();
    let group = &mut source.groups[0];
    group.phase = Phase::Down;
    group.down.truncate(1);
    group.passed_over.clear();
    let by = |uid, user: Option<&str>| Requester::new(uid, user.map(str::to_owned), node("a"));
    let before = Pause {
        group: "features".parse().unwrap(),
        at: UnixTime(NOW.0 - 3_600_000),
        lasts: None,
        reason: None,
        by: PausedBy::Flapping { failovers: 10 },
        lifts_lease: false,
    };
    let operation = OperationId(0xa1);
    let ended = ResumedBy::Admin {
        by: by(0, Some("root")),
        operation,
    };
    let pause = Pause {
        at: UnixTime(NOW.0 - 60_000),
        lasts: Some(Duration::from_secs(1800)),
        reason: Some("new disks".parse().unwrap()),
        by: PausedBy::Admin {
            by: by(1000, None),
            operation: OperationId(0xa2),
        },
        ..before.clone()
    };
    group.pauses = vec![
        PauseRecord {
            pause: before,
            ended: Some((UnixTime(NOW.0 - 3_000_000), ended)),
        },
        PauseRecord { pause, ended: None },
    ];
    group.pause_left = Some(Duration::from_secs(1740));
    source
}

/// One command refused a file, and one did not make its reader read it.
pub fn command_errors() -> StatusSource {
    let mut source = after_failover();
    source.groups[0].instances[1] = instance("10.0.0.1:6379", false, 89_536);
    source.voters[2] = voter("c", "10.0.0.3:7400");
    source.files = vec![
        FileOverview {
            check_output: "line 7: no such server\nFatal errors found".to_owned(),
            ..file(Some(1), Some("CHECK refused the new content"))
        },
        FileOverview {
            client: "worker".parse().unwrap(),
            reload: Some(ClientReloadOverview {
                epoch: Epoch(2),
                standing: ReloadStanding::Failed,
                error: Some("RELOAD failed".to_owned()),
                output: "Unit worker.service not loaded.\u{1b}[2J".to_owned(),
            }),
            ..file(Some(2), None)
        },
    ];
    source
}

/// One file cannot be written, and one was left behind.
pub fn file_errors() -> StatusSource {
    let mut source = after_failover();
    source.groups[0].instances[1] = instance("10.0.0.1:6379", false, 89_536);
    source.voters[2] = voter("c", "10.0.0.3:7400");
    source.files = vec![
        file(
            Some(1),
            Some("cannot write /etc/api: permission denied\u{1b}[2J"),
        ),
        FileOverview {
            client: "worker".parse().unwrap(),
            path: "/etc/worker/app.toml".into(),
            ..file(Some(1), None)
        },
    ];
    source
}
