//! Everything is killed and started again, in an order in which the wrong instance comes first.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::process::{eventually, throughout};

const KEYS: usize = 300;

/// A cluster that failed over once while the first server was away, so that its file is an old one;
/// then everything was killed. Also the positions of the master and of the third server.
fn killed() -> (Cluster, usize, usize) {
    let mut cluster = Cluster::start(&[]);
    cluster.servers[0].fill("old", KEYS);
    cluster.servers[0].must::<()>(&["SAVE"]);
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    let third = 3 - master;
    cluster.servers[master].fill("new", KEYS);
    for position in [master, third] {
        cluster.servers[position].must::<()>(&["SAVE"]);
    }
    for daemon in &mut cluster.daemons {
        daemon.kill();
    }
    for position in [master, third] {
        cluster.servers[position].kill();
    }
    (cluster, master, third)
}

/// Starts the daemons beside the old server alone, and makes sure that they wait and say for whom.
fn start_with_the_old_one(cluster: &mut Cluster) {
    cluster.servers[0].start(&[]);
    cluster.start_daemons();
    eventually("it says why it waits", || {
        let leader = cluster.await_leader();
        let group = cluster.daemons[leader].group()?;
        match (&group.awaited, group.passed_over.len()) {
            (None, 0) => Err(format!("{group:?}")),
            (Some(_) | None, _) => Ok(()),
        }
    });
    throughout("nobody is promoted", Duration::from_secs(2), || {
        let epoch = cluster.daemons[0].group()?.epoch.map(|epoch| epoch.0);
        match epoch {
            Some(2) => Ok(()),
            Some(_) | None => Err(format!("epoch {epoch:?}")),
        }
    });
}

/// Waits until all servers follow one that has all keys.
fn await_all_data(cluster: &Cluster) {
    eventually("all have the latest data", || {
        let leader = cluster.await_leader();
        let epoch = cluster.daemons[leader].group()?.epoch;
        cluster.check(epoch.ok_or("not registered")?.0)?;
        for server in &cluster.servers {
            let (old, new) = (server.count("old", KEYS), server.count("new", KEYS));
            if (old, new) != (KEYS, KEYS) {
                return Err(format!("{}: {old} and {new} keys", server.endpoint));
            }
        }
        Ok(())
    });
}

#[test]
fn a_stale_instance_that_is_back_first_does_not_become_the_master() {
    let (mut cluster, master, third) = killed();
    start_with_the_old_one(&mut cluster);
    for position in [third, master] {
        cluster.servers[position].start(&[]);
    }
    await_all_data(&cluster);
}

#[test]
fn a_master_that_is_back_without_its_data_waits_for_somebody_who_has_them() {
    let (mut cluster, master, third) = killed();
    drop(std::fs::remove_file(
        cluster.servers[master].directory.join("dump.rdb"),
    ));
    start_with_the_old_one(&mut cluster);
    cluster.servers[master].start(&[]);
    throughout("it is not accepted", Duration::from_secs(2), || {
        let epoch = cluster.daemons[0].group()?.epoch.map(|epoch| epoch.0);
        match (epoch, cluster.servers[0].count("old", KEYS)) {
            (Some(2), KEYS) => Ok(()),
            other => Err(format!("epoch and keys: {other:?}")),
        }
    });
    cluster.servers[third].start(&[]);
    await_all_data(&cluster);
    assert!(!cluster.servers[master].is_master().unwrap());
}
