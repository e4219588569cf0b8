//! The stop switch: who may use it, what it stops, and how it ends.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::Duration;

use promoterd::model::Epoch;
use promoterd::status::{HistoryReport, PauseReport};

use crate::cluster::Cluster;
use crate::daemon::{Daemon, PROGRAM};
use crate::process::{eventually, throughout};

/// Longer than any of these clusters takes for a failover.
const A_WHILE: Duration = Duration::from_millis(1500);

fn run(daemon: &Daemon, words: &[&str]) -> Output {
    let mut command = daemon.command(words[0]);
    command.args(&words[1..]).output().unwrap()
}

/// Runs it, which must succeed, and returns what it printed.
fn must(daemon: &Daemon, words: &[&str]) -> String {
    let output = run(daemon, words);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// The pause that stands, by the word of all daemons.
fn await_pause(cluster: &Cluster, is_right: impl Fn(Option<&PauseReport>) -> bool) {
    for daemon in cluster.daemons.iter().filter(|it| it.is_running()) {
        daemon.await_status("the pause is as it should be", |report| {
            is_right(report.groups[0].paused.as_ref())
        });
    }
}

/// The position of a daemon that does not lead.
fn follower(cluster: &Cluster) -> usize {
    (cluster.await_leader() + 1) % cluster.daemons.len()
}

#[test]
fn nothing_is_done_about_a_paused_group_until_it_is_resumed() {
    let mut cluster = Cluster::start(&[]);
    let follower = follower(&cluster);
    let events = cluster.daemons[follower].listen();
    let told = must(
        &cluster.daemons[follower],
        &["pause", "features", "--reason", "new disks"],
    );
    assert!(told.starts_with("features: PAUSED by "), "{told}");
    assert!(told.ends_with(": new disks\n"), "{told}");
    assert_eq!(events.await_event("paused")["reason"], "new disks");
    let name = &cluster.daemons[follower].name;
    await_pause(&cluster, |pause| {
        pause.is_some_and(|pause| {
            pause.by.ends_with(&format!(" on {name}")) && pause.until.is_none()
        })
    });

    cluster.servers[0].kill();
    for daemon in &cluster.daemons {
        daemon.await_status("its master is down", |report| {
            report.groups[0].phase == "down"
        });
    }
    throughout("nothing is begun", A_WHILE, || {
        let failovers = cluster.failovers();
        let is_idle =
            failovers.is_empty() && (1..3).all(|it| cluster.servers[it].is_master() != Ok(true));
        is_idle
            .then_some(())
            .ok_or_else(|| format!("{failovers:?}"))
    });
    let page = run(&cluster.daemons[0], &["status"]);
    let text = String::from_utf8_lossy(&page.stdout);
    assert_eq!(page.status.code(), Some(1));
    let first = text.lines().next().unwrap();
    assert!(
        first.ends_with("is down, and nothing is done about it while the group is paused"),
        "{text}"
    );

    let told = must(&cluster.daemons[follower], &["resume", "--all"]);
    assert_eq!(told, "features: looked after\n");
    cluster.await_healthy(2);
    let history: HistoryReport = cluster.daemons[0].get("/v1/history").unwrap();
    let [pause] = &history.pauses[..] else {
        panic!("{history:?}");
    };
    assert!(
        pause
            .ended_by
            .as_ref()
            .unwrap()
            .ends_with(&format!(" on {name}"))
    );
    assert!(
        cluster.daemons[0]
            .logged()
            .contains("paused: nothing is done about it")
    );
}

#[test]
fn a_pause_ends_with_its_time_although_all_daemons_restart_in_between() {
    let mut cluster = Cluster::start(&[]);
    must(&cluster.daemons[0], &["pause", "--all", "--for", "4s"]);
    for daemon in &mut cluster.daemons {
        daemon.kill();
    }
    cluster.start_daemons();
    await_pause(&cluster, |pause| {
        pause.is_some_and(|pause| pause.left_ms.is_some_and(|left| left < 4000))
    });
    cluster.servers[0].kill();
    cluster.await_healthy(2);
    let history: HistoryReport = cluster.daemons[0].get("/v1/history").unwrap();
    assert_eq!(
        history.pauses[0].ended_by.as_deref(),
        Some("its time being over")
    );
    let [failover] = &history.failovers[..] else {
        panic!("{history:?}");
    };
    assert!(failover.at >= history.pauses[0].ended_at.unwrap());
}

#[test]
fn what_cannot_be_committed_is_said_to_be_unknown_and_takes_effect_once_it_can() {
    let mut cluster = Cluster::start(&[]);
    for daemon in &mut cluster.daemons[1..] {
        daemon.kill();
    }
    let output = run(
        &cluster.daemons[0],
        &["pause", "features", "--timeout", "1s"],
    );
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    assert!(
        complaint.contains("promoterd: not known yet: operation "),
        "{complaint}"
    );
    cluster.start_daemons();
    await_pause(&cluster, |pause| pause.is_some());
    assert_eq!(
        run(&cluster.daemons[1], &["pause", "feature"])
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn whoever_is_neither_root_nor_in_the_admin_group_may_read_and_change_nothing() {
    let mut cluster = Cluster::prepare(crate::server::Kind::Redis7);
    // A group that every system has.
    cluster.set("ADMIN_GROUP", "daemon");
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let directory = cluster.directory.path();
    fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    let daemon = &cluster.daemons[0];
    // As if everybody were in the group that owns the socket.
    fs::set_permissions(&daemon.socket, Permissions::from_mode(0o666)).unwrap();
    let program = directory.join("promoterd");
    fs::copy(PROGRAM, &program).unwrap();
    let run_as = |group: &str, words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=65534",
            &format!("--regid={group}"),
            "--clear-groups",
        ]);
        command
            .arg(&program)
            .args(words)
            .arg("--socket")
            .arg(&daemon.socket);
        command.output().unwrap()
    };
    let refused = run_as("65534", &["pause", "features"]);
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains("(403 Forbidden): ") || complaint.contains("(403): "),
        "{complaint}"
    );
    assert!(
        complaint.contains(
            "(uid 65534) may not change anything: use sudo, or have root run `usermod -aG daemon"
        ),
        "{complaint}"
    );
    let read = run_as("65534", &["status"]);
    assert_eq!(read.status.code(), Some(0), "{read:?}");
    assert!(daemon.group().unwrap().paused.is_none());

    let admitted = run_as("daemon", &["pause", "features"]);
    assert_eq!(admitted.status.code(), Some(0), "{admitted:?}");
    let pause = daemon.group().unwrap().paused.unwrap();
    assert!(pause.by.contains("(uid 65534) on a"), "{pause:?}");
}

#[test]
fn a_group_that_flaps_is_paused_until_somebody_has_seen_it() {
    let mut cluster = Cluster::start(&[
        ("GROUPS__FEATURES__FAILOVERS_MAX", "1"),
        ("GROUPS__FEATURES__COOLDOWN", "0s"),
    ]);
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    cluster.servers[master].kill();
    await_pause(&cluster, |pause| {
        pause.is_some_and(|pause| pause.by == "promoterd, after 1 failovers within an hour")
    });
    let epochs = |cluster: &Cluster| {
        let failovers = cluster.daemons[0].failovers().unwrap();
        failovers.iter().map(|it| it.epoch).collect::<Vec<_>>()
    };
    assert_eq!(epochs(&cluster), [Epoch(2)]);
    must(&cluster.daemons[0], &["resume", "features"]);
    eventually("the failover that was held back", || {
        let epochs = epochs(&cluster);
        (epochs == [Epoch(3), Epoch(2)])
            .then_some(())
            .ok_or_else(|| format!("{epochs:?}"))
    });
}
