//! Daemons that do not get to run: they take their own silence for nothing.
//!
//! Needs root, for a hog with real-time priority.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::process::{Process, throughout};

/// A server that says nothing for so long is silent.
const DOWN_AFTER: Duration = Duration::from_millis(300);
const SETTINGS: [(&str, &str); 1] = [("GROUPS__FEATURES__DOWN_AFTER", "300ms")];

/// As a group of processes with too small a share of the processors: it runs for a moment, and does not
/// for a long while, again and again.
fn throttle(cluster: &Cluster, times: u32, runs: Duration, rests: Duration) {
    for _ in 0..times {
        for daemon in &cluster.daemons {
            daemon.signal(Signal::STOP);
        }
        thread::sleep(rests);
        for daemon in &cluster.daemons {
            daemon.signal(Signal::CONT);
        }
        thread::sleep(runs);
    }
}

fn nothing_came_of_it(cluster: &Cluster) {
    cluster.await_healthy(1);
    throughout("nothing follows", DOWN_AFTER * 2, || {
        cluster.check(1).map(drop)
    });
    cluster.assert_no_failover();
}

fn have_noticed(cluster: &Cluster) -> usize {
    let noticed = cluster
        .daemons
        .iter()
        .filter(|daemon| daemon.logged().contains("did not run for a while"));
    noticed.count()
}

#[test]
fn daemons_that_are_stopped_again_and_again_hold_nobody_down() {
    let cluster = Cluster::start(&SETTINGS);
    throttle(&cluster, 4, DOWN_AFTER / 4, DOWN_AFTER * 2);
    nothing_came_of_it(&cluster);
    assert_eq!(have_noticed(&cluster), 3);
}

/// Has these processes run on the first processor only, or on the others.
fn pin(processors: &str, process: u32) {
    let done = Command::new("taskset")
        .args(["-apc", processors, &process.to_string()])
        .output()
        .unwrap();
    assert!(done.status.success(), "taskset: {done:?}");
}

#[test]
fn daemons_that_a_hog_keeps_from_running_hold_nobody_down() {
    let cluster = Cluster::start(&SETTINGS);
    for daemon in &cluster.daemons {
        pin("0", daemon.id());
    }
    // What the kernel leaves to others is a twentieth of each second; and it ends the hog, which is one
    // process, by the time that this has taken.
    let mut hog = Command::new("chrt");
    hog.args(["--fifo", "50", "taskset", "-c", "0"])
        .args(["prlimit", "--rttime=2000000:2500000", "--cpu=3:4"])
        .args(["sh", "-c", "while :; do :; done"]);
    let log = cluster.directory.path().join("hog.log");
    let status = Process::start(&mut hog, &log).end("the hog ends");
    let signal = status.signal().and_then(Signal::from_named_raw);
    assert_eq!(signal, Some(Signal::XCPU), "{status:?}");
    nothing_came_of_it(&cluster);
    assert!(have_noticed(&cluster) >= 1, "nobody was starved");
}
