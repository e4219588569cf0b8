//! Who is refused, what is refused, and what is said when nobody is there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::Client;
use crate::ground::{Ground, Server};

#[test]
fn only_servers_are_held_and_only_those_that_are_there() {
    let ground = Ground::new();
    let other = Command::new("sleep")
        .arg("60")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let other = Server::watch(other);
    let mut client = Client::start(&ground.socket);
    for (process_id, reason) in [
        (
            other.process_id,
            "is \"sleep\", neither redis-server nor valkey-server",
        ),
        (1, "neither redis-server nor valkey-server"),
        (u32::MAX, "there is no process 4294967295 on this host"),
    ] {
        for order in [
            format!("check {process_id}"),
            format!("until {process_id} 0"),
        ] {
            let said = client.ask(&order);
            assert!(
                said.starts_with("refused: ") && said.contains(reason),
                "{order}: {said}"
            );
        }
    }
    other.lives_for(Duration::from_millis(200));
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers");
    for program in ["redis-server-8", "valkey-server-9"] {
        let server = Server::start_program(&ground, &servers.join(program));
        client.must(&format!("check {}", server.process_id));
        client.must(&format!("until {} 0", server.process_id));
        server.await_end();
    }
}

#[test]
fn a_user_who_is_neither_root_nor_the_daemons_is_refused() {
    const NOBODY: u32 = 65_534;
    let ground = Ground::new();
    // Where the socket itself would let anybody in.
    for (path, mode) in [(ground.path(), 0o755), (ground.socket.as_path(), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let server = Server::start(&ground);
    let mut stranger = Client::start_as(&ground.socket, NOBODY);
    let said = stranger.ask(&format!("until {} 0", server.process_id));
    assert!(
        said.starts_with("refused: only root and the user of promoterd"),
        "{said}"
    );
    server.lives_for(Duration::from_millis(200));
    Client::start(&ground.socket).must(&format!("check {}", server.process_id));
}

#[test]
fn a_fencer_that_is_not_there_or_hangs_is_absent_and_is_found_again() {
    let mut ground = Ground::new();
    let server = Server::start(&ground);
    let mut client = Client::start(&ground.socket);
    let order = format!("until {} 60000", server.process_id);
    client.must(&order);
    ground.signal_fencer(Signal::STOP);
    let start = Instant::now();
    let said = client.ask(&order);
    assert!(said.starts_with("absent: no answer in time"), "{said}");
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    ground.signal_fencer(Signal::CONT);
    client.must(&order);
    ground.kill_fencer();
    for _ in 0..2 {
        let said = client.ask(&order);
        assert!(said.starts_with("absent: "), "{said}");
    }
    ground.start_fencer();
    client.must(&order);
    client.must(&format!("release {}", server.process_id));
}
