//! The disk under a state directory is full, read-only, failing or damaged; and a clock is set back.
//!
//! Needs root, to mount small file systems, and a C compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::process::eventually;
use crate::server::Kind;

const KEYS: usize = 100;

/// A small file system of its own, until dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(path: &Path, options: &str) -> Self {
        fs::create_dir_all(path).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path));
        Self(path.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn prepare() -> Cluster {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.start_servers();
    cluster
}

/// The daemon ends by itself, unsuccessfully, and says this.
fn await_end(daemon: &mut Daemon, words: &[&str]) {
    let code = daemon.await_end();
    let logged = daemon.logged();
    assert_eq!(code, Some(1), "{logged}");
    for word in words {
        assert!(logged.contains(word), "no {word:?} in\n{logged}");
    }
}

/// The other two heal a crash, and the third one is right once it runs again.
fn heal_without(cluster: &mut Cluster, daemon: usize, repair: impl FnOnce()) {
    cluster.servers[0].fill("data", KEYS);
    cluster.servers[0].kill();
    let master = cluster.await_healthy(2);
    repair();
    cluster.daemons[daemon].start();
    assert_eq!(cluster.await_healthy(2), master);
    assert_eq!(cluster.servers[master].count("data", KEYS), KEYS);
}

#[test]
fn a_full_disk_ends_a_daemon_with_a_reason_and_the_others_go_on() {
    let mut cluster = prepare();
    let state = cluster.daemons[2].state.clone();
    let mount = Mount::new(&state, "size=2m");
    cluster.start_daemons();
    cluster.await_healthy(1);
    // Whoever starts on a full disk cannot even say that it started.
    cluster.daemons[2].kill();
    let filler = state.join("filler");
    drop(fs::write(&filler, vec![1; 4 << 20]));
    cluster.daemons[2].start();
    await_end(
        &mut cluster.daemons[2],
        &["check that the disk is sound and not full", "No space left"],
    );
    heal_without(&mut cluster, 2, || fs::remove_file(&filler).unwrap());
    drop(cluster);
    drop(mount);
}

#[test]
fn a_read_only_disk_is_named_and_the_others_go_on() {
    let mut cluster = prepare();
    let state = cluster.daemons[2].state.clone();
    let mount = Mount::new(&state, "size=4m");
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.daemons[2].kill();
    let remount = |how: &str| {
        run(Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(&state));
    };
    remount("ro");
    cluster.daemons[2].start();
    await_end(
        &mut cluster.daemons[2],
        &[state.to_str().unwrap(), "Read-only file system"],
    );
    heal_without(&mut cluster, 2, || remount("rw"));
    drop(cluster);
    drop(mount);
}

#[test]
fn a_damaged_log_is_refused_with_the_way_out_and_that_works() {
    let mut cluster = prepare();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.daemons[2].kill();
    let state = cluster.daemons[2].state.clone();
    let log = state.join("log");
    let mut bytes = fs::read(&log).unwrap();
    // Early enough for good data to follow: the end would be taken for an interrupted write.
    bytes[40] ^= 0x55;
    fs::write(&log, bytes).unwrap();
    cluster.daemons[2].start();
    await_end(
        &mut cluster.daemons[2],
        &["damaged at byte", "empty this node's state directory"],
    );
    heal_without(&mut cluster, 2, || fs::remove_dir_all(&state).unwrap());
}

/// A library that makes the system calls of a daemon fail when told to.
pub fn build_faults(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redis/faulty.c");
    let library = directory.join("faulty.so");
    run(Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source));
    library
}

/// Has the faults of the last daemon be made by this file.
fn with_fault(cluster: &mut Cluster, variable: &str) -> PathBuf {
    let directory = cluster.directory.path().to_owned();
    let library = build_faults(&directory);
    let told = directory.join("told");
    let variables = &mut cluster.daemons[2].variables;
    variables.insert("LD_PRELOAD".to_owned(), library.display().to_string());
    variables.insert(variable.to_owned(), told.display().to_string());
    told
}

#[test]
fn a_disk_that_cannot_sync_ends_the_daemon_and_nothing_that_was_promised_is_lost() {
    let mut cluster = prepare();
    let told = with_fault(&mut cluster, "FAULTY_SYNC");
    cluster.start_daemons();
    cluster.await_healthy(1);
    fs::write(&told, "").unwrap();
    cluster.servers[0].fill("data", KEYS);
    cluster.servers[0].kill();
    await_end(
        &mut cluster.daemons[2],
        &["the replicated log cannot be written", "Input/output error"],
    );
    let master = cluster.await_healthy(2);
    fs::remove_file(&told).unwrap();
    cluster.daemons[2].start();
    assert_eq!(cluster.await_healthy(2), master);
    assert_eq!(cluster.servers[master].count("data", KEYS), KEYS);
    assert_eq!(cluster.failovers().len(), 1);
}

#[test]
fn a_clock_that_is_set_back_changes_neither_a_pause_nor_a_failover() {
    let mut cluster = prepare();
    let told = with_fault(&mut cluster, "FAULTY_CLOCK");
    cluster.start_daemons();
    cluster.await_healthy(1);
    let began = Instant::now();
    let output = cluster.daemons[2]
        .command("pause")
        .args(["features", "--for", "2s"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::write(&told, "").unwrap();
    eventually("the pause is over", || {
        match cluster.daemons[2].group()?.paused {
            None => Ok(()),
            Some(pause) => Err(format!("{pause:?}")),
        }
    });
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    cluster.servers[0].kill();
    cluster.await_healthy(2);
}
