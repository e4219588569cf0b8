//! The master's process is killed.

use std::time::{Duration, Instant};

use promoterd::decision::{Cause, StepName};
use promoterd::model::Epoch;
use promoterd::status::{CauseName, OutcomeName};

use crate::cluster::Cluster;
use crate::daemon::client_file;
use crate::observer;
use crate::process::eventually;
use crate::server::Kind;

const KEYS: usize = 200;

#[test]
fn a_crash_of_redis_7_is_healed() {
    a_crash_is_healed(Kind::Redis7);
}

#[test]
fn a_crash_of_redis_8_is_healed() {
    a_crash_is_healed(Kind::Redis8);
}

#[test]
fn a_crash_of_valkey_9_is_healed() {
    a_crash_is_healed(Kind::Valkey9);
}

fn a_crash_is_healed(kind: Kind) {
    let mut cluster = Cluster::start_with(kind, &[]);
    cluster.servers[0].fill("before", KEYS);
    let old = cluster.servers[0].endpoint.clone();
    let files = cluster.daemons.iter().map(|it| it.file.clone());
    let files: Vec<_> = files.map(observer::contents_of).collect();
    let readiness = observer::refusals_of_readiness(&cluster);
    let events = cluster.daemons[cluster.await_leader()].listen();

    cluster.servers[0].kill();
    let told = ["objectively_down", "begun", "promoted", "done", "settled"];
    let told = told.map(|name| events.await_event(name));
    let master = cluster.await_healthy(2);

    let new = cluster.servers[master].endpoint.clone();
    assert_ne!(master, 0);
    assert_eq!(cluster.servers[master].count("before", KEYS), KEYS);
    cluster.servers[master].fill("after", KEYS);
    for contents in files {
        assert_eq!(contents.seen(), [client_file(&old), client_file(&new)]);
    }
    assert_eq!(
        readiness.seen(),
        [""; 0],
        "a failover is no reason to be unready"
    );
    assert_eq!(told[0]["master"], old.to_string());
    assert_eq!(told[1]["candidate"]["endpoint"], new.to_string());
    assert_eq!(told[3]["master"], new.to_string());

    let [failover] = &cluster.failovers()[..] else {
        panic!("{:?}", cluster.failovers());
    };
    assert_eq!((&failover.from, &failover.to), (&old, &new));
    assert_eq!(
        (failover.epoch, failover.cause),
        (Epoch(2), CauseName::Lost(Cause::Exited))
    );
    assert_eq!(failover.outcome, OutcomeName::Done);
    let steps: Vec<StepName> = failover.steps.iter().map(|step| step.step).collect();
    for step in [
        StepName::Agreed,
        StepName::Chosen,
        StepName::Begun,
        StepName::Promoted,
        StepName::Committed,
        StepName::FilesRewritten,
        StepName::ReplicasFollow,
    ] {
        assert!(steps.contains(&step), "{step:?} is not in {steps:?}");
    }
    assert!(
        failover
            .steps
            .is_sorted_by(|one, next| one.after_ms <= next.after_ms)
    );
}

#[test]
fn without_proof_by_the_process_a_crash_is_seen_by_refused_connections() {
    let mut cluster = Cluster::start(&[("GROUPS__FEATURES__EXITED", "off")]);
    let files = cluster.daemons.iter().map(|it| it.file.clone());
    let files: Vec<_> = files.map(observer::contents_of).collect();
    let start = Instant::now();
    cluster.servers[0].kill();
    let writable = eventually("a replica is a master", || {
        let promoted = (1..3).find(|it| cluster.servers[*it].is_master() == Ok(true));
        promoted.ok_or_else(|| "none is".to_owned())
    });
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "{took:?} is no better than silence"
    );
    assert_eq!(cluster.await_healthy(2), writable);
    let failovers = cluster.failovers();
    assert_eq!(failovers.len(), 1);
    assert_eq!(failovers[0].cause, CauseName::Lost(Cause::Gone));
    assert!(failovers[0].views.len() >= 2, "{:?}", failovers[0].views);
    for contents in files {
        let expected = [0, writable].map(|it| client_file(&cluster.servers[it].endpoint));
        assert_eq!(contents.seen(), expected);
    }
}

