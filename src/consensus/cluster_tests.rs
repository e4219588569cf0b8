//! What a cluster of engines promises: one leader, one log, and nothing committed is lost.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn elected(size: usize, seed: u64) -> (Cluster, NodeId) {
    let mut cluster = Cluster::new(size, seed);
    assert!(cluster.run_until_within(SECOND, |cluster| cluster.leader().is_some()));
    let leader = cluster.leader().unwrap();
    (cluster, leader)
}

fn others(cluster: &Cluster, node: &NodeId) -> Vec<NodeId> {
    let mut names = cluster.names();
    names.retain(|name| name != node);
    names
}

fn payloads(cluster: &Cluster, node: &NodeId) -> Vec<String> {
    let applied = cluster.members[node].applied.iter();
    applied
        .map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap())
        .collect()
}

/// Whether all running members have applied exactly these.
fn all_applied(cluster: &Cluster, expected: &[&str]) -> bool {
    let running = cluster
        .members
        .iter()
        .filter(|(_, member)| member.engine.is_some());
    running
        .into_iter()
        .all(|(node, _)| payloads(cluster, node) == expected)
}

#[test]
fn a_cluster_elects_one_leader_and_all_apply_what_it_proposes() {
    for (size, seed) in [(1, 1), (2, 1), (3, 1), (3, 2), (5, 1), (5, 2)] {
        let (mut cluster, _) = elected(size, seed);
        assert!(cluster.propose("one") && cluster.propose("two"));
        let done = |cluster: &Cluster| all_applied(cluster, &["one", "two"]);
        assert!(
            cluster.run_until_within(milliseconds(10), done),
            "{size} {seed}"
        );
    }
}

#[test]
fn a_single_voter_leads_at_once_and_wakes_for_nothing() {
    let mut cluster = Cluster::new(1, 1);
    assert!(cluster.run_until_within(milliseconds(2), |cluster| cluster.leader().is_some()));
    assert_eq!(cluster.engine(&name("a")).next_deadline(), None);
}

#[test]
fn an_idle_cluster_wakes_only_for_heartbeats() {
    let (mut cluster, _) = elected(3, 1);
    cluster.wakes = 0;
    cluster.run_for(SECOND);
    assert!(cluster.wakes <= 20, "{}", cluster.wakes);
}

#[test]
fn a_minority_may_be_lost_and_a_majority_may_not() {
    let (mut cluster, leader) = elected(5, 3);
    let followers = others(&cluster, &leader);
    cluster.crash(&followers[0]);
    cluster.crash(&followers[1]);
    assert!(cluster.propose("still"));
    let done = |cluster: &Cluster| all_applied(cluster, &["still"]);
    assert!(cluster.run_until_within(milliseconds(10), done));
    cluster.crash(&followers[2]);
    assert!(cluster.propose("never"));
    assert!(!cluster.run_until_within(SECOND, |cluster| payloads(cluster, &leader).len() > 1));
    assert_eq!(
        cluster.leader(),
        None,
        "a leader without a majority steps down"
    );
}

#[test]
fn another_node_leads_soon_after_the_leader_crashed_and_has_all_entries() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(3, seed);
        assert!(cluster.propose("kept"));
        assert!(cluster.run_until_within(SECOND, |cluster| all_applied(cluster, &["kept"])));
        cluster.crash(&leader);
        let again =
            cluster.run_until_within(milliseconds(650), |cluster| cluster.leader().is_some());
        assert!(again, "seed {seed}");
        assert!(cluster.propose("more"));
        cluster.run_for(milliseconds(10));
        cluster.restart(&leader);
        let done = |cluster: &Cluster| all_applied(cluster, &["kept", "more"]);
        assert!(cluster.run_until_within(SECOND, done), "seed {seed}");
    }
}

#[test]
fn a_leader_whose_links_are_seen_to_end_is_replaced_without_an_election_timeout() {
    for (size, seed) in [3, 5]
        .into_iter()
        .flat_map(|size| (0..20).map(move |seed| (size, seed)))
    {
        let (mut cluster, leader) = elected(size, seed);
        assert!(cluster.propose("kept"));
        cluster.run_for(milliseconds(1));
        cluster.crash(&leader);
        // A link that has ended brings nothing more.
        cluster.isolate(&leader);
        cluster.tell_of_end(&leader);
        let again =
            cluster.run_until_within(milliseconds(120), |cluster| cluster.leader().is_some());
        assert!(again, "{size} {seed}");
    }
}

