//! Very many questions at once, which delay nothing that heals.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use promoterd::model::Endpoint;
use redis::Value;

use crate::endpoint::{prepare, start};
use crate::wire::{Client, text};

/// Commands that are sent at a time.
const BATCH: usize = 500;
const QUESTION: &[u8] =
    b"*3\r\n$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$8\r\nfeatures\r\n";

/// Asks for the master without end in one pipeline, and counts the answers.
fn ask_without_end(endpoint: &Endpoint, stop: &AtomicBool, answered: &AtomicU64) {
    let client = Client::connect(endpoint);
    let mut stream = client.stream();
    let questions = QUESTION.repeat(BATCH);
    stream.write_all(QUESTION).unwrap();
    let mut one = [0; 256];
    let length = stream.read(&mut one).unwrap();
    let mut answers = vec![0; length * BATCH];
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&questions).unwrap();
        stream.read_exact(&mut answers).unwrap();
        assert_eq!(answers[..2], *b"*2");
        answered.fetch_add(BATCH as u64, Ordering::Relaxed);
    }
}

#[test]
fn fifty_thousand_questions_a_second_are_answered_and_delay_no_failover() {
    let (mut cluster, endpoints) = start();
    let leader = cluster.await_leader();
    let quiet = kill_and_measure(&mut cluster, leader, 2);
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let asking = {
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        // All of it to the node that decides.
        let endpoint = endpoints[leader].clone();
        thread::spawn(move || ask_without_end(&endpoint, &stop, &answered))
    };
    let before = (Instant::now(), answered.load(Ordering::Relaxed));
    thread::sleep(Duration::from_secs(2));
    let count = answered.load(Ordering::Relaxed) - before.1;
    let rate = count as f64 / before.0.elapsed().as_secs_f64();
    let busy = kill_and_measure(&mut cluster, leader, 3);
    stop.store(true, Ordering::Relaxed);
    asking.join().unwrap();
    eprintln!(
        "{rate:.0} questions a second; crash to done {quiet:?} without them, {busy:?} with them"
    );
    assert!(rate >= 50_000.0, "{rate}");
    assert!(busy < Duration::from_millis(500), "{busy:?}");
}

/// From the kill of the master to the end of the epoch, as the daemon tells it; all is well afterwards.
fn kill_and_measure(cluster: &mut crate::cluster::Cluster, leader: usize, epoch: u64) -> Duration {
    let master = cluster.await_healthy(epoch - 1);
    let events = cluster.daemons[leader].listen();
    let killed_at = Instant::now();
    cluster.servers[master].kill();
    events.await_event("done");
    let took = killed_at.elapsed();
    cluster.servers[master].start(&[]);
    cluster.await_healthy(epoch);
    took
}

#[test]
fn a_client_that_sends_nonsense_is_told_so_and_left() {
    let (_cluster, endpoints) = start();
    let mut client = Client::connect(&endpoints[0]);
    client.send_bytes(b"*1\r\n$4\r\nPING\r\n*1\r\n:1\r\n");
    assert_eq!(text(&client.receive()), "PONG");
    let refused = format!("{:?}", client.receive());
    assert!(refused.contains("expected '$', got ':'"), "{refused}");
    assert_eq!(client.read_to_end(), b"");
    let mut other = Client::connect(&endpoints[0]);
    assert_eq!(text(&other.ask("PING")), "PONG");
}

#[test]
fn a_switchover_is_done_for_a_client_that_shows_the_password() {
    let (mut cluster, endpoints) = prepare();
    let file = cluster.directory.path().join("sentinel.password");
    std::fs::write(&file, "s3cret\n").unwrap();
    cluster.set("SENTINEL__PASSWORD_FILE", &file.display().to_string());
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let mut client = Client::connect(&endpoints[1]);
    let refused = client.ask("SENTINEL FAILOVER features");
    assert!(matches!(refused, Value::ServerError(_)), "{refused:?}");
    assert_eq!(text(&client.ask("AUTH s3cret")), "OK");
    assert_eq!(
        text(&client.ask("SENTINEL FAILOVER features COORDINATED")),
        "OK"
    );
    let master = cluster.await_healthy(2);
    assert_ne!(master, 0);
    let past = &cluster.failovers()[0];
    let asked_by = past.asked_by.as_deref().unwrap_or_default();
    assert!(asked_by.starts_with("default at 127.0.0.1:"), "{asked_by}");
    assert!(
        asked_by.ends_with("by Sentinel's FAILOVER on b"),
        "{asked_by}"
    );
}
