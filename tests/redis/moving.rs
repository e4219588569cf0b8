//! A replica that still gets its master's stream speaks against those who hold that master silent, for a
//! while.
//!
//! Needs root, for network namespaces.

use std::thread;
use std::time::{Duration, Instant};

use promoterd::model::Epoch;
use promoterd::status::GroupReport;

use crate::cluster::Cluster;
use crate::partition::write_everywhere;
use crate::process::eventually;

/// Far longer than `DOWN_AFTER`, by which a silent master is replaced otherwise.
const CUT: Duration = Duration::from_millis(3500);

/// Five voters; the master on the fourth host and its only replica on the fifth.
fn start(settings: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::prepare_on_five_hosts();
    cluster.servers.drain(..3);
    let [master, replica] = [0, 1].map(|it| cluster.servers[it].endpoint.clone());
    let instances = format!("{master},{replica}");
    cluster.set("GROUPS__FEATURES__INSTANCES", &instances);
    for (key, value) in settings {
        cluster.set(key, value);
    }
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    // A replica that just copied its master whole gets no stream before its next acknowledgement: until
    // then the node beside the master does not count on it.
    cluster.servers[0].fill("acknowledged", 1);
    eventually("the replica acknowledges all of the stream", || {
        cluster.servers[0].is_acknowledged()
    });
    cluster
}

/// The majority loses the master's host, and the replica's host does not.
fn cut(cluster: &Cluster) {
    let words = "drop 1-4 4-1 2-4 4-2 3-4 4-3";
    let words: Vec<&str> = words.split(' ').collect();
    cluster.lab.as_ref().expect("hosts").run(&words);
}

fn heal(cluster: &Cluster) {
    cluster.lab.as_ref().expect("hosts").run(&["heal"]);
}

/// Waits until this daemon says that a quorum of three holds the master silent.
fn await_quorum(cluster: &Cluster, daemon: usize) -> GroupReport {
    eventually("three voters hold it down", || {
        let group = cluster.daemons[daemon].group()?;
        let silent = group.down.iter().filter(|it| it.cause.is_some());
        if silent.count() >= 3 {
            return Ok(group);
        }
        Err(format!("{:?}", group.down))
    })
}

#[test]
fn a_master_that_most_cannot_reach_stays_while_a_replica_gets_its_stream() {
    let cluster = start(&[]);
    let ((), taken) = write_everywhere(&cluster, || {
        cut(&cluster);
        let start = Instant::now();
        let group = await_quorum(&cluster, 0);
        assert_eq!(group.epoch, Some(Epoch(1)));
        thread::sleep(CUT.saturating_sub(start.elapsed()));
        heal(&cluster);
    });
    cluster.await_healthy(1);
    cluster.assert_no_failover();
    let longest = taken[0].windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(
        longest.is_some_and(|pause| pause < Duration::from_millis(500)),
        "its clients were held up for {longest:?}"
    );
}

#[test]
fn a_replica_delays_the_failover_for_no_longer_than_it_may() {
    let cluster = start(&[("GROUPS__FEATURES__REPLICA_VETO_MAX", "500ms")]);
    let (took, _) = write_everywhere(&cluster, || {
        let start = Instant::now();
        cut(&cluster);
        eventually("the replica is promoted", || {
            match cluster.servers[1].is_master()? {
                true => Ok(()),
                false => Err("it is none yet".to_owned()),
            }
        });
        let took = start.elapsed();
        heal(&cluster);
        took
    });
    assert_eq!(cluster.await_healthy(2), 1);
    // `DOWN_AFTER` and what the replica may add, from the last reply that came before the cut.
    assert!(
        (Duration::from_millis(1200)..Duration::from_millis(3000)).contains(&took),
        "{took:?}"
    );
}
