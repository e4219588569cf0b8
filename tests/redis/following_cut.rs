//! Observers and a network that fails without a word. Needs root, for network namespaces.

use std::time::{Duration, Instant};

use promoterd::model::Endpoint;

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::following::{await_fresh, followed, give_key, observer};
use crate::process::eventually;

/// From the loss of its voter's host to the next voter, and to the files.
const LEFT_WITHIN: Duration = Duration::from_secs(5);

/// Three hosts with servers and voters, and a fourth one with an observer that follows.
fn ground() -> (Cluster, Daemon) {
    let (mut cluster, host) = Cluster::prepare_beside_a_host();
    let at = |server: &Endpoint| Endpoint::new(server.host(), 7401).unwrap();
    let servers = cluster.servers.iter();
    let ports: Vec<Endpoint> = servers.map(|server| at(&server.endpoint)).collect();
    for (daemon, port) in cluster.daemons.iter_mut().zip(&ports) {
        daemon.set("OBSERVERS__LISTEN", &port.to_string());
    }
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let mut observer = observer(&cluster, &ports, Some(host));
    let key = cluster.daemons[0].variables["PROMOTERD_PEER_KEY_FILE"].clone();
    give_key(&mut observer, &cluster, &key);
    observer.start();
    await_fresh(&observer, 1);
    (cluster, observer)
}

fn netlab(cluster: &Cluster, words: &[&str]) {
    cluster.lab.as_ref().expect("hosts").run(words);
}

#[test]
fn an_observer_whose_voters_host_is_lost_in_a_failover_soon_hears_of_it_from_another() {
    let (mut cluster, observer) = ground();
    let lost = followed(&cluster, &await_fresh(&observer, 1));
    cluster.cut_off = Some(lost);
    netlab(&cluster, &["isolate", &(lost + 1).to_string()]);
    let lost_at = Instant::now();
    if lost != 0 {
        cluster.servers[0].kill();
    }
    let report = await_fresh(&observer, 2);
    let took = lost_at.elapsed();
    eprintln!("from the loss of a voter's host to the observer's file: {took:?}");
    assert!(took < LEFT_WITHIN, "{took:?}");
    // The kernels noticed: the voter itself may be silent for longer.
    let why = report.voters[lost].last_error.as_deref();
    assert!(
        why.is_some_and(|why| why.starts_with("the connection broke")),
        "{why:?}"
    );
}

#[test]
fn an_observer_that_is_cut_off_says_for_how_long_and_keeps_its_files() {
    let (mut cluster, observer) = ground();
    let old = cluster.servers[0].endpoint.clone();
    netlab(&cluster, &["isolate", "4"]);
    let cut_at = Instant::now();
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    eventually(
        "it says for how long nobody has confirmed what it knows",
        || {
            let least = cut_at.elapsed();
            let report = observer.status()?;
            let stale = report.following.as_ref().and_then(|it| it.stale_ms);
            let stale = stale.map(Duration::from_millis).ok_or("it is not stale")?;
            // A sign of life may have come just before the cut, and never after it.
            assert!(
                stale + Duration::from_millis(1) >= least,
                "{stale:?} after {least:?}"
            );
            Ok::<(), String>(())
        },
    );
    observer.file_names(&old).unwrap();
    netlab(&cluster, &["heal"]);
    await_fresh(&observer, 2);
    let master = &cluster.servers[master].endpoint;
    observer.file_names(master).unwrap();
}
