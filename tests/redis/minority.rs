//! Five voters: two may be lost at once, with the master; three may not.
//!
//! Needs root, for network namespaces.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::process::{eventually, throughout};

const KEYS: usize = 100;

fn start() -> Cluster {
    let mut cluster = Cluster::prepare_on_five_hosts();
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.servers[0].fill("data", KEYS);
    cluster
}

/// Kills `count` daemons at once, the leader and the one beside the master among them, and the master.
fn lose(cluster: &mut Cluster, count: usize) -> Vec<usize> {
    let leader = cluster.await_leader();
    let mut lost = vec![0, leader];
    lost.extend((1..5).filter(|position| *position != leader));
    lost.dedup();
    lost.truncate(count);
    for position in &lost {
        cluster.daemons[*position].kill();
    }
    cluster.servers[0].kill();
    lost
}

#[test]
fn two_voters_of_five_are_lost_with_the_master_and_stop_nothing() {
    let mut cluster = start();
    let lost = lose(&mut cluster, 2);
    let master = cluster.await_healthy(2);
    assert_eq!(cluster.servers[master].count("data", KEYS), KEYS);
    for position in lost {
        cluster.daemons[position].start();
    }
    assert_eq!(cluster.await_healthy(2), master);
    assert_eq!(cluster.failovers().len(), 1);
}

#[test]
fn three_voters_of_five_are_lost_and_nothing_happens_until_one_is_back() {
    let mut cluster = start();
    let lost = lose(&mut cluster, 3);
    let left = (0..5)
        .find(|position| !lost.contains(position))
        .expect("two are left");
    cluster.daemons[left].await_status("the master is down, and nobody leads", |report| {
        report.leader.is_none() && !report.groups[0].down.is_empty()
    });
    throughout("two of five promote nobody", Duration::from_secs(2), || {
        for server in &cluster.servers[1..] {
            if server.is_master()? {
                return Err(format!("{} was promoted", server.endpoint));
            }
        }
        cluster.daemons[left].file_names(&cluster.servers[0].endpoint)
    });
    cluster.daemons[lost[0]].start();
    let master = cluster.await_healthy(2);
    assert_eq!(cluster.servers[master].count("data", KEYS), KEYS);
    eventually("it is in the history of all", || {
        let failovers = cluster.daemons[lost[0]].failovers()?;
        match failovers.len() {
            1 => Ok(()),
            count => Err(format!("{count} failovers")),
        }
    });
}
