//! A minority cut off by the network: one server and one daemon on each of three hosts.
//!
//! Needs root, for network namespaces.

use std::time::Duration;

use promoterd::decision::Cause;
use promoterd::status::CauseName;

use crate::cluster::Cluster;
use crate::process::{eventually, throughout};

/// Longer than everything that a daemon could wait for before it acts.
const WHILE: Duration = Duration::from_secs(2);

fn start() -> Cluster {
    let mut cluster = Cluster::prepare_on_hosts();
    cluster.set("GROUPS__FEATURES__DOWN_AFTER", "500ms");
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster
}

impl Cluster {
    fn netlab(&self, words: &[&str]) {
        self.lab.as_ref().unwrap().run(words);
    }

    /// Whether the daemon that is cut off knows that it can do nothing, holds the master down as
    /// `master_down` says, and has promoted nobody.
    fn check_minority(&self, cut_off: usize, master_down: bool) -> Result<(), String> {
        let daemon = &self.daemons[cut_off];
        let report = daemon.status()?;
        let connected = report.voters.iter().filter(|voter| voter.connected).count();
        let group = &report.groups[0];
        let says = (&report.leader, connected, group.down.is_empty());
        if says != (&None, 1, !master_down) {
            return Err(format!("{} says {says:?}", daemon.name));
        }
        if !daemon.failovers()?.is_empty() {
            return Err(format!("{} knows of a failover", daemon.name));
        }
        daemon.file_names(&self.servers[0].endpoint)
    }
}

#[test]
fn a_master_cut_off_with_its_daemon_is_replaced_by_the_others_and_follows_after_the_cut() {
    let mut cluster = start();
    cluster.servers[0].fill("before", 100);
    cluster.netlab(&["isolate", "1"]);
    cluster.cut_off = Some(0);
    let master = cluster.await_healthy(2);
    assert_ne!(master, 0);
    // Without fencing it goes on taking writes, which are lost: as README.md says.
    cluster.servers[0].must::<()>(&["SET", "lost", &"x".repeat(5000)]);
    eventually("the minority knows", || cluster.check_minority(0, false));
    throughout("the minority does nothing", WHILE, || {
        cluster.check_minority(0, false)
    });
    assert_eq!(cluster.check(2), Ok(master));

    cluster.netlab(&["heal"]);
    cluster.cut_off = None;
    assert_eq!(cluster.await_healthy(2), master);
    let failovers = eventually("the loss is known to all", || {
        let failovers = cluster.failovers();
        match failovers[0].loss_bytes {
            Some(_) => Ok(failovers),
            None => Err(format!("{failovers:?}")),
        }
    });
    assert_eq!(failovers.len(), 1);
    assert_eq!(failovers[0].cause, CauseName::Lost(Cause::Silent));
    assert!(failovers[0].loss_bytes >= Some(5000), "{failovers:?}");
    assert_eq!(cluster.servers[0].must::<usize>(&["EXISTS", "lost"]), 0);
    assert_eq!(cluster.servers[0].count("before", 100), 100);
}

#[test]
fn a_replica_cut_off_with_its_daemon_is_not_promoted_and_nobody_else_is() {
    let mut cluster = start();
    // That it is the leader is the harder case; the others then need one of their own.
    let cut_off = match cluster.await_leader() {
        0 => 1,
        replica => replica,
    };
    let is_replica = |cluster: &Cluster| {
        cluster.check_minority(cut_off, true)?;
        match cluster.servers[cut_off].is_master()? {
            true => Err("it was promoted".to_owned()),
            false => Ok(()),
        }
    };
    cluster.netlab(&["isolate", &(cut_off + 1).to_string()]);
    cluster.cut_off = Some(cut_off);
    eventually("the minority holds the master down", || {
        is_replica(&cluster)
    });
    assert_eq!(cluster.await_healthy(1), 0);
    throughout("nobody promotes anybody", WHILE, || {
        is_replica(&cluster)?;
        cluster.check(1).map(drop)
    });
    cluster.netlab(&["heal"]);
    cluster.cut_off = None;
    assert_eq!(cluster.await_healthy(1), 0);
    cluster.assert_no_failover();
}

#[test]
fn a_master_that_hears_and_is_not_heard_is_replaced() {
    let mut cluster = start();
    for other in ["2", "3"] {
        cluster.netlab(&["cut", "1", other, "--one-way"]);
    }
    cluster.cut_off = Some(0);
    let master = cluster.await_healthy(2);
    eventually("the minority knows", || cluster.check_minority(0, false));
    cluster.netlab(&["heal"]);
    cluster.cut_off = None;
    assert_eq!(cluster.await_healthy(2), master);
    assert_eq!(cluster.failovers().len(), 1);
}
