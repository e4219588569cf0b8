//! Writers: one on each host to whatever its client's file names, and a stubborn one beside each
//! instance, whatever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use promoterd::model::{Endpoint, ReplicationId, SplitMix};
use redis::{Connection, RedisResult, Value};

use super::history::{Answer, At, FileSeen, Fork, InstanceId, Process, Write, WriteId};
use crate::daemon::client_file;
use crate::hosts::Host;

/// Time between two writes of a writer, on the average.
const WRITE_INTERVAL: Duration = Duration::from_millis(40);
/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_millis(300);
/// A client gives up a write after this.
const CLIENT_PATIENCE: Duration = Duration::from_millis(500);
/// A stubborn one after this: longer than a server is ever stopped.
const STUBBORN_PATIENCE: Duration = Duration::from_secs(20);

/// Where a writer writes to.
#[derive(Debug, Clone)]
pub enum Aim {
    /// The instance that a file names, by TCP from this host.
    File {
        host: Host,
        number: usize,
        path: PathBuf,
    },
    /// One instance, by its Unix socket, from when it was a master on: to any other address nobody has
    /// a reason to write.
    Instance {
        instance: InstanceId,
        directory: PathBuf,
    },
}

/// What one writer recorded.
#[derive(Debug, Default)]
pub struct Written {
    pub writes: Vec<Write>,
    pub forks: BTreeMap<ReplicationId, Fork>,
    pub files: Vec<FileSeen>,
}

/// What all writers of a group know of its processes.
pub type Processes = Arc<Mutex<Vec<Process>>>;

/// The instances that some file named.
pub type WereMasters = Arc<Mutex<BTreeSet<InstanceId>>>;

/// A writer's part.
#[derive(Debug, Clone)]
pub struct Part {
    pub aim: Aim,
    pub writer: usize,
    pub endpoints: Vec<Endpoint>,
    pub processes: Processes,
    pub were_masters: WereMasters,
    pub began: Instant,
    pub is_over: Arc<AtomicBool>,
}

/// The list that a writer writes to.
pub fn key(writer: usize) -> String {
    format!("written-by:{writer}")
}

struct Link {
    connection: Connection,
    instance: InstanceId,
    process: usize,
}

struct Writer {
    part: Part,
    link: Option<Link>,
    next: u64,
    random: SplitMix,
    found: Written,
}

impl Part {
    /// Writes until all is over.
    pub fn start(self) -> JoinHandle<Written> {
        thread::spawn(move || {
            if let Aim::File { host, .. } = &self.aim {
                host.enter();
            }
            let seed = u64::try_from(self.writer).unwrap();
            let mut writer = Writer {
                part: self,
                link: None,
                next: 0,
                random: SplitMix::new(seed),
                found: Written::default(),
            };
            while !writer.part.is_over.load(Ordering::Relaxed) {
                writer.turn();
                let share = 50 + u32::try_from(writer.random.below(100)).unwrap();
                thread::sleep(WRITE_INTERVAL * share / 100);
            }
            writer.found
        })
    }
}

impl Writer {
    fn now(&self) -> At {
        self.part.began.elapsed()
    }

    fn turn(&mut self) {
        let Some(instance) = self.aimed_at() else {
            return;
        };
        if self
            .link
            .as_ref()
            .is_some_and(|link| link.instance != instance)
        {
            self.link = None;
        }
        if self.link.is_none() {
            self.link = self.connect(instance).ok();
        }
        if let Some(link) = self.link.take() {
            self.link = self.write(link);
        }
    }

