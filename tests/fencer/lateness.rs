//! How late a server ends, as figures for README.md: `--ignored --nocapture how_late`.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::ground::{Ground, Server};

const TIMES: usize = 50;
const LEASE: Duration = Duration::from_millis(100);

struct Load(Vec<Child>);

impl Load {
    fn start() -> Self {
        let each = std::thread::available_parallelism().unwrap().get() * 2;
        let busy = |_| {
            let mut command = Command::new("sh");
            command
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null());
            command.spawn().unwrap()
        };
        Self((0..each).map(busy).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[test]
#[ignore = "prints figures, and takes all processors for a while"]
fn how_late_servers_end() {
    for (name, load) in [("idle", None), ("busy", Some(Load::start()))] {
        let ground = Ground::urgent();
        let mut client = Client::start(&ground.socket);
        for _ in 0..TIMES {
            let server = Server::start(&ground);
            client.must(&format!("check {}", server.process_id));
            let lease = LEASE.as_millis();
            client.must(&format!("until {} {lease}", server.process_id));
            server.await_end();
        }
        // By the fencer's own word: from the moment to the signal.
        let log = ground.log();
        let late = log.lines().filter_map(|line| line.split("late=").nth(1));
        let first = |late: &str| parse(late.split_whitespace().next().unwrap());
        let mut lates: Vec<Duration> = late.map(first).collect();
        lates.sort();
        assert_eq!(lates.len(), TIMES, "{log}");
        let [half, most, worst] = [TIMES / 2, TIMES * 99 / 100, TIMES - 1].map(|at| lates[at]);
        println!("{name}: moment to signal p50 {half:?} p99 {most:?} worst {worst:?}");
        drop(load);
        assert!(half < Duration::from_millis(100), "{half:?}");
    }
    let (dead, worst) = from_signal_to_end();
    println!("signal to end of an empty server: p50 {dead:?} worst {worst:?}");
}

/// As `Duration` prints itself.
fn parse(text: &str) -> Duration {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: f64 = digits.parse().unwrap();
    let nanoseconds = match &text[digits.len()..] {
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        other => panic!("{other}"),
    };
    Duration::from_secs_f64(number * nanoseconds / 1e9)
}

fn from_signal_to_end() -> (Duration, Duration) {
    let ground = Ground::new();
    let mut spans: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let server = Server::start(&ground);
            let id = rustix::process::Pid::from_raw(server.process_id.cast_signed()).unwrap();
            let start = Instant::now();
            rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
            server.await_end() - start
        })
        .collect();
    spans.sort();
    (spans[TIMES / 2], spans[TIMES - 1])
}