#[test]
fn the_replica_with_the_most_data_is_promoted_and_no_acknowledged_replicated_write_is_lost() {
    let mut cluster = Cluster::start(&[]);
    // The one that would be chosen if they had the same data.
    let mut replicas = [1, 2];
    replicas.sort_by_key(|it| cluster.servers[*it].run_id());
    let [behind, ahead] = replicas;
    cluster.servers[0].fill("both", KEYS);
    shut_out(&mut cluster, behind, ahead);
    cluster.servers[0].fill("one", KEYS);
    assert_eq!(cluster.servers[behind].count("one", KEYS), 0);

    cluster.servers[0].kill();
    for replica in [behind, ahead] {
        cluster.servers[replica].must::<()>(&["CONFIG", "SET", "masterauth", ""]);
    }
    assert_eq!(cluster.await_healthy(2), ahead);
    for server in [behind, ahead] {
        let counts = ["both", "one"].map(|prefix| cluster.servers[server].count(prefix, KEYS));
        assert_eq!(counts, [KEYS, KEYS]);
    }
}

#[test]
fn a_replica_that_is_down_too_is_passed_over_and_the_log_that_says_why_can_be_read_again() {
    let mut cluster = Cluster::start(&[]);
    cluster.servers[1].kill();
    cluster.servers[0].kill();
    assert_eq!(cluster.await_healthy(2), 2);
    let failovers = cluster.failovers();
    let [passed_over] = &failovers[0].passed_over[..] else {
        panic!("{failovers:?}");
    };
    assert_eq!(passed_over.endpoint, cluster.servers[1].endpoint);
    assert!(
        passed_over.reason.contains("unreachable"),
        "{passed_over:?}"
    );
    for daemon in &mut cluster.daemons {
        daemon.kill();
    }
    cluster.start_daemons();
    assert_eq!(cluster.await_healthy(2), 2);
    assert_eq!(cluster.failovers()[0].passed_over, failovers[0].passed_over);
}

/// Lets `behind` lose its link to the master and not come back, for a password that it does not have.
/// The connections of the daemons were there before it, and stay.
fn shut_out(cluster: &mut Cluster, behind: usize, ahead: usize) {
    for (replica, password) in [(behind, "wrong"), (ahead, "right")] {
        cluster.servers[replica].must::<()>(&["CONFIG", "SET", "masterauth", password]);
    }
    let mut connection = cluster.servers[0].connect().unwrap();
    let (_, killed): (String, usize) = redis::pipe()
        .cmd("CONFIG")
        .arg(&["SET", "requirepass", "right"])
        .cmd("CLIENT")
        .arg(&["KILL", "TYPE", "replica"])
        .query(&mut connection)
        .unwrap();
    assert_eq!(killed, 2);
    cluster.servers[0].log_in_with(&["right"]);
    eventually("one of them is back", || {
        cluster.servers[ahead].follows(&cluster.servers[0].endpoint)
    });
}

/// Replicas that want replicas of their own before they take writes: the first one has to be repointed.
#[test]
fn a_master_that_needs_a_replica_is_writable_as_soon_as_it_has_one() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    for server in &mut cluster.servers {
        server.configure(&["--min-replicas-to-write", "1"]);
    }
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let began = Instant::now();
    cluster.servers[0].kill();
    let (master, took) = eventually("a write is taken", || {
        for (position, server) in cluster.servers.iter().enumerate().skip(1) {
            let set: Result<(), _> = server.ask(&["SET", "after", "crash"]);
            if set.is_ok() {
                return Ok((position, began.elapsed()));
            }
        }
        Err("nobody takes it".to_owned())
    });
    eprintln!("min-replicas-to-write 1: crash to an accepted write {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(cluster.await_healthy(2), master);
}