    /// Whom to write to; a file that names nobody is noted.
    fn aimed_at(&mut self) -> Option<InstanceId> {
        let (number, path) = match &self.part.aim {
            Aim::Instance { instance, .. } => {
                let were_masters = self.part.were_masters.lock().unwrap();
                return were_masters.contains(instance).then_some(*instance);
            }
            Aim::File { number, path, .. } => (*number, path.clone()),
        };
        let text = fs::read_to_string(&path).unwrap_or_else(|error| error.to_string());
        let endpoints = &self.part.endpoints;
        let named = endpoints.iter().position(|it| text == client_file(it));
        self.part.were_masters.lock().unwrap().extend(named);
        let names = named.ok_or(text);
        if self
            .found
            .files
            .last()
            .is_none_or(|last| last.names != names)
        {
            self.found.files.push(FileSeen {
                host: number,
                seen: self.now(),
                names,
            });
        }
        named
    }

    fn connect(&self, instance: InstanceId) -> RedisResult<Link> {
        let (address, patience) = match &self.part.aim {
            Aim::File { .. } => {
                let endpoint = &self.part.endpoints[instance];
                (format!("redis://{endpoint}/"), CLIENT_PATIENCE)
            }
            Aim::Instance { directory, .. } => {
                let path = directory.join("sock");
                (format!("unix://{}", path.display()), STUBBORN_PATIENCE)
            }
        };
        let client = redis::Client::open(address)?;
        let mut connection = client.get_connection_with_timeout(CONNECT_MAX)?;
        connection.set_read_timeout(Some(patience))?;
        connection.set_write_timeout(Some(patience))?;
        let info: String = redis::cmd("INFO").arg("server").query(&mut connection)?;
        let process = self.note_process(instance, &fields(&info));
        Ok(Link {
            connection,
            instance,
            process,
        })
    }

    fn note_process(&self, instance: InstanceId, info: &BTreeMap<&str, &str>) -> usize {
        let run_id = info["run_id"].parse().unwrap();
        let mut processes = self.part.processes.lock().unwrap();
        if let Some(known) = processes.iter().position(|it| it.run_id == run_id) {
            return known;
        }
        processes.push(Process {
            instance,
            run_id,
            process_id: info["process_id"].parse().unwrap(),
            first_seen: self.now(),
            is_stranger: false,
        });
        processes.len() - 1
    }

    /// One write, with what the server says of itself right after it; the connection, if it stands.
    fn write(&mut self, mut link: Link) -> Option<Link> {
        let id = WriteId {
            writer: self.part.writer,
            number: self.next,
        };
        self.next += 1;
        let mut pipeline = redis::pipe();
        pipeline.cmd("RPUSH").arg(key(id.writer)).arg(id.number);
        pipeline.cmd("INFO").arg("replication").ignore_errors();
        let sent = self.now();
        let replies: RedisResult<Vec<RedisResult<Value>>> = pipeline.query(&mut link.connection);
        let answered = self.now();
        let answer = match replies.as_deref() {
            Ok([Ok(_), Ok(info)]) => self.taken(info),
            Ok([Err(error), _]) if error.code().is_some() => Answer::Refused,
            Ok(_) | Err(_) => Answer::Unknown,
        };
        self.found.writes.push(Write {
            id,
            process: link.process,
            sent,
            answered,
            answer,
        });
        replies.is_ok().then_some(link)
    }

    fn taken(&mut self, info: &Value) -> Answer {
        let info: String = redis::from_redis_value(info.clone()).unwrap();
        let info = fields(&info);
        if info["role"] != "master" {
            // It was demoted in between: where in its stream the write was is not known.
            return Answer::Unknown;
        }
        let history: ReplicationId = info["master_replid"].parse().unwrap();
        let shared: i64 = info["second_repl_offset"].parse().unwrap();
        if shared > 0 {
            let fork = Fork {
                parent: info["master_replid2"].parse().unwrap(),
                shared: u64::try_from(shared - 1).unwrap(),
            };
            self.found.forks.insert(history, fork);
        }
        Answer::Taken {
            history,
            offset: info["master_repl_offset"].parse().unwrap(),
        }
    }
}

/// The fields of `INFO`.
pub fn fields(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.trim().split_once(':'))
        .collect()
}
