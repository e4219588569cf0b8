//! Servers that come back: an old master, an emptied one, one that somebody repointed by hand.

use std::time::Duration;

use promoterd::decision::Cause;
use promoterd::status::CauseName;

use crate::cluster::{Cluster, local};
use crate::process::{eventually, free_port, throughout};

const KEYS: usize = 300;

#[test]
fn an_old_master_that_comes_back_empty_becomes_a_replica_and_gets_the_data() {
    let mut cluster = Cluster::start(&[]);
    cluster.servers[0].fill("data", KEYS);
    cluster.servers[0].kill_and_empty();
    let master = cluster.await_healthy(2);
    cluster.servers[0].start(&[]);
    assert_eq!(cluster.await_healthy(2), master);
    assert_eq!(cluster.servers[0].count("data", KEYS), KEYS);
    assert_eq!(cluster.failovers().len(), 1);
}

#[test]
fn an_old_master_that_comes_back_with_old_data_of_its_own_is_demoted_too() {
    let mut cluster = Cluster::start(&[]);
    cluster.servers[0].fill("data", KEYS);
    cluster.servers[0].must::<()>(&["SAVE"]);
    cluster.servers[0].must::<()>(&["SET", "stale", "1"]);
    cluster.servers[0].must::<()>(&["SAVE"]);
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    cluster.servers[master].must::<()>(&["DEL", "stale"]);
    cluster.servers[0].start(&[]);
    assert_eq!(cluster.await_healthy(2), master);
    assert_eq!(cluster.servers[0].must::<usize>(&["EXISTS", "stale"]), 0);
    assert_eq!(cluster.servers[0].count("data", KEYS), KEYS);
}

/// A supervisor without a delay. Whether promoterd or the first resynchronisation of the replicas
/// comes first is a race that it does not promise to win; that it acts, and that the files name the
/// master of the epoch, it does.
#[test]
fn a_master_that_is_back_empty_at_once_does_not_stay_the_master() {
    const ROUNDS: u64 = 10;
    let mut cluster = Cluster::start(&[]);
    let mut kept = 0;
    let mut master = 0;
    for round in 1..=ROUNDS {
        let prefix = format!("round-{round}");
        cluster.servers[master].fill(&prefix, KEYS);
        cluster.servers[master].kill_and_empty();
        cluster.servers[master].spawn(&[]);
        let next = cluster.await_healthy(round + 1);
        assert_ne!(next, master, "round {round}");
        let cause = cluster.daemons[0].failovers().unwrap()[0].cause;
        assert!(
            matches!(
                cause,
                CauseName::Lost(Cause::Exited | Cause::Restarted | Cause::Gone)
            ),
            "round {round}: {cause:?}"
        );
        let count = cluster.servers[next].count(&prefix, KEYS);
        kept += u64::from(count == KEYS);
        master = next;
    }
    eprintln!("data kept in {kept} of {ROUNDS} rounds");
    assert!(kept > 0, "the data were lost every time");
}

#[test]
fn a_replica_repointed_by_hand_is_brought_back() {
    let cluster = Cluster::start(&[]);
    cluster.servers[0].fill("data", KEYS);
    let elsewhere = local(free_port());
    let port = elsewhere.port().to_string();
    let leader = cluster.daemons[cluster.await_leader()].listen();
    cluster.servers[1].must::<()>(&["REPLICAOF", elsewhere.host(), &port]);
    let followed = leader.await_event("followed");
    assert_eq!(
        followed["instance"],
        cluster.servers[1].endpoint.to_string()
    );
    assert_eq!(followed["demoted"], false);
    assert_eq!(cluster.await_healthy(1), 0);
    assert_eq!(cluster.servers[1].count("data", KEYS), KEYS);
    cluster.assert_no_failover();
}

#[test]
fn a_replica_promoted_by_hand_is_demoted() {
    let cluster = Cluster::start(&[]);
    cluster.servers[0].fill("data", KEYS);
    let leader = cluster.daemons[cluster.await_leader()].listen();
    cluster.servers[1].must::<()>(&["REPLICAOF", "NO", "ONE"]);
    let followed = leader.await_event("followed");
    assert_eq!(
        followed["instance"],
        cluster.servers[1].endpoint.to_string()
    );
    assert_eq!(followed["demoted"], true);
    assert_eq!(cluster.await_healthy(1), 0);
    assert_eq!(cluster.servers[1].count("data", KEYS), KEYS);
    cluster.assert_no_failover();
}

