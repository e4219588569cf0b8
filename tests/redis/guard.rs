//! Masters that restart without their data, with the guard and without.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use promoterd::model::RunId;
use promoterd::redis::GUARD_USER;

use crate::cluster::Cluster;
use crate::process::{eventually, throughout};
use crate::server::{Kind, Server};

const KEYS: usize = 300;
/// After how many milliseconds a supervisor has the server back.
const DELAYS_MS: [u64; 4] = [0, 50, 200, 1000];
const PASSWORD: &str = "replicas-pass-55d1";

/// A cluster that is not yet started, with a guard and the key that it needs.
fn prepare(kind: Kind) -> Cluster {
    let mut cluster = Cluster::prepare(kind);
    let key = cluster.new_key("key");
    cluster.set("PEER_KEY_FILE", &key);
    cluster.set("GROUPS__FEATURES__GUARD", "on");
    cluster.set("GROUPS__FEATURES__FAILOVERS_MAX", "0");
    cluster
}

fn start(mut cluster: Cluster) -> Cluster {
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    await_in_force(&cluster);
    cluster
}

fn await_in_force(cluster: &Cluster) {
    eventually("the guard is in force", || {
        let leader = cluster.await_leader();
        let guard = cluster.daemons[leader].group()?.guard;
        match &guard {
            Some(guard) if guard.in_force && guard.replicas == 2 => Ok(()),
            Some(_) | None => Err(format!("{guard:?}")),
        }
    });
}

/// One crash of the master, which a supervisor starts again without its data; the new master, and
/// whether it has all keys.
fn round(cluster: &mut Cluster, master: usize, number: u64, is_guarded: bool) -> (usize, bool) {
    let prefix = format!("round-{number}");
    let before = reign(cluster).unwrap();
    cluster.servers[master].fill(&prefix, KEYS);
    if is_guarded {
        await_in_force(cluster);
    }
    let place = usize::try_from(number).unwrap() % DELAYS_MS.len();
    cluster.servers[master].kill_and_empty();
    // A supervisor's delay is what is tried here.
    thread::sleep(Duration::from_millis(DELAYS_MS[place]));
    cluster.servers[master].spawn(&[]);
    let next = await_next(cluster, before);
    let kept = cluster.servers[next].count(&prefix, KEYS) == KEYS;
    (next, kept)
}

/// The epoch, and the process that is its master.
fn reign(cluster: &Cluster) -> Result<(u64, Option<RunId>), String> {
    let leader = cluster.await_leader();
    let group = cluster.daemons[leader].group()?;
    let epoch = group.epoch.ok_or("not registered")?;
    Ok((epoch.0, group.master_run_id))
}

/// The master, once all is well under another one: in a later epoch, or, where every replica copied
/// the emptiness before anybody could look, the same server without its data.
fn await_next(cluster: &Cluster, before: (u64, Option<RunId>)) -> usize {
    eventually(&format!("all is well after {before:?}"), || {
        let now = reign(cluster)?;
        if now == before {
            return Err("still the same".to_owned());
        }
        cluster.check(now.0)
    })
}

/// How many of so many rounds kept all keys.
fn rounds(cluster: &mut Cluster, count: u64, is_guarded: bool) -> u64 {
    let mut master = 0;
    let mut kept_rounds = 0;
    for number in 1..=count {
        let (next, kept) = round(cluster, master, number, is_guarded);
        master = next;
        kept_rounds += u64::from(kept);
        if is_guarded {
            let delay = DELAYS_MS[usize::try_from(number).unwrap() % DELAYS_MS.len()];
            assert!(
                kept,
                "round {number}, back after {delay} ms: keys were lost"
            );
        }
    }
    kept_rounds
}

/// What a replica logs whose master does not know it.
fn was_turned_away(server: &Server) -> Result<(), String> {
    let log = fs::read_to_string(server.log()).unwrap_or_default();
    if log.contains("Unable to AUTH to") {
        return Ok(());
    }
    Err(format!("{} was not turned away", server.endpoint))
}

fn has_all_keys(servers: &[Server]) -> Result<(), String> {
    for server in servers {
        let count = server.count("data", KEYS);
        if count != KEYS {
            return Err(format!("{} has {count} keys", server.endpoint));
        }
    }
    Ok(())
}

