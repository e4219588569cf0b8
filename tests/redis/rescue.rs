//! What only the old master has is saved before it is demoted, and can be loaded and compared.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use promoterd::status::RescuesReport;
use rustix::process::Signal;

use crate::cluster::{Cluster, local};
use crate::daemon::Daemon;
use crate::process::{eventually, free_port};
use crate::server::{Kind, Server};

const SETTINGS: [(&str, &str); 3] = [
    ("GROUPS__FEATURES__DOWN_AFTER", "300ms"),
    ("GROUPS__FEATURES__RESCUE", "on"),
    ("GROUPS__FEATURES__RESCUE_TIMEOUT", "15s"),
];

#[test]
fn writes_that_only_the_old_master_of_redis_7_has_are_saved_before_it_is_demoted() {
    diverged_writes_are_saved(Kind::Redis7);
}

#[test]
fn writes_that_only_the_old_master_of_redis_8_has_are_saved_before_it_is_demoted() {
    diverged_writes_are_saved(Kind::Redis8);
}

#[test]
fn writes_that_only_the_old_master_of_valkey_9_has_are_saved_before_it_is_demoted() {
    diverged_writes_are_saved(Kind::Valkey9);
}

fn diverged_writes_are_saved(kind: Kind) {
    let mut cluster = Cluster::start_with(kind, &SETTINGS);
    cluster.servers[0].fill("before", 50);
    diverge(&cluster, 20);
    let master = cluster.await_healthy(2);
    assert_ne!(master, 0);
    let rescues = eventually("a node has saved it", || {
        let reports = cluster
            .daemons
            .iter()
            .map(|daemon| daemon.get::<RescuesReport>("/v1/rescues"));
        let reports: Result<Vec<_>, _> = reports.collect();
        let reports = reports.map_err(|error| error.to_string())?;
        let all: Vec<_> = reports
            .into_iter()
            .flat_map(|report| report.rescues)
            .collect();
        if all.is_empty() {
            Err("none has".to_owned())
        } else {
            Ok(all)
        }
    });
    // All nodes are beside it here: each that had heard of none before it began has saved it.
    let rescue = &rescues[0];
    assert_eq!(rescue.instance, cluster.servers[0].endpoint);
    assert!(
        rescue.diverged_bytes.is_some_and(|bytes| bytes > 20 * 100),
        "{rescue:?}"
    );
    let metadata = fs::metadata(&rescue.path).unwrap();
    assert_eq!(
        (metadata.mode() & 0o777, metadata.len()),
        (0o600, rescue.bytes)
    );

    let only_there = load_and_compare(&mut cluster, kind, rescue);
    let expected: BTreeSet<String> = (0..20).map(|number| format!("lost:{number}")).collect();
    assert_eq!(only_there, expected);
    // Demoted all the same, and with the group's data alone.
    assert_eq!(cluster.servers[0].count("before", 50), 50);
    assert_eq!(cluster.servers[0].count("lost", 20), 0);
}

/// Writes what no replica gets, and has the master hang until another one took its place.
fn diverge(cluster: &Cluster, keys: usize) {
    for replica in &cluster.servers[1..] {
        replica.signal(Signal::STOP);
    }
    let mut connection = cluster.servers[0].connect().unwrap();
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    pipeline
        .cmd("CLIENT")
        .arg(&["KILL", "TYPE", "replica"])
        .ignore();
    for number in 0..keys {
        pipeline
            .cmd("SET")
            .arg(format!("lost:{number}"))
            .arg("x".repeat(100))
            .ignore();
    }
    pipeline.query::<()>(&mut connection).unwrap();
    cluster.servers[0].signal(Signal::STOP);
    for replica in &cluster.servers[1..] {
        replica.signal(Signal::CONT);
    }
    eventually("a replica is promoted", || {
        let mut others = cluster.servers[1..].iter();
        let is_promoted = others.any(|server| server.is_master() == Ok(true));
        is_promoted
            .then_some(())
            .ok_or_else(|| "none is".to_owned())
    });
    eventually("the new master is in the files", || {
        let group = cluster.daemons[0].group()?;
        let epoch = group.epoch.map(|epoch| epoch.0);
        (epoch == Some(2))
            .then_some(())
            .ok_or_else(|| format!("{epoch:?}"))
    });
    cluster.servers[0].signal(Signal::CONT);
}

/// The keys that the saved file has and the group has not, by the commands that are shown to an operator.
fn load_and_compare(
    cluster: &mut Cluster,
    kind: Kind,
    rescue: &promoterd::status::RescueReport,
) -> BTreeSet<String> {
    let mut scratch = Server::new(kind, local(free_port()), cluster.directory.path(), None);
    let directory = rescue.path.parent().unwrap().to_str().unwrap();
    let name = rescue.path.file_name().unwrap().to_str().unwrap();
    scratch.start(&["--dir", directory, "--dbfilename", name]);
    let mut daemons = cluster.daemons.iter();
    let has_it = |daemon: &&Daemon| rescue.path.starts_with(&daemon.state);
    let shown = daemons.find(has_it).unwrap().output_of(&["rescue", "list"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let compares = shown.lines().find(|line| line.contains("--scan"));
    let port = scratch.endpoint.port().to_string();
    let script = compares.map_or_else(
        || panic!("no command is shown:\n{shown}"),
        |line| line.replacen("16379", &port, 1),
    );
    let output = Command::new("sh").arg("-c").arg(&script).output().unwrap();
    assert!(output.status.success(), "{script}\n{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_rescue_that_is_refused_is_told_and_the_group_goes_on() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    for (key, value) in SETTINGS {
        cluster.set(key, value);
    }
    // Nothing of a data set is small enough.
    cluster.set("GROUPS__FEATURES__RESCUE_SIZE_MAX", "8");
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    diverge(&cluster, 3);
    cluster.await_healthy(2);
    let told = |daemon: &Daemon| {
        let logged = daemon.logged();
        logged.contains("NOT rescued") && logged.contains("RESCUE_SIZE_MAX")
    };
    assert!(cluster.daemons.iter().any(told), "nobody says so");
    for daemon in &cluster.daemons {
        let report: RescuesReport = daemon.get("/v1/rescues").unwrap();
        assert_eq!(report.rescues, []);
        let left = fs::read_dir(daemon.state.join("rescue")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{} left something", daemon.name);
    }
}
