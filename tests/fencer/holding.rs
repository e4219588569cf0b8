//! A server that is held lives as long as its daemon renews, and no longer, whatever befalls whom.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::Client;
use crate::ground::{Ground, LATE_MAX, Server};

const LEASE: Duration = Duration::from_millis(400);

#[test]
fn a_server_ends_when_its_daemon_hangs_or_dies_and_not_while_it_renews() {
    let ground = Ground::new();
    for signal in [Signal::STOP, Signal::KILL] {
        let server = Server::start(&ground);
        let mut client = Client::start(&ground.socket);
        client.must(&format!(
            "renew {} {} 50",
            server.process_id,
            LEASE.as_millis()
        ));
        server.lives_for(3 * LEASE);
        let stopped = Instant::now();
        client.signal(signal);
        let ended = server.await_end().duration_since(stopped);
        // It was renewed at most 50 ms before, and not at all after.
        let earliest = LEASE.saturating_sub(LATE_MAX);
        assert!(
            ended >= earliest && ended <= LEASE + LATE_MAX,
            "{signal:?}: {ended:?}"
        );
    }
    assert!(
        ground
            .log()
            .contains("server ended: its lease was not renewed in time")
    );
}

#[test]
fn a_server_that_is_released_lives_and_so_does_one_beside_it_until_its_own_moment() {
    let ground = Ground::new();
    let (released, held) = (Server::start(&ground), Server::start(&ground));
    let mut client = Client::start(&ground.socket);
    for server in [&released, &held] {
        client.must(&format!(
            "until {} {}",
            server.process_id,
            LEASE.as_millis()
        ));
    }
    client.must(&format!("release {}", released.process_id));
    held.await_end();
    released.lives_for(LEASE);
    // What is not held, or is gone, is released all the same.
    client.must(&format!("release {}", released.process_id));
    client.must(&format!("release {}", held.process_id));
}

#[test]
fn a_moment_that_has_passed_ends_a_server_at_once() {
    let ground = Ground::new();
    let server = Server::start(&ground);
    let mut client = Client::start(&ground.socket);
    client.must(&format!("until {} 0", server.process_id));
    server.await_end();
}

#[test]
fn what_a_fencer_holds_the_next_one_holds_on_to_its_moment() {
    for kills in [true, false] {
        let mut ground = Ground::new();
        let (held, released) = (Server::start(&ground), Server::start(&ground));
        let mut client = Client::start(&ground.socket);
        client.must(&format!("until {} 200", released.process_id));
        client.must(&format!("release {}", released.process_id));
        let start = Instant::now();
        client.must(&format!("until {} 1500", held.process_id));
        let asked = Instant::now();
        match kills {
            true => ground.kill_fencer(),
            false => ground.stop_fencer(),
        }
        ground.start_fencer();
        let ended = held.await_end();
        let lease = Duration::from_millis(1500);
        assert!(ended.duration_since(start) >= lease, "{:?}", ended - start);
        assert!(
            ended.duration_since(asked) <= lease + LATE_MAX,
            "{:?}",
            ended - asked
        );
        released.lives_for(LATE_MAX);
        // The client does not notice.
        client.must(&format!("check {}", released.process_id));
    }
}

#[test]
fn a_fencer_that_comes_back_late_ends_at_once_what_is_overdue() {
    let mut ground = Ground::new();
    let server = Server::start(&ground);
    let mut client = Client::start(&ground.socket);
    client.must(&format!(
        "until {} {}",
        server.process_id,
        LEASE.as_millis()
    ));
    ground.kill_fencer();
    server.lives_for(2 * LEASE);
    ground.start_fencer();
    let started = Instant::now();
    assert!(server.await_end() <= started + LATE_MAX);
}

#[test]
fn a_daemon_that_started_again_takes_over_what_is_held() {
    let ground = Ground::new();
    let server = Server::start(&ground);
    let mut first = Client::start(&ground.socket);
    first.must(&format!("until {} 2000", server.process_id));
    let mut second = Client::start(&ground.socket);
    second.must(&format!("until {} 60000", server.process_id));
    // What the first one still has to say comes too late.
    let said = first.ask(&format!("until {} 1", server.process_id));
    assert!(
        said.starts_with("refused: a daemon that started later"),
        "{said}"
    );
    server.lives_for(Duration::from_millis(2500));
    second.must(&format!("release {}", server.process_id));
}
