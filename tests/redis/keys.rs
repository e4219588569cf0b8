//! A node with another key is nobody's peer.

use std::fs;

use promoterd::model::Epoch;
use promoterd::status::StatusReport;

use crate::cluster::Cluster;
use crate::process::eventually;
use crate::server::Kind;

/// Why the link to `peer` is not there, if it is not and a reason is told.
fn refusal(report: &StatusReport, peer: &str) -> Option<String> {
    let voter = report.voters.iter().find(|it| it.node.as_str() == peer)?;
    voter.last_error.clone().filter(|_| !voter.connected)
}

#[test]
fn a_node_with_another_key_never_joins_and_the_others_go_on_without_it() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let (right, wrong) = (cluster.new_key("right"), cluster.new_key("wrong"));
    cluster.set("PEER_KEY_FILE", &right);
    cluster.start_servers();
    cluster.start_daemons();
    // A cluster begins with all its voters.
    cluster.await_healthy(1);
    cluster.daemons[2].kill();
    cluster.daemons[2].set("PEER_KEY_FILE", &wrong);
    cluster.daemons[2].start();
    cluster.cut_off = Some(2);
    cluster.await_healthy(1);

    let [a, b, c] = &cluster.daemons[..] else {
        unreachable!("there are three")
    };
    for (daemon, peer) in [(a, "c"), (b, "c"), (c, "a"), (c, "b")] {
        let what = format!("{peer} is refused for its key");
        // Until both have called each other, one of them may say only that the other is not there.
        daemon.await_status(&what, |report| {
            refusal(report, peer).is_some_and(|reason| reason.contains("key"))
        });
    }
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    let outsider = cluster.daemons[2].status().unwrap();
    assert_eq!(outsider.leader, None);
    // How far what it has on disk is committed it may not know without the others.
    assert!(outsider.groups[0].epoch <= Some(Epoch(1)));
    assert_eq!(
        cluster.daemons[2].file_names(&cluster.servers[0].endpoint),
        Ok(())
    );

    // With the right key it is one of them, and its file is put right.
    cluster.daemons[2].kill();
    cluster.daemons[2].set("PEER_KEY_FILE", &right);
    cluster.daemons[2].start();
    cluster.cut_off = None;
    assert_eq!(cluster.await_healthy(2), master);
    for key in [right, wrong] {
        let key = fs::read_to_string(key).unwrap();
        for daemon in &cluster.daemons {
            assert!(
                !daemon.logged().contains(key.trim()),
                "{} logs a key",
                daemon.name
            );
            let check = daemon.output("check");
            assert!(!String::from_utf8_lossy(&check.stdout).contains(key.trim()));
        }
    }
}

#[test]
fn a_node_without_a_key_does_not_join_those_with_one() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let key = cluster.new_key("key");
    cluster.set("PEER_KEY_FILE", &key);
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let last = &mut cluster.daemons[2];
    last.kill();
    last.variables.remove("PROMOTERD_PEER_KEY_FILE");
    last.start();
    cluster.cut_off = Some(2);
    cluster.await_healthy(1);
    eventually("it is refused", || {
        let report = cluster.daemons[2].status()?;
        let refusals = ["a", "b"].map(|peer| refusal(&report, peer));
        match (refusals, report.leader) {
            ([Some(_), Some(_)], None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
