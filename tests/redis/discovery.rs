//! The first start, with servers that do not tell who the master is.

use crate::cluster::{Cluster, local};
use crate::process::{eventually, free_port};
use crate::server::Kind;

/// Waits until every daemon says what it waits for, in status and readiness, and the leader logged it.
fn await_reason(cluster: &Cluster, parts: &[&str]) {
    let has_all = |text: &str| parts.iter().all(|part| text.contains(part));
    for daemon in &cluster.daemons {
        let report = daemon.await_status(&format!("it waits for {parts:?}"), |report| {
            let waiting = report.groups[0].waiting.as_deref().unwrap_or_default();
            report.leader.is_some() && has_all(waiting)
        });
        assert_eq!(
            (&report.groups[0].master, report.groups[0].epoch),
            (&None, None)
        );
        assert_eq!(report.groups[0].phase, "discovering");
        let ready = daemon.get::<serde_json::Value>("/readyz");
        assert!(ready.is_err_and(|error| error.to_string().contains("503")));
    }
    eventually("it is in the log, as an error", || {
        let leader = &cluster.daemons[cluster.await_leader()];
        let log = leader.logged();
        if log
            .lines()
            .any(|line| line.contains("ERROR") && has_all(line))
        {
            return Ok(());
        }
        Err(log)
    });
}

#[test]
fn two_masters_are_named_and_the_group_registers_once_one_of_them_follows() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let [one, two] = [0, 1].map(|it| cluster.servers[it].endpoint.clone());
    cluster.servers[0].start(&[]);
    cluster.servers[1].start(&[]);
    cluster.servers[2].start_as_replica_of(&one);
    cluster.start_daemons();
    let names = [one.to_string(), two.to_string()];
    await_reason(&cluster, &[&names[0], &names[1], "claim to be the master"]);
    assert_eq!(
        cluster.servers[1].is_master(),
        Ok(true),
        "nobody was asked to choose"
    );

    let port = one.port().to_string();
    cluster.servers[1].must::<()>(&["REPLICAOF", one.host(), &port]);
    assert_eq!(cluster.await_healthy(1), 0);
    cluster.assert_no_failover();
}

#[test]
fn a_group_without_a_master_waits_for_one_and_takes_the_one_that_it_gets() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let nobody = local(free_port());
    let port = nobody.port().to_string();
    for server in &mut cluster.servers {
        server.start(&["--replicaof", nobody.host(), &port]);
    }
    cluster.start_daemons();
    await_reason(&cluster, &["none of", "is a master"]);

    cluster.servers[2].must::<()>(&["REPLICAOF", "NO", "ONE"]);
    let master = cluster.servers[2].endpoint.clone();
    let port = master.port().to_string();
    for server in &cluster.servers[..2] {
        server.must::<()>(&["REPLICAOF", master.host(), &port]);
    }
    // The files named another one before.
    assert_eq!(cluster.await_healthy(1), 2);
    cluster.assert_no_failover();
}

#[test]
fn a_listed_instance_that_is_not_there_is_named() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let master = cluster.servers[0].endpoint.clone();
    cluster.servers[0].start(&[]);
    cluster.servers[1].start_as_replica_of(&master);
    cluster.start_daemons();
    let missing = cluster.servers[2].endpoint.to_string();
    await_reason(&cluster, &["no answer from", &missing]);
    cluster.servers[2].start_as_replica_of(&master);
    assert_eq!(cluster.await_healthy(1), 0);
}
