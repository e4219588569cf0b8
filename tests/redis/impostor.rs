//! Servers that are no Redis, or one that went mad: bounded memory, a clear word, and no harm to other groups.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use promoterd::model::Endpoint;

use crate::cluster::{Cluster, local};
use crate::crowd::{CRASH_MAX, memory_kib, time_a_crash};
use crate::process::{eventually, throughout};
use crate::server::Kind;

/// How much a daemon may grow by all of them together: one of their replies is bounded by a MiB.
const GROWTH_MAX_KIB: u64 = 32 << 10;
/// Most lines that a daemon may log of each of them in a test.
const LINES_MAX: usize = 40;
const GIANT: &str = "$1073741824\r\n";

/// What an impostor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Madness {
    /// Replies that nobody asked for, as fast as they are taken.
    Endless,
    /// A reply to each question, of another type each time.
    WrongTypes,
    /// The header of a bulk of 1 GiB, and then bytes without end.
    GiantBulk,
    /// The same header, and nothing more.
    GiantHeader,
    /// An array of 2^30 elements, one after the other.
    GiantArray,
    /// Arrays within arrays.
    DeepArray,
    /// Pings are answered with what INFO asked for, and the other way round.
    OutOfOrder,
    /// Pings are answered; INFO begins, and a byte of it comes now and then.
    EndlessInfo,
}

const ALL: [(Madness, &str); 8] = [
    (Madness::Endless, "without end"),
    (Madness::WrongTypes, "unreadable"),
    (Madness::GiantBulk, "without end"),
    (Madness::GiantHeader, ""),
    (Madness::GiantArray, "without end"),
    (Madness::DeepArray, ""),
    (Madness::OutOfOrder, "unreadable"),
    (Madness::EndlessInfo, ""),
];

struct Impostor {
    endpoint: Endpoint,
    accepted: Arc<AtomicUsize>,
}

impl Impostor {
    /// Lives as long as the test's process; whoever leaves it ends a thread of it.
    fn start(madness: Madness) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = local(listener.local_addr().unwrap().port());
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                // A connection that ends, ends its thread.
                thread::spawn(move || drop(converse(stream, madness)));
            }
        });
        Self { endpoint, accepted }
    }
}

fn converse(mut stream: TcpStream, madness: Madness) -> std::io::Result<()> {
    let mut asked = [0; 4096];
    if madness == Madness::Endless {
        return pour(&mut stream, b"+PONG\r\n");
    }
    for turn in 0.. {
        let length = stream.read(&mut asked)?;
        if length == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&asked[..length]).into_owned();
        let wants_info = text.contains("INFO");
        match madness {
            Madness::Endless => {}
            Madness::WrongTypes => {
                let replies = [
                    ":1\r\n",
                    "*0\r\n",
                    "$-1\r\n",
                    "*2\r\n+a\r\n:2\r\n",
                    "$3\r\nfoo\r\n",
                ];
                for _ in 0..text.matches("*1\r\n").count() + usize::from(wants_info) {
                    stream.write_all(replies[turn % replies.len()].as_bytes())?;
                }
            }
            Madness::GiantBulk => {
                stream.write_all(GIANT.as_bytes())?;
                return pour(&mut stream, b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
            }
            Madness::GiantHeader => stream.write_all(GIANT.as_bytes())?,
            Madness::GiantArray => {
                stream.write_all(b"*1073741824\r\n")?;
                return pour(&mut stream, b":1\r\n:2\r\n:3\r\n");
            }
            Madness::DeepArray => stream.write_all(&b"*1\r\n".repeat(100_000))?,
            Madness::OutOfOrder if wants_info => stream.write_all(b"+PONG\r\n")?,
            Madness::OutOfOrder => stream.write_all(b"+OK\r\n$9\r\nrole:none\r\n")?,
            Madness::EndlessInfo if wants_info => {
                stream.write_all(b"$900000\r\n# Server\r\n")?;
                loop {
                    stream.write_all(b"x")?;
                    thread::sleep(Duration::from_millis(50));
                }
            }
            Madness::EndlessInfo => stream.write_all(b"+PONG\r\n")?,
        }
    }
    Ok(())
}

