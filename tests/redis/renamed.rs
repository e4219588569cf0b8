//! Servers on which commands have other names.

use crate::cluster::Cluster;
use crate::process::eventually;
use crate::server::Kind;

/// Servers that know some commands by other names only.
fn prepare() -> Cluster {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    for server in &mut cluster.servers {
        for (command, name) in [("REPLICAOF", "x7f2"), ("ROLE", "x9"), ("CLIENT", "k3")] {
            server.configure(&["--rename-command", command, name]);
        }
    }
    cluster
}

#[test]
fn a_master_whose_commands_have_other_names_is_replaced_and_comes_back() {
    let mut cluster = prepare();
    cluster.set(
        "GROUPS__FEATURES__COMMANDS",
        "replicaof=x7f2, ROLE=x9,CLIENT=k3",
    );
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    cluster.servers[0].start(&[]);
    assert_eq!(cluster.await_healthy(2), master);
    let mut switchover = cluster.daemons[0].command("switchover");
    assert!(switchover.arg("features").status().unwrap().success());
    cluster.await_healthy(3);
    for daemon in &cluster.daemons {
        let said = daemon.logged();
        assert!(!said.contains("not disconnected"), "{said}");
    }
}

#[test]
fn a_command_that_a_server_does_not_know_is_named_with_what_to_do() {
    let mut cluster = prepare();
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.servers[0].kill();
    eventually("every epoch says why it came to nothing", || {
        let failovers = cluster.daemons[0].failovers()?;
        let why = failovers.iter().find_map(|past| past.why.clone());
        let why = why.ok_or("nothing was tried")?;
        let is_clear = why.contains("REPLICAOF") && why.contains("COMMANDS");
        is_clear.then_some(()).ok_or(why)
    });
}
