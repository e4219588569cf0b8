//! Fences: an old master takes no writes once it is back, and gets back what it had before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, RedisError};
use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::process::eventually;
use crate::server::{Kind, Server};

const SETTINGS: [(&str, &str); 1] = [("GROUPS__FEATURES__DOWN_AFTER", "300ms")];
/// What is promised: from its first answer on, an old master goes on taking writes for so long at most.
const WRITABLE_MAX: Duration = Duration::from_millis(100);
const CLIENTS: usize = 4;
/// `min-replicas-to-write` of a fence.
const FENCED: &str = "2147483647";

fn limits(server: &Server) -> [String; 2] {
    ["min-replicas-to-write", "min-replicas-max-lag"].map(|name| {
        let (_, value): (String, String) = server.must(&["CONFIG", "GET", name]);
        value
    })
}

/// Writes again and again by connections that were there before the server stopped; when it answered
/// for the first time, and when it took the last write.
fn write_on(
    connections: Vec<Connection>,
    is_over: &AtomicBool,
) -> (Option<Instant>, Option<Instant>, usize) {
    let write = |mut connection: Connection| {
        let (mut first, mut last, mut taken) = (None, None, 0);
        while !is_over.load(Ordering::Relaxed) {
            let answer: Result<(), RedisError> =
                redis::cmd("INCR").arg("late").query(&mut connection);
            if answer.as_ref().is_err_and(RedisError::is_io_error) {
                break;
            }
            let now = Instant::now();
            first.get_or_insert(now);
            if answer.is_ok() {
                last = Some(now);
                taken += 1;
            }
        }
        (first, last, taken)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = connections
            .into_iter()
            .map(|connection| scope.spawn(|| write(connection)))
            .collect();
        let all: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        let first = all.iter().filter_map(|(first, _, _)| *first).min();
        let last = all.iter().filter_map(|(_, last, _)| *last).max();
        (first, last, all.iter().map(|(_, _, taken)| taken).sum())
    })
}

#[test]
fn an_old_master_that_wakes_up_takes_no_writes_and_gets_back_what_it_had() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.set(SETTINGS[0].0, SETTINGS[0].1);
    cluster.servers[0].configure(&["--min-replicas-max-lag", "7"]);
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let connections: Vec<Connection> = (0..CLIENTS)
        .map(|_| cluster.servers[0].connect().unwrap())
        .collect();
    for connection in &connections {
        connection
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
    }
    let heard = cluster.daemons[cluster.await_leader()].listen();
    cluster.servers[0].signal(Signal::STOP);
    heard.await_event("done");
    let is_over = AtomicBool::new(false);
    let (first, last, taken) = thread::scope(|scope| {
        let writer = scope.spawn(|| write_on(connections, &is_over));
        cluster.servers[0].signal(Signal::CONT);
        let fenced = heard.await_event("fenced");
        assert_eq!(fenced["instance"], cluster.servers[0].endpoint.to_string());
        assert_eq!(fenced["cause"], "replaced");
        // The other replica follows the new master too.
        while heard.await_event("followed")["demoted"] != true {}
        is_over.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let writable = match (first, last) {
        (Some(first), Some(last)) => last.duration_since(first),
        _ => Duration::ZERO,
    };
    assert!(first.is_some(), "nobody was answered");
    eprintln!(
        "the old master took {taken} writes, the last one {writable:?} after its first answer"
    );
    assert!(writable <= WRITABLE_MAX, "{writable:?}");
    // What waited in its sockets before the fence came may pass, once for each connection.
    assert!(taken <= CLIENTS, "{taken} writes");
    cluster.await_healthy(2);
    assert_eq!(limits(&cluster.servers[0]), ["0", "7"]);
    let steps = &cluster.failovers()[0].steps;
    assert!(steps.len() >= 5, "{steps:?}");
}

#[test]
fn a_fence_that_nobody_holds_is_lifted_from_the_master_and_from_replicas() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    for server in &mut cluster.servers {
        server.configure(&["--min-replicas-to-write", "1"]);
    }
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    for (position, what) in [(0, "the master"), (1, "a replica")] {
        let server = &cluster.servers[position];
        server.must::<()>(&["CONFIG", "SET", "min-replicas-to-write", FENCED]);
        eventually(&format!("the fence of {what} is lifted"), || {
            let now = limits(server);
            if now == ["1", "10"] {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        });
    }
    cluster.assert_no_failover();
}

#[test]
fn without_fencing_nobody_touches_the_limits_of_an_instance() {
    let mut cluster = Cluster::start(&[SETTINGS[0], ("GROUPS__FEATURES__FENCING", "off")]);
    let heard = cluster.daemons[cluster.await_leader()].listen();
    cluster.servers[0].signal(Signal::STOP);
    heard.await_event("done");
    cluster.servers[0].signal(Signal::CONT);
    cluster.await_healthy(2);
    assert_eq!(limits(&cluster.servers[0]), ["0", "10"]);
    for server in &cluster.servers {
        let stats: String = server.must(&["INFO", "commandstats"]);
        let touched: Vec<&str> = stats
            .lines()
            .filter(|line| line.starts_with("cmdstat_config|set"))
            .collect();
        assert_eq!(touched, [""; 0], "{}", server.endpoint);
    }
    for daemon in &mut cluster.daemons {
        daemon.stop();
    }
}
