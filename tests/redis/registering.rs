//! Groups that wait: for an administrator who says which master is the right one, or for settings
//! that are equal.

use std::process::Output;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::process::{eventually, throughout};
use crate::server::Kind;

fn run(daemon: &Daemon, words: &[&str]) -> Output {
    let mut command = daemon.command(words[0]);
    command.args(&words[1..]).output().unwrap()
}

/// Runs it, which must be refused for this reason.
fn must_refuse(daemon: &Daemon, words: &[&str], reason: &str) {
    let output = run(daemon, words);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {complaint}");
    assert!(complaint.contains(reason), "{words:?}: {complaint}");
}

/// Waits until every daemon says that its group waits for all of this.
fn await_waiting(cluster: &Cluster, parts: &[&str]) {
    for daemon in &cluster.daemons {
        daemon.await_status(&format!("it waits for {parts:?}"), |report| {
            let waiting = report.groups[0].waiting.as_deref().unwrap_or_default();
            report.leader.is_some() && parts.iter().all(|part| waiting.contains(part))
        });
    }
}

#[test]
fn one_of_two_masters_is_adopted_and_the_other_one_keeps_its_data_untouched() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let [one, two, three] = [0, 1, 2].map(|it| cluster.servers[it].endpoint.clone());
    cluster.servers[0].start(&[]);
    cluster.servers[1].start(&[]);
    cluster.servers[0].must::<()>(&["SET", "of", "one"]);
    cluster.servers[1].must::<()>(&["SET", "of", "two"]);
    cluster.servers[2].start_as_replica_of(&one);
    cluster.start_daemons();
    let names = [one.to_string(), two.to_string(), three.to_string()];
    await_waiting(&cluster, &[&names[0], &names[1], "claim to be the master"]);
    let asked = &cluster.daemons[(cluster.await_leader() + 1) % 3];
    must_refuse(
        asked,
        &["pause", "features"],
        "promoterd adopt features HOST:PORT",
    );
    for (master, reason) in [
        (names[2].as_str(), "is a replica of"),
        (
            "127.0.0.1:1",
            "is neither in INSTANCES nor named by one of these",
        ),
    ] {
        must_refuse(asked, &["adopt", "features", master], reason);
    }
    must_refuse(
        asked,
        &["adopt", "feature", &names[1]],
        "no group is called \"feature\": there are features",
    );

    let events = asked.listen();
    let adopted = run(asked, &["adopt", "features", &names[1]]);
    let told = String::from_utf8_lossy(&adopted.stdout);
    assert_eq!(adopted.status.code(), Some(0), "{adopted:?}");
    let first = format!("features: registered, with {two} as its master\n");
    assert!(told.starts_with(&first), "{told}");
    let other =
        format!("  {one} claims to be a master too, with data of its own: it is never touched");
    assert!(told.contains(&other), "{told}");
    let by = events.await_event("adopted")["by"].to_string();
    assert!(by.contains(&format!(" on {}", asked.name)), "{by}");

    eventually("the replica of the other one follows", || {
        cluster.servers[2].follows(&two)
    });
    for daemon in &cluster.daemons {
        eventually("the file names it", || daemon.file_names(&two));
        daemon.await_status("the other one is a stranger", |report| {
            let mut others = report.groups[0].replicas.iter();
            others.any(|it| {
                let trouble = it.trouble.as_deref().unwrap_or_default();
                it.endpoint == one && trouble.contains("with data that are not this group's")
            })
        });
    }
    let data = |server: usize| cluster.servers[server].must::<String>(&["GET", "of"]);
    throughout(
        "the other one is left alone",
        Duration::from_secs(2),
        || {
            let is_left = cluster.servers[0].is_master()? && data(0) == "one";
            is_left.then_some(()).ok_or_else(|| "it changed".to_owned())
        },
    );
    assert_eq!(data(2), "two");
    must_refuse(
        &cluster.daemons[0],
        &["adopt", "features", &names[0]],
        &format!("is registered already, with {two} as its master"),
    );
    cluster.assert_no_failover();
}

#[test]
fn a_group_whose_settings_differ_is_registered_once_they_are_equal_on_a_majority() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.start_servers();
    let quorum = "GROUPS__FEATURES__QUORUM";
    cluster.daemons[1].set(quorum, "1");
    cluster.daemons[2].set("GROUPS__FEATURES__DOWN_AFTER", "3s");
    cluster.start_daemons();
    let parts = [
        "1 of the 2 that are needed",
        "differs in",
        "PROMOTERD_GROUPS__F__",
    ];
    await_waiting(&cluster, &parts);
    cluster.daemons[0].await_status("both are named, with their keys", |report| {
        let waiting = report.groups[0].waiting.as_deref().unwrap_or_default();
        waiting.contains("; b differs in QUORUM; c differs in DOWN_AFTER and ISOLATION_AFTER:")
    });
    throughout("nothing is registered", Duration::from_millis(1500), || {
        let master = cluster.daemons[0].group()?.master;
        master.map_or(Ok(()), |master| Err(format!("{master} is registered")))
    });

    // Whoever has its own settings could lead, and would register nothing.
    cluster.daemons[2].stop();
    cluster.daemons[1].stop();
    cluster.daemons[1].set(quorum, "2");
    cluster.daemons[1].start();
    cluster.await_healthy(1);
    cluster.daemons[2].start();
    // The third one still has its own: that is said, and nothing else is done about it.
    for (place, part) in [
        (
            0,
            "group features: settings are not equal, c differs in DOWN_AFTER",
        ),
        (
            1,
            "group features: settings are not equal, c differs in DOWN_AFTER",
        ),
        (
            2,
            "group features: the settings of this node are not those of the leader",
        ),
    ] {
        let daemon = &cluster.daemons[place];
        eventually("status says so", || {
            let page = run(daemon, &["status"]);
            let page = String::from_utf8_lossy(&page.stdout).into_owned();
            page.contains(part).then_some(()).ok_or(page)
        });
    }
    // It was away in between, and nothing changed.
    let log = cluster.daemons[0].logged();
    let warned = log.lines().filter(|line| {
        line.contains("WARN") && line.contains("settings are not equal, c differs in DOWN_AFTER")
    });
    assert_eq!(warned.count(), 1, "{log}");

    cluster.daemons[2].stop();
    cluster.daemons[2].set("GROUPS__FEATURES__DOWN_AFTER", "1s");
    cluster.daemons[2].start();
    for daemon in &cluster.daemons {
        eventually("all is well", || {
            let page = run(daemon, &["status"]);
            let page = String::from_utf8_lossy(&page.stdout).into_owned();
            page.starts_with("all well").then_some(()).ok_or(page)
        });
    }
    cluster.assert_no_failover();
}