#[test]
fn a_link_that_ends_although_the_leader_lives_deposes_nobody() {
    for seed in 0..20 {
        let (mut cluster, leader) = elected(3, seed);
        let term = cluster.engine(&leader).status().term;
        let follower = others(&cluster, &leader).remove(usize::try_from(seed % 2).unwrap());
        for _ in 0..5 {
            cluster.tell_one_of_end(&follower, &leader);
            cluster.run_for(milliseconds(100));
        }
        assert_eq!(cluster.leader().as_ref(), Some(&leader), "{seed}");
        assert_eq!(cluster.engine(&leader).status().term, term, "{seed}");
    }
}

#[test]
fn a_leader_that_is_cut_off_steps_down_within_two_quorum_checks() {
    let (mut cluster, leader) = elected(3, 5);
    cluster.isolate(&leader);
    let stepped_down = |cluster: &Cluster| {
        let status = cluster.members[&leader].engine.as_ref().unwrap().status();
        status.role != Role::Leader && !status.established
    };
    assert!(cluster.run_until_within(milliseconds(300), stepped_down));
    let refused = cluster.engine(&leader).propose(b"late".to_vec());
    assert!(matches!(refused, Err(ProposeError::NotLeader { .. })));
}

#[test]
fn a_follower_that_was_cut_off_returns_without_a_new_election() {
    let (mut cluster, leader) = elected(3, 6);
    let term = cluster.engine(&leader).status().term;
    let lonely = others(&cluster, &leader)[0].clone();
    cluster.isolate(&lonely);
    cluster.run_for(3 * SECOND);
    cluster.heal();
    cluster.run_for(SECOND);
    let status = cluster.engine(&lonely).status();
    assert_eq!((status.term, status.leader), (term, Some(leader)));
}

#[test]
fn a_leader_that_slept_for_an_hour_does_not_act_when_it_wakes() {
    let (mut cluster, leader) = elected(3, 7);
    let later = cluster.now + Duration::from_secs(3600);
    cluster.engine(&leader).advance_to(later);
    assert!(!cluster.engine(&leader).status().established);
    assert!(cluster.engine(&leader).next_deadline().unwrap() > later);
}

#[test]
fn a_voter_remembers_its_vote_across_a_restart() {
    let mut cluster = Cluster::new(3, 1);
    let (voter, first, second) = (name("a"), name("b"), name("c"));
    let request = Message {
        term: Term(5),
        body: Body::RequestVote {
            last: Position::default(),
            committed: Position::default(),
            handover: true,
        },
    };
    let answer = |cluster: &mut Cluster, from: &NodeId| {
        cluster.network.clear();
        let engine = cluster.engine(&voter);
        engine.receive(from, request.clone()).unwrap();
        cluster.drain(&voter);
        cluster.run_until_within(milliseconds(5), |cluster| !cluster.network.is_empty());
        let mut sent = cluster.network.values();
        let granted = |granted| Message {
            term: Term(5),
            body: Body::Vote {
                granted,
                committed: Position::default(),
            },
        };
        sent.any(|(_, to, message)| to == from && *message == granted(true))
    };
    assert!(answer(&mut cluster, &first));
    cluster.crash(&voter);
    cluster.restart(&voter);
    assert!(!answer(&mut cluster, &second));
    assert!(answer(&mut cluster, &first));
}

#[test]
fn leadership_goes_where_it_is_sent_without_an_election_timeout() {
    let (mut cluster, leader) = elected(3, 8);
    let heir = others(&cluster, &leader)[1].clone();
    assert!(cluster.engine(&heir).transfer_leadership(&leader).is_err());
    cluster.engine(&leader).transfer_leadership(&heir).unwrap();
    let refused = cluster.engine(&leader).propose(b"late".to_vec());
    assert_eq!(refused, Err(ProposeError::HandingOver));
    cluster.drain(&leader);
    let done = |cluster: &Cluster| cluster.leader().as_ref() == Some(&heir);
    assert!(cluster.run_until_within(milliseconds(20), done));
}

#[test]
fn a_follower_behind_the_compacted_log_gets_the_snapshot_even_if_the_first_is_lost() {
    for lost in [false, true] {
        let (mut cluster, leader) = elected(3, 9);
        let late = others(&cluster, &leader)[0].clone();
        cluster.crash(&late);
        for payload in ["one", "two"] {
            assert!(cluster.propose(payload));
            cluster.run_for(milliseconds(10));
        }
        cluster.compact(&leader);
        cluster.run_for(milliseconds(10));
        assert!(cluster.propose("three"));
        cluster.drop_snapshots = lost;
        cluster.restart(&late);
        cluster.run_for(milliseconds(400));
        cluster.drop_snapshots = false;
        let done = |cluster: &Cluster| all_applied(cluster, &["one", "two", "three"]);
        assert!(cluster.run_until_within(SECOND, done), "lost {lost}");
        cluster.crash(&late);
        cluster.restart(&late);
        assert!(
            cluster.run_until_within(SECOND, done),
            "lost {lost}, after a restart"
        );
    }
}

