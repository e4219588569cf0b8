//! Real client libraries, each through a crash and a switchover: they write again on their own, and to
//! the new master.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fred::types::RespVersion;
use promoterd::model::Endpoint;
use redis::ProtocolVersion;

use crate::cluster::Cluster;
use crate::endpoint::start;
use crate::rust_clients::{fred, redis_rs, redis_rs_async};
use crate::writer::{Write, Writer};

/// A client that asks only when something fails may have to fail so often after the end of the epoch:
/// with the connection that it still has.
const FAILURES_MAX: usize = 1;
/// From the end of the epoch to the first write of a subscriber to the new master, at most.
const SUBSCRIBER_LATE_MAX: Duration = Duration::from_millis(100);
/// The same for a client that asks: no more than an operation of it may take.
pub const ASKING_LATE_MAX: Duration = Duration::from_secs(1);
/// The same for node-redis: once it found no master that it can connect to, it waits a second, whatever it
/// hears meanwhile.
const NODE_REDIS_LATE_MAX: Duration = Duration::from_millis(1500);

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
    let name = format!("{version} {mode} RESP{protocol}");
    Writer::start(&name, ASKING_LATE_MAX, command)
}

fn node(name: &str, late_max: Duration, endpoints: &[Endpoint]) -> Writer {
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", library("node/node_modules"))
        .arg(script("node.js"))
        .args([name, &list(endpoints)]);
    Writer::start(name, late_max, command)
}

/// A script for a library that Debian has.
fn debian(name: &str, program: &str, arguments: &[&str], endpoints: &[Endpoint]) -> Writer {
    let mut command = Command::new(program);
    let (file, more) = arguments.split_first().unwrap();
    command.arg(script(file)).args(more).arg(list(endpoints));
    Writer::start(name, ASKING_LATE_MAX, command)
}

/// What a client did from the end of an epoch on, and what is expected of it.
fn judge(writer: &Writer, writes: &[Write], done_at: f64, what: &str) {
    let first = writes.last().unwrap();
    let late = Duration::from_secs_f64((first.ended - done_at).max(0.0) / 1000.0);
    let failures: Vec<&String> = writes
        .iter()
        .filter(|write| write.begun >= done_at)
        .filter_map(|write| write.error.as_ref())
        .collect();
    let name = &writer.name;
    eprintln!(
        "{name}, {what}: writes again {late:?} after the end of the epoch, {} errors behind it",
        failures.len()
    );
    // An endpoint that is asked before it has heard of the end is asked again.
    let is_soon = late <= SUBSCRIBER_LATE_MAX;
    assert!(
        is_soon || failures.len() <= FAILURES_MAX,
        "{name}: {failures:?}"
    );
    assert!(late <= writer.late_max, "{name}: {late:?}");
}

fn through_a_crash_and_a_switchover(cluster: &mut Cluster, writers: &[Writer]) {
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
    through_a_crash_and_a_switchover(&mut cluster, &writers);
}

#[test]
fn ioredis_hears_of_the_new_master() {
    let (mut cluster, endpoints) = start();
    let writers = ["ioredis-5", "ioredis-6"];
    let writers = writers.map(|name| node(name, SUBSCRIBER_LATE_MAX, &endpoints));
    through_a_crash_and_a_switchover(&mut cluster, &writers);
}

#[test]
fn node_redis_hears_of_the_new_master() {
    let (mut cluster, endpoints) = start();
    let writers = ["redis-5", "redis-6"];
    let writers = writers.map(|name| node(name, NODE_REDIS_LATE_MAX, &endpoints));
    through_a_crash_and_a_switchover(&mut cluster, &writers);
}

#[test]
fn the_clients_of_this_language_write_to_the_new_master_at_their_first_error() {
    let (mut cluster, endpoints) = start();
    let writers = [
        redis_rs(ProtocolVersion::RESP2, &endpoints),
        redis_rs(ProtocolVersion::RESP3, &endpoints),
        redis_rs_async(ProtocolVersion::RESP2, &endpoints),
        redis_rs_async(ProtocolVersion::RESP3, &endpoints),
        fred(RespVersion::RESP2, &endpoints),
        fred(RespVersion::RESP3, &endpoints),
    ];
    through_a_crash_and_a_switchover(&mut cluster, &writers);
}

#[test]
fn debians_clients_write_to_the_new_master_at_their_first_error() {
    let (mut cluster, endpoints) = start();
    let writers = [
        ("ruby-redis", "ruby", &["ruby_redis.rb"][..]),
        ("Redis.pm", "perl", &["perl_redis.pl"]),
        ("Predis", "php", &["php.php", "predis"]),
        ("phpredis", "php", &["php.php", "phpredis"]),
    ]
    .map(|(name, program, arguments)| debian(name, program, arguments, &endpoints));
    through_a_crash_and_a_switchover(&mut cluster, &writers);
}
