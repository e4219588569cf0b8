//! Ten thousand strangers at the peer port: they cost bounded memory, and delay neither status nor failover.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cluster::Cluster;
use crate::process::{eventually, throughout};

/// Connections that are held at once.
const STRANGERS: usize = 10_000;
/// What each thread of the crowd holds.
const SHARE: usize = STRANGERS / 2;
/// How much a daemon may grow by them: for each of the few that it listens to at once, and what the
/// allocator keeps.
const GROWTH_MAX_KIB: u64 = 16 << 10;
/// How long a question to the status socket may take, on a machine that the crowd shares.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// A crash that was seen is healed in a few milliseconds; this leaves the crowd, and whatever else runs, its
/// share of the machine.
pub const CRASH_MAX: Duration = Duration::from_millis(400);

/// Threads that call one address again and again, and hold what they called.
struct Crowd {
    is_over: Arc<AtomicBool>,
    called: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn at(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let called = Arc::new(AtomicUsize::new(0));
        let threads = (0..STRANGERS / SHARE).map(|_| {
            let (is_over, called) = (Arc::clone(&is_over), Arc::clone(&called));
            thread::spawn(move || call_on(address, &is_over, &called))
        });
        Self {
            threads: threads.collect(),
            is_over,
            called,
        }
    }

    fn called(&self) -> usize {
        self.called.load(Ordering::Relaxed)
    }

    fn await_calls(&self, count: usize) {
        eventually(&format!("{count} strangers have called"), || {
            let called = self.called();
            (called >= count)
                .then_some(())
                .ok_or_else(|| called.to_string())
        });
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// Some say nothing, some a byte now and then, some what looks like a handshake, some another protocol.
fn call_on(address: SocketAddr, is_over: &AtomicBool, called: &AtomicUsize) {
    let plausible = [&[0, 200][..], &[7; 200]].concat();
    let mut held: Vec<TcpStream> = Vec::with_capacity(SHARE);
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
            continue;
        };
        // What is sent may find the connection closed.
        let said = match number % 4 {
            0 => Ok(()),
            1 => stream.write_all(&plausible),
            2 => stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            _ => stream.write_all(&[0]),
        };
        drop(said);
        if let Some(slow) = held.get_mut(number % SHARE) {
            let _ = slow.write_all(&[0]);
            *slow = stream;
        } else {
            held.push(stream);
        }
        called.fetch_add(1, Ordering::Relaxed);
    }
}

/// Room for both ends of nothing but ours: the daemons have limits of their own.
fn raise_open_files() {
    let wanted = STRANGERS as u64 + 2_000;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("root may open so many files");
}

/// A line of `/proc/PID/status`, in KiB: `VmHWM` is the most that was resident.
pub fn memory_kib(process: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let found = status.lines().find_map(|it| it.strip_prefix(line));
    let number = found.unwrap().trim_matches([':', ' ', '\t']);
    number.trim_end_matches(" kB").trim().parse().unwrap()
}

/// Kills the master; the time until a replica takes a write.
pub fn time_a_crash(cluster: &mut Cluster, master: usize) -> Duration {
    let others = (0..cluster.servers.len()).filter(|position| *position != master);
    let mut connections: Vec<_> = others
        .filter(|position| cluster.servers[*position].is_running())
        .map(|position| cluster.servers[position].connect().unwrap())
        .collect();
    let start = Instant::now();
    cluster.servers[master].kill();
    eventually("a replica takes writes", || {
        let mut set = redis::cmd("SET");
        set.arg("crash").arg("healed");
        // Several looks for each pause of `eventually`.
        for _ in 0..1_000 {
            for connection in &mut connections {
                if set.query::<String>(connection).is_ok() {
                    return Ok(start.elapsed());
                }
            }
            thread::sleep(Duration::from_micros(200));
        }
        Err("none does".to_owned())
    })
}

#[test]
fn ten_thousand_strangers_delay_no_failover_and_keep_no_peer_out() {
    raise_open_files();
    let mut cluster = Cluster::prepare(crate::server::Kind::Redis7);
    let key = cluster.new_key("key");
    cluster.set("PEER_KEY_FILE", &key);
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let leader = cluster.await_leader();
    let address: SocketAddr = {
        let report = cluster.daemons[leader].status().unwrap();
        let own = report.voters.iter().find(|voter| voter.is_self);
        own.unwrap().address.to_string().parse().unwrap()
    };
    let process = cluster.daemons[leader].id();
    let before = memory_kib(process, "VmRSS");

    let crowd = Crowd::at(address);
    crowd.await_calls(STRANGERS);
    throughout("the status is told", Duration::from_secs(2), || {
        let start = Instant::now();
        cluster.daemons[leader].status()?;
        let took = start.elapsed();
        (took < ANSWER_MAX)
            .then_some(())
            .ok_or_else(|| format!("after {took:?}"))
    });
    let took = time_a_crash(&mut cluster, 0);
    assert!(took < CRASH_MAX, "crash to writable: {took:?}");
    cluster.await_healthy(2);

    // Whoever sorts before the leader calls it, and has to get through.
    let other = (leader + 2) % 3;
    cluster.daemons[other].kill();
    cluster.start_daemons();
    let start = Instant::now();
    cluster.await_healthy(2);
    let back = start.elapsed();

    let most = memory_kib(process, "VmHWM");
    let called = crowd.called();
    drop(crowd);
    eprintln!(
        "{called} strangers: crash to writable {took:?}, a daemon back after {back:?}, {before} KiB before, {most} at most"
    );
    assert!(most < before + GROWTH_MAX_KIB, "{before} KiB, then {most}");
}
