//! What clients of the group do meanwhile, and what they see.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult};

use super::cluster::connect;

/// Longest time that the client waits for an answer before it looks into its file again.
const PATIENCE: Duration = Duration::from_millis(100);
/// Longest time that the client goes on after it was told to stop.
const FINISH_MAX: Duration = Duration::from_secs(1);
/// Time between two writes, and between two looks at anything.
const INTERVAL: Duration = Duration::from_micros(500);

/// A thread that does something until told to stop.
pub(super) struct Worker<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Worker<T> {
    fn start(work: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        Self {
            stop,
            thread: thread::spawn(move || work(&flag)),
        }
    }

    /// Waits for what it found, without telling it to stop.
    pub(super) fn wait(self) -> Option<T> {
        self.thread.join().ok()
    }

    /// Tells it to stop, and takes what it has.
    pub(super) fn stop(self) -> Option<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok()
    }
}

/// The writes of one client: each under a key of its own.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// When each acknowledged write was acknowledged, by its number.
    pub(super) acknowledged: Vec<(u64, Instant)>,
}

impl Writes {
    /// The longest time without an acknowledged write that ends after `since`.
    pub(super) fn longest_pause(&self, since: Instant) -> Option<Duration> {
        self.acknowledged
            .windows(2)
            .filter(|pair| pair[1].1 > since)
            .map(|pair| pair[1].1 - pair[0].1)
            .max()
    }

    /// Whether one was acknowledged after this moment.
    pub(super) fn went_on_after(&self, moment: Instant) -> bool {
        self.acknowledged.last().is_some_and(|(_, at)| *at > moment)
    }
}

/// A client that writes all the time, wherever its file says. It ends with a write that was
/// acknowledged after it was told to stop: it may still be waiting for a server that hung.
pub(super) fn write(file: PathBuf) -> Worker<Writes> {
    Worker::start(move |stop| {
        let mut writes = Writes::default();
        let mut connection: Option<(String, Connection)> = None;
        let mut told_at = None;
        for number in 0_u64.. {
            if stop.load(Ordering::Relaxed) {
                let told_at = *told_at.get_or_insert_with(Instant::now);
                if writes.went_on_after(told_at) || told_at.elapsed() > FINISH_MAX {
                    break;
                }
            }
            let Some(address) = address_in(&file) else {
                continue;
            };
            if connection
                .as_ref()
                .is_none_or(|(current, _)| *current != address)
            {
                connection = connect(&address, PATIENCE)
                    .ok()
                    .map(|opened| (address, opened));
            }
            if let Some((_, opened)) = &mut connection {
                match set(opened, &key(number)) {
                    Ok(()) => writes.acknowledged.push((number, Instant::now())),
                    Err(_) => connection = None,
                }
            }
            thread::sleep(INTERVAL);
        }
        writes
    })
}

/// The moment at which one of these instances first accepts a write.
pub(super) fn first_writable(ports: Vec<u16>, until: Instant) -> Worker<Option<(u16, Instant)>> {
    Worker::start(move |stop| {
        let mut connections: Vec<(u16, Connection)> = ports
            .into_iter()
            .filter_map(|port| Some((port, connect(&local(port), PATIENCE).ok()?)))
            .collect();
        while !stop.load(Ordering::Relaxed) && Instant::now() < until {
            for (port, connection) in &mut connections {
                if set(connection, "promoterd-demo-writable").is_ok() {
                    return Some((*port, Instant::now()));
                }
            }
            thread::sleep(INTERVAL);
        }
        None
    })
}

/// The moment at which none of these files names the old address any more.
pub(super) fn all_rewritten(
    files: Vec<PathBuf>,
    old: String,
    until: Instant,
) -> Worker<Option<Instant>> {
    Worker::start(move |stop| {
        while !stop.load(Ordering::Relaxed) && Instant::now() < until {
            let names_new = |file: &PathBuf| address_in(file).is_some_and(|address| address != old);
            if files.iter().all(names_new) {
                return Some(Instant::now());
            }
            thread::sleep(INTERVAL);
        }
        None
    })
}

/// How many of the acknowledged writes an instance does not have.
pub(super) fn missing(port: u16, writes: &Writes) -> RedisResult<usize> {
    const BATCH: usize = 1000;
    let mut connection = connect(&local(port), Duration::from_secs(5))?;
    let mut missing = 0;
    for batch in writes.acknowledged.chunks(BATCH) {
        let mut command = redis::cmd("EXISTS");
        for (number, _) in batch {
            command.arg(key(*number));
        }
        missing += batch.len() - command.query::<usize>(&mut connection)?;
    }
    Ok(missing)
}

/// `host:port` of the URL in a client's file, as a client reads it.
pub(super) fn address_in(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("REDIS_URL=redis://"))?;
    Some(value.split('/').next()?.to_owned())
}

/// An address on this machine.
pub(super) fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn key(number: u64) -> String {
    format!("write:{number}")
}

fn set(connection: &mut Connection, key: &str) -> RedisResult<()> {
    redis::cmd("SET").arg(key).arg("1").query(connection)
}
