//! Daemons that are killed and started again.

use std::fs;
use std::os::unix::fs::MetadataExt;

use promoterd::decision::Cause;
use promoterd::status::CauseName;

use crate::cluster::Cluster;
use crate::process::eventually;
use crate::server::Kind;

/// What tells whether a file was replaced.
fn inodes(cluster: &Cluster) -> Vec<u64> {
    let inode = |daemon: &crate::daemon::Daemon| fs::metadata(&daemon.file).unwrap().ino();
    cluster.daemons.iter().map(inode).collect()
}

#[test]
fn daemons_killed_one_after_another_cost_no_failover_and_the_next_crash_is_healed() {
    let mut cluster = Cluster::start(&[]);
    // What every daemon has to remember: an epoch that is not the first, and its file.
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    cluster.servers[0].start(&[]);
    cluster.await_healthy(2);
    let files = inodes(&cluster);
    let leader = cluster.await_leader();
    for daemon in [(leader + 1) % 3, (leader + 2) % 3, leader] {
        cluster.daemons[daemon].kill();
        // While it is away the others have, or find, a leader.
        cluster.await_leader();
        cluster.await_healthy(2);
        cluster.daemons[daemon].start();
        cluster.daemons[daemon].await_ready();
        assert_eq!(cluster.await_healthy(2), master);
    }
    assert_eq!(cluster.failovers().len(), 1);
    assert_eq!(
        inodes(&cluster),
        files,
        "a file was written again for nothing"
    );

    cluster.servers[master].kill();
    let next = cluster.await_healthy(3);
    assert_ne!(next, master);
    assert_eq!(cluster.failovers().len(), 2);
}

#[test]
fn all_daemons_killed_and_restarted_go_on_where_they_were() {
    let mut cluster = Cluster::start(&[]);
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    cluster.servers[0].start(&[]);
    cluster.await_healthy(2);
    let before = (inodes(&cluster), cluster.failovers());
    for daemon in &mut cluster.daemons {
        daemon.kill();
    }
    cluster.start_daemons();
    assert_eq!(cluster.await_healthy(2), master);
    assert_eq!((inodes(&cluster), cluster.failovers()), before);
    cluster.servers[master].kill();
    cluster.await_healthy(3);
}

#[test]
fn a_master_lost_while_no_daemon_ran_is_replaced_by_a_replica_that_only_the_log_names() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let listed = cluster.servers[0].endpoint.to_string();
    cluster.set("GROUPS__FEATURES__INSTANCES", &listed);
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.servers[0].fill("data", 100);
    for daemon in &mut cluster.daemons {
        daemon.kill();
    }
    cluster.servers[0].kill();
    cluster.start_daemons();
    let master = cluster.await_healthy(2);
    assert_eq!(cluster.servers[master].count("data", 100), 100);
    let failovers = cluster.failovers();
    assert_eq!(failovers.len(), 1);
    assert_eq!(failovers[0].cause, CauseName::Lost(Cause::Gone));
}

#[test]
fn a_leader_that_dies_with_its_master_stops_nothing() {
    let mut cluster = Cluster::start(&[]);
    cluster.servers[0].fill("data", 100);
    let leader = cluster.await_leader();
    cluster.daemons[leader].kill();
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    assert_eq!(cluster.servers[master].count("data", 100), 100);
    // Its own file is right once it is back.
    cluster.daemons[leader].start();
    assert_eq!(cluster.await_healthy(2), master);
    assert_eq!(cluster.failovers().len(), 1);
}

#[test]
fn one_daemon_of_three_promotes_nobody_until_another_is_back() {
    let mut cluster = Cluster::start(&[]);
    cluster.daemons[1].kill();
    cluster.daemons[2].kill();
    cluster.daemons[0].await_status("no leader is left", |report| report.leader.is_none());
    cluster.servers[0].kill();
    let report = cluster.daemons[0].await_status("the master is down", |report| {
        !report.groups[0].down.is_empty()
    });
    assert_eq!(report.leader, None);
    crate::process::throughout(
        "nobody acts alone",
        std::time::Duration::from_secs(2),
        || {
            for server in &cluster.servers[1..] {
                if server.is_master()? {
                    return Err(format!("{} was promoted", server.endpoint));
                }
            }
            cluster.daemons[0].file_names(&cluster.servers[0].endpoint)
        },
    );
    cluster.daemons[1].start();
    cluster.await_healthy(2);
    eventually("it is in the history", || {
        let failovers = cluster.daemons[0].failovers()?;
        if failovers.len() == 1 {
            return Ok(());
        }
        Err(format!("{failovers:?}"))
    });
}
