//! The planned switchover, with clients that write all the time.

use std::process::Output;
use std::thread;
use std::time::Duration;

use promoterd::model::Epoch;
use promoterd::status::{
    CauseName, HistoryReport, OperationReport, OutcomeName, Planned, SwitchoverOutcome,
};
use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::process::eventually;
use crate::server::Kind;
use crate::writing::Writers;

const WRITERS: usize = 6;

fn run(daemon: &Daemon, words: &[&str]) -> Output {
    daemon.command(words[0]).args(&words[1..]).output().unwrap()
}

/// What it complains of, and that it exits with 1.
fn refused(daemon: &Daemon, words: &[&str]) -> String {
    let output = run(daemon, words);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words:?}: {complaint}");
    complaint
}

/// Switches over some times with writers at work, and checks that all they were told is there.
fn switch_back_and_forth(kind: Kind, settings: &[(&str, &str)], times: u64) {
    let mut cluster = Cluster::prepare(kind);
    let key = cluster.new_key("key");
    cluster.set("PEER_KEY_FILE", &key);
    for (key, value) in settings {
        cluster.set(key, value);
    }
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let mut master = 0;
    for number in 1..=times {
        let epoch = number + 1;
        let name = format!("w{number}");
        let writers = Writers::start(&cluster, &name, WRITERS);
        thread::sleep(Duration::from_millis(100));
        let wanted = (master + 1) % 3;
        let to = cluster.servers[wanted].endpoint.to_string();
        let daemon = &cluster.daemons[(number % 3) as usize];
        let output = run(daemon, &["switchover", "features", "--to", &to, "--json"]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{complaint}");
        let report: OperationReport = serde_json::from_slice(&output.stdout).unwrap();
        let switchover = report.groups[0].switchover.as_ref().unwrap();
        assert_eq!(switchover.outcome, SwitchoverOutcome::Done);
        assert_eq!(switchover.epoch, Some(Epoch(epoch)));
        master = cluster.await_healthy(epoch);
        assert_eq!(master, wanted);
        let written = writers.stop();
        written.assert_all_on(&cluster, master, &name);
        // Goes into the test's own output: what a machine under load makes of it is no promise.
        eprintln!(
            "{kind:?} {settings:?}: held {:?} ms by the leader, longest pause of {WRITERS} writers {:?}, {} writes",
            switchover.held_ms.unwrap(),
            written.pause_max(),
            written.acknowledged()
        );
        assert!(written.pause_max() < Duration::from_secs(2));
    }
    let failovers = cluster.failovers();
    assert_eq!(failovers.len() as u64, times);
    for past in failovers {
        assert_eq!(past.cause, CauseName::Planned(Planned::Switchover));
        assert_eq!(past.outcome, OutcomeName::Done);
        assert!(past.asked_by.is_some());
        eventually("the old master has nothing of its own", || {
            let known = cluster.failovers();
            let it = known.iter().find(|it| it.epoch == past.epoch).unwrap();
            match it.loss_bytes {
                // A ping of the old master to its replicas may have come behind the last write.
                Some(lost) if lost <= 14 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
}

#[test]
fn a_switchover_loses_no_write() {
    switch_back_and_forth(Kind::Redis7, &[], 4);
}

#[test]
fn a_switchover_of_redis_8_loses_no_write() {
    switch_back_and_forth(Kind::Redis8, &[], 3);
}

#[test]
fn a_switchover_of_valkey_9_loses_no_write() {
    switch_back_and_forth(Kind::Valkey9, &[], 3);
}

#[test]
fn a_switchover_without_fencing_loses_no_write() {
    switch_back_and_forth(Kind::Redis7, &[("GROUPS__FEATURES__FENCING", "off")], 2);
}

#[test]
fn a_switchover_of_a_guarded_group_loses_no_write() {
    switch_back_and_forth(Kind::Redis8, &[("GROUPS__FEATURES__GUARD", "on")], 2);
}

#[test]
fn whenever_the_leader_is_killed_a_switchover_loses_no_write() {
    let mut cluster = Cluster::start(&[]);
    for number in 0..6_u64 {
        let name = format!("k{number}");
        let writers = Writers::start(&cluster, &name, WRITERS);
        let leader = cluster.await_leader();
        let mut asking = cluster.daemons[(leader + 1) % 3].command("switchover");
        let mut asking = asking
            .args(["features", "--timeout", "8s"])
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(6 + 3 * number));
        cluster.daemons[leader].kill();
        let code = asking.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        cluster.daemons[leader].start();
        let master = eventually("all is well again", || {
            let group = cluster.daemons[leader].group()?;
            let epoch = group.epoch.ok_or("not registered")?;
            cluster.check(epoch.0)
        });
        let written = writers.stop();
        eprintln!(
            "leader killed after {} ms: exit code {code:?}, longest pause of a writer {:?}",
            6 + 3 * number,
            written.pause_max()
        );
        written.assert_all_on(&cluster, master, &name);
    }
}

#[test]
fn what_cannot_be_switched_over_is_refused_with_the_reason() {
    let mut cluster = Cluster::start(&[]);
    let daemon = (cluster.await_leader() + 1) % 3;
    let endpoint = |position: usize| cluster.servers[position].endpoint.to_string();
    let (master, replica) = (endpoint(0), endpoint(1));
    let asked = |words: &[&str]| {
        let words = [&["switchover", "features"], words].concat();
        refused(&cluster.daemons[daemon], &words)
    };
    let said = asked(&["--to", &master]);
    assert!(said.contains("is the master already"), "{said}");
    let said = asked(&["--to", "127.0.0.1:1"]);
    assert!(said.contains("is no instance of the group"), "{said}");
    let said = refused(&cluster.daemons[daemon], &["switchover", "nobody"]);
    assert!(said.contains("no group is called"), "{said}");

    cluster.servers[1].must::<()>(&["CONFIG", "SET", "replica-priority", "0"]);
    eventually("its priority is known", || {
        let said = asked(&["--to", &replica, "--timeout", "1s"]);
        match said.contains("its priority is 0") {
            true => Ok(()),
            false => Err(said),
        }
    });
    let paused = run(&cluster.daemons[daemon], &["pause", "features"]);
    assert!(paused.status.success());
    let said = asked(&[]);
    assert!(said.contains("it is paused by"), "{said}");
    assert!(
        run(&cluster.daemons[daemon], &["resume", "features"])
            .status
            .success()
    );
    assert_eq!(cluster.await_healthy(1), 0);
    cluster.assert_no_failover();

    for other in (0..3).filter(|other| *other != daemon) {
        cluster.daemons[other].kill();
    }
    eventually("the majority is missed", || {
        let words = ["switchover", "features", "--timeout", "100ms"];
        let said = run(&cluster.daemons[daemon], &words);
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        match said.contains("has not heard a majority of the voters") {
            true => Ok(()),
            false => Err(said),
        }
    });
}

#[test]
fn a_replica_that_hangs_gives_the_switchover_up_and_writes_go_on() {
    let cluster = Cluster::start(&[]);
    let (daemon, replica) = (&cluster.daemons[0], cluster.servers[1].endpoint.to_string());
    let writers = Writers::start(&cluster, "w", WRITERS);
    cluster.servers[1].signal(Signal::STOP);
    let words = [
        "switchover",
        "features",
        "--to",
        &replica,
        "--reason",
        "new disks",
    ];
    let said = refused(daemon, &words);
    assert!(
        said.contains("cannot be promoted: no answer within"),
        "{said}"
    );
    cluster.servers[1].signal(Signal::CONT);
    assert_eq!(cluster.await_healthy(1), 0);
    let written = writers.stop();
    written.assert_all_on(&cluster, 0, "w");
    assert!(
        written.pause_max() < Duration::from_secs(1),
        "{:?}",
        written.pause_max()
    );
    let history: HistoryReport = daemon.get("/v1/history").unwrap();
    let [given_up] = &history.given_up[..] else {
        panic!("{history:?}");
    };
    assert_eq!(given_up.reason.as_deref(), Some("new disks"));
}