#[test]
fn a_stranger_at_the_address_of_a_replica_is_reported_and_not_touched() {
    let mut cluster = Cluster::prepare(crate::server::Kind::Redis7);
    let listed = cluster.servers[0].endpoint.to_string();
    // Not listed: it is of the group because it follows the master.
    cluster.set("GROUPS__FEATURES__INSTANCES", &listed);
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.servers[2].kill_and_empty();
    cluster.servers[2].start(&[]);
    cluster.servers[2].must::<()>(&["SET", "theirs", "1"]);
    let stranger = cluster.servers[2].endpoint.clone();
    let is_reported = || {
        for daemon in &cluster.daemons {
            let group = daemon.group()?;
            let seen = group.replicas.iter().find(|it| it.endpoint == stranger);
            let trouble = seen
                .and_then(|it| it.trouble.as_deref())
                .unwrap_or_default();
            if !trouble.contains("data that are not this group's") {
                return Err(format!("{} says {seen:?}", daemon.name));
            }
        }
        Ok(())
    };
    eventually("it is reported", is_reported);
    throughout("it is left alone", Duration::from_millis(1500), || {
        if cluster.servers[2].is_master()? {
            is_reported()
        } else {
            Err("it was made a replica".to_owned())
        }
    });
    assert_eq!(cluster.servers[2].must::<usize>(&["EXISTS", "theirs"]), 1);
    cluster.assert_no_failover();
}

/// A power cut, and servers that keep nothing on disk: nobody has the data any more.
#[test]
fn a_group_that_lost_its_data_everywhere_goes_on_and_is_protected_again() {
    let mut cluster = Cluster::start(&[]);
    cluster.servers[0].fill("data", KEYS);
    for daemon in &mut cluster.daemons {
        daemon.kill();
    }
    for server in &mut cluster.servers {
        server.kill_and_empty();
    }
    cluster.start_servers();
    cluster.start_daemons();
    let master = eventually("all is well again", || {
        let epoch = cluster.daemons[0].group()?.epoch.ok_or("no epoch")?;
        cluster.check(epoch.0)
    });
    let epoch = cluster.daemons[0].group().unwrap().epoch.unwrap().0;
    cluster.servers[master].fill("new", KEYS);
    cluster.servers[master].kill();
    let next = cluster.await_healthy(epoch + 1);
    assert_eq!(cluster.servers[next].count("new", KEYS), KEYS);
}

#[test]
fn a_replica_that_is_away_with_the_data_is_waited_for_and_promoted() {
    let mut cluster = Cluster::start(&[]);
    cluster.servers[0].fill("data", KEYS);
    eventually("the replica has all", || {
        match cluster.servers[2].count("data", KEYS) {
            KEYS => Ok(()),
            count => Err(format!("{count} keys")),
        }
    });
    cluster.servers[2].must::<()>(&["SAVE"]);
    for daemon in &mut cluster.daemons {
        daemon.kill();
    }
    cluster.servers[2].kill();
    cluster.servers[0].kill_and_empty();
    cluster.servers[0].start(&[]);
    let emptied = cluster.servers[0].endpoint.clone();
    eventually("the other replica is emptied", || {
        cluster.servers[1].follows(&emptied)?;
        match cluster.servers[1].count("data", KEYS) {
            0 => Ok(()),
            count => Err(format!("{count} keys")),
        }
    });
    cluster.start_daemons();
    let is_waiting = || {
        for daemon in &cluster.daemons {
            let group = daemon.group()?;
            if group.epoch.map(|epoch| epoch.0) != Some(1) || group.down.is_empty() {
                return Err(format!("{} says {group:?}", daemon.name));
            }
        }
        Ok(())
    };
    eventually("the master is lost", is_waiting);
    throughout("it is waited for", Duration::from_millis(1500), is_waiting);

    let nobody = local(free_port());
    let port = nobody.port().to_string();
    cluster.servers[2].start(&["--replicaof", nobody.host(), &port]);
    assert_eq!(cluster.await_healthy(2), 2);
    for server in &cluster.servers {
        assert_eq!(server.count("data", KEYS), KEYS);
    }
}
