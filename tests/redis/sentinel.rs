//! A real Sentinel that watches the group too: two bosses are worse than one.

use std::fs;
use std::process::Command;
use std::time::Duration;

use promoterd::status::StatusReport;

use crate::cluster::Cluster;
use crate::process::{Process, eventually, free_port, throughout};
use crate::server::{Kind, Server};

/// Longer than any of these clusters takes for a failover.
const A_WHILE: Duration = Duration::from_millis(1500);

/// A Sentinel that watches the first server of the cluster, and is too patient to act itself.
fn start_sentinel(cluster: &Cluster) -> Process {
    start_sentinel_of(cluster, 600_000)
}

/// One that holds a master down after so many milliseconds, and then promotes.
fn start_sentinel_of(cluster: &Cluster, down_after_ms: u32) -> Process {
    let directory = cluster.directory.path().join("sentinel");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("sentinel.conf");
    let master = &cluster.servers[0].endpoint;
    let text = format!(
        "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor features {} {} 1\n\
         sentinel down-after-milliseconds features {down_after_ms}\n",
        free_port(),
        directory.display(),
        master.host(),
        master.port()
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new("redis-server");
    command.arg(&file).arg("--sentinel");
    let process = Process::start(&mut command, &directory.join("log"));
    eventually("the Sentinel has subscribed at all servers", || {
        let silent = cluster.servers.iter().find(|server| {
            let words = ["PUBSUB", "NUMSUB", "__sentinel__:hello"];
            server.must::<(String, u64)>(&words).1 == 0
        });
        silent.map_or(Ok(()), |server| Err(server.endpoint.to_string()))
    });
    process
}

fn is_deferred(report: &StatusReport) -> bool {
    let deferred_to = report.groups[0].deferred_to.as_ref();
    deferred_to.is_some_and(|watch| watch.sentinels == 1)
}

#[test]
fn a_group_that_a_sentinel_watches_is_left_to_it_until_it_is_gone() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.start_servers();
    let sentinel = start_sentinel(&cluster);
    cluster.start_daemons();
    for daemon in &cluster.daemons {
        daemon.await_status("it defers to the Sentinel", is_deferred);
    }
    let leader = cluster.await_leader();
    let events = cluster.daemons[leader].listen();
    cluster.servers[0].kill();
    let held_back = events.await_event("held_back");
    assert_eq!(held_back["why"]["sentinels"]["sentinels"], 1, "{held_back}");
    throughout("nothing is begun", A_WHILE, || {
        let failovers = cluster.daemons[leader].failovers()?;
        failovers
            .is_empty()
            .then_some(())
            .ok_or_else(|| format!("{failovers:?}"))
    });
    let page = cluster.daemons[0].output("status").stdout;
    let page = String::from_utf8_lossy(&page).into_owned();
    assert!(
        page.lines()
            .next()
            .unwrap()
            .ends_with("is down, and that is left to the Sentinels that watch it"),
        "{page}"
    );
    sentinel.kill();
    cluster.await_healthy(2);
}

#[test]
fn whoever_takes_over_does_not_mind_a_sentinel() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.set("GROUPS__FEATURES__TAKE_OVER", "true");
    cluster.start_servers();
    let _sentinel = start_sentinel(&cluster);
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.servers[0].kill();
    cluster.await_healthy(2);
}

#[test]
fn a_master_that_a_sentinel_promoted_is_never_fenced() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.start_servers();
    let _sentinel = start_sentinel_of(&cluster, 500);
    cluster.start_daemons();
    for daemon in &cluster.daemons {
        daemon.await_status("it knows the group, and defers to the Sentinel", |report| {
            is_deferred(report) && report.groups[0].epoch.is_some()
        });
    }
    cluster.servers[0].kill();
    let promoted = eventually("the Sentinel promotes one", || {
        let mut servers = cluster.servers.iter().enumerate().skip(1);
        let is_master = |server: &Server| server.is_master().is_ok_and(|it| it);
        let found = servers.find(|(_, server)| is_master(server));
        found
            .map(|(position, _)| position)
            .ok_or("not yet".to_owned())
    });
    // Longer than a daemon takes to read what it says, and what its limits of writing are.
    throughout("it takes writes", Duration::from_secs(3), || {
        let server = &cluster.servers[promoted];
        let set: Result<(), _> = server.ask(&["SET", "key", "value"]);
        set.map_err(|error| error.to_string())
    });
    let calls = cluster.servers[promoted].must::<String>(&["INFO", "commandstats"]);
    assert!(!calls.contains("cmdstat_config|set"), "{calls}");
}
