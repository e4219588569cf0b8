//! What clients are answered and told, in transcripts that a person can read.

mod events;
mod replies;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::view::{GroupView, PeerView, View};
use crate::decision::{GroupOutline, InstanceOutline, Phase};
use crate::model::{
    ClusterId, Endpoint, Epoch, InstanceInfo, Loading, MasterLink, ReplicationHistory,
    ReplicationId, ReplicationOffset, Role, RunId, Term,
};

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn before(now: Instant, milliseconds: u64) -> Instant {
    now.checked_sub(Duration::from_millis(milliseconds))
        .unwrap()
}

fn info(life: u8, role: Role) -> InstanceInfo {
    InstanceInfo {
        run_id: RunId::from_bytes([life; 20]),
        process_id: 7,
        version: "redis 7.0.15".to_owned(),
        role,
        history: ReplicationHistory {
            id: ReplicationId::from_bytes([0xab; 20]),
            offset: ReplicationOffset(4200),
            continues: None,
        },
        loading: Loading::No,
        priority: 100,
        has_keys: true,
        connected_replicas: 0,
    }
}

fn instance(text: &str, info: InstanceInfo, now: Instant) -> InstanceOutline {
    InstanceOutline {
        endpoint: endpoint(text),
        down_since: None,
        is_connected: true,
        answered_at: Some(before(now, 30)),
        read: Some((before(now, 400), info)),
    }
}

/// A group of three, all well: one of them goes by a name, and one replica has lost its master.
fn outline(now: Instant) -> GroupOutline {
    let master = endpoint("10.0.0.1:6379");
    let replica = |link| Role::Replica {
        master: master.clone(),
        link,
    };
    let cut = MasterLink::Down { seconds: Some(3) };
    GroupOutline {
        name: "features".parse().unwrap(),
        epoch: Epoch(4),
        run_id: RunId::from_bytes([1; 20]),
        replaced: None,
        open: None,
        phase: Phase::Watching,
        is_down: false,
        quorum: 2,
        down_after: Duration::from_secs(1),
        promote_timeout: Duration::from_secs(5),
        parallel_syncs: 1,
        instances: vec![
            instance(
                "10.0.0.1:6379",
                info(
                    1,
                    Role::Master {
                        replicas: Vec::new(),
                    },
                ),
                now,
            ),
            instance("10.0.0.2:6379", info(2, replica(MasterLink::Up)), now),
            instance("db-3.example:6380", info(3, replica(cut)), now),
        ],
        master,
    }
}

fn group(outline: GroupOutline, now: Instant) -> GroupView {
    GroupView::after(None, outline, before(now, 9000))
}

/// What node a knows: it hears b, and c is gone.
pub(super) fn view(groups: Vec<GroupView>, now: Instant) -> View {
    let peer = |name: &str, sentinel: &str, is_connected, heard| PeerView {
        node: name.parse().unwrap(),
        sentinel: Some(endpoint(sentinel)),
        is_connected,
        heard_at: Some(before(now, heard)),
    };
    let named = |group: GroupView| (group.outline.name.clone(), Arc::new(group));
    View {
        taken_at: now,
        node: "a".parse().unwrap(),
        cluster: Some(ClusterId(7)),
        leader: Some("b".parse().unwrap()),
        term: Term(3),
        leaderless_since: None,
        election_max: Duration::from_millis(600),
        is_confirmed: true,
        peers: vec![
            peer("b", "10.0.0.2:26379", true, 100),
            peer("c", "10.0.0.3:26379", false, 5000),
        ],
        groups: groups.into_iter().map(named).collect::<BTreeMap<_, _>>(),
    }
}

/// Compares with a file of this directory, or makes it when `PROMOTERD_REWRITE` is set.
fn assert_transcript(file: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/sentinel/tests")
        .join(file);
    if std::env::var_os("PROMOTERD_REWRITE").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (expected, actual) in expected.lines().zip(actual.lines()) {
        assert_eq!(actual, expected, "{file}");
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "{file}");
}
