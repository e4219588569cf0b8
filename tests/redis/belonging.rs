//! Who belongs to a cluster: births, state directories that are lost, replaced, copied or too old.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use promoterd::status::StatusReport;

use crate::cluster::{Cluster, local};
use crate::daemon::Daemon;
use crate::process::{eventually, free_port, throughout};
use crate::server::Kind;

fn empty(daemon: &Daemon) {
    fs::remove_dir_all(&daemon.state).unwrap();
}

/// Copies the files of a state directory, as a backup does.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["log", "snapshot", "journal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

fn incarnations(cluster: &Cluster) -> Vec<String> {
    let daemons = cluster.daemons.iter();
    daemons.map(|it| it.status().unwrap().incarnation).collect()
}

fn await_voter(daemon: &Daemon) -> StatusReport {
    daemon.await_status("it is a voter", |report| {
        report.waiting.is_none() && report.leader.is_some()
    })
}

/// Daemons of another cluster, which bear the same names and watch the same servers.
fn others_of_the_same_names(cluster: &Cluster) -> Vec<Daemon> {
    let place = cluster.directory.path().join("others");
    fs::create_dir(&place).unwrap();
    let peers = ["a", "b", "c"].map(|name| format!("{name}={}", local(free_port())));
    let master = &cluster.servers[0].endpoint;
    let instances = &cluster.daemons[0].variables["PROMOTERD_GROUPS__FEATURES__INSTANCES"];
    let names = ["a", "b", "c"].into_iter();
    names
        .map(|name| {
            let mut daemon = Daemon::new(name, &place, master, None);
            daemon.set("PEERS", &peers.join(","));
            daemon.set("GROUPS__FEATURES__INSTANCES", instances);
            daemon
        })
        .collect()
}

/// Why `daemon` has no link to `peer`.
fn reason(daemon: &Daemon, peer: &str) -> Option<String> {
    let report = daemon.status().ok()?;
    let voter = report
        .voters
        .into_iter()
        .find(|it| it.node.as_str() == peer)?;
    voter.last_error.filter(|_| !voter.connected)
}

#[test]
fn a_cluster_begins_within_a_second_of_its_last_voter_and_not_before() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.start_servers();
    cluster.daemons[0].start();
    cluster.daemons[2].start();
    for (place, peer) in [(0, "c"), (2, "a")] {
        let report = cluster.daemons[place].await_status("it waits for b", |report| {
            let linked = report.voters.iter();
            let linked = linked
                .filter(|it| it.node.as_str() == peer)
                .all(|it| it.connected);
            linked
                && report
                    .waiting
                    .as_ref()
                    .is_some_and(|it| it.ends_with("waiting for b"))
        });
        assert_eq!((report.cluster, report.leader), (None, None));
        assert_eq!(report.term.0, 0);
    }
    let ready = cluster.daemons[0].get::<serde_json::Value>("/readyz");
    let ready = ready.unwrap_err().to_string();
    assert!(ready.contains("waiting for b"), "{ready}");
    throughout("nothing begins", Duration::from_secs(1), || {
        let report = cluster.daemons[0].status()?;
        report
            .cluster
            .map_or(Ok(()), |cluster| Err(format!("{cluster} began")))
    });
    let start = Instant::now();
    cluster.daemons[1].start();
    let reports: Vec<StatusReport> = cluster
        .daemons
        .iter()
        .map(|daemon| daemon.await_status("born", |report| report.cluster.is_some()))
        .collect();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(reports.iter().all(|it| it.cluster == reports[0].cluster));
    cluster.await_healthy(1);
}

