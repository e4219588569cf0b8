//! Settings that are wrong, and what `check` says of those that are right.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::process::eventually;
use crate::server::{Kind, Server};

/// A cluster of which nothing can be had: the peer port of the first daemon is taken by the listener,
/// and the place of its state directory and of its socket by a file.
fn without_means() -> (Cluster, TcpListener) {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = cluster.directory.path().join("file");
    fs::write(&file, "").unwrap();
    let path = |name: &str| file.join(name).display().to_string();
    let peers = format!("a=127.0.0.1:{port},b=127.0.0.1:1,c=127.0.0.1:2");
    cluster.set("PEERS", &peers);
    cluster.set("STATE_DIR", &path("state"));
    cluster.set("STATUS_SOCKET", &path("sock"));
    (cluster, listener)
}

#[test]
fn all_mistakes_are_told_at_once_before_anything_is_touched() {
    for subcommand in ["run", "check"] {
        let (mut cluster, _listener) = without_means();
        let daemon = &mut cluster.daemons[0];
        daemon.set("GROUPS__FEATURES__DOWN_AFTR", "1s");
        daemon.set("GROUPS__FEATURES__QUORUM", "4");
        daemon.set("GROUPS__FEATURES__PASSWORD", "hunter2");
        daemon.set("ELECTION_TIMEOUT", "soon");
        daemon.set("CLIENTS__API__FILE", "redis.env");
        daemon.variables.remove("PROMOTERD_CLIENTS__API__EDIT");
        let output = daemon.output(subcommand);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{subcommand}: {said}");
        for mistake in [
            "PROMOTERD_GROUPS__FEATURES__DOWN_AFTR: there is no such key; \
             did you mean PROMOTERD_GROUPS__FEATURES__DOWN_AFTER?",
            "a quorum of 4 does not fit 3 voters",
            "PROMOTERD_GROUPS__FEATURES__PASSWORD: a secret is never given here",
            "PROMOTERD_ELECTION_TIMEOUT: ",
            "PROMOTERD_CLIENTS__API__FILE: the value must be an absolute path",
            "PROMOTERD_CLIENTS__API__EDIT: this is required",
        ] {
            assert!(
                said.contains(mistake),
                "{subcommand}: no {mistake:?} in\n{said}"
            );
        }
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn good_settings_are_shown_without_touching_anything_and_the_daemon_says_what_it_cannot_have() {
    let (cluster, _listener) = without_means();
    let daemon = &cluster.daemons[0];
    let output = daemon.output("check");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for (variable, value, origin) in [
        ("PROMOTERD_NODE", "a", "environment"),
        ("PROMOTERD_ELECTION_TIMEOUT", "300ms-600ms", "environment"),
        ("PROMOTERD_GROUPS__FEATURES__DOWN_AFTER", "1s", "default"),
        ("PROMOTERD_CLIENTS__API__EDIT", "REDIS_URL", "environment"),
    ] {
        let mut rows = said
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert!(
            rows.any(|row| row == [variable, value, origin]),
            "{variable} is not {value} by {origin} in\n{said}"
        );
    }
    let output = daemon.output("run");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&daemon.variables["PROMOTERD_STATE_DIR"]),
        "{said}"
    );
}

#[test]
fn a_taken_peer_port_is_named() {
    let (mut cluster, listener) = without_means();
    let directory = cluster.directory.path().to_owned();
    let daemon = &mut cluster.daemons[0];
    daemon.set("STATE_DIR", &directory.join("state").display().to_string());
    daemon.set(
        "STATUS_SOCKET",
        &directory.join("sock").display().to_string(),
    );
    let output = daemon.output("run");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = format!("cannot listen at {}", listener.local_addr().unwrap());
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn peers_beyond_this_machine_need_a_key() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.set("PEERS", "a=127.0.0.1:7400,b=10.0.0.2:7400,c=10.0.0.3:7400");
    let output = cluster.daemons[0].output("run");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("10.0.0.2:7400 is beyond this machine"),
        "{said}"
    );
    assert!(!cluster.daemons[0].state.exists());
}

/// Settings that are in a file can be read again while the daemon runs.
#[test]
fn what_can_change_is_taken_on_without_a_restart_and_mistakes_change_nothing() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let file = cluster.directory.path().join("more.env");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("PROMOTERD_GROUPS__FEATURES__DOWN_AFTER=1m\n");
    cluster.set("CONFIG", file.to_str().unwrap());
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let reload = |daemon: &Daemon| {
        let output = daemon.output("reload");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };

    write("PROMOTERD_GROUPS__FEATURES__DOWN_AFTER=soon\n");
    let (code, _, said) = reload(&cluster.daemons[0]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("more.env:1: "), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    cluster.await_healthy(1);

    write("PROMOTERD_GROUPS__FEATURES__DOWN_AFTER=300ms\nPROMOTERD_ADMIN_GROUP=staff\n");
    for daemon in &cluster.daemons[..2] {
        let (code, said, _) = reload(daemon);
        assert_eq!(code, Some(0), "{said}");
        let taken = "taken on: PROMOTERD_GROUPS__FEATURES__DOWN_AFTER\n";
        assert!(said.contains(taken), "{said}");
        let left = "needs a restart: PROMOTERD_ADMIN_GROUP\n";
        assert!(said.contains(left), "{said}");
    }
    cluster.daemons[2].signal(Signal::HUP);
    eventually("the third one says so in its log", || {
        let logged = cluster.daemons[2].logged();
        match logged.contains("settings reloaded") {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    });
    // A minute would be over long after this test.
    cluster.servers[0].signal(Signal::STOP);
    eventually("another one is promoted", || {
        let promoted = |server: &Server| server.is_master().is_ok_and(|is_master| is_master);
        match cluster.servers[1..].iter().any(promoted) {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    });
    cluster.servers[0].signal(Signal::CONT);
    cluster.await_healthy(2);
}
