//! Whom an administrator may name, and what becomes of the others.

use super::super::ground_tests::*;
use super::super::{Entry, Happening, Request, Wish};
use super::*;
use crate::decision::Action;
use crate::model::{AnnouncedReplica, InstanceInfo, ReplicaAck, ReplicationOffset};

fn announcing(info: InstanceInfo, name: &str) -> InstanceInfo {
    let replica = AnnouncedReplica {
        endpoint: endpoint(name),
        online: true,
        offset: ReplicationOffset(1),
        ack: ReplicaAck::default(),
    };
    InstanceInfo {
        role: Role::Master {
            replicas: vec![replica],
        },
        ..info
    }
}

/// Two masters of which each has data, a replica of somebody else, and one that refuses.
fn disputed(now: Instant) -> BTreeMap<Endpoint, Watch> {
    watches(vec![
        watch_reading("a", announcing(master_info(1, 1, 10), "d"), now),
        watch_reading("b", master_info(2, 2, 10), now),
        watch_reading("c", replica_info(3, 1, 10, "a"), now),
        watch_refused("e", now),
        watch_connected("f", now).0,
    ])
}

#[test]
fn only_a_master_that_answers_is_adopted() {
    let now = Instant::now();
    let aliases = [(endpoint("alias"), endpoint("b"))].into();
    for (named, expected) in [
        ("a", "a of a b c d"),
        ("b", "b of a b c"),
        ("alias", "b of a b c"),
        (
            "c",
            "c:6379 is a replica of a:6379 and no master: name that one, or promote this one with \
             REPLICAOF NO ONE first",
        ),
        (
            "e",
            "e:6379 does not answer this node (connection refused): only a master that answers is adopted",
        ),
        (
            "f",
            "f:6379 does not answer this node (not asked yet): only a master that answers is adopted",
        ),
        (
            "z",
            "z:6379 is neither in INSTANCES nor named by one of these: list it there on all hosts, or \
             name one of a:6379, b:6379, c:6379, e:6379, f:6379",
        ),
    ] {
        let adopted = adopt(&disputed(now), &aliases, &policy(), &endpoint(named), now);
        let told = match adopted {
            Ok(found) => {
                let members: Vec<&str> = found.members.iter().map(Endpoint::host).collect();
                format!("{} of {}", found.master.endpoint.host(), members.join(" "))
            }
            Err(why) => why.to_string(),
        };
        assert_eq!(told, expected, "{named}");
    }
}

fn group(now: Instant) -> Group {
    let mut group = Group::new(group_name(), node("n1"), policy(), now);
    group.watches = disputed(now);
    group
}

fn request(operation: u64, master: &str) -> Request {
    Request {
        operation: OperationId(operation),
        by: Requester::new(0, Some("root".to_owned()), node("n2")),
        groups: [group_name()].into(),
        wish: Wish::Adopt {
            master: endpoint(master),
        },
    }
}

#[test]
fn the_leader_logs_who_named_the_master_and_tells_once_why_it_does_not() {
    let now = Instant::now();
    let mut group = group(now);
    let mut asked = |operation, master: &str| {
        let mut actions = Vec::new();
        let request = request(operation, master);
        group.adopt(&request, &endpoint(master), UnixTime(5), now, &mut actions);
        actions
    };
    let adoption = Adoption {
        group: group_name(),
        master: Identity::of(endpoint("b"), &master_info(2, 2, 10)),
        members: ["a", "b", "c"].map(endpoint).into(),
        by: request(7, "b").by,
        at: UnixTime(5),
        operation: OperationId(7),
    };
    let proposed = vec![Action::Propose(Entry::Adopt(adoption))];
    assert_eq!(asked(7, "b"), proposed);
    assert_eq!(asked(7, "b"), proposed, "it may have been lost");
    let refused = asked(8, "c");
    let [Action::Announce(Happening::AdoptionRefused { by, why, .. })] = &refused[..] else {
        panic!("{refused:?}");
    };
    assert_eq!(by, "root (uid 0) on n2");
    assert!(why.starts_with("c:6379 is a replica of a:6379"), "{why}");
    assert_eq!(asked(8, "c"), [], "once is enough");
    assert_eq!(asked(9, "c").len(), 1, "another one asks");
}

#[test]
fn each_of_the_others_is_said_to_be_what_the_rules_make_of_it() {
    let now = Instant::now();
    let mut group = group(now);
    let empty = InstanceInfo {
        has_keys: false,
        ..master_info(4, 4, 0)
    };
    group
        .watches
        .insert(endpoint("d"), watch_reading("d", empty, now));
    group.policy.instances = ["a", "b", "c", "d", "e"].map(endpoint).into();
    let found = group.adoptable(&endpoint("b"), now).unwrap();
    let records = records([Entry::Adopt(Adoption {
        group: group_name(),
        master: found.master,
        members: found.members,
        by: request(7, "b").by,
        at: UnixTime(5),
        operation: OperationId(7),
    })]);
    let record = records.get(&group_name()).unwrap();
    assert!(record.was_adopted_by(OperationId(7)) && record.has_done(OperationId(7)));
    assert!(!record.was_adopted_by(OperationId(8)));
    let others = group.bystanders(record, now);
    let told: Vec<(&str, &str)> = others
        .iter()
        .map(|(endpoint, outlook)| (endpoint.host(), outlook.split(':').next().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("a", "claims to be a master too, with data of its own"),
            ("c", "follows somebody else"),
            (
                "d",
                "claims to be a master too, and has no data but the group's own"
            ),
            ("e", "does not answer"),
        ]
    );
}