fn masteruser(server: &Server) -> (String, String) {
    let get = |name| server.must::<(String, String)>(&["CONFIG", "GET", name]).1;
    (get("masteruser"), get("masterauth"))
}

fn set_guard(cluster: &mut Cluster, on: bool) {
    cluster.set("GROUPS__FEATURES__GUARD", if on { "on" } else { "off" });
    for daemon in &mut cluster.daemons {
        daemon.kill();
    }
    cluster.start_daemons();
}

fn all_keys_are_kept_whenever_it_is_back(kind: Kind) {
    let mut cluster = start(prepare(kind));
    assert_eq!(rounds(&mut cluster, 4, true), 4);
}

#[test]
fn an_emptied_master_of_redis_7_feeds_nobody_whenever_it_is_back() {
    all_keys_are_kept_whenever_it_is_back(Kind::Redis7);
}

#[test]
fn an_emptied_master_of_redis_8_feeds_nobody_whenever_it_is_back() {
    all_keys_are_kept_whenever_it_is_back(Kind::Redis8);
}

#[test]
fn an_emptied_master_of_valkey_9_feeds_nobody_whenever_it_is_back() {
    all_keys_are_kept_whenever_it_is_back(Kind::Valkey9);
}

fn an_emptied_master_feeds_nobody_while_nobody_looks(kind: Kind, stopped: &[usize]) {
    let mut cluster = start(prepare(kind));
    cluster.servers[0].fill("data", KEYS);
    eventually("every replica has it", || {
        has_all_keys(&cluster.servers[1..])
    });
    for daemon in stopped {
        cluster.daemons[*daemon].kill();
    }
    if stopped.len() == 2 {
        cluster.daemons[0].await_status("no leader is left", |report| report.leader.is_none());
    }
    cluster.servers[0].kill_and_empty();
    cluster.servers[0].start(&[]);
    for replica in &cluster.servers[1..] {
        eventually("it is turned away", || was_turned_away(replica));
    }
    throughout(
        "nobody copies the emptiness",
        Duration::from_secs(3),
        || has_all_keys(&cluster.servers[1..]),
    );
    cluster.start_daemons();
    let master = cluster.await_healthy(2);
    for server in &cluster.servers {
        assert_eq!(server.count("data", KEYS), KEYS, "{}", server.endpoint);
    }
    assert_ne!(master, 0);
}

#[test]
fn an_emptied_master_of_redis_7_feeds_nobody_while_no_daemon_runs() {
    an_emptied_master_feeds_nobody_while_nobody_looks(Kind::Redis7, &[0, 1, 2]);
}

#[test]
fn an_emptied_master_of_redis_8_feeds_nobody_while_no_daemon_runs() {
    an_emptied_master_feeds_nobody_while_nobody_looks(Kind::Redis8, &[0, 1, 2]);
}

#[test]
fn an_emptied_master_of_valkey_9_feeds_nobody_without_a_quorum() {
    an_emptied_master_feeds_nobody_while_nobody_looks(Kind::Valkey9, &[1, 2]);
}

/// Has servers and replicas want a password, and the daemons know it; the file that holds it.
fn with_password(cluster: &mut Cluster) -> String {
    for server in &mut cluster.servers {
        server.configure(&["--requirepass", PASSWORD, "--masterauth", PASSWORD]);
        server.log_in_with(&[PASSWORD]);
    }
    let file = cluster.directory.path().join("password");
    fs::write(&file, PASSWORD).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let file = file.display().to_string();
    cluster.set("GROUPS__FEATURES__PASSWORD_FILE", &file);
    file
}

#[test]
fn a_guard_that_is_switched_off_gives_every_replica_its_own_login_back() {
    let mut cluster = prepare(Kind::Redis7);
    let file = with_password(&mut cluster);
    cluster.set("GROUPS__FEATURES__MASTERAUTH_FILE", &file);
    let mut cluster = start(cluster);
    for replica in &cluster.servers[1..] {
        let (user, password) = masteruser(replica);
        assert_eq!(user, GUARD_USER);
        assert_eq!(password.len(), 64);
        for daemon in &cluster.daemons {
            assert!(!daemon.logged().contains(&password), "it is in a log");
        }
    }
    set_guard(&mut cluster, false);
    eventually("all have their own login again", || {
        for replica in &cluster.servers[1..] {
            let found = masteruser(replica);
            if found != (String::new(), PASSWORD.to_owned()) {
                return Err(format!("{} has {:?}", replica.endpoint, found.0));
            }
        }
        let users: Vec<String> = cluster.servers[0].must(&["ACL", "USERS"]);
        if users.iter().any(|user| user == GUARD_USER) {
            return Err(format!("{users:?}"));
        }
        Ok(())
    });
    cluster.await_healthy(1);
    cluster.assert_no_failover();
}

