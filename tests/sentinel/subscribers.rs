//! Clients that wait for events: what they hear, in which order, and what thousands of them cost.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use promoterd::model::Endpoint;
use redis::Value;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cluster::Cluster;
use crate::endpoint::start;
use crate::process::eventually;
use crate::wire::{Client, text, texts};

/// As many as the endpoint has to bear.
const IDLE: usize = 5000;
/// What each may cost beyond its socket, in bytes.
const EACH_MAX: u64 = 1024;

/// What a subscriber of everything heard up to and with the first message of a channel.
fn heard_until(subscriber: &mut Client, last: &str) -> Vec<(String, String)> {
    let mut heard = Vec::new();
    loop {
        let event = texts(&subscriber.receive());
        assert_eq!(event[..2], ["pmessage", "*"], "{heard:?}");
        heard.push((event[2].clone(), event[3].clone()));
        if event[2] == last {
            return heard;
        }
    }
}

fn subscribe_to_all(endpoint: &Endpoint) -> Client {
    let mut client = Client::connect(endpoint);
    let Value::Array(confirmed) = client.ask("PSUBSCRIBE *") else {
        panic!("not confirmed");
    };
    assert_eq!(text(&confirmed[0]), "psubscribe");
    client
}

fn first(heard: &[(String, String)], channel: &str) -> usize {
    let found = heard.iter().position(|(name, _)| name == channel);
    found.unwrap_or_else(|| panic!("no {channel} in {heard:?}"))
}

/// Restarts whichever server does not run.
fn heal(cluster: &mut Cluster, epoch: u64) {
    for server in &mut cluster.servers {
        if !server.is_running() {
            server.start(&[]);
        }
    }
    cluster.await_healthy(epoch);
}

#[test]
fn every_endpoint_tells_of_a_new_master_at_once_and_then_answers_with_it() {
    let (mut cluster, endpoints) = start();
    let mut subscribers: Vec<Client> = endpoints.iter().map(subscribe_to_all).collect();
    let mut asking: Vec<Client> = endpoints.iter().map(Client::connect).collect();
    for epoch in 2..=3 {
        let old = cluster.await_healthy(epoch - 1);
        let leader = cluster.await_leader();
        let events = cluster.daemons[leader].listen();
        let old_endpoint = cluster.servers[old].endpoint.clone();
        let is_crash = epoch == 2;
        if is_crash {
            cluster.servers[old].kill();
        } else {
            let output = cluster.daemons[0]
                .command("switchover")
                .arg("features")
                .output();
            assert!(output.unwrap().status.success());
        }
        let done_at = events.await_event("done")["at"].as_u64().unwrap();
        for (subscriber, asking) in subscribers.iter_mut().zip(&mut asking) {
            let heard = heard_until(subscriber, "+switch-master");
            let address = texts(&asking.ask("SENTINEL GET-MASTER-ADDR-BY-NAME features"));
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let late = Duration::from_millis(
                u64::try_from(now.unwrap().as_millis())
                    .unwrap()
                    .saturating_sub(done_at),
            );
            let (_, switch) = heard.last().unwrap();
            let words: Vec<&str> = switch.split(' ').collect();
            assert_eq!(
                words[..3],
                [
                    "features",
                    old_endpoint.host(),
                    &old_endpoint.port().to_string()
                ]
            );
            assert_eq!(
                words[3..],
                address,
                "whoever hears of it is answered with it"
            );
            assert!(late < Duration::from_secs(1), "{late:?}");
            assert!(first(&heard, "+try-failover") < first(&heard, "+selected-slave"));
            assert!(first(&heard, "+selected-slave") < first(&heard, "+promoted-slave"));
            assert_eq!(
                heard.iter().any(|(name, _)| name == "+odown"),
                is_crash,
                "{heard:?}"
            );
            // Both replicas by their new master, the old master among them.
            let rest = heard_until(subscriber, "+failover-end");
            let slaves = rest.iter().filter(|(name, line)| {
                name == "+slave"
                    && line.ends_with(&format!("@ features {} {}", address[0], address[1]))
            });
            assert_eq!(slaves.count(), 2, "{rest:?}");
        }
        heal(&mut cluster, epoch);
        subscribers = endpoints.iter().map(subscribe_to_all).collect();
    }
}

/// Kilobytes of memory of its own that a process has.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn thousands_of_idle_subscribers_cost_little_and_hear_of_a_new_master() {
    let files = 2 * IDLE as u64 + 2000;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let raised = Rlimit {
            current: Some(files),
            maximum: limit.maximum,
        };
        // Daemons that are started from here on have it, too.
        setrlimit(Resource::Nofile, raised)
            .unwrap_or_else(|error| panic!("{files} files: {error}"));
    }
    let (mut cluster, endpoints) = start();
    let subscribe = || {
        let mut stream = TcpStream::connect((endpoints[0].host(), endpoints[0].port())).unwrap();
        std::io::Write::write_all(&mut stream, b"SUBSCRIBE +switch-master\r\n").unwrap();
        let mut confirmed = [0; 44];
        stream.read_exact(&mut confirmed).unwrap();
        assert!(
            confirmed.ends_with(b":1\r\n"),
            "{}",
            String::from_utf8_lossy(&confirmed)
        );
        stream
    };
    // What the first ones cost is there once.
    let mut streams: Vec<TcpStream> = (0..100).map(|_| subscribe()).collect();
    let before = resident(cluster.daemons[0].id());
    streams.extend((0..IDLE).map(|_| subscribe()));
    let after = resident(cluster.daemons[0].id());
    let each = (after - before) * 1024 / IDLE as u64;
    eprintln!("{each} bytes for each of {IDLE} idle subscribers");
    assert!(each <= EACH_MAX, "{each}");

    let master = cluster.await_healthy(1);
    let events = cluster.daemons[0].listen();
    cluster.servers[master].kill();
    events.await_event("done");
    let done_at = Instant::now();
    for stream in &mut streams {
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut message = [0; 32];
        stream.read_exact(&mut message).unwrap();
        assert!(
            message.starts_with(b"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-"),
            "{message:?}"
        );
    }
    let took = done_at.elapsed();
    eprintln!("all {} heard of it within {took:?}", streams.len());
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_client_that_takes_nothing_costs_little_and_the_others_hear_on() {
    let (mut cluster, endpoints) = start();
    let mut slow = Client::connect(&endpoints[0]);
    slow.send("HELLO 3");
    slow.receive();
    // Answers that it never reads fill its socket, and what waits behind that.
    slow.send("PSUBSCRIBE *");
    let flood: Vec<u8> = b"SENTINEL MASTERS\r\n".repeat(2_000_000);
    let stream = slow.stream().try_clone().unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until && sent < flood.len() {
        match std::io::Write::write(&mut &stream, &flood[sent..]) {
            Ok(count) => sent += count,
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
    assert!(sent < flood.len(), "it took all of {sent} bytes");
    let before = resident(cluster.daemons[0].id());
    let mut other = subscribe_to_all(&endpoints[0]);
    for epoch in 2..=3 {
        let master = cluster.await_healthy(epoch - 1);
        cluster.servers[master].kill();
        heard_until(&mut other, "+switch-master");
        heal(&mut cluster, epoch);
    }
    let after = resident(cluster.daemons[0].id());
    assert!(after < before + 4096, "{before} kB became {after} kB");
    eventually("it still answers", || {
        let mut asking = Client::connect(&endpoints[0]);
        let masters = asking.ask("SENTINEL MASTERS");
        matches!(&masters, Value::Array(all) if all.len() == 1)
            .then_some(())
            .ok_or_else(|| format!("{masters:?}"))
    });
}
