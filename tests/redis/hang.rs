//! The master hangs, and wakes up again as a master that nobody needs.

use std::time::Duration;

use promoterd::decision::Cause;
use promoterd::status::{CauseName, DownReport};
use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::process::{eventually, throughout};

const DOWN_AFTER: Duration = Duration::from_millis(300);
const SETTINGS: [(&str, &str); 1] = [("GROUPS__FEATURES__DOWN_AFTER", "300ms")];
/// Bytes that only the old master ever had.
const LOST: usize = 10_000;

#[test]
fn a_master_that_hangs_is_replaced_and_demoted_when_it_wakes_up_and_its_loss_is_counted() {
    let mut cluster = Cluster::start(&SETTINGS);
    cluster.servers[0].fill("before", 100);
    write_to_the_master_alone(&cluster);
    cluster.servers[0].signal(Signal::STOP);
    for replica in &cluster.servers[1..] {
        replica.signal(Signal::CONT);
    }
    let master = eventually("a replica is promoted", || {
        (1..3)
            .find(|it| cluster.servers[*it].is_master() == Ok(true))
            .ok_or_else(|| "none is".to_owned())
    });
    eventually("the failover is over", || {
        let failovers = cluster.daemons[0].failovers()?;
        let open = || format!("{failovers:?}");
        let failover = failovers.first().ok_or_else(open)?;
        assert_eq!(failover.cause, CauseName::Lost(Cause::Silent));
        assert_eq!(failover.loss_bytes, None, "nobody can know yet");
        let first = failover.steps.first().ok_or_else(open)?;
        assert!(
            first.after_ms >= DOWN_AFTER.as_secs_f64() * 1000.0,
            "{first:?}"
        );
        Ok(())
    });

    cluster.servers[0].signal(Signal::CONT);
    assert_eq!(cluster.await_healthy(2), master);
    let loss = eventually("the loss is known", || {
        let failovers = cluster.daemons[0].failovers()?;
        failovers[0]
            .loss_bytes
            .ok_or_else(|| format!("{failovers:?}"))
    });
    // Beside the value: the command around it, and what the server sends by itself.
    let expected = LOST as u64..LOST as u64 + 1000;
    assert!(
        expected.contains(&loss),
        "{loss} bytes lost, not {expected:?}"
    );
    for server in &cluster.servers {
        assert_eq!(server.count("before", 100), 100);
        assert_eq!(server.must::<usize>(&["EXISTS", "lost"]), 0);
    }
    assert_eq!(cluster.failovers().len(), 1);
    // The next crash is one like any other.
    cluster.servers[master].kill();
    let next = cluster.await_healthy(3);
    assert_eq!(cluster.servers[next].count("before", 100), 100);
}

/// Writes what no replica gets: they are stopped, and their links are cut in the same transaction.
fn write_to_the_master_alone(cluster: &Cluster) {
    for replica in &cluster.servers[1..] {
        replica.signal(Signal::STOP);
    }
    let mut connection = cluster.servers[0].connect().unwrap();
    let (killed, written): (usize, String) = redis::pipe()
        .atomic()
        .cmd("CLIENT")
        .arg(&["KILL", "TYPE", "replica"])
        .cmd("SET")
        .arg("lost")
        .arg("x".repeat(LOST))
        .query(&mut connection)
        .unwrap();
    assert_eq!((killed, written.as_str()), (2, "OK"));
}

#[test]
fn a_pause_shorter_than_down_after_changes_nothing() {
    let cluster = Cluster::start(&[("GROUPS__FEATURES__DOWN_AFTER", "2s")]);
    cluster.servers[0].signal(Signal::STOP);
    for daemon in &cluster.daemons {
        daemon.await_status("it suspects the master", |report| {
            let group = &report.groups[0];
            let suspects = |it: &DownReport| it.node == report.node && it.cause.is_none();
            !group.master_instance.as_ref().unwrap().healthy && group.down.iter().any(suspects)
        });
    }
    cluster.servers[0].signal(Signal::CONT);
    cluster.await_healthy(1);
    throughout("nothing follows", DOWN_AFTER, || cluster.check(1).map(drop));
    cluster.assert_no_failover();
}

#[test]
fn a_replica_that_hangs_costs_nothing_but_itself() {
    let cluster = Cluster::start(&SETTINGS);
    cluster.servers[1].signal(Signal::STOP);
    let hung = &cluster.servers[1].endpoint;
    for daemon in &cluster.daemons {
        daemon.await_status("the replica is down", |report| {
            let seen = report.groups[0]
                .replicas
                .iter()
                .find(|it| it.endpoint == *hung);
            seen.is_some_and(|it| it.down == Some(Cause::Silent) && !it.healthy)
        });
    }
    cluster.servers[1].signal(Signal::CONT);
    assert_eq!(cluster.await_healthy(1), 0);
    cluster.assert_no_failover();
}