#[test]
fn a_masterauth_that_could_not_be_put_back_is_left_alone_and_told_of() {
    let mut cluster = prepare(Kind::Redis7);
    with_password(&mut cluster);
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    eventually("it is told of", || {
        let leader = cluster.await_leader();
        let guard = cluster.daemons[leader].group()?.guard;
        let guard = guard.ok_or("no guard")?;
        let is_told =
            guard.troubles.len() == 2 && guard.troubles[0].reason.contains("MASTERAUTH_FILE");
        if is_told && !guard.in_force {
            return Ok(());
        }
        Err(format!("{guard:?}"))
    });
    assert_eq!(
        masteruser(&cluster.servers[1]),
        (String::new(), PASSWORD.to_owned())
    );
    // It fails over all the same.
    cluster.servers[0].fill("data", KEYS);
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    assert_eq!(cluster.servers[master].count("data", KEYS), KEYS);
}

#[test]
fn a_server_that_denies_users_is_followed_without_a_guard() {
    let mut cluster = prepare(Kind::Redis7);
    for server in &mut cluster.servers {
        server.configure(&["--rename-command", "ACL", ""]);
    }
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    eventually("it is told of", || {
        let leader = cluster.await_leader();
        let guard = cluster.daemons[leader].group()?.guard;
        match &guard {
            Some(guard) if !guard.in_force && !guard.troubles.is_empty() => Ok(()),
            Some(_) | None => Err(format!("{guard:?}")),
        }
    });
    cluster.servers[0].fill("data", KEYS);
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    assert_eq!(cluster.servers[master].count("data", KEYS), KEYS);
    assert_eq!(masteruser(&cluster.servers[3 - master]).0, "");
}

#[test]
fn a_guarded_master_that_restarts_with_its_data_is_let_in_again() {
    let mut cluster = start(prepare(Kind::Redis7));
    cluster.servers[0].fill("data", KEYS);
    // Nobody else may take its place.
    for replica in &cluster.servers[1..] {
        replica.must::<()>(&["CONFIG", "SET", "replica-priority", "0"]);
    }
    cluster.servers[0].must::<()>(&["SAVE"]);
    cluster.servers[0].kill();
    cluster.servers[0].start(&[]);
    eventually("all follow it again", || {
        let master = &cluster.servers[0].endpoint;
        cluster.servers[1..]
            .iter()
            .try_for_each(|it| it.follows(master))
    });
    await_in_force(&cluster);
    for server in &cluster.servers {
        assert_eq!(server.count("data", KEYS), KEYS, "{}", server.endpoint);
    }
}

/// `PROMOTERD_SOAK_ROUNDS` of each, 100 without; prints the shares that README.md has.
#[test]
#[ignore = "takes minutes: cargo test --test redis soak_of_emptied_masters -- --ignored --nocapture"]
fn soak_of_emptied_masters() {
    let count = std::env::var("PROMOTERD_SOAK_ROUNDS");
    let count: u64 = count.map_or(100, |text| text.parse().unwrap());
    for kind in [Kind::Redis7, Kind::Redis8, Kind::Valkey9] {
        let mut cluster = start(prepare(kind));
        let kept = rounds(&mut cluster, count, true);
        drop(cluster);
        eprintln!("{kind:?} with the guard: all keys kept in {kept} of {count} rounds");
        let mut cluster = Cluster::start_with(kind, &[("GROUPS__FEATURES__FAILOVERS_MAX", "0")]);
        let kept = rounds(&mut cluster, count, false);
        drop(cluster);
        eprintln!("{kind:?} without: all keys kept in {kept} of {count} rounds");
    }
}
