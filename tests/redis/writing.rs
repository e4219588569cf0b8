//! Clients that write all the time to whom their file names, and remember what was acknowledged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use redis::Connection;

use crate::cluster::Cluster;

/// Longest wait for an answer: more than any hold lasts.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Time between two writes: the servers and daemons want to run too.
const BETWEEN: Duration = Duration::from_millis(1);

/// What one client was told.
#[derive(Debug, Default)]
struct Told {
    /// How many of its keys, from 0 on, were tried; and which of them were refused, or got no answer.
    tried: u64,
    doubtful: Vec<u64>,
    /// The longest time between two acknowledgements.
    pause_max: Duration,
}

/// Clients that write until they are asked to stop.
pub struct Writers {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Told>>,
}

/// All that clients were told.
pub struct Written {
    told: Vec<Told>,
}

impl Writers {
    /// Starts `count` of them, each with the file of one of the daemons.
    pub fn start(cluster: &Cluster, name: &str, count: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|number| {
            let daemon = &cluster.daemons[number % cluster.daemons.len()];
            let (file, is_over) = (daemon.file.clone(), Arc::clone(&is_over));
            let prefix = format!("{name}:{number}");
            thread::spawn(move || write(&file, &prefix, &is_over))
        });
        let threads = threads.collect();
        Self { is_over, threads }
    }

    /// Lets them end, each with an acknowledged write.
    pub fn stop(self) -> Written {
        self.is_over.store(true, Ordering::Relaxed);
        let told = self.threads.into_iter().map(|it| it.join().unwrap());
        Written {
            told: told.collect(),
        }
    }
}

impl Written {
    /// The longest time for which one of them had nothing acknowledged.
    pub fn pause_max(&self) -> Duration {
        self.told.iter().map(|told| told.pause_max).max().unwrap()
    }

    pub fn acknowledged(&self) -> u64 {
        let counts = self.told.iter();
        counts
            .map(|told| told.tried - told.doubtful.len() as u64)
            .sum()
    }

    /// Fails unless the server at `position` has everything that was acknowledged.
    pub fn assert_all_on(&self, cluster: &Cluster, position: usize, name: &str) {
        let mut connection = cluster.servers[position].connect().unwrap();
        for (number, told) in self.told.iter().enumerate() {
            let keys: Vec<u64> = (0..told.tried)
                .filter(|key| !told.doubtful.contains(key))
                .collect();
            for some in keys.chunks(1000) {
                let mut command = redis::cmd("EXISTS");
                for key in some {
                    command.arg(format!("{name}:{number}:{key}"));
                }
                let found: usize = command.query(&mut connection).unwrap();
                assert_eq!(found, some.len(), "acknowledged writes are missing");
            }
        }
    }
}

fn write(file: &Path, prefix: &str, is_over: &AtomicBool) -> Told {
    let mut told = Told::default();
    let mut connection: Option<Connection> = None;
    let mut last = Instant::now();
    let mut was_good = false;
    while !(is_over.load(Ordering::Relaxed) && was_good) {
        was_good = false;
        let Some(open) = &mut connection else {
            connection = connect(file);
            if connection.is_none() {
                thread::sleep(Duration::from_millis(1));
            }
            continue;
        };
        let key = told.tried;
        told.tried += 1;
        let mut command = redis::cmd("SET");
        command.arg(format!("{prefix}:{key}")).arg(key);
        match command.query::<()>(open) {
            Ok(()) => {
                told.pause_max = told.pause_max.max(last.elapsed());
                last = Instant::now();
                was_good = true;
                thread::sleep(BETWEEN);
            }
            Err(_) => {
                told.doubtful.push(key);
                connection = None;
            }
        }
    }
    told
}

/// As a client would that reads its file anew whenever something fails.
fn connect(file: &Path) -> Option<Connection> {
    let text = std::fs::read_to_string(PathBuf::from(file)).ok()?;
    let (_, behind) = text.split_once('@')?;
    let (master, _) = behind.split_once('/')?;
    let client = redis::Client::open(format!("redis://{master}/")).ok()?;
    let connection = client.get_connection_with_timeout(ANSWER_MAX).ok()?;
    connection.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    Some(connection)
}