#[test]
fn a_snapshot_that_takes_longer_to_write_than_an_election_timeout_does_no_harm() {
    let (mut cluster, leader) = elected(3, 10);
    let late = others(&cluster, &leader)[0].clone();
    cluster.crash(&late);
    assert!(cluster.propose("one"));
    cluster.run_for(milliseconds(10));
    cluster.compact(&leader);
    cluster.run_for(milliseconds(10));
    cluster.disk_delay = 3 * SECOND;
    cluster.restart(&late);
    cluster.run_for(milliseconds(200));
    cluster.disk_delay = milliseconds(1);
    let done = |cluster: &Cluster| all_applied(cluster, &["one"]);
    assert!(cluster.run_until_within(5 * SECOND, done));
}

#[test]
fn only_what_was_handed_out_can_be_compacted() {
    let (mut cluster, leader) = elected(3, 11);
    let applied = cluster.engine(&leader).status().applied;
    let engine = cluster.engine(&leader);
    let beyond = engine.compact(vec![], LogIndex(applied.0 + 1));
    assert!(matches!(beyond, Err(CompactError::NotApplied { .. })));
    let huge = engine.compact(vec![0; STATE_LENGTH_MAX + 1], applied);
    assert!(matches!(huge, Err(CompactError::StateTooLong { .. })));
    assert!(engine.compact(vec![], applied).is_ok());
    assert!(engine.compact(vec![], applied).is_err());
}

#[test]
fn a_backlog_and_a_payload_have_their_limits() {
    let (mut cluster, leader) = elected(3, 12);
    cluster.isolate(&leader);
    let engine = cluster.engine(&leader);
    let refused = engine.propose(vec![0; PAYLOAD_LENGTH_MAX + 1]);
    assert!(matches!(refused, Err(ProposeError::Length { .. })));
    assert_eq!(
        engine.propose(vec![]),
        Err(ProposeError::Length { length: 0 })
    );
    let full = (0..100).find_map(|_| engine.propose(vec![1; PAYLOAD_LENGTH_MAX]).err());
    assert_eq!(full, Some(ProposeError::Backlogged));
}

/// Cuts, crashes and compactions at random moments; then all is well again and must settle.
fn live_through(seed: u64) -> Cluster {
    let size = if seed.is_multiple_of(2) { 3 } else { 5 };
    let mut cluster = Cluster::new(size, seed);
    let mut random = SplitMix::new(seed ^ 0x5eed);
    let mut proposed = 0;
    for _ in 0..60 {
        cluster.run_for(Duration::from_micros(random.below(120_000)));
        let names = cluster.names();
        let node = names[random.below(size as u64) as usize].clone();
        let other = names[random.below(size as u64) as usize].clone();
        let is_up = cluster.members[&node].engine.is_some();
        match random.below(10) {
            0 | 1 if is_up => cluster.crash(&node),
            0..=2 if !is_up => cluster.restart(&node),
            3 => cluster.cut(&node, &other),
            4 => cluster.heal(),
            5 if is_up && !cluster.members[&node].applied.is_empty() => {
                let applied = cluster.engine(&node).status().applied;
                let state = postcard::to_allocvec(&cluster.members[&node].applied).unwrap();
                let _ = cluster.engine(&node).compact(state, applied);
                cluster.drain(&node);
            }
            6 => names.iter().for_each(|name| cluster.crash(name)),
            _ => {
                proposed += 1;
                cluster.propose(&format!("{proposed}"));
            }
        }
    }
    cluster.heal();
    for node in cluster.names() {
        if cluster.members[&node].engine.is_none() {
            cluster.restart(&node);
        }
    }
    cluster
}

#[test]
fn nothing_committed_is_lost_whenever_nodes_crash_and_links_break() {
    for seed in 0..150 {
        let mut cluster = live_through(seed);
        let known: Vec<LogEntry> = cluster.committed.values().cloned().collect();
        assert!(
            cluster.run_until_within(5 * SECOND, |cluster| cluster.leader().is_some()),
            "seed {seed}: no leader"
        );
        assert!(cluster.propose("last"), "seed {seed}");
        let done = |cluster: &Cluster| {
            let mut applied = cluster.members.values().map(|member| &member.applied);
            applied.all(|applied| applied.last().is_some_and(|last| *last.payload == *b"last"))
        };
        assert!(
            cluster.run_until_within(5 * SECOND, done),
            "seed {seed}: not settled"
        );
        for (node, member) in &cluster.members {
            let kept = known.iter().all(|entry| member.applied.contains(entry));
            assert!(kept, "seed {seed}: {node} lost a committed entry");
        }
    }
}

#[test]
fn one_seed_replays_every_message_and_another_does_not() {
    let life = |seed| live_through(seed).trace;
    assert_eq!(life(42), life(42));
    assert_ne!(life(42), life(44));
}