fn pour(stream: &mut TcpStream, piece: &[u8]) -> std::io::Result<()> {
    let block = piece.repeat(4096);
    loop {
        stream.write_all(&block)?;
    }
}

#[test]
fn servers_that_went_mad_cost_bounded_memory_and_delay_no_other_groups_failover() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    cluster.set("CLIENTS__API__GROUP", "features");
    let impostors: Vec<Impostor> = ALL.map(|(madness, _)| Impostor::start(madness)).into();
    for (number, impostor) in impostors.iter().enumerate() {
        let key = format!("GROUPS__MAD{number}__INSTANCES");
        cluster.set(&key, &impostor.endpoint.to_string());
    }
    cluster.start_servers();
    cluster.start_daemons();
    // Registered beside them, too.
    eventually("the sane group is registered", || {
        let group = sane(&cluster, 0)?;
        group.map_or_else(
            || Err("it is not".to_owned()),
            |epoch| (epoch == 1).then_some(()).ok_or_else(|| epoch.to_string()),
        )
    });
    let before: Vec<u64> = cluster
        .daemons
        .iter()
        .map(|it| memory_kib(it.id(), "VmRSS"))
        .collect();
    throughout("the daemons go on", Duration::from_secs(4), || {
        cluster
            .daemons
            .iter()
            .try_for_each(|daemon| daemon.status().map(drop))
    });
    for (impostor, (madness, word)) in impostors.iter().zip(ALL) {
        assert!(
            impostor.accepted.load(Ordering::Relaxed) > 0,
            "{madness:?} was not asked"
        );
        for daemon in &cluster.daemons {
            eventually(&format!("{} tells of {madness:?}", daemon.name), || {
                let report = daemon.status()?;
                let mut seen = report.groups.iter().flat_map(|group| &group.replicas);
                let seen = seen.find(|instance| instance.endpoint == impostor.endpoint);
                let seen = seen.ok_or_else(|| "it is not listed".to_owned())?;
                let trouble = seen.trouble.clone().unwrap_or_default();
                let is_told = !seen.healthy
                    && trouble.contains(word)
                    && (seen.down.is_some() || !trouble.is_empty());
                is_told.then_some(()).ok_or_else(|| format!("{seen:?}"))
            });
        }
    }
    let took = time_a_crash(&mut cluster, 0);
    for (daemon, before) in cluster.daemons.iter().zip(before) {
        let most = memory_kib(daemon.id(), "VmHWM");
        eprintln!(
            "{}: {before} KiB before, {most} at most; crash to writable {took:?}",
            daemon.name
        );
        assert!(most < before + GROWTH_MAX_KIB, "{before} KiB, then {most}");
        let logged = daemon.logged();
        for impostor in &impostors {
            let name = impostor.endpoint.to_string();
            let is_loud = |line: &&str| line.contains(&name) && !line.contains("DEBUG");
            let lines = logged.lines().filter(is_loud).count();
            assert!(lines <= LINES_MAX, "{lines} lines of {name}");
        }
    }
    assert!(took < CRASH_MAX, "crash to writable: {took:?}");
    for daemon in &cluster.daemons {
        eventually("the sane group has its new master everywhere", || {
            match daemon.get::<promoterd::status::GroupAnswer>("/v1/groups/features") {
                Ok(answer) if answer.group.epoch == Some(promoterd::model::Epoch(2)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
}

/// The epoch of the group that has real servers.
fn sane(cluster: &Cluster, daemon: usize) -> Result<Option<u64>, String> {
    let report = cluster.daemons[daemon].status()?;
    let group = report
        .groups
        .iter()
        .find(|group| group.name.as_str() == "features");
    Ok(group.and_then(|group| group.epoch).map(|epoch| epoch.0))
}
