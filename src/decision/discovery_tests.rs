//! What instances say at first start, and what an operator then reads.

use super::super::ground_tests::*;
use super::super::{ConnectFailure, LinkIds, Pace, ProbeReport};
use super::*;
use crate::model::{AnnouncedReplica, ReplicaAck, ReplicationOffset};

/// What comes of it, in words: the master and all members, or what is waited for.
fn discovered(all: Vec<Watch>, aliases: &[(&str, &str)], now: Instant) -> String {
    let aliases = aliases
        .iter()
        .map(|(name, kept)| (endpoint(name), endpoint(kept)))
        .collect();
    match discover(&watches(all), &aliases, &policy(), now) {
        Ok(found) => {
            let members: Vec<&str> = found.members.iter().map(Endpoint::host).collect();
            format!("{} of {}", found.master.endpoint.host(), members.join(" "))
        }
        Err(reason) => reason.to_string(),
    }
}

fn announcing(info: InstanceInfo, names: &[&str]) -> InstanceInfo {
    let replicas = names
        .iter()
        .map(|name| AnnouncedReplica {
            endpoint: endpoint(name),
            online: true,
            offset: ReplicationOffset(1),
            ack: ReplicaAck::default(),
        })
        .collect();
    InstanceInfo {
        role: Role::Master { replicas },
        ..info
    }
}

#[test]
fn a_group_is_a_master_and_all_that_belongs_to_it_or_a_reason_to_wait() {
    let now = Instant::now();
    let replica = |life, master: &str| replica_info(life, 1, 10, master);
    type Case<'a> = (
        &'a str,
        Vec<(&'a str, InstanceInfo)>,
        &'a [(&'a str, &'a str)],
        &'a str,
    );
    let cases: Vec<Case<'_>> = vec![
        (
            "one master, two replicas",
            vec![
                ("a", master_info(1, 1, 10)),
                ("b", replica(2, "a")),
                ("c", replica(3, "a")),
            ],
            &[],
            "a of a b c",
        ),
        (
            "nobody is a master",
            vec![
                ("a", replica(1, "b")),
                ("b", replica(2, "a")),
                ("c", replica(3, "a")),
            ],
            &[],
            "none of a:6379, b:6379, c:6379 is a master: promote the right one with REPLICAOF NO ONE",
        ),
        (
            "two masters",
            vec![
                ("a", master_info(1, 1, 10)),
                ("b", master_info(2, 2, 10)),
                ("c", replica(3, "a")),
            ],
            &[],
            "a:6379, b:6379 all claim to be the master: make the wrong ones follow the right one with \
             REPLICAOF, list them as groups of their own, or name the right one with `promoterd adopt`",
        ),
        (
            "a listed replica follows a stranger that does not answer",
            vec![
                ("a", master_info(1, 1, 10)),
                ("b", replica(2, "z")),
                ("c", replica(3, "a")),
            ],
            &[],
            "b:6379 follows z:6379 and not a:6379: repoint it, or list it elsewhere",
        ),
        (
            "a listed replica follows a stranger that is a master too",
            vec![
                ("a", master_info(1, 1, 10)),
                ("b", replica(2, "z")),
                ("c", replica(3, "a")),
                ("z", master_info(9, 9, 10)),
            ],
            &[],
            "a:6379, z:6379 all claim to be the master: make the wrong ones follow the right one with \
             REPLICAOF, list them as groups of their own, or name the right one with `promoterd adopt`",
        ),
        (
            "a replica of a replica",
            vec![
                ("a", master_info(1, 1, 10)),
                ("b", replica(2, "a")),
                ("c", replica(3, "b")),
            ],
            &[],
            "a of a b c",
        ),
        (
            "the master is not listed",
            vec![
                ("a", replica(1, "m")),
                ("b", replica(2, "m")),
                ("c", replica(3, "m")),
                ("m", master_info(9, 1, 10)),
            ],
            &[],
            "m of a b c m",
        ),
        (
            "the master announces one that nobody listed",
            vec![
                ("a", announcing(master_info(1, 1, 10), &["b", "c", "d"])),
                ("b", replica(2, "a")),
                ("c", replica(3, "a")),
            ],
            &[],
            "a of a b c d",
        ),
        (
            "replicas that know the master by another name",
            vec![
                (
                    "a",
                    announcing(master_info(1, 1, 10), &["b-announced", "c"]),
                ),
                ("b", replica(2, "a-address")),
                ("c", replica(3, "a-address")),
            ],
            &[("a-address", "a"), ("b-announced", "b")],
            "a of a b c",
        ),
    ];
    for (name, infos, aliases, expected) in cases {
        let all = infos
            .into_iter()
            .map(|(place, info)| watch_reading(place, info, now))
            .collect();
        assert_eq!(discovered(all, aliases, now), expected, "{name}");
    }
}

#[test]
fn each_instance_without_an_answer_is_named_with_what_is_known_of_it() {
    let now = Instant::now();
    let (unheard, _) = watch_connected("c", now);
    let all = vec![
        watch_reading("a", master_info(1, 1, 10), now),
        watch_refused("b", now),
        unheard,
    ];
    let expected = "no answer from b:6379 (connection refused), c:6379 (not asked yet): start them, \
                    or take them out of INSTANCES";
    assert_eq!(discovered(all, &[], now), expected);
    let nothing = "no answer from a:6379 (not asked yet), b:6379 (not asked yet), \
                   c:6379 (not asked yet): start them, or take them out of INSTANCES";
    assert_eq!(discovered(Vec::new(), &[], now), nothing);
}

#[test]
fn a_wrong_password_is_told_as_such() {
    let now = Instant::now();
    let mut watch = Watch::new(endpoint("b"), now);
    let mut orders = Vec::new();
    let pace = Pace {
        info_interval: GroupPolicy::INFO_INTERVAL,
    };
    watch.poll(&policy(), pace, now, &mut LinkIds::default(), &mut orders);
    let reply = "WRONGPASS invalid username-password pair".to_owned();
    let denied = ProbeReport::ConnectFailed(ConnectFailure::Denied(reply));
    watch.observe(orders[0].0, denied, &policy(), now, &mut Vec::new());
    let all = vec![
        watch_reading("a", master_info(1, 1, 10), now),
        watch,
        watch_reading("c", replica_info(3, 1, 10, "a"), now),
    ];
    let expected = "no answer from b:6379 (access denied: WRONGPASS invalid username-password pair): \
                    start them, or take them out of INSTANCES";
    assert_eq!(discovered(all, &[], now), expected);
}
