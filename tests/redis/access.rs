//! Servers that ask for a user and a password.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::process::{eventually, throughout};
use crate::server::Kind;

const ADMIN: &str = "admin-pass-81ff";
const SECRET: &str = "daemon-pass-3c07";

/// What the daemons' user may do, and no more.
const RULES: [&str; 17] = [
    "promoterd",
    "on",
    ">daemon-pass-3c07",
    "+ping",
    "+info",
    "+role",
    "+replicaof",
    "+multi",
    "+exec",
    "+discard",
    "+client|setname",
    "+client|kill",
    "+client|pause",
    "+client|unpause",
    "+config|get",
    "+config|set",
    "+pubsub|numsub",
];

/// Servers that know the daemons' user, and daemons that log in with `password`.
fn prepare(password: &str) -> Cluster {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    for server in &mut cluster.servers {
        server.configure(&["--requirepass", ADMIN, "--masterauth", ADMIN, "--user"]);
        server.configure(&RULES);
        server.log_in_with(&[ADMIN]);
    }
    write_password(&cluster, password);
    let file = password_file(&cluster);
    cluster.set("GROUPS__FEATURES__USERNAME", "promoterd");
    cluster.set("GROUPS__FEATURES__PASSWORD_FILE", &file);
    cluster
}

fn password_file(cluster: &Cluster) -> String {
    let path = cluster.directory.path().join("password");
    path.display().to_string()
}

fn write_password(cluster: &Cluster, password: &str) {
    let file = password_file(cluster);
    fs::write(&file, format!("{password}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
}

fn restart_daemons(cluster: &mut Cluster) {
    for daemon in &mut cluster.daemons {
        daemon.kill();
    }
    cluster.start_daemons();
}

#[test]
fn a_user_with_few_rights_is_enough_and_its_password_is_shown_nowhere() {
    let mut cluster = prepare(SECRET);
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.servers[0].fill("data", 100);
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    cluster.servers[0].start(&[]);
    assert_eq!(cluster.await_healthy(2), master);
    assert_eq!(cluster.servers[0].count("data", 100), 100);
    let mut switchover = cluster.daemons[0].command("switchover");
    assert!(switchover.arg("features").status().unwrap().success());
    cluster.await_healthy(3);
    for daemon in &cluster.daemons {
        let status: serde_json::Value = daemon.get("/v1/status").unwrap();
        let check = daemon.output("check");
        let check = String::from_utf8(check.stdout).unwrap();
        for text in [daemon.logged(), status.to_string(), check] {
            assert!(!text.contains(SECRET), "{} shows it: {text}", daemon.name);
            assert!(!text.contains("NOPERM"), "{} may not: {text}", daemon.name);
        }
    }
}

#[test]
fn a_user_that_may_not_count_sentinels_is_told_of_once_and_none_is_assumed() {
    let mut cluster = prepare(SECRET);
    cluster.start_servers();
    for server in &cluster.servers {
        server.must::<()>(&["ACL", "SETUSER", "promoterd", "-pubsub|numsub"]);
    }
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.servers[0].kill();
    cluster.await_healthy(2);
    for daemon in &cluster.daemons {
        let text = "cannot tell whether a Sentinel watches it too";
        assert_eq!(daemon.logged().matches(text).count(), 1, "{}", daemon.name);
    }
}

#[test]
fn a_user_that_may_not_hold_writes_is_told_so_and_the_master_stays() {
    let mut cluster = prepare(SECRET);
    cluster.start_servers();
    for server in &cluster.servers {
        server.must::<()>(&["ACL", "SETUSER", "promoterd", "-client|pause"]);
    }
    cluster.start_daemons();
    cluster.await_healthy(1);
    let mut switchover = cluster.daemons[0].command("switchover");
    let output = switchover.arg("features").output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains("allow +client|pause and +client|unpause to our user"),
        "{complaint}"
    );
    assert_eq!(cluster.await_healthy(1), 0);
    cluster.assert_no_failover();
}

#[test]
fn a_wrong_password_is_told_and_is_no_reason_for_a_failover() {
    let mut cluster = prepare(SECRET);
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    write_password(&cluster, "wrong-pass-5d21");
    restart_daemons(&mut cluster);
    let is_told = |cluster: &Cluster| {
        for daemon in &cluster.daemons {
            let group = daemon.group()?;
            let master = group.master_instance.clone();
            let trouble = master.and_then(|it| it.trouble).unwrap_or_default();
            let told = trouble.contains("access denied") && trouble.contains("WRONGPASS");
            if !told || !group.down.is_empty() || group.phase != "watching" {
                return Err(format!("{} says {group:?}", daemon.name));
            }
        }
        Ok(())
    };
    eventually("it is told", || is_told(&cluster));
    throughout("it lives", Duration::from_millis(1500), || {
        is_told(&cluster)
    });
    cluster.await_leader();
    cluster.assert_no_failover();

    // A crash is seen all the same, and the reason why nobody can be promoted is told.
    cluster.servers[0].kill();
    eventually("nobody may be promoted", || {
        let leader = cluster.await_leader();
        let group = cluster.daemons[leader].group()?;
        let denied = |it: &promoterd::status::PassedOver| it.reason.contains("access denied");
        if group.passed_over.len() == 2 && group.passed_over.iter().all(denied) {
            return Ok(());
        }
        Err(format!("{group:?}"))
    });
    write_password(&cluster, SECRET);
    restart_daemons(&mut cluster);
    cluster.await_healthy(2);
}

#[test]
fn a_wrong_password_at_first_start_is_what_the_group_waits_for() {
    let mut cluster = prepare("wrong-pass-5d21");
    cluster.start_servers();
    cluster.start_daemons();
    for daemon in &cluster.daemons {
        daemon.await_status("the reason is told", |report| {
            let waiting = report.groups[0].waiting.as_deref().unwrap_or_default();
            waiting.contains(&cluster.servers[0].endpoint.to_string())
                && waiting.contains("access denied")
        });
        assert!(!daemon.logged().contains("wrong-pass-5d21"));
    }
    // The server is mended this time, and the daemons need no restart.
    for server in &cluster.servers {
        server.must::<()>(&["ACL", "SETUSER", "promoterd", ">wrong-pass-5d21"]);
    }
    cluster.await_healthy(1);
}
