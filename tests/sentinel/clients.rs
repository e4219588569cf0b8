//! Real client libraries, each through a crash and a switchover: they write again on their own, and to
//! the new master.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use promoterd::model::Endpoint;
use serde::Deserialize;

use crate::cluster::Cluster;
use crate::endpoint::start;

/// Longest wait for a client.
const PATIENCE: Duration = Duration::from_secs(30);
/// A client that asks only when something fails may have to fail so often after the end of the epoch:
/// with the connection that it still has.
const FAILURES_MAX: usize = 1;
/// From the end of the epoch to a client's first write to the new master, at most: far more than it takes,
/// since a test shares its machine.
const LATE_MAX: Duration = Duration::from_secs(2);

/// What came of one write. Moments are milliseconds of the wall clock.
#[derive(Debug, Clone, Deserialize)]
struct Write {
    begun: f64,
    ended: f64,
    port: Option<u16>,
    error: Option<String>,
}

/// A program that writes all the time.
struct Writer {
    name: String,
    writes: Receiver<Write>,
    child: Child,
    _input: ChildStdin,
}

impl Writer {
    fn start(name: &str, mut command: Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, writes) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines() {
                let write = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(write).is_err() {
                    break;
                }
            }
        });
        Self {
            name: name.to_owned(),
            writes,
            _input: child.stdin.take().unwrap(),
            child,
        }
    }

    /// Everything up to and with the first write that reached this server.
    fn until_written_to(&self, port: u16) -> Vec<Write> {
        let until = Instant::now() + PATIENCE;
        let mut writes: Vec<Write> = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.writes.recv_timeout(left) {
                Ok(write) => {
                    writes.push(write);
                    if writes.last().unwrap().port == Some(port) {
                        return writes;
                    }
                }
                Err(error) => {
                    let last = &writes[writes.len().saturating_sub(20)..];
                    panic!(
                        "{} does not write to {port} ({error}): {last:#?}",
                        self.name
                    );
                }
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn list(endpoints: &[Endpoint]) -> String {
    let all: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    all.join(",")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sentinel/clients")
        .join(name)
}

fn library(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools/clients")
        .join(name);
    assert!(
        path.is_dir(),
        "{} is missing: run `bash tests/clients`",
        path.display()
    );
    path
}

fn redis_py(version: &str, mode: &str, protocol: &str, endpoints: &[Endpoint]) -> Writer {
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", library(version))
        .arg(script("redis_py.py"))
        .args([mode, protocol, &list(endpoints)]);
    Writer::start(&format!("{version} {mode} RESP{protocol}"), command)
}

fn node(name: &str, endpoints: &[Endpoint]) -> Writer {
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", library("node/node_modules"))
        .arg(script("node.js"))
        .args([name, &list(endpoints)]);
    Writer::start(name, command)
}

/// What each client does from the end of an epoch on, and what all of them are expected to.
fn judge(writer: &Writer, writes: &[Write], done_at: f64, what: &str) {
    let first = writes.last().unwrap();
    let late = Duration::from_secs_f64((first.ended - done_at).max(0.0) / 1000.0);
    let failures: Vec<&String> = writes
        .iter()
        .filter(|write| write.begun >= done_at)
        .filter_map(|write| write.error.as_ref())
        .collect();
    eprintln!(
        "{}, {what}: writes again {late:?} after the end of the epoch, {} errors behind it",
        writer.name,
        failures.len()
    );
    assert!(
        failures.len() <= FAILURES_MAX,
        "{}: {failures:?}",
        writer.name
    );
    assert!(late <= LATE_MAX, "{}: {late:?}", writer.name);
}

fn through_a_crash_and_a_switchover(
    cluster: &mut Cluster,
    writers: &[Writer],
    judge: impl Fn(&Writer, &[Write], f64, &str),
) {
    let port = |cluster: &Cluster, position: usize| cluster.servers[position].endpoint.port();
    for writer in writers {
        writer.until_written_to(port(cluster, 0));
    }
    for (epoch, what) in [(2, "crash"), (3, "switchover")] {
        let old = cluster.await_healthy(epoch - 1);
        let leader = cluster.await_leader();
        let events = cluster.daemons[leader].listen();
        if epoch == 2 {
            cluster.servers[old].kill();
        } else {
            let output = cluster.daemons[0]
                .command("switchover")
                .arg("features")
                .output();
            assert!(output.unwrap().status.success());
        }
        let done = events.await_event("done");
        let done_at = done["at"].as_f64().unwrap();
        let master: Endpoint = done["master"].as_str().unwrap().parse().unwrap();
        for writer in writers {
            let writes = writer.until_written_to(master.port());
            judge(writer, &writes, done_at, what);
        }
        if epoch == 2 {
            cluster.servers[old].start(&[]);
        }
        cluster.await_healthy(epoch);
    }
}

#[test]
fn redis_py_writes_to_the_new_master_at_its_first_error() {
    let (mut cluster, endpoints) = start();
    let writers: Vec<Writer> = [
        ("redis-py-8", "sync", "2"),
        ("redis-py-8", "sync", "3"),
        ("redis-py-8", "async", "2"),
        ("redis-py-8", "async", "3"),
        ("redis-py-4", "sync", "2"),
        ("redis-py-4", "async", "2"),
    ]
    .map(|(version, mode, protocol)| redis_py(version, mode, protocol, &endpoints))
    .into();
    through_a_crash_and_a_switchover(&mut cluster, &writers, judge);
}

#[test]
fn ioredis_writes_to_the_new_master_at_its_first_error() {
    let (mut cluster, endpoints) = start();
    let writers = ["ioredis-5", "ioredis-6"].map(|name| node(name, &endpoints));
    through_a_crash_and_a_switchover(&mut cluster, &writers, judge);
}

#[test]
fn node_redis_finds_the_new_master() {
    let (mut cluster, endpoints) = start();
    let writers = ["redis-5", "redis-6"].map(|name| node(name, &endpoints));
    through_a_crash_and_a_switchover(&mut cluster, &writers, judge);
}