#[test]
fn a_follower_that_lost_its_state_rejoins_and_then_counts() {
    let mut cluster = Cluster::start(&[]);
    let leader = cluster.await_leader();
    let (lost, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let before = incarnations(&cluster);
    cluster.daemons[lost].kill();
    empty(&cluster.daemons[lost]);
    cluster.servers[0].kill();
    cluster.await_healthy(2);
    cluster.daemons[lost].start();
    await_voter(&cluster.daemons[lost]);
    let after = incarnations(&cluster);
    assert_ne!(before[lost], after[lost]);
    assert_eq!(before[other], after[other]);
    cluster.servers[0].start(&[]);
    let master = cluster.await_healthy(2);
    // Now it is one of the two that a majority takes.
    cluster.daemons[other].kill();
    cluster.servers[master].kill();
    cluster.await_healthy(3);
}

#[test]
fn a_leader_that_lost_its_state_during_a_failover_rejoins_while_another_leads() {
    let mut cluster = Cluster::start(&[]);
    let lost = cluster.await_leader();
    cluster.daemons[lost].kill();
    empty(&cluster.daemons[lost]);
    cluster.servers[0].kill();
    cluster.daemons[lost].start();
    cluster.await_healthy(2);
    let report = await_voter(&cluster.daemons[lost]);
    assert_ne!(report.leader.unwrap().as_str(), cluster.daemons[lost].name);
    assert_eq!(cluster.failovers().len(), 1);
}

#[test]
fn two_voters_of_three_that_lost_their_state_decide_nothing() {
    let mut cluster = Cluster::start(&[]);
    let kept = cluster.await_leader();
    for lost in [(kept + 1) % 3, (kept + 2) % 3] {
        cluster.daemons[lost].kill();
        empty(&cluster.daemons[lost]);
    }
    for lost in [(kept + 1) % 3, (kept + 2) % 3] {
        cluster.daemons[lost].start();
        cluster.daemons[lost].await_status("it has to rejoin", |report| {
            let waiting = report.waiting.as_deref().unwrap_or_default();
            waiting.contains("rejoin") && report.cluster.is_some()
        });
    }
    cluster.daemons[kept].await_status("nobody leads", |report| report.leader.is_none());
    cluster.servers[0].kill();
    throughout("nobody is promoted", Duration::from_secs(3), || {
        for server in &cluster.servers[1..] {
            if server.is_master()? {
                return Err(format!("{} is a master", server.endpoint));
            }
        }
        Ok(())
    });
}

#[test]
fn voters_edited_on_a_living_cluster_are_refused_with_the_way_to_do_it() {
    let mut cluster = Cluster::start(&[]);
    cluster.daemons[2].stop();
    let peers = cluster.daemons[2].variables["PROMOTERD_PEERS"].clone();
    cluster.daemons[2].set("PEERS", &format!("{peers},d=127.0.0.1:1"));
    let refused = cluster.daemons[2].output("run");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    for part in [
        "a,b,c",
        "a,b,c,d",
        "d added",
        "keep its name",
        "empty PROMOTERD_STATE_DIR",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    // One that was emptied is refused by the others, and says why.
    empty(&cluster.daemons[2]);
    cluster.daemons[2].start();
    for (place, peer) in [(2, "a"), (0, "c")] {
        let daemon = &cluster.daemons[place];
        eventually("the voter sets differ", || {
            let reason = reason(daemon, peer).unwrap_or_default();
            if reason.contains("voter sets differ") {
                return Ok(());
            }
            Err(reason)
        });
    }
    cluster.daemons[2].kill();
    cluster.daemons[2].set("PEERS", &peers);
    cluster.daemons[2].start();
    await_voter(&cluster.daemons[2]);
    cluster.await_healthy(1);
}

#[test]
fn a_state_directory_of_another_cluster_is_refused_on_both_sides() {
    let mut cluster = Cluster::start(&[]);
    let mut others = others_of_the_same_names(&cluster);
    for other in &mut others {
        other.start();
    }
    await_voter(&others[2]);
    for other in &mut others {
        other.kill();
    }
    cluster.daemons[2].kill();
    empty(&cluster.daemons[2]);
    copy(&others[2].state, &cluster.daemons[2].state);
    cluster.daemons[2].start();
    for (place, peer) in [(2, "a"), (2, "b"), (0, "c"), (1, "c")] {
        let daemon = &cluster.daemons[place];
        eventually("another cluster", || {
            let reason = reason(daemon, peer).unwrap_or_default();
            if reason.contains("belong to different clusters") {
                return Ok(());
            }
            Err(reason)
        });
    }
    cluster.cut_off = Some(2);
    cluster.servers[0].kill();
    cluster.await_healthy(2);
}

#[test]
fn a_restored_backup_neither_votes_nor_stays() {
    let mut cluster = Cluster::start(&[]);
    let restored = (cluster.await_leader() + 1) % 3;
    let backup = cluster.directory.path().join("backup");
    cluster.daemons[restored].stop();
    copy(&cluster.daemons[restored].state, &backup);
    cluster.daemons[restored].start();
    cluster.servers[0].kill();
    cluster.await_healthy(2);
    let before = incarnations(&cluster);
    cluster.daemons[restored].kill();
    empty(&cluster.daemons[restored]);
    copy(&backup, &cluster.daemons[restored].state);
    cluster.daemons[restored].start();
    let daemon = &cluster.daemons[restored];
    daemon.await_status("it rejoined with a new state directory", |report| {
        report.waiting.is_none() && report.incarnation != before[restored]
    });
    assert!(daemon.state.join("set-aside/log").exists());
    assert!(daemon.logged().contains("older copy"));
    cluster.await_healthy(2);
    // Once more, and it is one that the others do not know any more.
    let backup_of_former = backup;
    cluster.daemons[restored].kill();
    empty(&cluster.daemons[restored]);
    copy(&backup_of_former, &cluster.daemons[restored].state);
    let refused = cluster.daemons[restored].output("run");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("taken by another state directory"), "{said}");
}

#[test]
fn a_copy_that_runs_beside_its_original_is_refused_and_changes_nothing() {
    let cluster = Cluster::start(&[]);
    // Whoever sorts first calls the others, so a copy of it reaches them.
    let original = &cluster.daemons[0];
    let master = cluster.servers[0].endpoint.clone();
    let place = cluster.directory.path().join("copy");
    fs::create_dir(&place).unwrap();
    let mut twin = Daemon::new("a", &place, &master, None);
    for (key, value) in &original.variables {
        twin.variables.entry(key.clone()).or_insert(value.clone());
    }
    twin.set("LISTEN", &format!("127.0.0.1:{}", free_port()));
    copy(&original.state, &twin.state);
    twin.start();
    for peer in ["b", "c"] {
        eventually("the copy is refused", || {
            let reason = reason(&twin, peer).unwrap_or_default();
            if reason.contains("another promoterd named a is connected") {
                return Ok(());
            }
            Err(reason)
        });
    }
    twin.kill();
    eventually("the others go on", || cluster.check(1));
    cluster.assert_no_failover();
}

#[test]
fn daemons_that_run_alone_need_no_peer_port() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.start_servers();
    let others = others_of_the_same_names(&cluster);
    let first = cluster.daemons.drain(..1);
    let mut alone: Vec<Daemon> = first.chain(others.into_iter().take(1)).collect();
    for daemon in &mut alone {
        daemon.variables.remove("PROMOTERD_PEERS");
        daemon.set("ALONE", "true");
        daemon.start();
    }
    for daemon in &alone {
        daemon.await_ready();
        assert!(daemon.logged().contains("a new cluster begins"));
    }
}
