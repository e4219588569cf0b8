//! Daemons that are asked to stop, and those that must not start.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::process::eventually;

#[test]
fn a_leader_that_is_asked_to_stop_hands_over_at_once_and_leaves_no_socket() {
    // Without a hand-over nobody else would stand for election in time.
    let mut cluster = Cluster::start(&[("ELECTION_TIMEOUT", "3s-6s")]);
    let leader = cluster.await_leader();
    let start = Instant::now();
    cluster.daemons[leader].stop();
    let stopped = start.elapsed();
    let next = cluster.await_leader();
    let led = start.elapsed();
    assert_ne!(next, leader);
    assert!(
        stopped < Duration::from_secs(1),
        "it took {stopped:?} to stop"
    );
    assert!(
        led < Duration::from_secs(1),
        "it took {led:?} to another leader"
    );
    assert!(!cluster.daemons[leader].socket.exists());
    cluster.await_healthy(1);
    cluster.assert_no_failover();
    // It comes back as a follower like any other, and hands over nothing when it stops then.
    cluster.daemons[leader].start();
    cluster.daemons[leader].await_ready();
    cluster.daemons[leader].stop();
    assert_eq!(cluster.await_leader(), next);
    cluster.await_healthy(1);
}

#[test]
fn the_last_daemon_stops_too() {
    let mut cluster = Cluster::start(&[]);
    for daemon in &mut cluster.daemons {
        let start = Instant::now();
        daemon.stop();
        let took = start.elapsed();
        assert!(
            took < Duration::from_secs(2),
            "{} took {took:?}",
            daemon.name
        );
        assert!(!daemon.socket.exists());
    }
}

#[test]
fn a_second_daemon_on_one_state_directory_is_refused_and_the_first_goes_on() {
    let cluster = Cluster::start(&[]);
    let second = cluster.daemons[0].output("run");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    let state = cluster.daemons[0].state.display().to_string();
    assert!(
        said.contains(&state) && said.contains("another promoterd"),
        "{said}"
    );
    eventually("the first one goes on", || cluster.check(1));
    cluster.assert_no_failover();
}
