//! Strict fencing on five hosts, with a fencer on each: no write is taken by the old master once the new
//! one takes any.
//!
//! Needs root, for network namespaces and for the fencer.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::daemon::PROGRAM;
use crate::partition::{Taken, all_follow_one, write_everywhere};
use crate::process::{Process, eventually};
use crate::server::Server;

/// From the loss of the master on, until the new one takes writes.
const HEALED_WITHIN: Duration = Duration::from_millis(1600);

/// A cluster under strict fencing, and its fencers.
struct Strict {
    // Before the hosts that they run on.
    _fencers: Vec<Process>,
    cluster: Cluster,
}

impl Strict {
    fn start() -> Self {
        let mut cluster = Cluster::prepare_on_five_hosts();
        cluster.set("GROUPS__FEATURES__FENCING", "strict");
        let lab = cluster.lab.as_ref().expect("hosts");
        let mut fencers = Vec::new();
        for (position, daemon) in cluster.daemons.iter_mut().enumerate() {
            // In a directory of its own: a fencer keeps there what it holds.
            let directory = cluster.directory.path().join(format!("fencer-{position}"));
            fs::create_dir(&directory).unwrap();
            let socket = directory.join("sock");
            let log = cluster
                .directory
                .path()
                .join(format!("fencer-{position}.log"));
            let mut command = lab.host(position + 1).command(Path::new(PROGRAM));
            command
                .arg("fencer")
                .arg("--socket")
                .arg(&socket)
                .args(["--assume", "starts-fenced"]);
            fencers.push(Process::start(&mut command, &log));
            daemon.set("FENCER_SOCKET", &socket.display().to_string());
        }
        for server in &mut cluster.servers {
            server.configure(&[
                "--min-replicas-to-write",
                "2147483647",
                "--min-replicas-max-lag",
                "1",
            ]);
        }
        cluster.start_servers();
        cluster.start_daemons();
        cluster.await_healthy(1);
        eventually("the master takes writes", || {
            let written: Result<i64, _> = cluster.servers[0].ask(&["INCR", "first"]);
            written.map_err(|error| error.to_string())
        });
        Self {
            _fencers: fencers,
            cluster,
        }
    }

    /// Has `harm` done to the master of the first host; everything is to be well again after `mend`.
    fn lose_master(&mut self, harm: impl FnOnce(&Cluster), mend: impl FnOnce(&Cluster)) -> Loss {
        let cluster = &self.cluster;
        let ((lost_at, healed_at), taken) = write_everywhere(cluster, || {
            await_more_writes(&cluster.servers[0]);
            let lost_at = Instant::now();
            harm(cluster);
            let (healed_at, new_master) = eventually("another master takes writes", || {
                let is_new = |server: &&Server| server.ask::<i64>(&["INCR", "probe"]).is_ok();
                let found = cluster.servers[1..].iter().find(is_new);
                let found = found.map(|server| (Instant::now(), server));
                found.ok_or_else(|| "none does".to_owned())
            });
            await_more_writes(new_master);
            mend(cluster);
            (lost_at, healed_at)
        });
        Loss::of(&taken, lost_at, healed_at)
    }
}

/// Waits until the writer of this server had some of its writes acknowledged.
fn await_more_writes(server: &Server) {
    let count = || server.ask::<Option<i64>>(&["GET", "writes"]);
    let before = count().unwrap().unwrap_or_default();
    eventually("the writer writes", || match count() {
        Ok(Some(now)) if now > before + 2 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// What the loss of a master came to.
#[derive(Debug)]
struct Loss {
    /// From the last write of the old master to the first of the new one.
    gap: Option<Duration>,
    healed_after: Duration,
    old_wrote_for: Duration,
}

impl Loss {
    fn of(taken: &[Taken], lost_at: Instant, healed_at: Instant) -> Self {
        let last = *taken[0].last().expect("the old master took writes");
        let first = taken[1..].iter().filter_map(|taken| taken.first()).min();
        let first = *first.expect("the new master took writes");
        Self {
            gap: first.checked_duration_since(last),
            healed_after: healed_at.saturating_duration_since(lost_at),
            old_wrote_for: last.saturating_duration_since(lost_at),
        }
    }

    fn check(&self, what: &str, within: Duration) {
        eprintln!("strict, {what}: {self:?}");
        assert!(
            self.gap.is_some(),
            "{what}: two masters took writes: {self:?}"
        );
        assert!(self.healed_after <= within, "{what}: {self:?}");
    }
}

#[test]
fn under_strict_fencing_a_master_that_is_cut_off_takes_no_write_once_another_does() {
    let mut strict = Strict::start();
    let lab = |cluster: &Cluster, words: &[&str]| cluster.lab.as_ref().unwrap().run(words);
    let loss = strict.lose_master(
        |cluster| lab(cluster, &["split", "1", "2"]),
        |cluster| lab(cluster, &["heal"]),
    );
    loss.check("cut off", HEALED_WITHIN);
    let cluster = &strict.cluster;
    eventually("all follow one master", || match all_follow_one(cluster)? {
        0 => Err("it is still the old one".to_owned()),
        master => Ok(master),
    });
}

#[test]
fn under_strict_fencing_a_hung_master_takes_no_write_once_another_does() {
    let mut strict = Strict::start();
    let loss = strict.lose_master(
        |cluster| cluster.servers[0].signal(Signal::STOP),
        |cluster| cluster.servers[0].signal(Signal::CONT),
    );
    loss.check("hung", HEALED_WITHIN);
}

#[test]
fn under_strict_fencing_a_crash_waits_for_no_lease() {
    let mut strict = Strict::start();
    let loss = strict.lose_master(|cluster| cluster.servers[0].signal(Signal::KILL), |_| {});
    loss.check("crashed", Duration::from_millis(500));
}

#[test]
fn under_strict_fencing_a_master_whose_daemon_hangs_is_ended_by_the_fencer() {
    let mut strict = Strict::start();
    let loss = strict.lose_master(
        |cluster| cluster.daemons[0].signal(Signal::STOP),
        |cluster| cluster.daemons[0].signal(Signal::CONT),
    );
    loss.check("its daemon hangs", HEALED_WITHIN);
    assert!(loss.old_wrote_for < Duration::from_millis(1000), "{loss:?}");
}
