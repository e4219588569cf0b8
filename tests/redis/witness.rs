//! Two hosts with Redis and one without: the witness has the vote that is missing when one of them is
//! lost.

use promoterd::model::{Epoch, NodeRole};

use crate::cluster::Cluster;
use crate::process::eventually;
use crate::server::Kind;

#[test]
fn a_master_and_the_daemon_beside_it_are_lost_and_a_witness_makes_the_majority() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let [one, two] = [0, 1].map(|it| cluster.servers[it].endpoint.clone());
    cluster.set("GROUPS__FEATURES__INSTANCES", &format!("{one},{two}"));
    // All daemons are on one machine here, and only the one beside a master may see it exit.
    cluster.set("GROUPS__FEATURES__EXITED", "off");
    cluster.daemons[2].set("ROLE", "witness");
    let refused = cluster.daemons[2].output("check");
    assert_eq!(refused.status.code(), Some(78));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("CLIENTS__API__FILE: a witness has no clients"),
        "{said}"
    );
    for key in ["FILE", "EDIT"] {
        let key = format!("PROMOTERD_CLIENTS__API__{key}");
        cluster.daemons[2].variables.remove(&key).unwrap();
    }
    cluster.servers[0].start(&[]);
    cluster.servers[1].start_as_replica_of(&one);
    cluster.start_daemons();
    for daemon in &cluster.daemons {
        eventually("all is well, and the witness is shown as one", || {
            let page = daemon.output("status");
            let page = String::from_utf8_lossy(&page.stdout).into_owned();
            let is_right = page.starts_with("all well") && page.contains("c (witness)");
            is_right.then_some(()).ok_or(page)
        });
        let voters = daemon.status().unwrap().voters;
        let roles: Vec<_> = voters.iter().filter_map(|voter| voter.role).collect();
        assert_eq!(roles, [NodeRole::Voter, NodeRole::Voter, NodeRole::Witness]);
    }

    cluster.daemons[0].kill();
    cluster.servers[0].kill();
    cluster.daemons[1].await_status("the other one is the master", |report| {
        let group = &report.groups[0];
        (group.epoch, group.master.as_ref()) == (Some(Epoch(2)), Some(&two))
    });
    eventually("the file on the host that is left names it", || {
        cluster.daemons[1].file_names(&two)
    });
    assert_eq!(cluster.servers[1].is_master(), Ok(true));
    let failovers = cluster.failovers();
    let views: Vec<&str> = failovers[0]
        .views
        .iter()
        .map(|it| it.node.as_str())
        .collect();
    assert_eq!(views, ["b", "c"], "{failovers:?}");
}
